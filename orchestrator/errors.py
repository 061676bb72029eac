"""Errors that are told to a person outside of any daemon: what happened, why, and what to do."""


class ExplainedError(Exception):
    """Something that was asked for at a terminal can't be done."""

    def __init__(self, *, what: str, why: str = "", action: str = "") -> None:
        self.what = what
        self.why = why
        self.action = action
        said = f"{what}: {why}" if why else what
        super().__init__(f"{said}; {action}" if action else said)
