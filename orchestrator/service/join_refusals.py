"""How it is said that a token can't be made, or a host not be let in; who only guesses learns nothing."""

from typing import Final

from orchestrator.domain.joining import JoinToken
from orchestrator.operations import RefusedError
from orchestrator.service.state import ClusterState

PLAIN: Final = "this token is not accepted"


def refused(kind: str, status: int, detail: str, action: str) -> RefusedError:
    """Return the error for what can't be done."""
    title = "That can't be done"
    return RefusedError(kind=kind, status=status, title=title, detail=detail, action=action)


def turned_away(reason: str = PLAIN) -> RefusedError:
    """Return the error for a host that is not let in."""
    action = "ask for another one: tarmak enrol token --instance … --role …"
    return RefusedError(kind="not-admitted", status=403, title="Not admitted", detail=reason, action=action)


def no_door() -> RefusedError:
    """Return the error for a daemon by which nobody can join."""
    detail = "this orchestrator lacks [authority], which signs certificates, or [join], the door"
    action = "add both to orchestrator.toml, or enrol in the roster file"
    return refused("no-door", 409, detail, action)


def conflict(state: ClusterState, token: JoinToken, key: str | None = None) -> RefusedError | None:
    """Return why nobody can join by a token as things stand, with that signing key; None if one can.

    What stands in the roster file would be taken back by it, and two instances with one Node, or one key,
    would each speak for the other.
    """
    known = state.instances.get(token.instance)
    if known is not None and not known.enrolment.joined:
        detail = f"{token.instance} stands in the roster file"
        return refused("in-roster", 409, detail, "take it out of the file first, or choose another id")
    node = token.node or token.instance
    for name, item in state.instances.items():
        if name == token.instance:
            continue
        if item.enrolment.node_name == node:
            return refused("node-taken", 409, f"the Node {node} is {name}'s", "name another one with --node")
        if item.enrolment.key == key:
            detail, action = f"that signing key is {name}'s", "let the host make a key of its own"
            return refused("key-taken", 409, detail, action)
    return None
