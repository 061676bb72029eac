"""What starts next: one thing that changes the host at a time, and all that changes nothing at once.

A noop run changes nothing, so it never waits here; Puppet's own lock, which the runner takes, still lets only
one Puppet at a time onto the host, and a run that waits there says for whom. What waits is looked at again
when it would start: its date may have passed, and its leader may have been fenced.
"""

from broker.ids import Epoch, MessageId
from broker.messages import Cancelled, Converge, Drain, Failed, Health, Prefetch, Uncordon
from wing.checks import expired
from wing.effects import RunConverge, RunOrder, RunPrefetch
from wing.entries import Waiting, changes_host, work_of
from wing.step import Step


def advanced(step: Step) -> Step:
    """Return the step with everything started that may start now."""
    if step.state.stopping or step.state.conflicted:
        return step
    for entry in step.state.waiting:
        late = expired(entry.command, step.at)
        if late is not None:
            step = step.answered(entry, Failed(command=entry.id, reason=f"expired: {late.detail}"))
        elif step.state.is_doing(work_of(entry)):
            continue  # it is answered as that is
        elif step.state.change is None or not changes_host(entry.command):
            step = _begun(step, entry)
    return step


def queued(step: Step, entry: Waiting) -> Step:
    """Return the step with a newly accepted `entry` in the queue, where only the newest converge waits.

    What is to be drained or uncordoned is no older or newer than a converge: neither replaces the other.
    """
    if not _replaceable(entry):
        return step
    rivals = [other for other in step.state.waiting if _replaceable(other)]
    newest = max(rivals, key=_age)
    for other in rivals:
        if other is not newest:
            reason = f"superseded by run {_run(newest)}"
            step = step.answered(other, Cancelled(command=other.id, reason=reason))
    return step


def fenced(step: Step, epoch: Epoch) -> Step:
    """Return the step with what waits from before `epoch` answered: nothing of a lower epoch starts."""
    for entry in step.state.waiting:
        if entry.command.epoch < epoch:
            reason = f"superseded by epoch {epoch}, which fences epoch {entry.command.epoch}"
            step = step.answered(entry, Cancelled(command=entry.id, reason=reason))
    return step


def _begun(step: Step, entry: Waiting) -> Step:
    started = step.started(entry)
    match entry.command.body:
        case Converge() as converge:
            return started.then(RunConverge(command=entry.id, converge=converge))
        case Prefetch() as prefetch:
            return started.then(RunPrefetch(command=entry.id, prefetch=prefetch))
        case Drain() | Uncordon() | Health() as order:
            return started.then(RunOrder(command=entry.id, order=order))
        case body:
            raise AssertionError(f"{type(body).__name__} is answered at once and never waits")


def _replaceable(entry: Waiting) -> bool:
    return isinstance(entry.command.body, Converge) and changes_host(entry.command)


def _age(entry: Waiting) -> tuple[int, float, MessageId]:
    command = entry.command
    return command.epoch, command.at.timestamp(), command.id


def _run(entry: Waiting) -> str:
    body = entry.command.body
    return body.run if isinstance(body, Converge) else entry.id
