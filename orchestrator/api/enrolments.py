"""The routes about who belongs to the fleet, and who may join it."""

import ipaddress
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from broker import ids
from broker.errors import InvalidIdError
from orchestrator.api.parameters import as_instances, as_roles
from orchestrator.api.problems import refusal
from orchestrator.api.route import Call, Route, answer
from orchestrator.domain.join_views import EnrolmentView, RevokedView, TokenView
from orchestrator.domain.joining import LIFE
from orchestrator.operations import TokenRequest

LONGEST_TEXT: Final = 253
MOST_ADDRESSES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBody:
    """Whom a token is for; `addresses` are names and addresses for its certificate, `life_s` in seconds."""

    instance: str
    role: str
    pool: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    node: str | None = None
    addresses: tuple[str, ...] = ()
    life_s: float = LIFE.total_seconds()


async def make_token(call: Call) -> web.StreamResponse:
    """Answer with a token, the only time that its text is said."""
    body = await call.body(TokenBody)
    (instance,), (role,) = as_instances([body.instance]), as_roles([body.role])
    for name, text in {"pool": body.pool, **_texts(body.labels)}.items():
        _refuse_unprintable(name, text)
    if "" in body.labels:
        raise refusal("labels: one has no name", action="Write a label as zone=a.")
    if len(body.addresses) > MOST_ADDRESSES:
        raise refusal(f"addresses: more than {MOST_ADDRESSES}", action="Leave some away.")
    request = TokenRequest(
        instance=instance,
        role=role,
        pool=body.pool,
        labels=body.labels,
        node=None if body.node is None else _host(body.node, "node"),
        addresses=tuple(_host(text, "addresses") for text in body.addresses),
        life_s=body.life_s,
        requested_by=call.caller,
    )
    return answer(await call.faces.enrolments.token(request), status=201)


async def list_tokens(call: Call) -> web.StreamResponse:
    """Answer with the tokens that are kept."""
    return answer(list(await call.faces.enrolments.tokens()))


async def list_enrolled(call: Call) -> web.StreamResponse:
    """Answer with who is enrolled."""
    return answer(list(await call.faces.enrolments.enrolled()))


async def revoke(call: Call) -> web.StreamResponse:
    """Take an instance off the fleet, and its tokens with it."""
    (instance,) = as_instances([call.part("id")])
    return answer(await call.faces.enrolments.revoke(instance, requested_by=call.caller))


def _texts(labels: dict[str, str]) -> dict[str, str]:
    return {f"label {place + 1}": f"{name}={value}" for place, (name, value) in enumerate(labels.items())}


def _refuse_unprintable(name: str, text: str) -> None:
    """Refuse what would go into each host's configuration and every table of the fleet."""
    if len(text) > LONGEST_TEXT or not text.isprintable():
        raise refusal(f"{name}: not {LONGEST_TEXT} printable characters at most", action="Correct it.")


def _host(text: str, name: str) -> str:
    try:
        address = str(ipaddress.ip_address(text))
    except ValueError:
        address = "%"  # then it has to be a name
    if "%" not in address:  # a zone is a host's own name for a way out of it
        return address
    try:
        return ids.host_name(text)
    except InvalidIdError as error:
        detail = f"{name}: {text!r} is neither a host's name nor an address"
        raise refusal(detail, action="Correct it.") from error


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/enrolments",
        summary="Who belongs to the fleet: by the roster file, or having joined.",
        handler=list_enrolled,
        answer=list[EnrolmentView],
    ),
    Route(
        method="POST",
        path="/v1/enrolments/{id}/revoke",
        summary="Withdraw an instance's tokens, and take it off the fleet if it has joined.",
        handler=revoke,
        answer=RevokedView,
        refusals=(404, 409),
    ),
    Route(
        method="GET",
        path="/v1/tokens",
        summary="The tokens to join with, newest first, without their secrets.",
        handler=list_tokens,
        answer=list[TokenView],
    ),
    Route(
        method="POST",
        path="/v1/tokens",
        summary="Make a token with which one host may join once, as one instance.",
        handler=make_token,
        answer=TokenView,
        status=201,
        body=TokenBody,
        refusals=(409,),
    ),
)
