"""Rollouts as people read them: plans, tables, and why something waits. Without a terminal or a clock."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from broker.ids import InstanceId
from orchestrator.cli.amounts import ago, spent
from orchestrator.cli.output import Column, pairs, printable, short, table
from orchestrator.domain.rollout.model import RolloutState, StepState
from orchestrator.domain.rollout_views import RolloutView, StepView, WaveView

UNDER_WAY: Final = frozenset(
    {
        StepState.PREFETCHING,
        StepState.WAITING,
        StepState.DRAINING,
        StepState.REPLACING,
        StepState.CONVERGING,
        StepState.VERIFYING,
        StepState.UNCORDONING,
        StepState.SOAKING,
    }
)
HELD: Final = frozenset({StepState.PENDING, StepState.WAITING})
LENGTH: Final = re.compile(r"\d+(\.\d+)? ?(s|m|h|d|seconds?|minutes?|hours?|days?)\b")
NAMED: Final = 8
SHOW: Final = "tarmak rollout show "


def advised(reason: str, command: str | None) -> str:
    """Return a causal sentence that ends in the next safe command, if there is one."""
    said = printable(reason)
    if command is None or command in said:
        return said
    return f"{said}; next: {command}" if said else f"next: {command}"


def step_line(step: StepView, now: datetime | None) -> str:
    """Return an instance's step as a sentence: `worker-3 draining 4m12s: pod shop/cart-0 not evicted`.

    Without `now` it says nothing of how long.
    """
    since = "" if now is None or step.since is None else f" {spent((now - step.since).total_seconds())}"
    why = step_why(step)
    back = " (on its way back)" if step.back and not step.state.is_over else ""
    return f"{step.instance} {step.state.value}{since}{back}{f': {why}' if why else ''}"


def step_why(step: StepView) -> str:
    """Return why a step is where it is; to look at the rollout is no advice for who does so already."""
    command = step.command or ""
    return advised(step.reason, None if command.startswith(SHOW) else step.command)


def held(view: RolloutView) -> dict[str, list[StepView]]:
    """Return why instances of the open wave wait for their turn, if none is on its way; with who they are."""
    if any(step.state in UNDER_WAY and step.state is not StepState.WAITING for step in view.steps):
        return {}
    if view.state is not RolloutState.PROGRESSING:
        return {}
    found: dict[str, list[StepView]] = {}
    for step in view.steps:
        if step.state in HELD and step.wave == view.wave and step.reason:
            found.setdefault(timeless(step.reason), []).append(step)
    return found


def noteworthy(view: RolloutView) -> list[StepView]:
    """Return the steps that a person looks for: failed, on their way, or why none of the wave is."""
    failed = [step for step in view.steps if step.state is StepState.FAILED]
    going = [step for step in view.steps if step.state in UNDER_WAY]
    waiting = [steps[0] for steps in held(view).values() if steps[0] not in going]
    return [*failed, *going, *waiting]


def timeless(reason: str) -> str:
    """Return a reason without its lengths of time, which change when nothing else does."""
    return LENGTH.sub("", reason)


def counted(steps: Iterable[StepView]) -> str:
    """Return how many instances are in each state, as `3 done, 1 draining, 5 pending`."""
    found = Counter(step.state for step in steps)
    return ", ".join(f"{found[state]} {state.value}" for state in reversed(StepState) if found[state])


def standing(view: RolloutView) -> str:
    """Return how far a rollout is in a few words; the waves of its plan say nothing of the way back."""
    waves = "" if goes_back(view) else f", {_waves(view)}"
    return f"{view.state.value}{waves}: {counted(view.steps) or 'no instances'}"


def goes_back(view: RolloutView) -> bool:
    """Tell whether a rollout is on its way back, or came to its end on it."""
    return any(step.back for step in view.steps)


def _waves(view: RolloutView) -> str:
    return f"wave {min(view.wave, len(view.waves))} of {len(view.waves)}" if view.waves else "no waves"


def list_columns(now: datetime) -> list[Column]:
    """Return the table of rollouts as it is at `now`."""
    return [
        Column(heading="ROLLOUT", cell=lambda view: view.id or "-"),
        Column(heading="STATE", cell=lambda view: view.state.value),
        Column(heading="BUNDLE", cell=lambda view: short(view.bundle)),
        Column(heading="WAVE", cell=lambda view: f"{min(view.wave, len(view.waves))}/{len(view.waves)}"),
        Column(heading="INSTANCES", cell=lambda view: str(sum(len(wave.instances) for wave in view.waves))),
        Column(heading="BY", cell=by),
        Column(heading="AGE", cell=lambda view: ago(view.created_at, now=now)),
        Column(heading="TOOK", cell=lambda view: took(view, now)),
        Column(heading="WHY", cell=lambda view: advised(view.reason, view.command)),
    ]


def by(view: RolloutView) -> str:
    """Return who asked for a rollout."""
    return "tarmak itself" if view.automatic and not view.requested_by else view.requested_by


def took(view: RolloutView, now: datetime) -> str:
    """Return how long a rollout took, or has taken so far."""
    return spent(((view.finished_at or now) - view.created_at).total_seconds())


def step_columns(now: datetime) -> list[Column]:
    """Return the table of a rollout's steps: one line an instance, and for whatever waits why."""
    return [
        Column(heading="INSTANCE", cell=lambda step: step.instance),
        Column(heading="WAVE", cell=lambda step: str(step.wave)),
        Column(heading="STATE", cell=lambda step: step.state.value),
        Column(heading="SINCE", cell=lambda step: _since(step, now)),
        Column(heading="WHY", cell=step_why),
    ]


def rollout_lines(view: RolloutView, now: datetime) -> Iterator[str]:
    """Yield the lines that show a rollout with its steps."""
    yield from pairs(_account(view, now))
    if view.steps:
        yield ""
        yield from table(view.steps, step_columns(now))
    if view.cordons:
        yield ""
        yield from cordon_lines(view)


def cordon_lines(view: RolloutView) -> Iterator[str]:
    """Yield a line for each cordon of ours that was left."""
    for each in view.cordons:
        why = printable(each.reason)
        yield f"! {each.instance} is still cordoned (by {each.owner}): {why}; lift it with: {each.command}"


def plan_lines(view: RolloutView) -> Iterator[str]:
    """Yield the lines that show what a rollout would do."""
    left = [step.instance for step in view.steps if step.state is StepState.SKIPPED]
    going = len(view.steps) - len(left)
    yield f"plan: {number(going, 'instance')} to bundle {short(view.bundle)}"
    waves = [wave for wave in view.waves if any(name not in left for name in wave.instances)]
    if waves:
        yield from (f"  {line}" for line in table(waves, _wave_columns(frozenset(left))))
    if left:
        yield f"  have it already: {names(left)}"
    yield f"  expected: {_expected(view.expected_s)}"
    yield f"  strategy: {strategy_words(view.strategy)}"
    for need in view.needs:
        yield f"  needs: {printable(need)}"
    for warning in view.warnings:
        yield f"! {printable(warning)}"
    for outage in view.confirmations:
        yield f"! to confirm: {printable(outage)}"


def number(count: int, what: str) -> str:
    """Return so many of something, as `1 instance` or `2 instances`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def names(instances: Sequence[InstanceId]) -> str:
    """Return instances by name, of many only the first and how many more there are."""
    if len(instances) <= NAMED:
        return ", ".join(instances)
    return f"{', '.join(instances[: NAMED - 1])} and {len(instances) - NAMED + 1} more"


def strategy_words(plain: Mapping[str, Any]) -> str:
    """Return what of a strategy is not as by default."""
    from orchestrator.domain.rollout.reading import strategy_plain  # noqa: PLC0415 - for these commands alone
    from orchestrator.domain.rollout.strategy import Strategy  # noqa: PLC0415 - as above

    usual = dict(_flat(strategy_plain(Strategy())))
    said = [(name, value) for name, value in _flat(plain) if usual.get(name, "") != value]
    return ", ".join(f"{name}: {value}" for name, value in said) or "as by default"


def _flat(plain: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, value in plain.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", _word(value)


def _word(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "none"
        case list() | tuple():
            return " ".join(_word(each) for each in value) or "none"
        case Mapping():
            return " ".join(f"{name}={_word(each)}" for name, each in value.items()) or "none"
        case _:
            return printable(str(value))


def _account(view: RolloutView, now: datetime) -> Iterator[tuple[str, str]]:
    yield "rollout", view.id or "-"
    yield "state", view.state.value
    if view.reason or view.command:
        yield "why", advised(view.reason, view.command)
    yield "bundle", view.bundle
    if not goes_back(view):
        yield "wave", _waves(view).removeprefix("wave ")
    yield "instances", counted(view.steps)
    yield "asked by", by(view)
    yield "created", view.created_at.isoformat(timespec="seconds")
    yield "took", took(view, now)
    if view.expected_s is not None and view.finished_at is None:
        yield "expected", _expected(view.expected_s)
    yield "strategy", strategy_words(view.strategy)


def _wave_columns(left: frozenset[InstanceId]) -> list[Column]:
    def who(wave: WaveView) -> str:
        return names([name for name in wave.instances if name not in left])

    return [
        Column(heading="WAVE", cell=lambda wave: str(wave.number)),
        Column(heading="ROLE", cell=lambda wave: wave.role),
        Column(
            heading="EXPECTED", cell=lambda wave: "-" if wave.expected_s is None else spent(wave.expected_s)
        ),
        Column(heading="INSTANCES", cell=lambda wave: f"{who(wave)}{' (canary)' if wave.canary else ''}"),
    ]


def _since(step: StepView, now: datetime) -> str:
    return "-" if step.since is None else spent((now - step.since).total_seconds())


def _expected(expected_s: float | None) -> str:
    return "not known, for want of past runs" if expected_s is None else f"about {spent(expected_s)}"
