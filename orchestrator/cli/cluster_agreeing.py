"""Agreement to a plan: what an instance alone has is given up by typing its name, and by nothing less."""

import sys
from collections.abc import Sequence

from orchestrator.cli.asking import at_terminal, confirm
from orchestrator.cli.stop import Code, StopError
from orchestrator.infrastructure.changes import Changes, InstanceChange, unconfirmed
from orchestrator.infrastructure.clusters import refuse_losses


def agree(changes: Changes, named: Sequence[str], *, yes: bool, what: str) -> tuple[str, ...]:
    """Return the instances whose loss was confirmed; StopError or RefusedError if a person does not agree."""
    lost = unconfirmed(changes, named)
    if lost and not at_terminal():
        refuse_losses(changes, named)
    for change in lost:
        _typed(change)
    if changes.pending and not yes:
        confirm(what)
    return (*named, *(change.instance for change in lost))


def _typed(change: InstanceChange) -> None:
    sys.stderr.write(
        f"{change.instance} ({change.role}) would lose its disk. Type its name to agree to that: "
    )
    sys.stderr.flush()
    if sys.stdin.readline().strip() != change.instance:
        raise StopError(Code.FAILED, f"the loss of {change.instance} is not confirmed; nothing was done")
