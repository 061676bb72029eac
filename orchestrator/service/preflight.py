"""What a plan's drains would meet, asked of the cluster when it is shown; without a credential nothing."""

from collections.abc import Iterator

from broker.messages import Drainer
from orchestrator.domain.preflight import Leaving, warnings
from orchestrator.domain.rollout.model import Rollout, StepState
from orchestrator.domain.rollout.strategy import NODES
from orchestrator.ports import Preflight, PreflightError
from orchestrator.service.state import ClusterState


async def warned(preflight: Preflight | None, rollout: Rollout, state: ClusterState) -> tuple[str, ...]:
    """Return what would hold up the drains of a rollout if they came now; also if that can't be found out."""
    waves = tuple(_leaving(rollout, state))
    policy = rollout.strategy.drain
    if preflight is None or policy is None or not waves:
        return ()
    try:
        picture = await preflight.look({node for wave in waves for node in wave.nodes})
    except PreflightError as error:
        return (f"it is not known what the drains would meet: {error.reason}",)
    return warnings(picture, waves, policy)


def _leaving(rollout: Rollout, state: ClusterState) -> Iterator[Leaving]:
    policy = rollout.strategy.drain
    if policy is None or policy.drainer not in {None, Drainer.KUBERNETES}:
        return
    for wave in rollout.waves:
        going = [name for name in wave.instances if rollout.steps[name].state is not StepState.SKIPPED]
        nodes = {state.instances[name].enrolment.node_name: name for name in going}
        if nodes and wave.role in NODES:
            yield Leaving(wave=wave.number, nodes=nodes)
