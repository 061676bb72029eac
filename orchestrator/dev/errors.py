"""How bringing a mesh up on one machine can fail, in words for whoever asked for it."""


class DevError(Exception):
    """The mesh can't be brought up: what happened, why, and what to do."""

    def __init__(self, *, what: str, why: str = "", action: str = "") -> None:
        self.what = what
        self.why = why
        self.action = action
        super().__init__(f"{what}: {why}" if why else what)
