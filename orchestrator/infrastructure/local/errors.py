"""What goes wrong with the hosts on this machine."""

from orchestrator.infrastructure.errors import InfrastructureError


class LocalError(InfrastructureError):
    """A host on this machine can't be made, found or treated as asked."""


class UnsupportedError(LocalError):
    """What is asked for is not to be had on this machine or with its kernel."""
