"""Whoever makes machines anew for rollouts that ask for it: mostly in time, sometimes late, sometimes never.

What `tarmak upgrade --replace` does from an operator's machine: it sees which steps wait for a machine, ends
the old one, and lets the new one join. It may be gone at any time; a new try of the step is seen afresh.
"""

import asyncio
import random
from datetime import datetime
from typing import TYPE_CHECKING, Final

from broker.ids import InstanceId, RolloutId
from orchestrator.domain.rollout.model import Rollout, Step, StepState
from tests.simulation import operators
from tests.simulation.host import Host

if TYPE_CHECKING:
    from tests.simulation.fleet import Fleet

LOOKS_EVERY_S: Final = 4.0
ASKS_EVERY_S: Final = 3.0
PROMPT_S: Final = (1.0, 5.0, 20.0)
LATE_S: Final = 300.0

Seen = tuple[RolloutId, InstanceId, datetime | None]


class Hands:
    """Makes machines of a fleet anew."""

    def __init__(self, fleet: "Fleet", seed: int) -> None:
        self._fleet = fleet
        self._dice = random.Random(f"{seed} hands")  # noqa: S311 - it has to be predictable
        self._seen: set[Seen] = set()
        self.is_calm = False

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Look for what is to be made, and make it."""
        while True:
            await asyncio.sleep(LOOKS_EVERY_S)
            for rollout, step in self._due():
                self._seen.add((rollout.id, step.instance, step.since))
                after_s = self._after_s()
                if after_s is not None:
                    tasks.create_task(self._make(rollout.id, step.instance, after_s), name="hands")

    def _due(self) -> list[tuple[Rollout, Step]]:
        service = self._fleet.orchestrator.service
        rollouts = [] if service is None else list(service.core.state.upgrades.open.values())
        return [
            (rollout, step)
            for rollout in rollouts
            for step in rollout.steps.values()
            if step.state is StepState.REPLACING
            and not step.replaced
            and (rollout.id, step.instance, step.since) not in self._seen
        ]

    def _after_s(self) -> float | None:
        """Return in how many seconds the old machine is ended; None if the operator has gone."""
        fate = self._dice.random()
        prompt_s = self._dice.choice(PROMPT_S)
        if self.is_calm or fate < 0.8:
            return prompt_s
        return None if fate > 0.9 else LATE_S * self._dice.random()

    async def _make(self, rollout: RolloutId, name: InstanceId, after_s: float) -> None:
        await asyncio.sleep(after_s)
        if not self._is_wanted(rollout, name):
            return
        host = next(each for each in self._fleet.hosts if each.identity.instance == name)
        host.remake()
        await asyncio.sleep(self._dice.choice(PROMPT_S))
        await self._join(host)

    def _is_wanted(self, rollout: RolloutId, name: InstanceId) -> bool:
        """Look again, right before the old machine is ended; one who can't look ends nothing."""
        service = self._fleet.orchestrator.service
        found = None if service is None else service.core.state.upgrades.open.get(rollout)
        step = None if found is None else found.steps[name]
        return step is not None and step.state is StepState.REPLACING and not step.replaced

    async def _join(self, host: Host) -> None:
        roster = tuple(each.enrolment for each in self._fleet.hosts)
        self._fleet.orchestrator.expect(roster)
        done = asyncio.Event()
        while not done.is_set():
            self._fleet.ask("join", operators.enrolling(roster, done))
            await asyncio.sleep(ASKS_EVERY_S)
        host.admitted()
