"""What operators see of joining: tokens, and who is enrolled by what."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from broker.ids import InstanceId, Role
from orchestrator.domain.joining import TokenState


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    """A token to join with.

    `token` is its text, which is said once, when it is made, with the `url` of the door that takes it.
    """

    id: str
    instance: InstanceId
    role: Role
    pool: str
    labels: Mapping[str, str]
    node: str | None
    addresses: tuple[str, ...]
    state: TokenState
    made_by: str
    made_at: datetime
    expires_at: datetime
    used_at: datetime | None
    token: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentView:
    """An instance that belongs to the fleet, and whether by the roster file or since it has joined."""

    instance: InstanceId
    role: Role
    pool: str
    joined: bool
    enrolled_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedView:
    """What was taken from an instance: how many open tokens, and whether it was on the fleet."""

    instance: InstanceId
    tokens: int
    enrolled: bool
