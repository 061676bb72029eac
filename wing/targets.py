"""A pod that a drain wants gone: where that stands, and what has held it up so far.

Waiting → Asked → Going, or back to Waiting with a later time, or Stuck for good. A pod that is gone is no
target any more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from wing.cluster import Pod
from wing.selectors import Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """It is to be asked, and not before `until`; `looked` if the list has to be read once more before."""

    until: datetime
    looked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The API server was asked, and has not answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """It is ending, as far as is known since `since`."""

    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """It will not go, for `reason`; asking again would change nothing."""

    reason: str


Way = Waiting | Asked | Going | Stuck


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What holds a pod up, and since when; a budget (namespace/name) with its counts, if it is one."""

    since: datetime
    reason: str
    budget: str | None = None
    healthy: int | None = None
    needed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One pod that is to go. `asked_at` is when that was first asked for, `doubt` what was said against it.

    A doubt is told only if the pod turns out to be there still: until then it may just as well be gone.
    """

    pod: Pod
    way: Way
    asked_at: datetime | None = None
    block: Block | None = None
    doubt: str | None = None

    @property
    def open(self) -> bool:
        """Whether it may still go."""
        return not isinstance(self.way, Stuck)

    def asked(self, at: datetime) -> "Target":
        """Return the target as one that is being asked for."""
        return replace(self, way=Asked(), asked_at=self.asked_at or at, doubt=None)

    def took_ms(self, at: datetime) -> int:
        """Return how long it took from the first wish to `at`, in milliseconds."""
        return 0 if self.asked_at is None else max(0, round((at - self.asked_at).total_seconds() * 1000))

    def blocked(self, block: Block) -> "Target":
        """Return the target as held up by `block`, since it was first held up."""
        return replace(self, block=replace(block, since=self.block.since if self.block else block.since))

    def left(self) -> str:
        """Return which pod is left and why, for a person."""
        return f"{self.pod.full_name}: {self._why()}"

    def _why(self) -> str:
        if isinstance(self.way, Stuck):
            return self.way.reason
        if isinstance(self.way, Going):
            held = f", held by finalizers {', '.join(self.pod.finalizers)}" if self.pod.finalizers else ""
            return f"asked to end, and still there{held}"
        if self.block is not None:
            budget = f"budget {self.block.budget}: " if self.block.budget else ""
            return f"{budget}{self.block.reason}"
        return "its turn had not come"


def due(
    targets: Mapping[str, Target], at: datetime, *, at_once: int, looked: bool
) -> tuple[tuple[str, Target], ...]:
    """Return whom to ask now, at most `at_once` under way together: the lowest priority class comes first.

    A higher class waits until nothing of a lower one is left that may still go. `looked` says that the
    list of pods was read just now.
    """
    still = [target for target in targets.values() if target.open]
    lowest = min((target.pod.priority for target in still), default=0)
    room = at_once - sum(isinstance(target.way, Asked) for target in still)
    ready = (
        (uid, target)
        for uid, target in targets.items()
        if target.pod.priority == lowest and _is_due(target, at, looked=looked)
    )
    return tuple(ready)[: max(0, room)]


def all_selected(targets: Iterable[Target], selectors: Sequence[Selector]) -> bool:
    """Return whether each of `targets` is selected by one of `selectors`."""
    return all(any(selector.fits(target.pod.labels) for selector in selectors) for target in targets)


def _is_due(target: Target, at: datetime, *, looked: bool) -> bool:
    way = target.way
    return isinstance(way, Waiting) and way.until <= at and (looked or way.looked)
