"""What happens to a fleet in one simulation, decided by its seed alone, before anything runs. Pure."""

import random
from dataclasses import dataclass
from typing import Final

from broker.memory import Faults

CALM_AT_S: Final = 300.0
DIGESTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Converge:
    """An operator converges `hosts` (empty: all) on the bundle `digest`."""

    hosts: tuple[int, ...]
    digest: int
    noop: bool
    parallel: int | None
    timeout_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRun:
    """An operator cancels an open run, the one at `place` (0 to 1) among them."""

    place: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """An operator pings everyone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KillWing:
    """A wing is killed, or with `reset` its whole host."""

    host: int
    away_s: float
    reset: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWing:
    """A wing is stopped in order."""

    host: int
    away_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DoomWing:
    """A wing dies before or after its `writes`th write from now."""

    host: int
    writes: int
    after: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WipeHost:
    """A host is installed anew."""

    host: int
    away_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneHost:
    """A host's disk is copied, and for a while two hosts have one identity."""

    host: int
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CutWing:
    """A wing can't reach the broker for a while."""

    host: int
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOrchestrator:
    """The orchestrator can't reach the broker for a while."""

    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StopBroker:
    """The broker goes down for a while; with `forget` nothing of it is left."""

    for_s: float
    forget: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KillOrchestrator:
    """The orchestrator is killed."""

    away_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DoomOrchestrator:
    """The orchestrator dies before or after its `commits`th commit from now."""

    commits: int
    after: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldLock:
    """Somebody else's Puppet is at work on a host for a while."""

    host: int
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FillDisk:
    """A host's disk is full for a while."""

    host: int
    for_s: float


Action = (
    Converge
    | CancelRun
    | Ping
    | KillWing
    | StopWing
    | DoomWing
    | WipeHost
    | CloneHost
    | CutWing
    | CutOrchestrator
    | StopBroker
    | KillOrchestrator
    | DoomOrchestrator
    | HoldLock
    | FillDisk
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A fleet of `hosts` on a broker with `faults`, and what happens at which second until all is calm."""

    seed: int
    hosts: int
    faults: Faults
    actions: tuple[tuple[float, Action], ...]


def script(seed: int) -> Script:
    """Return the script of a seed."""
    dice = random.Random(f"{seed} script")  # noqa: S311 - it has to be predictable
    hosts = dice.randint(3, 5)
    author = _Author(dice, hosts)
    asked = [author.converge() for _ in range(dice.randint(1, 4))]
    cancels = [CancelRun(place=dice.random()) for _ in range(dice.randint(0, 3))]
    blows = [author.blow() for _ in range(dice.randint(0, 9))]
    actions = [(dice.uniform(0, CALM_AT_S), each) for each in (*asked, *cancels, *blows)]
    actions.append((dice.uniform(1, 30), author.converge()))
    return Script(
        seed=seed,
        hosts=hosts,
        faults=_faults(seed, dice),
        actions=tuple(sorted(actions, key=lambda item: item[0])),
    )


def _faults(seed: int, dice: random.Random) -> Faults:
    def sometimes(most: float) -> float:
        return dice.uniform(0, most) if dice.random() < 0.6 else 0.0

    return Faults(
        seed=seed,
        lose=sometimes(0.2),
        double=sometimes(0.2),
        delay=sometimes(0.2),
        reorder=sometimes(0.2),
        late_will=sometimes(0.5),
        missing_will=sometimes(0.5),
    )


class _Author:
    def __init__(self, dice: random.Random, hosts: int) -> None:
        self._dice = dice
        self._hosts = hosts

    def converge(self) -> Converge:
        dice = self._dice
        some = tuple(sorted(dice.sample(range(self._hosts), dice.randint(1, self._hosts - 1))))
        return Converge(
            hosts=some if dice.random() < 0.5 else (),
            digest=dice.randrange(DIGESTS),
            noop=dice.random() < 0.25,
            parallel=dice.choice((None, None, 1, 2)),
            timeout_s=dice.choice((60, 300, 1800)),
        )

    def blow(self) -> Action:
        dice = self._dice
        host = dice.randrange(self._hosts)
        after = dice.random() < 0.5
        for_s = dice.choice((1.0, 10.0, 30.0, 120.0)) * dice.uniform(0.5, 1.5)
        how_often: dict[Action, int] = {
            KillWing(host=host, away_s=for_s, reset=after): 4,
            StopWing(host=host, away_s=for_s): 2,
            DoomWing(host=host, writes=dice.randint(1, 8), after=after): 4,
            WipeHost(host=host, away_s=for_s): 1,
            CloneHost(host=host, for_s=for_s): 1,
            CutWing(host=host, for_s=for_s): 2,
            CutOrchestrator(for_s=for_s): 2,
            StopBroker(for_s=for_s if after else 0.0, forget=dice.random() < 0.7): 3,
            KillOrchestrator(away_s=for_s): 3,
            DoomOrchestrator(commits=dice.randint(1, 20), after=after): 4,
            HoldLock(host=host, for_s=for_s): 2,
            FillDisk(host=host, for_s=for_s): 1,
            Ping(): 1,
        }
        return dice.choices(list(how_often), weights=list(how_often.values()))[0]
