"""Dataclasses of settings: each field says what it means and which values it takes, for checks, flags and reports alike."""

import dataclasses
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from keras_senet.errors import InputError

T = TypeVar("T")


def setting(
    default: Any,
    help: str,
    *,
    choices: tuple | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    default_text: str | None = None,
    **metadata: Any,
) -> Any:
    """A field of a frozen dataclass.

    Args:
        default: its default; `dataclasses.MISSING` for none.
        help: what it means, in a line, for `--help` and for the report of a run.
        choices: the values that it takes; None for any.
        minimum: the smallest number that it takes.
        maximum: the largest.
        default_text: what stands for the default in `--help`, if that is not the same for all.
        metadata: what else the owner of the field keeps with it.
    """
    rules = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum, "default_text": default_text}
    return dataclasses.field(default=default, metadata=rules | metadata)


def check(settings: Any) -> None:
    """Checks the fields of a dataclass that were made by `setting`.

    Raises:
        ValueError: if a value is of the wrong type, none of the choices, or out of its range.
    """
    for field in dataclasses.fields(settings):
        value, rules = getattr(settings, field.name), field.metadata
        if not isinstance(value, accepted_types(field.type)):
            raise InputError(f"`{field.name}` has a value of the wrong type. Received: {value!r}")
        if not rules or value is None:
            continue
        if rules["choices"] and value not in rules["choices"]:
            raise InputError(f"`{field.name}` must be one of {rules['choices']}. Received: {field.name}={value!r}")
        minimum, maximum = rules["minimum"], rules["maximum"]
        if (minimum is not None and not value >= minimum) or (maximum is not None and not value <= maximum):
            accepted = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
            raise InputError(f"`{field.name}` must be {accepted}. Received: {field.name}={value}")


def lists_as_tuples(settings: Any) -> None:
    """Makes tuples of the lists among the values of a dataclass, since JSON has no tuples."""
    for field in dataclasses.fields(settings):
        if isinstance(value := getattr(settings, field.name), list):
            object.__setattr__(settings, field.name, tuple(value))


def accepted_types(annotation: Any) -> tuple[type, ...]:
    """The classes of the values that a field with this annotation takes. An integer will do for a float."""
    members = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    classes = {typing.get_origin(member) or member for member in members}
    return (*classes, int) if float in classes else tuple(classes)


def flat_fields(settings: Any) -> Iterator[dataclasses.Field]:
    """The fields of a dataclass, or of its class; in place of a field that is a dataclass, the fields of that."""
    for field in dataclasses.fields(settings):
        yield from flat_fields(field.type) if dataclasses.is_dataclass(field.type) else [field]


def flat_values(settings: Any) -> dict[str, Any]:
    """The values of a dataclass by the names of `flat_fields`."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        values |= flat_values(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return values


def from_flat(kind: Callable[..., T], values: dict[str, Any]) -> T:
    """The dataclass `kind` made of values by the names of `flat_fields`."""
    arguments = dict(values)
    fields: tuple[Any, ...] = dataclasses.fields(kind)  # type: ignore[arg-type]  # which knows no class of dataclasses
    for field in fields:
        if dataclasses.is_dataclass(field.type):
            part: Any = field.type
            names = arguments.keys() & {inner.name for inner in flat_fields(part)}
            arguments[field.name] = from_flat(part, {name: arguments.pop(name) for name in names})
    return kind(**arguments)
