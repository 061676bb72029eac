"""A rollout of five real wings whose daemon dies under it, and an account of it that can be compared."""

import asyncio
import contextlib
import shutil
import signal
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import cycle, pairwise
from pathlib import Path

import pytest

from broker.ids import Digest, InstanceId
from orchestrator.client import Upgrade
from orchestrator.domain.views import EventView, LiveView, Selector
from orchestrator.exchange import ClientError
from puppet_bridge.bundle import build
from tests.dev_mesh import write_bundle
from tests.integration.pair import DEADLINE_S, Daemon, Pair, pair
from tests.postgres import Postgres

INSTANCES = tuple(InstanceId(f"worker-{number}") for number in range(1, 6))
EVERYONE = Selector(everything=True)
STRATEGY = {"canary_soak": 0, "health": {"passes": 1, "interval": 1}}
ANSWERS = frozenset({"accepted", "rejected", "started", "succeeded", "failed", "cancelled", "interrupted"})
ENDS = frozenset({"rollout_succeeded", "rollout_failed", "rollout_aborted", "rollout_paused"})

COURSE = (
    *("prefetching", "dry run", "waiting", "draining", "order", "converging", "run"),
    *("verifying", "order", "uncordoning", "order", "soaking", "done"),
)
"""What each instance goes through, once, in an upgrade in which nothing fails."""

WORKS = 5
"""How many commands its wing is sent for that."""

HERE_AND_THERE = (2, 12, 21, 30, 39)
"""Moves of one rollout, each on another instance's way and to another state."""

needs_puppet = pytest.mark.skipif(shutil.which("puppet") is None, reason="no puppet on this machine")

Successor = Callable[["Play"], Awaitable[Daemon]]


@dataclass
class Account:
    """What a rollout came to: how it ended, and of each instance its steps with what was asked for in them.

    `answers` counts what the wings said of commands; `moves` has when each step and each state of the rollout
    was persisted.
    """

    end: str = ""
    course: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    moves: list[datetime] = field(default_factory=list)

    def take(self, event: EventView) -> None:
        """Take an event in."""
        kind, who = event.kind.partition(".")[0], str(event.instance)
        if kind in ANSWERS:
            self.answers[who, kind] += 1
        elif kind == "run_requested":
            self.course[who].append("dry run" if event.body["noop"] else "run")
        elif kind == "order_requested":
            self.course[who].append("order")
        elif kind == "step_moved":
            self.course[who].append(event.body["state"])
        if kind == "step_moved" or kind.startswith("rollout_"):
            self.moves.append(event.at)
        if kind in ENDS:
            self.end = kind

    def points(self) -> list[int]:
        """Return after how many moves something is persisted: what is decided at once is written at once."""
        last = [number for number, (at, after) in enumerate(pairwise(self.moves), 1) if at != after]
        return [*last, len(self.moves)]

    def assert_all_was_well(self) -> None:
        """Hold the account to an undisturbed rollout's: every step, run and order once, and every answer."""
        assert self.end == "rollout_succeeded"
        assert self.course == {name: list(COURSE) for name in INSTANCES}
        kinds = ("accepted", "started", "succeeded")
        assert self.answers == {(name, kind): WORKS for name in INSTANCES for kind in kinds}

    def outcome(self) -> tuple[object, ...]:
        """Return what has to be the same, whoever was killed meanwhile."""
        return self.end, dict(self.course), self.answers


@dataclass
class Play:
    """A site whose wings have converged once, who leads it, and how far its tail was read."""

    site: Pair
    leader: Daemon
    digests: Iterator[Digest]
    cursor: int = 0

    def asked(self) -> Upgrade:
        """Return what takes everyone to the next bundle."""
        return Upgrade(selector=EVERYONE, digest=next(self.digests), strategy=STRATEGY)

    async def roll_out(self, successor: Successor | None = None, *, at: Collection[int] = ()) -> Account:
        """Take everyone to the next bundle; after each of the moves `at` another daemon takes over."""
        account, asked = Account(), self.asked()
        due = sorted(at, reverse=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.to_thread(begin, self.leader, asked), name="tests.upgrade")
            while not account.end or due:
                await self.read(account, until=due[-1] if due else None)
                if due and successor is not None:
                    due.pop()
                    self.leader = await successor(self)
        return account

    async def read(self, account: Account, *, until: int | None = None) -> None:
        """Read on until the rollout has made so many moves, or has ended."""
        async for event in self.events():
            account.take(event)
            if len(account.moves) == until or (account.end and until is None):
                return

    async def events(self) -> AsyncIterator[EventView]:
        """Yield the leader's events from where the last reader stopped."""
        async with aclosing(follow(self.leader, self.cursor)) as tail:
            async for event in tail:
                self.cursor = event.cursor
                yield event


def begin(leader: Daemon, asked: Upgrade) -> None:
    """Begin a rollout; whoever asks does not hear of it, if the daemon is killed before it can answer."""
    with contextlib.suppress(ClientError):
        leader.client.upgrade(asked)


async def follow(leader: Daemon, cursor: int) -> AsyncGenerator[EventView, None]:
    """Yield the events after `cursor` without end, as a daemon's tail has them."""
    loop, client = asyncio.get_running_loop(), leader.client
    heard: asyncio.Queue[EventView | LiveView] = asyncio.Queue()

    def read() -> None:
        with contextlib.suppress(ClientError):
            for event in client.tail(cursor=cursor):
                loop.call_soon_threadsafe(heard.put_nowait, event)

    reader = threading.Thread(target=read, name="tests.tail")
    reader.start()
    try:
        while True:
            async with asyncio.timeout(DEADLINE_S):
                event = await heard.get()
            if isinstance(event, EventView):
                yield event
    except TimeoutError:
        said = leader.log.read_text()[-3000:]
        raise AssertionError(f"{leader.name}'s tail stands still after {cursor} … {said}") from None
    finally:
        client.hang_up()
        await asyncio.to_thread(reader.join)


async def killed_and_started(play: Play) -> Daemon:
    """Kill the leader, as a power loss would, and start it again."""
    await kill(play.leader)
    await play.leader.start()
    await play.leader.until("leading")
    return play.leader


async def kill(daemon: Daemon) -> None:
    """End a daemon at once."""
    daemon.send(signal.SIGKILL)
    await daemon.ended()


def standby_leads(server: Postgres, journal: str) -> Successor:
    """Return how the other daemon comes to lead after a kill; the killed one stands by then."""
    database = journal.partition("@/")[2].partition("?")[0]

    async def succeed(play: Play) -> Daemon:
        first, second = play.site.daemons
        killed, other = (first, second) if play.leader is first else (second, first)
        await kill(killed)
        # That the time of a lease passes is tested elsewhere; here it has passed.
        server.sql("UPDATE leadership SET until = clock_timestamp() - interval '1 second'", database)
        await other.until("leading")
        await killed.start()
        await killed.until("standing by")
        return other

    return succeed


async def killed_at_each(play: Play, successor: Successor, *, every: int = 1) -> None:
    """Roll out once for each step that was persisted, or each `every`th, with the daemon killed there."""
    undisturbed = await play.roll_out()
    undisturbed.assert_all_was_well()
    points = undisturbed.points()
    for point in points[::every]:
        found = await play.roll_out(successor, at=[point])
        assert found.outcome() == undisturbed.outcome(), f"killed at move {point} of {points}"


@asynccontextmanager
async def playing(
    folder: Path, journal: str, *, puppet: Path | None, standby: bool = False
) -> AsyncIterator[Play]:
    """Run a site of five workers that have converged on the first of two bundles."""
    with tempfile.TemporaryDirectory(prefix="tarmak-") as sockets:
        extra = {} if puppet is None else {"puppet": {"executable": str(puppet)}}
        async with pair(folder, Path(sockets), journal, instances=INSTANCES, extra=extra) as site:
            leader, other = site.daemons
            await leader.start()
            await leader.until("leading")
            if standby:
                await other.start()
                await other.until("standing by")
            async with site.wings():
                digests = [await asyncio.to_thread(push, site, leader, text) for text in ("one", "two")]
                play = Play(site=site, leader=leader, digests=cycle(digests))
                await converge(play)
                yield play


def push(site: Pair, leader: Daemon, text: str) -> Digest:
    """Push a bundle whose one file has this text."""
    shelf = site.folder / f"shelf-{text}"
    shelf.mkdir()
    manifest = f"file {{ \"${{facts['tarmak']['root']}}/made\": content => '{text}' }}\n"
    built = build(write_bundle(site.folder / f"site-{text}", manifest), shelf)
    with built.path.open("rb") as packed:
        return leader.client.push(packed).digest


async def converge(play: Play) -> None:
    """Have everyone converge on the first bundle."""
    digest, client = next(play.digests), play.leader.client
    await count(play, "instance_online")
    await asyncio.to_thread(
        lambda: client.converge(EVERYONE, digest=digest, noop=False, parallel=None, timeout_s=DEADLINE_S)
    )
    await count(play, "succeeded")


async def count(play: Play, kind: str) -> None:
    """Wait until every instance has told an event of this kind."""
    left = set(INSTANCES)
    async for event in play.events():
        if event.kind.partition(".")[0] == kind and event.instance is not None:
            left.discard(event.instance)
        if not left:
            return
