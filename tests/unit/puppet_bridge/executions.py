"""Executions of Puppet to build histories from."""

from broker.ids import InstanceId
from puppet_bridge.diff import Scope
from puppet_bridge.execution import Ending, Execution
from puppet_bridge.outcome import Policy
from puppet_bridge.report import Change, Failure, RunReport

SCOPE = Scope(instance=InstanceId("worker-1"), root="/")
MOTD = Change(resource="File[/etc/motd]", property="content", before="a", after="b", file="m.pp", line=3)
EXEC = Change(resource="Exec[again]", property="returns", before="notrun", after="0", file="m.pp", line=9)
FAILURE = Failure(resource="Exec[bad]", message="returned 1", file="m.pp", line=7)


def policy(
    *,
    noop: bool = False,
    confirm: bool = True,
    attempts: int = 3,
    timeout_s: float = 100.0,
    approved: str | None = None,
) -> Policy:
    """Return what a run is asked for."""
    return Policy(
        noop=noop,
        confirm=confirm,
        attempts=attempts,
        timeout_s=timeout_s,
        scope=SCOPE,
        approved=approved,
    )


def reported(
    *changes: Change, failures: tuple[Failure, ...] = (), noop: bool = False, completed: bool = True
) -> RunReport:
    """Return Puppet's report of these changes and failures."""
    return RunReport(
        status="failed" if failures else "changed" if changes else "unchanged",
        noop=noop,
        completed=completed,
        version="7.23.0",
        total=10,
        changed=0 if noop else len(changes),
        failed=len(failures),
        failed_to_restart=0,
        skipped_count=0,
        corrective=False,
        changes=changes,
        failures=failures,
        times={},
    )


def exited(code: int | None, report: RunReport | None = None, *, took_s: float = 1.0) -> Execution:
    """Return an execution that ended by itself."""
    noop = report is not None and report.noop
    return Execution(noop=noop, ending=Ending.EXITED, exit_code=code, took_s=took_s, report=report)


UNCHANGED = exited(0, reported())
CHANGED = exited(2, reported(MOTD))
FAILED = exited(4, reported(failures=(FAILURE,)))
