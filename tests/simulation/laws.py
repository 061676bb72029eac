"""What must hold of a fleet that has come to rest, and whether it has.

Each law compares what the parts say in the end with what the ledger knows to have happened.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from broker.ids import Boot, InstanceId
from broker.messages import Cancelled, Failed, Interrupted, Succeeded
from orchestrator.domain.views import PresenceState, RunState
from orchestrator.ports import EventQuery, RunQuery
from orchestrator.records import Numbered
from tests.simulation import upgrade_laws
from tests.simulation.fleet import Fleet

EVERY = 1_000_000
NEVER = frozenset({"facts_missing", "epoch_raised"})
STATES = {
    Succeeded: RunState.SUCCEEDED,
    Failed: RunState.FAILED,
    Cancelled: RunState.CANCELLED,
    Interrupted: RunState.INTERRUPTED,
}


async def unrest(fleet: Fleet) -> list[str]:
    """Return what still moves; with nothing bad happening it must become nothing."""
    found = list(_restless_hosts(fleet)) or list(_restless_orchestrator(fleet))
    if found:
        return found
    loaded = await fleet.orchestrator.journal.load()
    found = [
        f"run {run.id} of {run.instance} is {run.state.value} ({run.reason})"
        for run in loaded.runs
        if run.released
    ]
    found += [f"order {item.id} of {item.instance} is {item.state.value}" for item in loaded.orders]
    found += [f"command {item.id} to {item.instance} is not answered" for item in loaded.deliveries]
    found += [f"the papers of run {run.id} are not filed" for run in loaded.papers_due]
    return found + list(upgrade_laws.restless(fleet))


def _restless_hosts(fleet: Fleet) -> Iterator[str]:
    for host in fleet.hosts:
        if host.agent is None:
            yield f"{host.name} is not up"
            continue
        state = host.agent.machine.state
        if state.backlog:
            yield f"{host.name} has facts that nobody acknowledged: {state.backlog}"
        if state.underway or state.waiting:
            yield f"{host.name} is at work"
        if state.unwritable is not None:
            yield f"{host.name} can't write"


def _restless_orchestrator(fleet: Fleet) -> Iterator[str]:
    service = fleet.orchestrator.service
    if service is None:
        yield "the orchestrator is not up"
        return
    boots = {boot for disk, boot in fleet.ledger.facts if disk in {host.disk for host in fleet.hosts}}
    for instance in service.core.state.instances.values():
        name = instance.enrolment.id
        if instance.shown.state is not PresenceState.ONLINE or instance.shown.disputed:
            yield f"{name} is {instance.shown.state.value}, disputed: {instance.shown.disputed}"
        for stream in instance.streams.values():
            lost = fleet.ledger.watch.is_restored
            if stream.boot in boots and not lost and (missing := stream.missing()) is not None:
                yield f"facts {missing} of {name}'s boot {stream.boot} are missing"
        if instance.to_ack:
            yield f"acks are owed to {name}"
    for host in fleet.hosts:
        proved = fleet.ledger.observed.get(host.disk)
        known = service.core.state.instances[host.identity.instance].observed
        if proved is not None and proved != known:
            yield f"{host.name} proved {proved}, known is {known}"


async def broken(fleet: Fleet) -> list[str]:
    """Return every law that a fleet at rest breaks."""
    events = await fleet.orchestrator.journal.events(EventQuery(limit=EVERY))
    told = () if fleet.ledger.watch.is_restored else _told(fleet, events)
    return [*told, *_answered(fleet), *await _ended(fleet), *_known(fleet), *upgrade_laws.broken(fleet)]


def _told(fleet: Fleet, events: Sequence[Numbered]) -> Iterator[str]:
    """Each fact stands in the tail exactly once, in its order; what a lost disk took ends the boot."""
    stored: dict[tuple[InstanceId, Boot], list[str]] = defaultdict(list)
    for item in events:
        event = item.event
        if event.kind in NEVER:
            yield f"the orchestrator says {event.kind}: {event.body}"
        if event.seq is not None and event.instance is not None and event.boot is not None:
            stored[event.instance, event.boot].append(event.id)
    if [item.cursor for item in events] != list(range(1, len(events) + 1)):
        yield "the tail's cursors have a hole or a double"
    disks = {host.disk for host in fleet.hosts}
    for (disk, boot), facts in fleet.ledger.facts.items():
        told = stored.pop((disk.instance, boot), [])
        expected = [fact.id for fact in facts]
        if told != (expected if disk in disks else expected[: len(told)]):
            yield f"the tail of {disk} in boot {boot} has {len(told)} facts, told were {len(expected)}"
    for instance, boot in stored:
        yield f"the tail has facts of {instance} in boot {boot}, which told none"


def _answered(fleet: Fleet) -> Iterator[str]:
    """Each accepted command has exactly one final answer; on a disk that was lost at most one."""
    disks = {host.disk for host in fleet.hosts}
    ledger = fleet.ledger
    for (disk, command), times in ledger.accepted.items():
        answers = ledger.finals.get((disk, command), [])
        if times != 1:
            yield f"{disk} accepted command {command} {times} times"
        if len(answers) > 1 or (disk in disks and not answers):
            yield f"{disk} answered command {command} with {[type(each).__name__ for each in answers]}"
    for disk, command in ledger.finals:
        if (disk, command) not in ledger.accepted and disk.original is None:
            yield f"{disk} answered command {command} without having accepted it"


async def _ended(fleet: Fleet) -> list[str]:
    """Each run ended as its wing said, and success was really one."""
    found: list[str] = []
    ledger = fleet.ledger
    cloned = {twin.identity.instance for twin in fleet.clones}
    disks = {host.disk for host in fleet.hosts}
    for run in await fleet.orchestrator.journal.runs(RunQuery(limit=EVERY)):
        good = any(proof.good for proof in ledger.proofs[run.id])
        if run.state is RunState.SUCCEEDED and not good:
            found.append(f"run {run.id} succeeded without having done so")
        if run.command is None or run.instance in cloned:
            continue
        for disk in disks:
            answers = ledger.finals.get((disk, run.command), [])
            if ledger.watch.is_restored and run.state is RunState.INTERRUPTED:
                continue  # what became of it is not known any more
            contrary = [answer for answer in answers if STATES[type(answer)] is not run.state]
            found += [f"run {run.id} is {run.state.value}, its wing said {answer}" for answer in contrary]
        if ledger.watch.is_restored:
            continue
        papers = await fleet.orchestrator.journal.papers(run.id)
        if run.result is not None and run.result.attachments and (papers is None or papers.reason):
            found.append(f"the papers of run {run.id} are not whole: {papers}")
    return found


def _known(fleet: Fleet) -> Iterator[str]:
    """Nothing that an honest wing said was taken for forged or broken."""
    service = fleet.orchestrator.service
    if service is None:
        return
    counted = {name: count for name, count in service.core.state.counters.items() if name != "former_key"}
    if counted and not fleet.ledger.watch.is_restored:
        yield f"the orchestrator counted {counted}"
