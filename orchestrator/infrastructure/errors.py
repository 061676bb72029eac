"""What goes wrong below a cluster.

InfrastructureError
 ├─ ReachError             a host can't be reached, or refused what was asked of it
 ├─ DescriptionError       a cluster's description can't be used
 ├─ BusyError              another command works on the cluster
 ├─ RefusedError           what is asked for would lose what must not be lost unasked
 ├─ RestoreError           members of etcd were not restored, or are not well after it
 └─ TerraformError         Terraform did not do what was asked
     ├─ NoTerraformError     neither Terraform nor OpenTofu is there
     ├─ StateLockedError     another process has the state
     ├─ StateBrokenError     the state can't be read
     ├─ PlanStaleError       a saved plan is no longer what would be done
     └─ StoppedError         it was interrupted, and has stopped
"""

from orchestrator.errors import ExplainedError


class InfrastructureError(ExplainedError):
    """Something about a cluster's machines can't be done."""


class ReachError(InfrastructureError):
    """A host can't be reached, or refused what was asked of it."""


class DescriptionError(InfrastructureError):
    """A cluster's description can't be used: which file, which line, which key, and what is wrong."""


class BusyError(InfrastructureError):
    """Another command works on the cluster: which one, whose, since when."""


class RefusedError(InfrastructureError):
    """What is asked for would lose something that is only given up by name."""


class RestoreError(InfrastructureError):
    """Members of etcd were not restored, or are not well after it; `failed` are their names."""

    def __init__(self, *, failed: tuple[str, ...], what: str, why: str = "", action: str = "") -> None:
        self.failed = failed
        super().__init__(what=what, why=why, action=action)


class TerraformError(InfrastructureError):
    """Terraform did not do what was asked."""


class NoTerraformError(TerraformError):
    """Neither Terraform nor OpenTofu is there, or not the one that was named."""


class StateLockedError(TerraformError):
    """Another process has the state, or ended without giving it back; `lock` is the lock's ID."""

    def __init__(self, *, lock: str, what: str, why: str = "", action: str = "") -> None:
        self.lock = lock
        super().__init__(what=what, why=why, action=action)


class StateBrokenError(TerraformError):
    """The record of what there is can't be read."""


class PlanStaleError(TerraformError):
    """A saved plan is no longer what would be done."""


class StoppedError(TerraformError):
    """Terraform was interrupted, and has stopped."""
