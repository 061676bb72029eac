"""Machines that are about to end are emptied first, and those that ended are no longer of the fleet.

Terraform ends a machine in a moment, whatever runs on it. So before that its wing drains it, as in a rollout;
an operator who gave a machine's state up by its name has given up what runs on it as well.
"""

from collections.abc import Callable, Mapping, Sequence

from orchestrator.infrastructure.changes import Action, Changes
from orchestrator.infrastructure.errors import InfrastructureError, ReachError
from orchestrator.infrastructure.fleet import Fleet, Seen
from orchestrator.infrastructure.hosts import BASTION
from orchestrator.infrastructure.reach import Tell


class Leaving:
    """The instances that `changes` ends; those whose state was `given` up (None: all) are not drained."""

    def __init__(
        self, fleet: Callable[[], Fleet], changes: Changes, *, given: Sequence[str] | None, tell: Tell
    ) -> None:
        ended = [one for one in changes.ended() if one.role != BASTION]
        if len(ended) < len(changes.ended()):
            ended = []  # a bastion that ends as well is asked nothing any more
        self._gone = [one.instance for one in ended if one.action is Action.DESTROY]
        self._emptied = [one.instance for one in ended if given is not None and one.instance not in given]
        self._fleet = fleet
        self._tell = tell

    async def begin(self) -> None:
        """Empty them, one after the other; InfrastructureError if one won't be, before anything has ended."""
        seen = await self._seen() if self._emptied else {}
        for name in self._emptied:
            if name in seen and seen[name].online:
                await self._drained(name)
            else:
                self._tell(f"{name}: its wing is not there, so nothing is drained")

    async def end(self) -> None:
        """Take those that are gone for good off the fleet."""
        seen = await self._seen() if self._gone else {}
        for name in self._gone:
            if name in seen:
                await self._fleet().revoke(name)
                self._tell(f"{name}: is off the fleet")

    async def back(self) -> None:
        """Let those that were made anew take work again."""
        for name in self._emptied:
            if name not in self._gone:
                await self._uncordoned(name)

    async def _uncordoned(self, name: str) -> None:
        try:
            await self._fleet().uncordon(name)
        except ReachError as error:
            self._tell(f"{name}: {error.why}")  # a machine that is new has no cordon of its own

    async def _seen(self) -> Mapping[str, Seen]:
        try:
            return await self._fleet().instances()
        except ReachError as error:
            raise InfrastructureError(
                what="the orchestrator can't be asked to drain what is about to end",
                why=str(error),
                action="mend the bastion first; --no-drain goes on without",
            ) from error

    async def _drained(self, name: str) -> None:
        self._tell(f"{name}: is being drained")
        try:
            await self._fleet().drain(name)
        except ReachError as error:
            raise InfrastructureError(
                what=f"{name} was not drained, so nothing is ended",
                why=error.why,
                action="mend that and apply again; --no-drain goes on without",
            ) from error
