"""What Kubernetes tells of an instance's Node: whether it is Ready, and who has cordoned it.

It is known only where the orchestrator was given a credential, and only while the API server can be watched.
What was told last is believed for a while after that, for the API server may itself be what is upgraded; then
it is forgotten, since a rollout must not wait for ever for a Node that nobody sees.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from orchestrator.domain.instance import Instance, NodeSeen, Turn

NODE_MEMORY: Final = timedelta(minutes=5)
SOMEBODY_ELSE: Final = "somebody else"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllNodes:
    """The Nodes that there are: one that is not among them is gone."""

    nodes: tuple[NodeSeen, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChanged:
    """One Node is other than before, or new; `node` is None if it is gone."""

    name: str
    node: NodeSeen | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesLost:
    """The API server can't be watched; all Nodes are told anew once it can be."""

    reason: str


NodeNews = AllNodes | NodeChanged | NodesLost


def heard(turn: Turn, node: NodeSeen | None) -> None:
    """Take in what a Node is now; what an operator would want to know of it goes to the tail."""
    before = turn.instance.node
    turn.become(node=node)
    if before is None or node is None:
        return
    if before.ready is not node.ready:
        turn.emit("node_ready" if node.ready else "node_not_ready", node=node.name, reason=node.reason)
    if is_cordoned_otherwise(before, node):
        kind = "node_cordoned" if node.unschedulable else "node_uncordoned"
        turn.emit(kind, node=node.name, owner=node.owner or "")


def unwatched(turn: Turn) -> None:
    """Begin to forget the Node, unless that has begun."""
    node = turn.instance.node
    if node is not None and node.unwatched_at is None:
        turn.become(node=replace(node, unwatched_at=turn.at))


def look(turn: Turn) -> None:
    """Forget a Node of which nothing was told for too long."""
    node, due = turn.instance.node, forgotten_at(turn.instance)
    if node is not None and due is not None and due <= turn.at:
        turn.become(node=None)
        turn.emit("node_forgotten", node=node.name)


def forgotten_at(instance: Instance) -> datetime | None:
    """Return when the instance's Node is forgotten, None while it is watched or not known."""
    node = instance.node
    return None if node is None or node.unwatched_at is None else node.unwatched_at + NODE_MEMORY


def is_cordoned_otherwise(before: NodeSeen | None, after: NodeSeen | None) -> bool:
    """Tell whether a Node was cordoned, uncordoned, or cordoned by another."""
    return _cordon(before) != _cordon(after)


def _cordon(node: NodeSeen | None) -> tuple[bool, str | None]:
    return (False, None) if node is None or not node.unschedulable else (True, node.owner)


def cordoned_by_another(instance: Instance, *, owner: str | None = None, held: bool = False) -> str | None:
    """Return who other than `owner` has cordoned an instance's Node, None if nobody has.

    A cordon that we know as ours is nobody else's. One that bears no name is so too if we know of one of
    ours, or if `owner` holds the instance's slot (`held`): the site's own drain command leaves no name.
    """
    node = instance.node
    if node is None or not node.unschedulable:
        return None
    ours = None if instance.cordon is None else instance.cordon.owner
    if node.owner is None:
        return None if held or ours is not None else SOMEBODY_ELSE
    return None if node.owner in {owner, ours, instance.lifted} else node.owner
