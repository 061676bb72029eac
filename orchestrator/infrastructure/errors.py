"""What goes wrong below a cluster."""

from orchestrator.errors import ExplainedError


class ReachError(ExplainedError):
    """A host can't be reached, or refused what was asked of it."""
