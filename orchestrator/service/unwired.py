"""Rollouts and drains while the service has none: every call is refused, in the words of the API."""

from collections.abc import Sequence

from broker.ids import InstanceId, RolloutId
from broker.messages import DrainPolicy
from orchestrator.domain.views import DrainView, RolloutView, WhyView
from orchestrator.operations import ActRequest, RefusedError, UpgradeRequest


class UnwiredRollouts:
    """The Rollouts of a service that has none."""

    async def preview(self, request: UpgradeRequest) -> RolloutView:
        """Refuse."""
        raise _unwired(str(request.digest))

    async def upgrade(self, request: UpgradeRequest) -> RolloutView:
        """Refuse."""
        raise _unwired(str(request.digest))

    async def rollouts(self, *, limit: int = 100, before: RolloutId | None = None) -> Sequence[RolloutView]:
        """Return none."""
        raise _unwired(f"{limit} before {before}")

    async def rollout(self, rollout: RolloutId) -> RolloutView:
        """Refuse."""
        raise _unwired(rollout)

    async def act(self, request: ActRequest) -> RolloutView:
        """Refuse."""
        raise _unwired(request.rollout)

    async def why(self, subject: str | None) -> Sequence[WhyView]:
        """Refuse."""
        raise _unwired(subject or "everything")


class UnwiredDrains:
    """The Drains of a service that has none."""

    async def drain(
        self, instance: InstanceId, policy: DrainPolicy, *, confirmed: bool, requested_by: str
    ) -> DrainView:
        """Refuse."""
        raise _unwired(f"{instance} {policy.timeout_s} {confirmed} {requested_by}")

    async def uncordon(self, instance: InstanceId, *, requested_by: str) -> DrainView:
        """Refuse."""
        raise _unwired(f"{instance} {requested_by}")

    async def drain_state(self, drain: str) -> DrainView:
        """Refuse."""
        raise _unwired(drain)


def _unwired(detail: str) -> RefusedError:
    return RefusedError(
        kind="not-there",
        status=501,
        title="This orchestrator has no rollouts",
        detail=detail,
        action="Upgrade it.",
    )
