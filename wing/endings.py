"""How work ends: with exactly one final answer, and nothing claimed that the work did not prove.

Its papers are cut into chunks that the mesh can carry, its verdict becomes what is observed of the instance,
and a run that was cut off leaves the instance as unproven, not as whatever it was before.
"""

import hashlib
from dataclasses import replace
from typing import Final, assert_never

from broker.ids import Digest
from broker.messages import (
    CHUNK,
    Attachment,
    Cancelled,
    Converge,
    Failed,
    FinalAnswer,
    Interrupted,
    Observed,
    RunChunk,
    RunOutcome,
    RunResult,
    Succeeded,
    Verdict,
)
from wing.effects import RecordObserved
from wing.entries import Underway, changes_host
from wing.events import Completed, Done, End, Fetched, Paper, Stopped, Unable
from wing.step import Step, clipped

_GOOD: Final = frozenset({RunOutcome.UNCHANGED, RunOutcome.CHANGED})


def ended(step: Step, entry: Underway, end: End) -> Step:
    """Return the step with `entry` answered as its work ended."""
    match end:
        case Completed():
            step, result = _filed(step, entry, end.result, end.papers)
            return _observed(step, entry, result).answered(entry, _verdict(entry, result))
        case Fetched() | Done():
            return step.answered(entry, Succeeded(command=entry.id))
        case Stopped():
            return _stopped(step, entry, end)
        case Unable():
            return step.answered(entry, Failed(command=entry.id, reason=end.reason))
        case _:
            assert_never(end)


def interrupted(step: Step, entry: Underway, reason: str) -> Step:
    """Return the step with `entry` answered as cut off; if Puppet had begun, nothing is proven any more."""
    body = entry.command.body
    if isinstance(body, Converge) and changes_host(entry.command) and entry.process is not None:
        step = _noted(
            step,
            Observed(
                digest=body.digest,
                verdict=Verdict.FAILED,
                run=body.run,
                at=step.at,
                reason=clipped(f"interrupted: {reason}"),
            ),
        )
    return step.answered(entry, Interrupted(command=entry.id, reason=reason))


def _stopped(step: Step, entry: Underway, end: Stopped) -> Step:
    result = end.result
    if result is not None:
        step, result = _filed(step, entry, result, end.papers)
    if entry.cancelled_by is None:
        return interrupted(step, entry, "the wing was stopped")
    if result is not None and result.exit_codes:
        step = _observed(step, entry, result)
    reason = f"cancelled by command {entry.cancelled_by}"
    return step.answered(entry, Cancelled(command=entry.id, reason=reason, result=result))


def _filed(
    step: Step, entry: Underway, result: RunResult, papers: tuple[Paper, ...]
) -> tuple[Step, RunResult]:
    attachments = []
    for paper in papers:
        chunks = [paper.content[at : at + CHUNK] for at in range(0, len(paper.content), CHUNK)] or [b""]
        for index, content in enumerate(chunks):
            chunk = RunChunk(run=result.run, name=paper.name, index=index, count=len(chunks), content=content)
            step = step.told(chunk, caused_by=entry.id)
        attachments.append(_described(paper, len(chunks)))
    return step, replace(result, attachments=tuple(attachments))


def _described(paper: Paper, chunks: int) -> Attachment:
    digest = Digest(f"sha256:{hashlib.sha256(paper.content).hexdigest()}")
    return Attachment(name=paper.name, digest=digest, size=len(paper.content), chunks=chunks)


def _verdict(entry: Underway, result: RunResult) -> FinalAnswer:
    proven = (
        result.outcome in _GOOD if result.noop else result.verdict in {Verdict.CONVERGED, Verdict.APPLIED}
    )
    if proven:
        return Succeeded(command=entry.id, result=result)
    return Failed(command=entry.id, reason=result.reason, result=result)


def _observed(step: Step, entry: Underway, result: RunResult) -> Step:
    if result.verdict is None or not changes_host(entry.command):
        return step
    return _noted(
        step,
        Observed(
            digest=result.digest,
            verdict=result.verdict,
            run=result.run,
            at=result.finished_at,
            reason=clipped(result.reason),
        ),
    )


def _noted(step: Step, observed: Observed) -> Step:
    return step.moved(replace(step.state, observed=observed)).then(RecordObserved(observed=observed))
