"""Whatever happens in whatever order, and wherever a wing dies: what must always hold."""

import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from broker.client import Signature
from broker.codec import decode
from broker.ids import Boot, MessageId
from broker.messages import (
    CHAIN_START,
    Accepted,
    Ack,
    Cancelled,
    Command,
    Converge,
    Drain,
    Fact,
    Failed,
    Interrupted,
    OrderBody,
    Ping,
    Started,
    Succeeded,
    Verdict,
)
from tests.unit.wing.wings import (
    NOW,
    US,
    WORKER,
    aimed,
    cancel,
    cancel_order,
    command,
    converge,
    drain,
    drain_started,
    health,
    new_id,
    result,
    uncordon,
)
from wing.effects import Act, RecordFact, RunConverge, RunOrder
from wing.entries import Answered, changes_host
from wing.events import (
    CommandReceived,
    Completed,
    Done,
    End,
    Event,
    OrderTold,
    Process,
    ProcessStarted,
    Stopped,
    Ticked,
    Unable,
    WingStarted,
    WorkEnded,
)
from wing.machine import Machine
from wing.memory import MemoryJournal

FINAL = (Succeeded, Failed, Cancelled, Interrupted)
RARELY = st.integers(0, 9).map(lambda drawn: drawn == 9)
RISE = st.sampled_from([0, 0, 0, 0, 1, -1])
"""By how much a command's epoch is above the highest that the wing has seen."""
ENDS = st.sampled_from(["completed", "failed", "stopped", "unable"])


def ends_of(body: Converge | OrderBody) -> dict[str, End]:
    """Return how work on `body` may end."""
    ends: dict[str, End] = {"stopped": Stopped(), "unable": Unable(reason="no")}
    if not isinstance(body, Converge):
        return ends | {"completed": Done(), "failed": Unable(reason="pod a/b has no controller")}
    return ends | {
        "completed": Completed(result=result(body)),
        "failed": Completed(result=result(body, verdict=Verdict.FAILED, reason="no")),
    }


class Life(RuleBasedStateMachine):
    """A wing on its journal, told commands, ends and deaths by an orchestrator that makes mistakes."""

    sent: Bundle[Command] = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.at = NOW
        self.facts: list[Fact] = []
        self.heads: dict[Boot, bytes] = {}
        self.running: dict[MessageId, Converge | OrderBody] = {}
        self.journal = MemoryJournal(
            sign=lambda payload: Signature(key="0" * 16, value=payload[:1]), entropy=bytes
        )
        self.machine = self.restarted()

    def epoch(self, rise: int) -> int:
        """Return an epoch relative to the highest seen."""
        return max(1, self.machine.state.epoch + rise)

    def restarted(self) -> Machine:
        """Begin a new boot from the journal."""
        self.running = {}
        machine = Machine.restored(WORKER, self.journal.open_boot(), at=self.at, new_id=new_id)
        self.machine = machine
        self.tell(WingStarted(at=self.at))
        return self.machine

    def tell(self, event: Event, *, dies: bool = False) -> None:
        """Tell the wing; it may die after it has recorded and before it acts."""
        machine, effects = self.machine.handle(event)
        self.journal.write([effect for effect in effects if not isinstance(effect, Act)])
        self.machine = machine
        for effect in effects:
            if isinstance(effect, RecordFact):
                self.read(effect)
            if isinstance(effect, RunConverge) and not dies:
                self.running[effect.command] = effect.converge
            if isinstance(effect, RunOrder) and not dies:
                self.running[effect.command] = effect.order

    def read(self, effect: RecordFact) -> None:
        """Check a fact's place in its chain."""
        fact = decode(effect.fact.payload)
        assert isinstance(fact, Fact)
        assert fact.prev == self.heads.get(fact.boot, CHAIN_START)
        assert fact.seq == 1 + sum(one.boot == fact.boot for one in self.facts)
        self.heads[fact.boot] = hashlib.sha256(effect.fact.payload).digest()
        self.facts.append(fact)
        if isinstance(fact.body, Started):
            entry = self.machine.state.entries[fact.body.command]
            assert isinstance(entry, Answered) or entry.command.epoch >= self.machine.state.epoch

    @rule(
        target=sent,
        number=st.integers(0, 5),
        epoch=RISE,
        noop=st.booleans(),
        dies=RARELY,
        late=st.sampled_from([0, 0, 0, -10, -400]),
    )
    def converge(self, *, number: int, epoch: int, noop: bool, dies: bool, late: int) -> Command:
        """Send a converge, perhaps long under way; the wing may die right after it was recorded."""
        at = self.at + timedelta(seconds=late)
        target = aimed(US, boot=self.machine.state.boot)
        order = command(converge(number, noop=noop), epoch=self.epoch(epoch), at=at, target=target)
        self.tell(CommandReceived(at=self.at, command=order), dies=dies)
        if dies:
            self.restarted()
        return order

    @rule(target=sent, number=st.integers(0, 5), epoch=RISE, make=st.sampled_from([drain, uncordon, health]))
    def order(self, number: int, epoch: int, make: Callable[[int], OrderBody]) -> Command:
        """Send an order."""
        target = aimed(US, boot=self.machine.state.boot)
        order = command(make(number), epoch=self.epoch(epoch), at=self.at, target=target)
        self.tell(CommandReceived(at=self.at, command=order))
        return order

    @rule(order=sent)
    def again(self, order: Command) -> None:
        """Send a command again."""
        self.tell(CommandReceived(at=self.at, command=order))

    @rule(number=st.integers(0, 5), epoch=RISE, of_run=st.booleans())
    def cancelled(self, number: int, epoch: int, *, of_run: bool) -> None:
        """Cancel a run or an order, known or not."""
        target = aimed(US, boot=self.machine.state.boot)
        body = cancel(number) if of_run else cancel_order(number)
        order = command(body, epoch=self.epoch(epoch), at=self.at, target=target)
        self.tell(CommandReceived(at=self.at, command=order))

    @rule(epoch=RISE)
    def fence(self, epoch: int) -> None:
        """Let another leader speak."""
        self.tell(CommandReceived(at=self.at, command=command(Ping(), epoch=self.epoch(epoch), at=self.at)))

    @rule(how=ENDS, data=st.data(), dies=RARELY)
    def end(self, how: str, data: st.DataObject, *, dies: bool) -> None:
        """Let a piece of work begin its process, and end."""
        if not self.running:
            return
        chosen = data.draw(st.sampled_from(sorted(self.running)))
        body = self.running.pop(chosen)
        process = Process(pid=1, group=1, start=1, host_boot="a")
        self.tell(ProcessStarted(at=self.at, command=chosen, process=process))
        if isinstance(body, Drain):
            self.tell(OrderTold(at=self.at, command=chosen, fact=drain_started(chosen, body)))
        self.tell(WorkEnded(at=self.at, command=chosen, end=ends_of(body)[how]), dies=dies)
        if dies:
            self.restarted()

    @rule(share=st.floats(0, 1))
    def ack(self, share: float) -> None:
        """Ack a part of what there is."""
        boot, seq = self.machine.state.boot, int(self.machine.state.log.seq * share)
        if seq:
            order = command(Ack(boot=boot, seq=seq), epoch=self.epoch(0), at=self.at)
            self.tell(CommandReceived(at=self.at, command=order))

    @rule(seconds=st.sampled_from([1, 10, 400]))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)
        self.tell(Ticked(at=self.at))

    @rule(dies=RARELY)
    def die(self, *, dies: bool) -> None:
        """Kill the wing where it stands."""
        if dies:
            self.restarted()

    @invariant()
    def one_final_answer_for_each_accepted_command(self) -> None:
        """Never two, never one for what was not accepted; and none is missing for what is not open."""
        accepted = {fact.body.command for fact in self.facts if isinstance(fact.body, Accepted)}
        final = Counter(fact.body.command for fact in self.facts if isinstance(fact.body, FINAL))
        assert set(final.values()) <= {1}
        assert set(final) <= accepted
        state = self.machine.state
        assert accepted - set(final) == {entry.id for entry in state.waiting} | {
            entry.id for entry in state.underway
        }

    @invariant()
    def one_change_at_a_time(self) -> None:
        """At most one thing that changes the host is under way."""
        assert sum(changes_host(entry.command) for entry in self.machine.state.underway) <= 1

    @invariant()
    def nothing_of_a_lower_epoch_waits(self) -> None:
        """What waits may start, so nothing of a fenced epoch waits."""
        epoch = self.machine.state.epoch
        assert all(entry.command.epoch >= epoch for entry in self.machine.state.waiting)

    @invariant()
    def the_journal_knows_what_the_machine_knows(self) -> None:
        """A restart at this very point goes on from the same state."""
        state, journal = self.machine.state, self.journal
        assert dict(state.entries) == journal._entries
        assert (state.epoch, state.observed) == (journal._epoch, journal._observed)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
