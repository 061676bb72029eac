"""What a run proves about its instance, decided from nothing but how its executions ended.

The rules are those of the mesh protocol, "What converged means". A run is a step machine: from its policy
and the executions so far follows the next step, and nothing else. There is one place from which `converged`
is said, and it asks for a report that proves it: a failed, timed-out, cancelled or unknown execution
never gets there. Pure.

Puppet's detailed exit codes: 0 nothing changed, 2 changed, 4 and 6 failures, 1 did not run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from broker.messages import LogLine, RunOutcome, Verdict
from puppet_bridge.diff import Scope, diff_hash, keys
from puppet_bridge.execution import Ending, Execution
from puppet_bridge.report import Change, RunReport

DID_NOT_RUN: Final = 1
NO_FAILURE: Final = frozenset({0, 2})
CHANGED: Final = frozenset({2, 6})
PAUSES_S: Final = (2.0, 5.0)
NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a run is asked for; `approved` is the hash of the diff that an operator has seen."""

    noop: bool
    confirm: bool
    attempts: int
    timeout_s: float
    scope: Scope
    approved: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """Execute Puppet, `after_s` seconds from now, for at most `timeout_s` seconds."""

    noop: bool
    timeout_s: float
    after_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The run is over; `verdict` is None for a noop, which proves nothing about its instance."""

    outcome: RunOutcome
    verdict: Verdict | None
    reason: str = ""


Step = Apply | Done


def next_step(policy: Policy, history: Sequence[Execution]) -> Step:
    """Return what follows from the executions so far, oldest first."""
    if not history:
        return Apply(noop=policy.noop or policy.approved is not None, timeout_s=policy.timeout_s)
    return _final(policy, history) or _onward(policy, history)


def spoilt(execution: Execution) -> str | None:
    """Return why the execution proves nothing, None if it applied all without a failure."""
    report = execution.report
    if report is None:
        return _unreported(execution)
    if report.failures or report.failed or report.failed_to_restart or report.status == "failed":
        return _failures(report, execution)
    return _incomplete(report, execution)


def has_changed(execution: Execution) -> bool:
    """Return whether the execution changed something, by Puppet's exit code or its report."""
    if execution.noop:
        return False
    return execution.exit_code in CHANGED or (execution.report is not None and execution.report.changed > 0)


def _incomplete(report: RunReport, execution: Execution) -> str | None:
    """Return what a report without a failure still lacks as a proof."""
    if execution.skips:
        return f"{execution.skips} resources were skipped for a failed dependency"
    if not report.completed:
        return "Puppet did not get through its catalog"
    if report.noop is not execution.noop:
        return f"Puppet ran with noop {report.noop}, not {execution.noop}"
    if not execution.noop and execution.exit_code not in NO_FAILURE:
        return f"Puppet ended with exit code {execution.exit_code}{_words(execution)}"
    return None


def _final(policy: Policy, history: Sequence[Execution]) -> Done | None:
    """Return the end where the last execution allows no other."""
    last = history[-1]
    match last.ending:
        case Ending.CANCELLED:
            begun = any(execution.exit_code is not None for execution in history)
            outcome = RunOutcome.FAILED if begun else RunOutcome.NOT_RUN
            return _failed(history, f"cancelled{_standing(last)}", outcome)
        case Ending.TIMED_OUT:
            reason = f"timeout: Puppet did not end within {policy.timeout_s:g} s{_standing(last)}"
            return _failed(history, reason, RunOutcome.TIMEOUT)
        case Ending.EXITED if last.exit_code == DID_NOT_RUN:
            reason = spoilt(last) or f"Puppet did not run{_words(last)}"
            return _failed(history, reason, RunOutcome.NOT_RUN)
        case Ending.EXITED:
            return None


def _onward(policy: Policy, history: Sequence[Execution]) -> Step:
    """Return what follows an execution that ended by itself."""
    last = history[-1]
    trouble = spoilt(last)
    if policy.noop:
        return _failed(history, trouble) if trouble else Done(outcome=_noop_outcome(last), verdict=None)
    if last.noop:
        return _approved(policy, history, trouble)
    if trouble is None and not has_changed(last):
        return Done(outcome=_outcome(history), verdict=Verdict.CONVERGED)
    if trouble is None and not policy.confirm:
        return Done(outcome=RunOutcome.CHANGED, verdict=Verdict.APPLIED)
    return _again(policy, history, trouble)


def _again(policy: Policy, history: Sequence[Execution], trouble: str | None) -> Step:
    """Return another apply, or the end where none is left."""
    applies = sum(not execution.noop for execution in history)
    if applies >= policy.attempts:
        return _failed(history, trouble or _unsettled(history[-1], applies))
    left = _left(policy, history)
    if left <= 0:
        reason = f"timeout: the executions took {policy.timeout_s:g} s: {trouble or 'not yet confirmed'}"
        return _failed(history, reason, RunOutcome.TIMEOUT)
    if trouble is None:
        return Apply(noop=False, timeout_s=left)
    failures = sum(not execution.noop and spoilt(execution) is not None for execution in history)
    pause = PAUSES_S[min(failures, len(PAUSES_S)) - 1]
    return Apply(noop=policy.approved is not None, timeout_s=left, after_s=pause)


def _approved(policy: Policy, history: Sequence[Execution], trouble: str | None) -> Step:
    """Return the apply if the noop before it finds no more than what was approved.

    Before the first apply it must be exactly that; before a later one a part of it, since what has
    succeeded meanwhile is done.
    """
    if trouble is not None:
        return _failed(history, f"diff not checked: {trouble}")
    differs = _difference(policy, history)
    if differs is not None:
        return _failed(history, f"diff differs: {differs}")
    left = _left(policy, history)
    if left <= 0:
        return _failed(history, f"timeout: no time left of {policy.timeout_s:g} s", RunOutcome.TIMEOUT)
    return Apply(noop=False, timeout_s=left)


def _difference(policy: Policy, history: Sequence[Execution]) -> str | None:
    first, last = _changes(history[0]), _changes(history[-1])
    found = diff_hash(first, policy.scope)
    if found != policy.approved:
        return f"approved was {str(policy.approved)[:12]}, found is {found[:12]}: {_names(first)}"
    approved = keys(first, policy.scope)
    extra = tuple(change for change in last if not keys((change,), policy.scope) <= approved)
    return f"not approved: {_names(extra)}" if extra else None


def _left(policy: Policy, history: Sequence[Execution]) -> float:
    return policy.timeout_s - sum(execution.took_s for execution in history)


def _changes(execution: Execution) -> tuple[Change, ...]:
    return () if execution.report is None else execution.report.changes


def _noop_outcome(last: Execution) -> RunOutcome:
    return RunOutcome.CHANGED if _changes(last) else RunOutcome.UNCHANGED


def _outcome(history: Sequence[Execution]) -> RunOutcome:
    return RunOutcome.CHANGED if any(map(has_changed, history)) else RunOutcome.UNCHANGED


def _failed(history: Sequence[Execution], reason: str, outcome: RunOutcome = RunOutcome.FAILED) -> Done:
    """Return a failed end; what had run before a compile error is told apart from nothing at all.

    Where no apply was executed, because the noop before it found something else than was approved, nothing is
    known about the instance that was not known before: so there is no verdict on it.
    """
    ran = any(has_changed(execution) for execution in history)
    told = RunOutcome.FAILED if outcome is RunOutcome.NOT_RUN and ran else outcome
    untouched = all(execution.noop for execution in history)
    return Done(outcome=told, verdict=None if untouched else Verdict.FAILED, reason=reason)


def _failures(report: RunReport, execution: Execution) -> str:
    """Return the first failures by name, and how many more there are."""
    said = [str(failure) for failure in report.failures[:NAMED]]
    if not said:
        return f"{report.failed + report.failed_to_restart} resources failed{_words(execution)}"
    more = max(len(report.failures), report.failed) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more > 0 else "")


def _unreported(execution: Execution) -> str:
    if execution.errors:
        return _said(execution.errors[0])
    code = execution.exit_code
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
    return f"Puppet {how} and left no report ({execution.fault or 'none written'}){_words(execution)}"


def _unsettled(last: Execution, applies: int) -> str:
    named = _names(_changes(last)) or "something that its report doesn't name"
    return f"never settles: {named} still changed at apply {applies} of {applies}"


def _names(changes: Sequence[Change]) -> str:
    """Return the changed resources, each once, with their places."""
    places = {change.resource: _place(change) for change in changes}
    said = [f"{resource}{place}" for resource, place in list(places.items())[:NAMED]]
    more = len(places) - len(said)
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")


def _place(change: Change) -> str:
    return "" if change.file is None else f" ({change.file}:{change.line})"


def _standing(last: Execution) -> str:
    """Return where Puppet stood when it was ended, and what had to be ended."""
    where = f"; it was at {last.at_resource}" if last.at_resource else "; it had not begun with a resource"
    return where + (f"; ended: {', '.join(last.ended[:NAMED])}" if last.ended else "")


def _said(line: LogLine) -> str:
    """Return an error with its place: Puppet names it in the text, beside it, or both."""
    if line.file is None or f"(file: {line.file}" in line.message:
        return line.message
    place = line.file if line.line is None else f"{line.file}:{line.line}"
    return f"{place}: {line.message}"


def _words(execution: Execution) -> str:
    said = _said(execution.errors[0]) if execution.errors else execution.last_words
    return f": {said.strip()[-1000:]}" if said.strip() else ""
