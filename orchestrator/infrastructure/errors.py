"""What goes wrong below a cluster.

InfrastructureError
 └─ ReachError             a host can't be reached, or refused what was asked of it
"""

from orchestrator.errors import ExplainedError


class InfrastructureError(ExplainedError):
    """Something about a cluster's machines can't be done."""


class ReachError(InfrastructureError):
    """A host can't be reached, or refused what was asked of it."""
