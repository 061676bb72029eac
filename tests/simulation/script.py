"""What happens to a fleet in one simulation, decided by its seed alone, before anything runs. Pure."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from broker.ids import Role
from broker.memory import Faults
from broker.messages import DrainPolicy, EtcdCheck, HealthChecks, NodeCheck, OnTimeout
from orchestrator.domain.rollout.strategy import ETCD, MASTER, WORKER, Amount, OnFailure, Strategy
from orchestrator.operations import RolloutAction
from tests.simulation.actions import (
    Action,
    BackUp,
    CancelRun,
    CloneHost,
    Converge,
    CutOrchestrator,
    CutWing,
    DoomOrchestrator,
    DoomWing,
    DrainHost,
    DriftAway,
    FillDisk,
    FreezeOrchestrator,
    HoldLock,
    KillOrchestrator,
    KillWing,
    Meddle,
    Ping,
    Restore,
    Steer,
    StopBroker,
    StopWing,
    UncordonHost,
    Upgrade,
    WipeHost,
)

CALM_AT_S: Final = 180.0
DIGESTS: Final = 3
FLEETS: Final[tuple[tuple[Role, ...], ...]] = (
    (WORKER, WORKER, WORKER),
    (WORKER, WORKER, WORKER, WORKER),
    (ETCD, ETCD, ETCD),
    (ETCD, ETCD, ETCD, WORKER),
    (ETCD, ETCD, WORKER),
    (MASTER, MASTER, WORKER),
    (ETCD, MASTER, WORKER, WORKER),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A fleet of hosts in `roles` on a broker with `faults`, and what happens when, until all is calm.

    `failing` is how often a run goes wrong.
    """

    seed: int
    roles: tuple[Role, ...]
    faults: Faults
    failing: float
    actions: tuple[tuple[float, Action], ...]


def script(seed: int) -> Script:
    """Return the script of a seed."""
    dice = random.Random(f"{seed} script")  # noqa: S311 - it has to be predictable
    roles = dice.choice(FLEETS)
    author = _Author(seed, dice, len(roles))
    return Script(
        seed=seed,
        roles=roles,
        faults=_faults(seed, dice),
        failing=dice.choice((0.0, 0.1, 0.1, 0.3)),
        actions=tuple(sorted(author.day(), key=lambda item: item[0])),
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
    def __init__(self, seed: int, dice: random.Random, hosts: int) -> None:
        self._dice = dice
        self._hosts = hosts
        self._machines = random.Random(f"{seed} machines")  # noqa: S311 - it has to be predictable

    def day(self) -> Iterator[tuple[float, Action]]:
        """Yield what happens, in no order: first the hosts are made what they are, then they are upgraded."""
        dice = self._dice
        if dice.random() < 0.8:
            yield dice.uniform(0.5, 3), self.converge(everyone=True)
        for _ in range(dice.choice((0, 1, 1, 1, 2, 2))):
            at_s, upgrade = dice.uniform(15, 0.6 * CALM_AT_S), self.upgrade()
            yield at_s, upgrade
            if upgrade.approved and dice.random() < 0.6:
                yield at_s + dice.uniform(10, 60), DriftAway(host=dice.randrange(self._hosts))
        for _ in range(dice.choice((0, 0, 1, 2, 4))):
            yield dice.uniform(30, CALM_AT_S), self.steer()
        for _ in range(dice.choice((0, 0, 0, 1, 2))):
            yield dice.uniform(0, CALM_AT_S), self.converge()
        for _ in range(dice.choice((0, 0, 0, 1, 2))):
            at_s, drain = dice.uniform(0, 0.6 * CALM_AT_S), self.drain()
            yield at_s, drain
            yield at_s + dice.choice((1.0, 4.0, 60.0)) * dice.random(), UncordonHost(host=drain.host)
        if dice.random() < 0.3:
            yield dice.uniform(0, CALM_AT_S), CancelRun(place=dice.random())
        for _ in range(dice.choice((0, 1, 2, 3, 5, 8))):
            yield dice.uniform(0, CALM_AT_S), self.blow()
        if dice.random() < 0.07:
            copied = dice.uniform(5, 0.6 * CALM_AT_S)
            yield copied, BackUp()
            yield dice.uniform(copied, CALM_AT_S), Restore(away_s=dice.uniform(1, 20))

    # What operators ask --------------------------------------------------------------------------------

    def converge(self, *, everyone: bool = False) -> Converge:
        dice = self._dice
        return Converge(
            hosts=() if everyone or dice.random() < 0.5 else self._some(),
            digest=dice.randrange(DIGESTS),
            noop=not everyone and dice.random() < 0.25,
            parallel=dice.choice((None, None, 1, 2)),
            timeout_s=dice.choice((60, 300, 1800)),
        )

    def upgrade(self) -> Upgrade:
        dice = self._dice
        made = Upgrade(
            hosts=() if dice.random() < 0.7 else self._some(),
            digest=dice.randrange(DIGESTS),
            strategy=self._strategy(),
            approved=dice.random() < 0.3,
        )
        if made.approved or self._machines.random() > 0.3:
            return made
        return replace(made, strategy=replace(made.strategy, replace=True))

    def steer(self) -> Steer:
        dice = self._dice
        one = dice.random() if dice.random() < 0.6 else None
        action = dice.choice(tuple(RolloutAction))
        beyond = dice.choice((0, 0, 1))
        return Steer(action=action, place=dice.random(), host=one, beyond=beyond)

    def drain(self) -> DrainHost:
        dice = self._dice
        host = dice.randrange(self._hosts)
        return DrainHost(host=host, policy=self._policy(), confirmed=dice.random() < 0.5)

    def _some(self) -> tuple[int, ...]:
        dice = self._dice
        return tuple(sorted(dice.sample(range(self._hosts), dice.randint(1, self._hosts - 1))))

    def _strategy(self) -> Strategy:
        dice = self._dice
        amounts = (Amount(value=1), Amount(value=1), Amount(value=2), Amount(value=50, percent=True))
        healthy = {role: HealthChecks(node=NodeCheck()) for role in (MASTER, WORKER) if dice.random() < 0.7}
        etcd = {ETCD: HealthChecks(etcd=EtcdCheck())} if dice.random() < 0.5 else {}
        soak = dice.choice((0, 0, 5, 20))
        return Strategy(
            max_unavailable=dice.choice(amounts),
            canary=dice.choice((0, 1, 1)),
            soak_s=dice.choice((0, soak)),
            canary_soak_s=soak,
            max_failures=dice.choice((*amounts, Amount(value=1))),
            min_finished=dice.choice((1, 2)),
            progress_deadline_s=dice.choice((60, 200, 900)),
            health=healthy | etcd,
            passes=dice.choice((1, 2)),
            health_timeout_s=dice.choice((20, 60)),
            drain=dice.choice((None, self._policy(), self._policy(), self._policy())),
            prefetch=dice.random() < 0.5,
            on_failure=dice.choice((OnFailure.PAUSE, OnFailure.PAUSE, OnFailure.REVERT)),
            run_timeout_s=dice.choice((60, 1800)),
        )

    def _policy(self) -> DrainPolicy:
        dice = self._dice
        on_timeout = dice.choice((OnTimeout.UNCORDON, OnTimeout.UNCORDON, OnTimeout.KEEP))
        return DrainPolicy(timeout_s=dice.choice((20, 60, 600)), on_timeout=on_timeout)

    # What goes wrong -----------------------------------------------------------------------------------

    def blow(self) -> Action:
        dice = self._dice
        host = dice.randrange(self._hosts)
        after = dice.random() < 0.5
        for_s = dice.choice((1.0, 10.0, 30.0, 90.0)) * dice.uniform(0.5, 1.5)
        how_often: dict[Action, int] = {
            KillWing(host=host, away_s=dice.choice((1.0, 3.0, for_s)), reset=dice.random() < 0.3): 9,
            StopWing(host=host, away_s=for_s): 2,
            DoomWing(host=host, writes=dice.randint(1, 8), after=after): 4,
            WipeHost(host=host, away_s=for_s): 1,
            CloneHost(host=host, for_s=for_s): 1,
            CutWing(host=host, for_s=for_s): 5,
            CutOrchestrator(for_s=for_s): 2,
            StopBroker(for_s=for_s if after else 0.0, forget=dice.random() < 0.7): 3,
            KillOrchestrator(away_s=for_s): 3,
            DoomOrchestrator(commits=dice.randint(1, 20), after=after): 4,
            HoldLock(host=host, for_s=for_s): 2,
            FillDisk(host=host, for_s=for_s): 1,
            Meddle(host=host, cordon=after, for_s=for_s): 2,
            DriftAway(host=host): 2,
            FreezeOrchestrator(
                commits=dice.randint(1, 10), for_s=for_s, until_taken_s=dice.uniform(0, for_s)
            ): 4,
            Ping(): 1,
        }
        return dice.choices(list(how_often), weights=list(how_often.values()))[0]
