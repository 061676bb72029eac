"""The operator's strategy as plain data, read and written: the YAML of `--strategy`, the JSON of the API.

`strategy_from` takes what `yaml.safe_load` or a JSON decoder made of it; what is left out has the default of
`Strategy`. `strategy_plain` writes all of it, so that what a rollout goes by can be read, kept and given to
the next one. docs/reference/strategy.md describes each field.
"""

import re
from collections.abc import Mapping
from datetime import time
from typing import Any, Final

from broker.ids import Role
from broker.messages import Drainer, DrainPolicy, HealthChecks, OnTimeout
from broker.messages.upkeep import GRACE_OF_POD
from orchestrator.domain.rollout.checks_reading import checks_from, checks_plain
from orchestrator.domain.rollout.fields import Fields, as_role, mapping, shown
from orchestrator.domain.rollout.strategy import OnFailure, Strategy, StrategyError, Window
from orchestrator.durations import written

KNOWN: Final = (
    "roles",
    "max_unavailable",
    "canary",
    "soak",
    "canary_soak",
    "max_failures",
    "min_finished",
    "progress_deadline",
    "health",
    "drain",
    "prefetch",
    "replace",
    "on_failure",
    "window",
    "run_timeout",
)
HEALTH: Final = ("passes", "interval", "timeout", "roles")
DRAIN: Final = (
    "drainer",
    "timeout",
    "ignore_daemonsets",
    "delete_emptydir_data",
    "force",
    "grace_period",
    "skip_wait_for_delete_timeout",
    "critical",
    "disable_eviction",
    "on_timeout",
    "delete_selectors",
)
WINDOW: Final = ("days", "begin", "end", "zone")
NO_DRAIN: Final = "none"
LONGEST_RUN_S: Final = 24 * 3600
CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def strategy_from(plain: Mapping[str, object]) -> Strategy:
    """Return the strategy that `plain` describes; StrategyError names the field by its path."""
    default, given = Strategy(), Fields(plain, "", KNOWN)
    health = given.inner("health", HEALTH)
    return Strategy(
        roles=_roles(given, default.roles),
        max_unavailable=given.amount("max_unavailable", default.max_unavailable),
        canary=given.whole("canary", default.canary),
        soak_s=given.seconds("soak", default.soak_s),
        canary_soak_s=given.seconds("canary_soak", default.canary_soak_s),
        max_failures=given.amount("max_failures", default.max_failures),
        min_finished=given.whole("min_finished", default.min_finished, least=1),
        progress_deadline_s=given.seconds("progress_deadline", default.progress_deadline_s, least=1),
        health={**default.health, **_checks_by_role(health)},
        passes=health.whole("passes", default.passes, least=1),
        interval_s=health.seconds("interval", default.interval_s, least=1),
        health_timeout_s=health.seconds("timeout", default.health_timeout_s, least=1),
        drain=_drain(given["drain"]) if "drain" in given else default.drain,
        prefetch=given.flag("prefetch", default=default.prefetch),
        replace=given.flag("replace", default=default.replace),
        on_failure=given.one_of("on_failure", OnFailure) if "on_failure" in given else default.on_failure,
        window=_window(given["window"]) if "window" in given else default.window,
        run_timeout_s=given.seconds("run_timeout", default.run_timeout_s, least=1, most=LONGEST_RUN_S),
    )


def drain_from(plain: object, path: str = "drain") -> DrainPolicy:
    """Return the policy that the mapping `plain` describes; StrategyError names the field below `path`."""
    default, given = DrainPolicy(), Fields(plain, path, DRAIN)
    on_timeout = given.one_of("on_timeout", OnTimeout) if "on_timeout" in given else default.on_timeout
    selectors = given.texts("delete_selectors")
    if on_timeout is OnTimeout.DELETE and not selectors:
        reason = "empty, so that nothing could be deleted; name some, as app=cache"
        raise StrategyError(field=given.at("delete_selectors"), reason=reason)
    return DrainPolicy(
        drainer=given.one_of("drainer", Drainer) if "drainer" in given else default.drainer,
        timeout_s=given.seconds("timeout", default.timeout_s, least=1),
        ignore_daemonsets=given.flag("ignore_daemonsets", default=default.ignore_daemonsets),
        delete_emptydir_data=given.flag("delete_emptydir_data", default=default.delete_emptydir_data),
        force=given.flag("force", default=default.force),
        grace_period_s=given.seconds("grace_period", default.grace_period_s),
        skip_wait_s=given.seconds("skip_wait_for_delete_timeout", default.skip_wait_s),
        critical=given.flag("critical", default=default.critical),
        disable_eviction=given.flag("disable_eviction", default=default.disable_eviction),
        on_timeout=on_timeout,
        delete_selectors=selectors,
    )


def strategy_plain(strategy: Strategy) -> dict[str, Any]:
    """Return `strategy` as `strategy_from` reads it, every field said."""
    return {
        "roles": [str(role) for role in strategy.roles],
        "max_unavailable": _amount_plain(str(strategy.max_unavailable)),
        "canary": strategy.canary,
        "soak": written(strategy.soak_s),
        "canary_soak": written(strategy.canary_soak_s),
        "max_failures": _amount_plain(str(strategy.max_failures)),
        "min_finished": strategy.min_finished,
        "progress_deadline": written(strategy.progress_deadline_s),
        "health": _health_plain(strategy),
        "drain": NO_DRAIN if strategy.drain is None else drain_plain(strategy.drain),
        "prefetch": strategy.prefetch,
        "replace": strategy.replace,
        "on_failure": strategy.on_failure.value,
        "window": None if strategy.window is None else _window_plain(strategy.window),
        "run_timeout": written(strategy.run_timeout_s),
    }


def drain_plain(policy: DrainPolicy) -> dict[str, Any]:
    """Return `policy` as `drain_from` reads it; what the wing or the pod decides is left out."""
    plain: dict[str, Any] = {} if policy.drainer is None else {"drainer": policy.drainer.value}
    plain |= {
        "timeout": written(policy.timeout_s),
        "ignore_daemonsets": policy.ignore_daemonsets,
        "delete_emptydir_data": policy.delete_emptydir_data,
        "force": policy.force,
    }
    if policy.grace_period_s != GRACE_OF_POD:
        plain["grace_period"] = written(policy.grace_period_s)
    return plain | {
        "skip_wait_for_delete_timeout": written(policy.skip_wait_s),
        "critical": policy.critical,
        "disable_eviction": policy.disable_eviction,
        "on_timeout": policy.on_timeout.value,
        "delete_selectors": list(policy.delete_selectors),
    }


def _roles(given: Fields, default: tuple[Role, ...]) -> tuple[Role, ...]:
    if "roles" not in given:
        return default
    return tuple(as_role(raw, path) for path, raw in given.each("roles"))


def _checks_by_role(health: Fields) -> dict[Role, HealthChecks]:
    if "roles" not in health:
        return {}
    path = health.at("roles")
    named = mapping(health["roles"], path)
    return {as_role(name, path): checks_from(raw, f"{path}.{name}") for name, raw in named.items()}


def _drain(raw: object) -> DrainPolicy | None:
    if isinstance(raw, str) and raw != NO_DRAIN:
        raise StrategyError(field="drain", reason=f"{shown(raw)} is neither none nor a mapping of fields")
    return None if raw == NO_DRAIN else drain_from(raw)


def _window(raw: object) -> Window | None:
    if raw is None:
        return None
    given = Fields(raw, "window", WINDOW)
    zone = given.text("zone", "UTC") or "UTC"
    return Window(begin=_clock(given, "begin"), end=_clock(given, "end"), days=given.texts("days"), zone=zone)


def _clock(given: Fields, name: str) -> time:
    if name not in given:
        raise StrategyError(field=given.at(name), reason='it is needed, as "22:00"')
    raw = given[name]
    found = CLOCK.fullmatch(raw) if isinstance(raw, str) else None
    if found is None:
        hint = " (YAML reads 22:00 as a number)" if isinstance(raw, int) else ""
        raise given.wrong(name, f'no time of a day; write it in quotes, as "22:00"{hint}')
    return time(int(found[1]), int(found[2]))


def _amount_plain(text: str) -> int | str:
    return text if text.endswith("%") else int(text)


def _health_plain(strategy: Strategy) -> dict[str, Any]:
    named = {role: strategy.health_of(role) for role in sorted({*strategy.health, *Strategy().health})}
    return {
        "passes": strategy.passes,
        "interval": written(strategy.interval_s),
        "timeout": written(strategy.health_timeout_s),
        "roles": {str(role): checks_plain(checks) for role, checks in named.items()},
    }


def _window_plain(window: Window) -> dict[str, Any]:
    return {
        "days": list(window.days),
        "begin": f"{window.begin:%H:%M}",
        "end": f"{window.end:%H:%M}",
        "zone": window.zone,
    }
