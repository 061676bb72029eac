"""What goes wrong below a cluster: `InfrastructureError` and its kinds."""


class InfrastructureError(Exception):
    """Something about a cluster's machines failed: what, why, and what to do."""

    def __init__(self, *, what: str, why: str = "", action: str = "") -> None:
        self.what = what
        self.why = why
        self.action = action
        super().__init__("; ".join(part for part in (what, why, action) if part))


class ReachError(InfrastructureError):
    """A host can't be reached, or refused what was asked of it."""
