"""Checks that several kinds of message share; a message that fails one can't be made."""


def positive(name: str, value: int) -> None:
    """Raise ValueError, naming the field, unless `value` is at least 1."""
    if value < 1:
        raise ValueError(f"{name}: {value} is less than 1")
