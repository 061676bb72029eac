"""How bringing a mesh up on one machine can fail, in words for whoever asked for it."""

from orchestrator.errors import ExplainedError


class DevError(ExplainedError):
    """The mesh can't be brought up."""
