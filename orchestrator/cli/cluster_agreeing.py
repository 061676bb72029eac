"""Agreement to a plan: what an instance alone has is given up by typing its name, and by nothing less."""

import sys
from collections.abc import Sequence

from orchestrator.cli.asking import at_terminal, confirm
from orchestrator.cli.output import note
from orchestrator.cli.stop import Code, StopError, usage
from orchestrator.infrastructure.changes import Changes, InstanceChange, unconfirmed
from orchestrator.infrastructure.clusters import refuse_losses
from orchestrator.infrastructure.errors import RefusedError


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


def agree_restore(cluster: str, loss: str, said: str | None) -> None:
    """Go on if the cluster's name was `said`, or is typed; StopError or RefusedError if it is not."""
    if said is not None and said != cluster:
        raise usage(f"--yes-restore {said} is for another cluster", action=f"this one is {cluster}")
    note(loss)
    if said == cluster:
        return
    if not at_terminal():
        raise RefusedError(
            what=f"this would restore etcd of {cluster}",
            why="what was written since the snapshot was taken would be lost",
            action=f"--yes-restore {cluster} says that it is meant",
        )
    _ask("Type the cluster's name to agree to that: ", cluster, f"the restore of {cluster}")


def _typed(change: InstanceChange) -> None:
    question = f"{change.instance} ({change.role}) would lose its disk. Type its name to agree to that: "
    _ask(question, change.instance, f"the loss of {change.instance}")


def _ask(question: str, name: str, what: str) -> None:
    sys.stderr.write(question)
    sys.stderr.flush()
    if sys.stdin.readline().strip() != name:
        raise StopError(Code.FAILED, f"{what} is not confirmed; nothing was done")
