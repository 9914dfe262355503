"""What the results of all measurements have in common."""


class Measured:
    """A dataclass of what was measured."""

    def summary(self) -> dict[str, float]:
        """The numbers that are defined and stand for all images and classes: `images`, `top1` and so on."""
        return {name: value for name, value in vars(self).items() if isinstance(value, (int, float))}
