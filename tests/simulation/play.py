"""One seed's simulation from beginning to end: `play(seed)` tells whether the fleet kept every law.

Bad things happen until the script's end; then nothing bad happens any more, and all must come to rest within
a bounded time. Everything follows from the seed, so a failing one brings the same day again, line by line.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from tests.simulation import laws, upgrade_laws
from tests.simulation.clock import TimeStandsStillError, VirtualLoop
from tests.simulation.fleet import Fleet
from tests.simulation.quick_keys import quick_keys
from tests.simulation.script import CALM_AT_S, Script, script

LOOK_EVERY_S: Final = 5.03
REST_WITHIN_S: Final = 3 * 3600.0
SHOWN: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a simulation: the laws that were broken, and every line of what happened."""

    seed: int
    broken: tuple[str, ...]
    trace: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """A hash of all that happened."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()

    def told(self) -> str:
        """Return what a person needs who has to find the bug."""
        laws_broken = "\n".join(f"  - {law}" for law in self.broken)
        last = "\n".join(self.trace[-SHOWN:])
        return (
            f"seed {self.seed} breaks:\n{laws_broken}\n"
            f"its last lines of {len(self.trace)}:\n{last}\n"
            f"again, with all lines: pytest tests/simulation --seed {self.seed}"
        )


def play(seed: int) -> Outcome:
    """Return what comes of the simulation of a seed."""
    with quiet(), quick_keys(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        fleets: list[Fleet] = []
        try:
            return runner.run(_play(script(seed), fleets))
        except TimeStandsStillError:
            trace = tuple(fleets[0].ledger.trace)
            return Outcome(seed=seed, broken=("something goes on for ever in no time",), trace=trace)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave logs aside: a thousand fleets would fill them."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.reset_defaults()
        logging.disable(before)


async def _play(acts: Script, fleets: list[Fleet]) -> Outcome:
    async with asyncio.TaskGroup() as tasks:
        fleet = Fleet(acts, tasks)
        fleets.append(fleet)
        await _suffer(fleet, acts)
        await _rest(fleet)
        fleet.end()
    return Outcome(seed=acts.seed, broken=tuple(fleet.ledger.broken), trace=tuple(fleet.ledger.trace))


async def _suffer(fleet: Fleet, acts: Script) -> None:
    loop = asyncio.get_running_loop()
    for at_s, action in acts.actions:
        await asyncio.sleep(at_s - loop.time())
        if fleet.ledger.broken:
            return
        fleet.perform(action)
    await asyncio.sleep(CALM_AT_S - loop.time())
    fleet.calm()


async def _rest(fleet: Fleet) -> None:
    """Wait until nothing moves any more, and judge what that came to; then let people clear up, and again."""
    for people in (None, upgrade_laws.end_some, upgrade_laws.clear_up):
        if fleet.ledger.broken:
            return
        if people is None or people(fleet):
            await _come_to_rest(fleet)


async def _come_to_rest(fleet: Fleet) -> None:
    end_s = asyncio.get_running_loop().time() + REST_WITHIN_S
    moving = ["everything"]
    while moving and not fleet.ledger.broken:
        if asyncio.get_running_loop().time() > end_s:
            for each in moving:
                fleet.ledger.fault(f"no rest: {each}")
            return
        await asyncio.sleep(LOOK_EVERY_S)
        moving = await laws.unrest(fleet)
    if fleet.ledger.broken:
        return
    fleet.ledger.note("nothing moves any more")
    for each in await laws.broken(fleet):
        fleet.ledger.fault(each)
