"""What is checked before a command is obeyed, in the protocol's order: the first check that fails decides.

The signature has been verified before anything got here. Then: target, known id, epoch, boot, `not_after`;
and last whether this wing can take anything on at all. A check says no with a reason that means something to
a person; whether it is told, and how often, is the machine's business.
"""

from dataclasses import dataclass
from datetime import datetime

from broker.messages import Command, RejectReason, Target
from wing.entries import changes_host
from wing.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The command is not accepted."""

    reason: RejectReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The command was accepted before: its answer is repeated, and nothing else happens."""


def wrong_target(state: State, command: Command) -> Refusal | None:
    """Return why `command` is not for this wing; what changes the host must name its instance."""
    us, target = state.identity, command.target
    instances = {us.instance} if changes_host(command) else {us.instance, None}
    if (target.cluster, target.role) == (us.cluster, us.role) and target.instance in instances:
        return None
    ours = f"{us.cluster}/{us.role}/{us.instance}"
    return Refusal(reason=RejectReason.WRONG_TARGET, detail=f"it is for {_named(target)}, this is {ours}")


def stale_epoch(state: State, command: Command) -> Refusal | None:
    """Return why the command's leader is no leader any more."""
    if command.epoch >= state.epoch:
        return None
    detail = f"epoch {command.epoch} has been fenced: epoch {state.epoch} has been seen here"
    return Refusal(reason=RejectReason.STALE_EPOCH, detail=detail)


def other_boot(state: State, command: Command) -> Refusal | None:
    """Return why the command was meant for another boot; what changes the host must name one."""
    boot = command.target.boot
    if boot == state.boot or (boot is None and not changes_host(command)):
        return None
    return Refusal(
        reason=RejectReason.OTHER_BOOT, detail=f"it is for boot {boot or '(none)'}, this is {state.boot}"
    )


def expired(command: Command, at: datetime) -> Refusal | None:
    """Return why it is too late for the command."""
    if at <= command.not_after:
        return None
    detail = f"it was to start by {command.not_after.isoformat()}, now is {at.isoformat()}"
    return Refusal(reason=RejectReason.EXPIRED, detail=detail)


def unable(state: State) -> Refusal | None:
    """Return why this wing takes nothing on at the moment."""
    if state.stopping:
        detail = "the wing is stopping; its next boot can be asked again"
        return Refusal(reason=RejectReason.STOPPING, detail=detail)
    if state.conflicted:
        return Refusal(
            reason=RejectReason.IDENTITY_CONFLICT,
            detail="another host answers to this identity; stop one of the two",
        )
    if state.full:
        return Refusal(
            reason=RejectReason.JOURNAL_FULL,
            detail="the wing's journal is full of facts that nobody has acknowledged",
        )
    return None


def check(state: State, command: Command, at: datetime) -> Refusal | Known | None:
    """Return what stands against accepting `command`, None if nothing does."""
    return (
        wrong_target(state, command)
        or (Known() if command.id in state.entries else None)
        or stale_epoch(state, command)
        or other_boot(state, command)
        or expired(command, at)
        or unable(state)
    )


def check_control(state: State, command: Command, at: datetime) -> Refusal | None:
    """Return what stands against a control, which is signed and fenced, but belongs to no boot."""
    return wrong_target(state, command) or stale_epoch(state, command) or expired(command, at)


def _named(target: Target) -> str:
    return f"{target.cluster}/{target.role}/{target.instance or '(every instance)'}"
