"""Settings: what a field takes is what it says, and one flat list of names stands for nested dataclasses."""

import collections
import dataclasses
import json

import pytest

from keras_senet.settings import check, flat_fields, flat_values, from_flat, setting
from keras_senet.training import RECIPES, Recipe


@dataclasses.dataclass(frozen=True)
class Part:
    rate: float = setting(0.5, "a rate", minimum=0, maximum=1)
    sizes: tuple[int, ...] | None = setting(None, "sizes")


@dataclasses.dataclass(frozen=True)
class Whole:
    name: str = setting(dataclasses.MISSING, "a name", choices=("a", "b"))
    part: Part = Part()
    count: int | None = setting(None, "a count", minimum=1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Part(rate=1.5), "`rate` must be from 0 to 1. Received: rate=1.5"),
        (Part(rate=float("nan")), "`rate` must be from 0 to 1. Received: rate=nan"),
        (Part(rate="1"), "`rate` has a value of the wrong type. Received: '1'"),
        (Part(sizes=[1]), r"`sizes` has a value of the wrong type. Received: \[1\]"),
        (Whole("c"), r"`name` must be one of \('a', 'b'\). Received: name='c'"),
        (Whole("a", count=0), "`count` must be at least 1. Received: count=0"),
    ],
)
def test_a_value_that_a_field_does_not_take_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        check(wrong)


def test_an_integer_will_do_for_a_float_and_none_where_it_may_stand():
    check(Part(rate=1, sizes=(1, 2)))
    check(Whole("a"))


def test_flat_names_stand_for_nested_fields():
    whole = Whole("b", Part(0.25, (1,)), 3)
    assert flat_values(whole) == {"name": "b", "rate": 0.25, "sizes": (1,), "count": 3}
    assert from_flat(Whole, flat_values(whole)) == whole
    assert from_flat(Whole, {"name": "a", "rate": 1.0}) == Whole("a", Part(rate=1.0))
    assert [field.name for field in flat_fields(Whole)] == list(flat_values(whole))
    with pytest.raises(TypeError, match="unknown"):
        from_flat(Whole, {"name": "a", "unknown": 1})


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_its_json(name):
    recipe = RECIPES[name]("SEResNet50", "imagenet2012", attention_stages=(4, 5))
    assert Recipe.of(**json.loads(json.dumps(recipe.flat()))) == recipe


def test_no_two_fields_of_a_recipe_share_a_name():
    names = collections.Counter(field.name for field in flat_fields(Recipe))
    assert set(names.values()) == {1}
