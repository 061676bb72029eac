"""A rollout as operators see it: pure, so that what is shown can be tested without a service."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from broker.ids import InstanceId, Role, RunId
from broker.messages import HealthChecks
from orchestrator.domain.rollout import why as reasons
from orchestrator.domain.rollout.model import Cause, Rollout, Step, StepState, Timings, Wave, Why
from orchestrator.domain.rollout.reading import strategy_plain
from orchestrator.domain.rollout.scene import Scene
from orchestrator.domain.rollout.strategy import GUARDED, QUORATE, Strategy
from orchestrator.domain.rollout_views import CordonView, RolloutView, StepView, WaveView, WhyView

_STAMPS: Final = Timings.__slots__
_WAITS: Final = frozenset(
    {
        Cause.ROLLOUT_STOPPED,
        Cause.WAVE_NOT_OPEN,
        Cause.HAS_IT_ALREADY,
        Cause.SKIPPED_BY_OPERATOR,
        Cause.NEVER_BEGUN,
        Cause.REPORT_DUE,
    }
)


def rollout_view(
    rollout: Rollout,
    scene: Scene,
    at: datetime,
    *,
    took_s: Mapping[Role, float] | None = None,
    with_steps: bool = True,
    warnings: tuple[str, ...] = (),
) -> RolloutView:
    """Return a rollout as operators see it; `took_s` is how long an instance of a role takes by past runs."""
    reason = reasons.of_rollout(rollout, at)
    said, command = _told(rollout, reason)
    waves = tuple(_wave_view(rollout, wave, took_s or {}, scene) for wave in rollout.waves)
    known = [wave.expected_s for wave in waves if wave.expected_s is not None]
    shown = rollout.steps.values() if with_steps else ()
    return RolloutView(
        id=rollout.id or None,
        state=rollout.state,
        reason=said,
        command=command,
        bundle=rollout.bundle,
        strategy=strategy_plain(rollout.strategy),
        automatic=rollout.automatic,
        requested_by=rollout.requested_by,
        created_at=rollout.created_at,
        finished_at=rollout.finished_at,
        wave=min(rollout.wave, max(1, len(rollout.waves))),
        waves=waves,
        steps=tuple(_step_view(rollout, step, scene, at) for step in shown),
        cordons=tuple(_cordons(rollout, scene)),
        needs=tuple(_needs(rollout, scene)),
        confirmations=tuple(confirmations(rollout, scene)),
        warnings=warnings,
        expected_s=sum(known) if known and len(known) == len(waves) else None,
    )


def why_views(rollout: Rollout, scene: Scene, at: datetime, *, every: bool = False) -> Iterable[WhyView]:
    """Yield why a rollout and its steps wait or failed; those whose turn has only to come, with `every`."""
    reason = reasons.of_rollout(rollout, at)
    if reason is not None:
        yield _why_view(rollout, rollout.id, reason)
    for step in rollout.steps.values():
        found = step_why(rollout, step, scene, at)
        if found is not None and (every or found.cause not in _WAITS):
            yield _why_view(rollout, step.instance, found, state=step.state.value)


def step_why(rollout: Rollout, step: Step, scene: Scene, at: datetime) -> Why | None:
    """Return why a step is where it is."""
    return reasons.of_step(rollout, step, scene, at)


def step_why_view(rollout: Rollout, step: Step, scene: Scene, at: datetime) -> WhyView | None:
    """Return why a step is where it is, as operators see it."""
    found = step_why(rollout, step, scene, at)
    return None if found is None else _why_view(rollout, step.instance, found, state=step.state.value)


def _why_view(rollout: Rollout, subject: str, reason: Why, *, state: str | None = None) -> WhyView:
    said, command = _told(rollout, reason, subject)
    where = f"{subject} {state} in {rollout.id}" if state else f"{subject} {rollout.state.value}"
    return WhyView(subject=subject, cause=reason.cause.value, sentence=f"{where}: {said}", command=command)


def _told(rollout: Rollout, reason: Why | None, subject: str = "") -> tuple[str, str | None]:
    if reason is None:
        return "", None
    places = {"rollout": rollout.id, "instance": subject}
    return reasons.sentence(reason, **places), reasons.command(reason, **places)


def _step_view(rollout: Rollout, step: Step, scene: Scene, at: datetime) -> StepView:
    reason = step_why(rollout, step, scene, at)
    said, command = _told(rollout, reason, step.instance)
    stamps = ((name, getattr(step.timings, name)) for name in _STAMPS)
    run = step.work if step.state in {StepState.PREFETCHING, StepState.CONVERGING} else None
    return StepView(
        instance=step.instance,
        role=step.role,
        wave=step.wave,
        state=step.state,
        reason=said,
        command=command,
        origin=step.origin,
        target=step.goal,
        back=step.back,
        since=step.since,
        timings={name: stamp for name, stamp in stamps if stamp is not None},
        run=None if run is None else RunId(run),
        touched=step.touched,
        replaced=None if step.former is None else step.replaced,
    )


def _wave_view(rollout: Rollout, wave: Wave, took_s: Mapping[Role, float], scene: Scene) -> WaveView:
    strategy = rollout.strategy
    known = (rollout.steps.get(name) for name in wave.instances)  # without its steps, as in lists, none is
    going = [step for step in known if step is None or step.state is not StepState.SKIPPED]
    most = strategy.unavailable_of(wave.role, len(scene.members.get(wave.role, ())))
    soak_s = strategy.canary_soak_s if wave.canary else strategy.soak_s
    each_s = took_s.get(wave.role)
    expected = None if each_s is None else -(-len(going) // most) * each_s + (soak_s if going else 0)
    return WaveView(
        number=wave.number,
        role=wave.role,
        instances=wave.instances,
        canary=wave.canary,
        expected_s=expected if going else 0.0,
    )


def _cordons(rollout: Rollout, scene: Scene) -> Iterable[CordonView]:
    """Yield the cordons that a rollout left at its end, and what lifts them."""
    if not rollout.state.is_final:
        return
    for step in rollout.steps.values():
        instance = scene.instances.get(step.instance)
        if instance is None or instance.cordon is None or instance.cordon.owner != rollout.id:
            continue
        reason = "" if step.why is None else reasons.sentence(step.why, instance=step.instance)
        yield CordonView(
            instance=step.instance,
            owner=rollout.id,
            reason=reason or f"its step is {step.state.value}",
            command=f"tarmak uncordon {step.instance}",
        )


def _needs(rollout: Rollout, scene: Scene) -> Iterable[str]:
    """Yield what the gates and checks of each role ask for."""
    strategy = rollout.strategy
    for role in dict.fromkeys(wave.role for wave in rollout.waves):
        total = len(scene.members.get(role, ()))
        parts = [f"{role}: at most {strategy.unavailable_of(role, total)} of {total} away at once"]
        if role in QUORATE and total > 1:
            parts.append(f"never fewer than {total // 2 + 1} left")
        parts.append("drained first" if strategy.drain is not None else "not drained")
        if strategy.replace:
            parts.append("then another machine")
        checks = strategy.health_of(role)
        parts.append(f"then healthy {strategy.passes} times in a row: {_checks(checks)}")
        if checks.is_empty():
            parts[-1] = "healthy by its converge's proof"
        yield ", ".join(parts)
    if strategy.window is not None:
        yield f"disruption starts within {_window(strategy)} only"


def _window(strategy: Strategy) -> str:
    window = strategy.window
    if window is None:
        return "any time"
    days = " ".join(window.days) or "every day"
    return f"{days} {window.begin:%H:%M}-{window.end:%H:%M} {window.zone}"


def _checks(checks: HealthChecks) -> str:
    named = [
        name
        for name, check in (
            ("Node Ready", checks.node),
            ("etcd member", checks.etcd),
            ("Vault", checks.vault),
        )
        if check is not None
    ]
    named += [" ".join(check.command) for check in checks.commands]
    named += [f"GET {check.url}" for check in checks.http]
    return ", ".join(named)


def confirmations(rollout: Rollout, scene: Scene) -> Iterable[str]:
    """Yield the outages that a person has to agree to before the rollout begins."""
    for role in dict.fromkeys(wave.role for wave in rollout.waves):
        members: Sequence[InstanceId] = tuple(scene.members.get(role, ()))
        going = [
            step.instance
            for step in rollout.steps.values()
            if step.role == role and step.state is not StepState.SKIPPED
        ]
        if len(members) == 1 and going and role in GUARDED:
            yield f"{going[0]} is the only {role}: while it is away there is none"
    policy = rollout.strategy.drain
    if policy is not None and policy.disable_eviction:
        yield "disable_eviction deletes pods past every budget"
