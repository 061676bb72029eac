"""What a plan and a rollout of a whole cluster's worth of instances cost the orchestrator: time and memory.

Five thousand wings that answer at once, in one process with the real service, its SQLite journal included;
the wings' own time is taken off. The reference is what no orchestrator could do without: the same number of
messages encoded, signed, checked and decoded, and the same number of events written in as many transactions.
"""

import asyncio
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from broker.codec import decode, encode
from broker.ids import Digest
from broker.messages import Started
from broker.signing import SigningKey
from orchestrator.adapters.sql.journal import SqlJournal
from orchestrator.domain.model import Event
from orchestrator.domain.rollout.strategy import Amount, Strategy
from orchestrator.domain.views import Selector
from orchestrator.operations import ConvergeRequest, UpgradeRequest
from orchestrator.records import Batch, Numbered
from orchestrator.service.assembly import Service
from tests.bench.figures import Figure, figure
from tests.bench.scripted import CLUSTER, ScriptedFleet, Traffic, scripted
from tests.unit.orchestrator.domain.playbook import DIGEST, NOW, Wing, number
from tests.unit.orchestrator.service.stage import until

SIZE = 5_000
NEXT = Digest("sha256:" + "b" * 64)
EVERYONE = Selector(everything=True)
STRATEGY = Strategy(max_unavailable=Amount(value=10, percent=True), canary_soak_s=0)
KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Processor seconds of the orchestrator and of the reference, and the process's memory in MiB."""

    ours_s: float
    reference_s: float
    before_mib: float
    after_mib: float


def bench_fleet(runs: int) -> Sequence[Figure]:
    """Measure once, whatever `runs` says: the work is so long that its noise is small."""
    del runs
    with (
        tempfile.TemporaryDirectory(prefix="tarmak-bench-") as folder,
        # A process of its own, whose memory nothing else has filled.
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes,
    ):
        plan, rollout = processes.submit(measure, Path(folder), SIZE).result()
    of_both = (("plan", plan), ("rollout, 10 % at once", rollout))
    times = [
        figure(
            "fleet",
            f"{name}, {SIZE} instances, processor",
            unit="s",
            ours=[cost.ours_s],
            reference=[cost.reference_s],
            name="its codec, signatures, journal",
        )
        for name, cost in of_both
    ]
    memory = figure(
        "fleet",
        f"most memory, {SIZE} instances",
        unit="MiB",
        ours=[rollout.after_mib],
        reference=[plan.before_mib],
        name="the fleet at rest",
    )
    return [*times, memory]


def measure(folder: Path, size: int) -> tuple[Cost, Cost]:
    """Return what a plan and a rollout cost."""
    return asyncio.run(_measure(folder, size))


async def _measure(folder: Path, size: int) -> tuple[Cost, Cost]:
    async with scripted(folder, size, DIGEST, NEXT) as (service, fleet):
        plan = await _cost(service, fleet, _plan)
        rollout = await _cost(service, fleet, _rollout)
        return plan, rollout


async def _cost(
    service: Service, fleet: ScriptedFleet, act: Callable[[Service, int], Awaitable[None]]
) -> Cost:
    before, before_mib = replace(fleet.traffic), _most_mib()
    wings, begun = fleet.wings_s, time.process_time()
    await act(service, len(fleet.wings))
    ours = time.process_time() - begun - (fleet.wings_s - wings)
    after_mib = _most_mib()
    begun = time.process_time()
    await _bare(fleet.traffic.since(before))
    reference = time.process_time() - begun
    return Cost(ours_s=ours, reference_s=reference, before_mib=before_mib, after_mib=after_mib)


async def _plan(service: Service, size: int) -> None:
    ticket = await service.runs.converge(ConvergeRequest(selector=EVERYONE, digest=NEXT, noop=True))
    await until(service, "succeeded", count=size, cursor=service.core.state.cursor)
    plan = await service.runs.plan(ticket.id)
    assert plan.complete
    assert len(plan.runs) == size


async def _rollout(service: Service, size: int) -> None:
    asked = UpgradeRequest(selector=EVERYONE, digest=NEXT, strategy=STRATEGY, requested_by="bench")
    begun = await service.rollouts.upgrade(asked)
    (ended,) = await until(service, *(f"rollout_{state}" for state in ("succeeded", "failed", "paused")))
    assert begun.id is not None
    view = await service.rollouts.rollout(begun.id)
    assert ended.kind == "rollout_succeeded", view.reason
    assert len(view.steps) == size


async def _bare(traffic: Traffic) -> None:
    """Do what no orchestrator could leave out: as many messages, and as many events in as many commits."""
    key, wing = SigningKey.generate(), Wing()
    payload = wing.say(Started(command=number(1))).payload
    signature = key.sign(payload)
    for _ in range(traffic.sent):
        key.sign(encode(decode(payload)))
    for _ in range(traffic.heard):
        key.public.verify(payload, signature)
        decode(payload)
    with tempfile.TemporaryDirectory(prefix="tarmak-bench-") as folder:
        async with SqlJournal(f"sqlite+aiosqlite:///{folder}/journal.sqlite", CLUSTER) as journal:
            await journal.lead(holder="o_1", at=NOW)
            cursor = 0
            for commit in range(traffic.commits):
                last = traffic.events * (commit + 1) // traffic.commits
                await journal.commit(Batch(events=[_event(n) for n in range(cursor + 1, last + 1)]))
                cursor = last


def _event(cursor: int) -> Numbered:
    return Numbered(cursor=cursor, event=Event(id=number(cursor), kind="started", at=NOW, body={"run": "x"}))


def _most_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB
