"""Is an instance well? `watch, effects = watch.handle(event)`: enough looks in a row on which all was well.

Pure, like the judgements on what each look saw. What a check sees is told when that has changed, and at the
end; what it says must therefore not change while nothing does, so no time and no count is in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import assert_never

from broker.ids import MessageId
from broker.messages import Checked, Health
from wing.events import Done, Unable


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What a check saw, and whether that is well."""

    check: str
    passed: bool
    saw: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchBegun:
    """The time for looking has begun."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AllLooked:
    """Every check was made once."""

    at: datetime
    sightings: tuple[Sighting, ...]


WatchEvent = WatchBegun | AllLooked


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAt:
    """Make every check at this time."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TellChecked:
    """Tell a fact."""

    fact: Checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """The looking is over, and this is what it showed."""

    end: Done | Unable


WatchEffect = LookAt | TellChecked | Settle


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthWatch:
    """An order to look at health between two looks; `passes` counts those in a row on which all was well."""

    command: MessageId
    order: Health
    deadline: datetime | None = None
    passes: int = 0
    known: Mapping[str, Sighting] = field(default_factory=dict)

    def handle(self, event: WatchEvent) -> tuple["HealthWatch", tuple[WatchEffect, ...]]:
        """Return the watch after `event`, and what that asks for."""
        match event:
            case WatchBegun(at=at):
                if self.order.checks.is_empty():
                    return self, (Settle(end=Done()),)
                deadline = at + timedelta(seconds=self.order.timeout_s)
                return replace(self, deadline=deadline), (LookAt(at=at),)
            case AllLooked():
                return self._looked(event)
            case _:
                assert_never(event)

    def _looked(self, event: AllLooked) -> tuple["HealthWatch", tuple[WatchEffect, ...]]:
        well = all(sighting.passed for sighting in event.sightings)
        passes = self.passes + 1 if well else 0
        known = MappingProxyType({sighting.check: sighting for sighting in event.sightings})
        watch = replace(self, passes=passes, known=known)
        end = _end(watch, event)
        news = event.sightings if end else tuple(each for each in event.sightings if self._is_news(each))
        told = tuple(TellChecked(fact=_fact(watch, sighting)) for sighting in news)
        if end is not None:
            return watch, (*told, Settle(end=end))
        return watch, (*told, LookAt(at=event.at + timedelta(seconds=self.order.interval_s)))

    def _is_news(self, sighting: Sighting) -> bool:
        return self.known.get(sighting.check) != sighting


def _end(watch: HealthWatch, event: AllLooked) -> Done | Unable | None:
    order = watch.order
    if watch.passes >= order.passes:
        return Done()
    if watch.deadline is None or event.at < watch.deadline:
        return None
    wrong = "; ".join(f"{each.check}: {each.saw}" for each in event.sightings if not each.passed)
    few = f"all was well {watch.passes} times in a row, not {order.passes}"
    return Unable(reason=f"not well within {order.timeout_s} s: {wrong or few}")


def _fact(watch: HealthWatch, sighting: Sighting) -> Checked:
    return Checked(
        command=watch.command,
        order=watch.order.order,
        check=sighting.check,
        passed=sighting.passed,
        saw=sighting.saw,
        passes=watch.passes,
    )
