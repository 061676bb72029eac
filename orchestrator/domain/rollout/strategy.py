"""How a rollout goes about it: every field of the operator's strategy, checked where it is made.

A strategy that could not mean anything is refused before a rollout exists, by a `StrategyError` that names
the field. What an operator leaves out has the default that its docstring gives in brackets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import Enum
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from broker.ids import Role
from broker.messages import DrainPolicy, EtcdCheck, HealthChecks, NodeCheck, VaultCheck

ETCD: Final = Role("etcd")
VAULT: Final = Role("vault")
MASTER: Final = Role("master")
WORKER: Final = Role("worker")
ORDER: Final = (ETCD, VAULT, MASTER, WORKER)
GUARDED: Final = frozenset({ETCD, VAULT, MASTER})
"""Roles of which one instance at a time is disrupted, whatever is asked for."""

QUORATE: Final = frozenset({ETCD, VAULT})
"""Roles whose members vote."""

NODES: Final = frozenset({MASTER, WORKER})
"""Roles whose instances are Kubernetes Nodes."""

WHOLE: Final = 100
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class StrategyError(ValueError):
    """A strategy's field can't be used; `field` is its path."""

    def __init__(self, *, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


class OnFailure(Enum):
    """What a rollout does once too many instances have failed."""

    PAUSE = "pause"
    REVERT = "revert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A count, or a percentage of something that is counted later."""

    value: int
    percent: bool = False

    def of(self, total: int) -> int:
        """Return how many of `total` that is: a percentage rounds down, and is at least 1."""
        return max(1, total * self.value // WHOLE) if self.percent else self.value

    def __str__(self) -> str:
        return f"{self.value}%" if self.percent else str(self.value)


def amount(text: str | int, *, name: str) -> Amount:
    """Return `text` (`2` or `30%`) as an amount from 1; raises a StrategyError that names the field."""
    said = str(text).strip()
    digits = said.removesuffix("%").strip()
    percent = said.endswith("%")
    if not (digits.isascii() and digits.isdecimal()) or int(digits) < 1:
        raise StrategyError(
            field=name, reason=f"{said!r} is neither a count from 1, such as 2, nor such as 30%"
        )
    if percent and int(digits) > WHOLE:
        raise StrategyError(field=name, reason=f"{said!r} is more than 100%")
    return Amount(value=int(digits), percent=percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When disruption may start: on these days (empty: all), from one time of the zone to another.

    A window that ends before it begins goes over midnight, and belongs to the day on which it began.
    """

    begin: time
    end: time
    days: tuple[str, ...] = ()
    zone: str = "UTC"

    def __post_init__(self) -> None:
        for day in self.days:
            if day not in DAYS:
                raise StrategyError(field="window.days", reason=f"{day!r} is none of {', '.join(DAYS)}")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            reason = f"{self.zone!r} is no time zone, such as Europe/Berlin"
            raise StrategyError(field="window.zone", reason=reason) from error
        if self.begin == self.end:
            raise StrategyError(field="window", reason="it begins when it ends; leave it out for always")

    def is_open(self, at: datetime) -> bool:
        """Tell whether disruption may start."""
        return any(begin <= at < end for begin, end in self._around(at))

    def opens(self, at: datetime) -> datetime:
        """Return when it is open: `at` itself if it is."""
        if self.is_open(at):
            return at
        return min(begin for begin, _ in self._around(at) if begin > at)

    def _around(self, at: datetime) -> list[tuple[datetime, datetime]]:
        zone = ZoneInfo(self.zone)
        today = at.astimezone(zone).date()
        found = []
        for offset in range(-1, 9):
            day = today + timedelta(days=offset)
            if self.days and DAYS[day.weekday()] not in self.days:
                continue
            last = day if self.begin < self.end else day + timedelta(days=1)
            begin = datetime.combine(day, self.begin, zone)
            end = datetime.combine(last, self.end, zone)
            found.append((begin.astimezone(at.tzinfo), end.astimezone(at.tzinfo)))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How a rollout goes about it. Times in seconds; a role's own entry in a mapping goes before the default.

    roles: the order between roles [etcd, vault, master, worker, the rest by name].
    max_unavailable: how many of a role may be away at once [1]; of etcd, vault and master always 1.
    canary: how many of a role go first, before any other of it [1; 0: none].
    soak_s, canary_soak_s: how long a wave is watched [0; the canaries' 60].
    max_failures: at how many failed instances the rollout stops [1]; a percentage counts of the finished
    ones, once `min_finished` [1] are.
    progress_deadline_s: how long a step may be silent [900].
    health: checks by role [the Node for workers and masters]; `passes` in a row [3], every `interval_s` [2],
    within `health_timeout_s` [300].
    drain: how instances are emptied first [each as its wing is set up to]; None: not at all.
    prefetch: fetch and dry-run before the drain [yes].
    replace: have each machine made anew once it is drained, and converge the new one [no].
    on_failure: pause or revert [pause]. window: when disruption may start [always].
    run_timeout_s bounds each Puppet run [1800].
    """

    roles: tuple[Role, ...] = ORDER
    max_unavailable: Amount = Amount(value=1)
    canary: int = 1
    soak_s: int = 0
    canary_soak_s: int = 60
    max_failures: Amount = Amount(value=1)
    min_finished: int = 1
    progress_deadline_s: int = 900
    health: Mapping[Role, HealthChecks] = field(
        default_factory=lambda: {role: HealthChecks(node=NodeCheck()) for role in sorted(NODES)}
    )
    passes: int = 3
    interval_s: int = 2
    health_timeout_s: int = 300
    drain: DrainPolicy | None = field(default_factory=DrainPolicy)
    prefetch: bool = True
    replace: bool = False
    on_failure: OnFailure = OnFailure.PAUSE
    window: Window | None = None
    run_timeout_s: int = 1800

    def __post_init__(self) -> None:
        least = {
            "canary": 0,
            "soak_s": 0,
            "canary_soak_s": 0,
            "min_finished": 1,
            "progress_deadline_s": 1,
            "passes": 1,
            "interval_s": 1,
            "health_timeout_s": 1,
            "run_timeout_s": 1,
        }
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise StrategyError(field=name, reason=f"{getattr(self, name)} is less than {lowest}")
        if len(set(self.roles)) != len(self.roles):
            raise StrategyError(field="roles", reason="a role is there twice")

    def unavailable_of(self, role: Role, total: int) -> int:
        """Return how many of a role's `total` instances may be away at once."""
        return 1 if role in GUARDED else self.max_unavailable.of(total)

    def health_of(self, role: Role) -> HealthChecks:
        """Return what is looked at on an instance of `role`."""
        return self.health.get(role, HealthChecks())

    def rank_of(self, role: Role) -> tuple[int, str]:
        """Return where `role` stands in the order between roles."""
        return (self.roles.index(role) if role in self.roles else len(self.roles), role)

    def quorum_check(self, role: Role) -> EtcdCheck | VaultCheck | None:
        """Return the check by which members of a voting role are counted, None where proofs are counted."""
        checks = self.health_of(role)
        return checks.etcd or checks.vault
