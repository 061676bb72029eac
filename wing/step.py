"""One event's way through the machine: the state so far and the effects so far, both growing by values."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from broker.ids import MessageId
from broker.messages import (
    Cancelled,
    FactBody,
    Failed,
    FinalAnswer,
    Interrupted,
    RunResult,
    Started,
    Succeeded,
    Trouble,
)
from wing.effects import Effect, ForgetEntry, RecordEntry, RecordFact, Warn
from wing.entries import Answered, Entry, Underway, Waiting, run_of, work_of
from wing.events import Drop
from wing.facts import FactRef, extended
from wing.state import State

NewId = Callable[[], MessageId]
LONGEST_REASON: Final = 8_000
MOST_EXIT_CODES: Final = 100
"""Of the last executions: an order may allow more attempts than one list of a message may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A state on its way to the next one, at the time `at`, with what that asks for."""

    state: State
    at: datetime
    new_id: NewId
    effects: tuple[Effect, ...] = ()

    def then(self, *effects: Effect) -> "Step":
        """Return the step with `effects` after those so far."""
        return replace(self, effects=(*self.effects, *effects))

    def moved(self, state: State) -> "Step":
        """Return the step with `state` as what comes out."""
        return replace(self, state=state)

    def counted(self, why: Drop) -> "Step":
        """Return the step with one more counted as dropped for `why`."""
        return self.moved(self.state.counted(why.value))

    def told(self, body: FactBody, *, caused_by: MessageId | None = None) -> "Step":
        """Return the step with one fact more, which is recorded and then published."""
        log, fact = self.state.log.append(body, fact_id=self.new_id(), at=self.at, caused_by=caused_by)
        state = replace(self.state, log=log, backlog=extended(self.state.backlog, fact.ref))
        return self.moved(state).then(RecordFact(fact=fact))

    def troubled(self, what: str, detail: str) -> "Step":
        """Return the step with a trouble told on the mesh and on the host."""
        detail = clipped(detail)
        return self.told(Trouble(what=what, detail=detail)).then(Warn(what=what, detail=detail))

    def kept(self, entry: Entry) -> "Step":
        """Return the step with `entry` recorded in place of the one before."""
        return self.moved(self.state.with_entry(entry)).then(RecordEntry(entry=entry))

    def forgotten(self, command: MessageId) -> "Step":
        """Return the step without the command."""
        return self.moved(self.state.without_entry(command)).then(ForgetEntry(command=command))

    def started(self, entry: Waiting) -> "Step":
        """Return the step with `entry` under way, and that told."""
        told = self.told(Started(command=entry.id, run=run_of(entry)), caused_by=entry.id)
        return told.kept(Underway(command=entry.command))

    def answered(self, entry: Waiting | Underway, answer: FinalAnswer) -> "Step":
        """Return the step with `entry` answered for good.

        Work that another command asks for as well was done for both: an orchestrator asks anew when a host
        with the same identity has refused for this one.
        """
        said = _bounded(answer)
        told = self.told(said, caused_by=entry.id)
        ref = FactRef(boot=told.state.boot, seq=told.state.log.seq)
        step = told.kept(
            Answered(work=work_of(entry), not_after=entry.command.not_after, answer=ref, said=said)
        )
        if isinstance(entry, Underway):
            for twin in step.state.twins(entry):
                step = step.answered(twin, replace(answer, command=twin.id))
        return step


def clipped(text: str, longest: int = LONGEST_REASON) -> str:
    """Return `text` as a message can carry it: at most `longest` characters, and no lone surrogate."""
    text = text[: longest + 1].encode(errors="replace").decode()
    return text if len(text) <= longest else f"{text[:longest]}…"


def _bounded(answer: FinalAnswer) -> FinalAnswer:
    match answer:
        case Failed() | Cancelled():
            return replace(answer, reason=clipped(answer.reason), result=_bounded_result(answer))
        case Succeeded():
            return replace(answer, result=_bounded_result(answer))
        case Interrupted():
            return replace(answer, reason=clipped(answer.reason))


def _bounded_result(answer: Succeeded | Failed | Cancelled) -> RunResult | None:
    result = answer.result
    if result is None:
        return None
    return replace(result, reason=clipped(result.reason), exit_codes=result.exit_codes[-MOST_EXIT_CODES:])
