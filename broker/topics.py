"""Topics say who speaks to whom, and the broker's ACL believes them: so one module makes and reads them.

A topic built elsewhere by an f-string could carry a wildcard or a slash in a name, and one parsed elsewhere
could take a stranger's word for an instance's. Here every name is checked in both directions.

    tarmak/1/{cluster}/cmd/{role}                    commands to every wing of a role
    tarmak/1/{cluster}/cmd/{role}/{instance}         commands to one wing
    tarmak/1/{cluster}/presence/{role}/{instance}    birth, heartbeat, offline, lost; retained
    tarmak/1/{cluster}/evt/{role}/{instance}         facts and pongs
    tarmak/1/{cluster}/log/{role}/{instance}         live lines and progress
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from broker import ids
from broker.errors import InvalidIdError, TopicError
from broker.ids import ClusterName, InstanceId, Role

PREFIX: Final = "tarmak/1"
ANY: Final = "+"

_TO_ROLE: Final = 5
_TO_INSTANCE: Final = 6


class Channel(Enum):
    """What is spoken under a topic; the values are the topic's own words."""

    COMMAND = "cmd"
    PRESENCE = "presence"
    FACTS = "evt"
    LOG = "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic taken apart; `instance` is None only for the commands to a whole role."""

    channel: Channel
    cluster: ClusterName
    role: Role
    instance: InstanceId | None


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one cluster. Every method raises InvalidIdError for a name that is not of its form."""

    cluster: ClusterName

    def __post_init__(self) -> None:
        ids.cluster_name(self.cluster)

    def command_role(self, role: Role) -> str:
        """Return where commands to every wing of `role` go."""
        return f"{PREFIX}/{self.cluster}/{Channel.COMMAND.value}/{ids.role(role)}"

    def command(self, role: Role, instance: InstanceId) -> str:
        """Return where commands to one wing go."""
        return self._of(Channel.COMMAND, role, instance)

    def presence(self, role: Role, instance: InstanceId) -> str:
        """Return where a wing's birth, heartbeats and death are retained."""
        return self._of(Channel.PRESENCE, role, instance)

    def facts(self, role: Role, instance: InstanceId) -> str:
        """Return where a wing publishes its facts and pongs."""
        return self._of(Channel.FACTS, role, instance)

    def log(self, role: Role, instance: InstanceId) -> str:
        """Return where a wing publishes live lines and progress."""
        return self._of(Channel.LOG, role, instance)

    def wing_filters(self, role: Role, instance: InstanceId) -> tuple[str, ...]:
        """Return what a wing subscribes to: its role's commands, its own, and its own presence."""
        return (self.command_role(role), self.command(role, instance), self.presence(role, instance))

    def orchestrator_filters(self) -> tuple[str, ...]:
        """Return what an orchestrator subscribes to: all that wings say."""
        return tuple(
            f"{PREFIX}/{self.cluster}/{channel.value}/{ANY}/{ANY}"
            for channel in (Channel.PRESENCE, Channel.FACTS, Channel.LOG)
        )

    def _of(self, channel: Channel, role: Role, instance: InstanceId) -> str:
        return f"{PREFIX}/{self.cluster}/{channel.value}/{ids.role(role)}/{ids.instance_id(instance)}"


def parse(topic: str) -> Topic:
    """Return `topic` taken apart, or raise TopicError: a filter, a foreign topic or an ill-formed name."""
    parts = topic.split("/", _TO_INSTANCE)
    if "/".join(parts[:2]) != PREFIX:
        raise TopicError(topic=topic)
    try:
        return _parsed(parts)
    except ValueError as error:
        raise TopicError(topic=topic) from error


def _parsed(parts: list[str]) -> Topic:
    channel = Channel(parts[3]) if len(parts) in (_TO_ROLE, _TO_INSTANCE) else None
    if channel is None or (len(parts) == _TO_ROLE and channel is not Channel.COMMAND):
        raise InvalidIdError(field="topic", value="/".join(parts))
    return Topic(
        channel=channel,
        cluster=ids.cluster_name(parts[2]),
        role=ids.role(parts[4]),
        instance=ids.instance_id(parts[5]) if len(parts) == _TO_INSTANCE else None,
    )
