"""Every route answers what its document says, and refuses what it does not know."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest

from broker import ids
from broker.messages import DrainPolicy
from orchestrator.api import bundles as bundle_routes
from orchestrator.api.openapi import document
from orchestrator.api.server import ROUTES, SocketConfig, serve
from orchestrator.domain.rollout.strategy import Amount, Strategy
from orchestrator.domain.rollout_views import CordonView, WhyView
from orchestrator.domain.views import Selector
from orchestrator.operations import RolloutAction
from orchestrator.ports import JournalError
from tests.unit.orchestrator.faces import (
    V1,
    V2,
    Memory,
    a_bundle,
    a_drain,
    a_rollout,
    a_run,
    an_event,
    an_instance,
    run_id,
)

WORKER = an_instance("worker-1")
WHY = WhyView(subject="worker-1", cause="drain blocked", sentence="worker-1 waits.", command=None)
CORDON = CordonView(
    instance=WORKER.id, owner="r-7", reason="revert failed", command="tarmak uncordon worker-1"
)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    made = Memory(tmp_path)
    made.fleet.put(WORKER, an_instance("etcd-1"))
    made.runs.views[run_id(1)] = a_run(1)
    made.runs.logs[run_id(1)] = [{"level": "notice", "message": "done"}]
    made.runs.plans["t1"] = made.plan_of()
    made.bundles.views.append(a_bundle())
    made.tail.stored += [an_event(1), an_event(2)]
    made.rollouts.views["r-7"] = a_rollout(7, cordons=(CORDON,), needs=("one",), expected_s=60.0)
    made.rollouts.whys.append(WHY)
    made.drains.views["d-1"] = a_drain(blocked=("shop/cart-0: budget",))
    return made


@pytest.fixture
async def api(memory: Memory, tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    socket = tmp_path / "api.sock"
    async with serve(memory.faces, SocketConfig(path=socket)), session(socket) as made:
        yield made


@asynccontextmanager
async def session(socket: Path) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.UnixConnector(path=str(socket))
    async with aiohttp.ClientSession("http://localhost", connector=connector) as made:
        yield made


async def problem(response: aiohttp.ClientResponse, status: int, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = await response.json(content_type="application/problem+json")
    assert (response.status, found["kind"]) == (status, kind), found
    assert found["status"] == status
    assert found["action"]
    return found


EXAMPLES: dict[tuple[str, str], dict[str, Any]] = {
    ("GET", "/v1/instances/{id}"): {"id": "worker-1"},
    ("GET", "/v1/bundles/{digest}"): {"digest": V1},
    ("GET", "/v1/runs/{id}"): {"id": run_id(1)},
    ("GET", "/v1/runs/{id}/log"): {"id": run_id(1)},
    ("POST", "/v1/runs/{id}/cancel"): {"id": run_id(1)},
    ("GET", "/v1/plans/{ticket}"): {"ticket": "t1"},
    ("POST", "/v1/converge"): {"json": {"selector": {"all": True}}},
    ("POST", "/v1/ping"): {"json": {"selector": {"roles": ["worker"]}}},
    ("POST", "/v1/bundles"): {"data": b"packed"},
    ("POST", "/v1/rollouts/preview"): {"json": {"bundle": V2, "selector": {"all": True}}},
    ("POST", "/v1/rollouts"): {"json": {"bundle": V2, "selector": {"all": True}}},
    ("GET", "/v1/rollouts/{id}"): {"id": "r-7"},
    **{("POST", f"/v1/rollouts/{{id}}/{action.value}"): {"id": "r-7"} for action in RolloutAction},
    ("POST", "/v1/instances/{id}/drain"): {"id": "worker-1"},
    ("POST", "/v1/instances/{id}/uncordon"): {"id": "worker-1"},
    ("GET", "/v1/drains/{id}"): {"id": "d-1"},
    ("POST", "/v1/tokens"): {"json": {"instance": "worker-9", "role": "worker"}},
    ("POST", "/v1/enrolments/{id}/revoke"): {"id": "worker-1"},
}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_each_answer_is_what_the_document_says(api: aiohttp.ClientSession, route: Any) -> None:
    """Every route is in the document, and what it really answers is valid by the schema that stands there."""
    described = await (await api.get("/v1/openapi.json")).json()
    operation = described["paths"][route.path][route.method.lower()]
    example = dict(EXAMPLES.get((route.method, route.path), {}))
    sent = {name: example.pop(name) for name in ("json", "data") if name in example}
    response = await api.request(route.method, route.path.format(**example), **sent)
    assert response.status == route.status, await response.text()
    schema = operation["responses"][str(route.status)]["content"]["application/json"]["schema"]
    whole = {**schema, "components": described["components"]}
    jsonschema.Draft202012Validator(whole).validate(await response.json())


def test_the_document_lists_each_route_once() -> None:
    """Paths and methods of the document are those of the table, with unique operation ids."""
    described = document(ROUTES)
    listed = [(method.upper(), path) for path, methods in described["paths"].items() for method in methods]
    assert sorted(listed) == sorted((route.method, route.path) for route in ROUTES)
    names = [each["operationId"] for methods in described["paths"].values() for each in methods.values()]
    assert len(set(names)) == len(names)


async def test_an_unknown_parameter_is_refused_with_the_nearest(api: aiohttp.ClientSession) -> None:
    """A misspelt `?rolle=` would have selected everything; it is an error that names `role`."""
    found = await problem(await api.get("/v1/instances?rolle=worker"), 400, "bad-request")
    assert "'rolle'" in found["detail"]
    assert "'role'" in found["action"]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"selector": {"all": True}, "nop": True}, "noop"),
        ({"selector": {"role": ["worker"]}}, "roles"),
    ],
)
async def test_an_unknown_key_is_refused_with_the_nearest(
    api: aiohttp.ClientSession, body: dict[str, Any], word: str
) -> None:
    """A misspelt key must not become a converge that is no dry run; at any depth."""
    found = await problem(await api.post("/v1/converge", json=body), 400, "bad-request")
    assert f"'{word}'" in found["action"]


@pytest.mark.parametrize("body", [{}, {"selector": {}}, {"selector": {"all": False}}])
@pytest.mark.parametrize("path", ["/v1/converge", "/v1/ping", "/v1/rollouts", "/v1/rollouts/preview"])
async def test_an_empty_selection_is_an_error(
    api: aiohttp.ClientSession, memory: Memory, path: str, body: dict[str, Any]
) -> None:
    """Nothing selected is never everything."""
    body = {**body, "bundle": V1} if "rollouts" in path else body
    await problem(await api.post(path, json=body), 400, "empty-selection")
    assert memory.runs.requests == []
    assert memory.rollouts.requests == []
    assert memory.fleet.pinged == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/converge", b"{"),
        ("/v1/converge", b"[]"),
        ("/v1/converge", b'{"selector": {"all": "yes"}}'),
        ("/v1/converge", b'{"selector": {"all": true, "roles": ["worker"]}}'),
        ("/v1/converge", b'{"selector": {"all": true}, "parallel": 0}'),
        ("/v1/converge", b'{"selector": {"all": true}, "timeout_s": 0}'),
        ("/v1/converge", b'{"selector": {"all": true}, "bundle": "v1"}'),
        ("/v1/converge", b'{"selector": {"roles": ["Not A Role"]}}'),
        ("/v1/ping", b'{"selector": {"instances": ["a_b"]}}'),
        ("/v1/ping", b'{"selector": {"all": true}, "timeout_s": 1e9}'),
        ("/v1/rollouts", b'{"selector": {"all": true}}'),
        ("/v1/rollouts", b'{"selector": {"all": true}, "bundle": "v1"}'),
        (
            "/v1/rollouts/preview",
            b'{"selector": {"all": true}, "bundle": "%s", "approved": ""}' % V1.encode(),
        ),
        ("/v1/rollouts", b'{"selector": {"all": true}, "bundle": "%s", "strategy": []}' % V1.encode()),
        ("/v1/rollouts/7/pause", b"{}"),
        ("/v1/rollouts/r-7/pause", b'{"instances": ["worker-1"]}'),
        ("/v1/rollouts/r-7/abort", b'{"beyond_failed": 1}'),
        ("/v1/rollouts/r-7/resume", b'{"beyond_failed": -1}'),
        ("/v1/rollouts/r-7/skip", b'{"instances": ["a_b"]}'),
        ("/v1/rollouts/r-7/retry", b'{"instance": ["worker-1"]}'),
        ("/v1/instances/A/drain", b"{}"),
        ("/v1/instances/A/uncordon", b"{}"),
    ],
)
async def test_a_body_that_is_not_understood_is_refused(
    api: aiohttp.ClientSession, memory: Memory, path: str, body: bytes
) -> None:
    """What is no JSON, of the wrong type or out of bounds is a problem, and nothing happens."""
    await problem(await api.post(path, data=body), 400, "bad-request")
    assert memory.runs.requests == []
    assert memory.rollouts.requests == []
    assert memory.rollouts.acts == []
    assert memory.drains.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/rollouts?limit=1001",
        "/v1/rollouts?before=7",
        "/v1/rollouts/r-0",
        "/v1/why?subjekt=worker-1",
        "/v1/runs?state=done",
        "/v1/runs?limit=0",
        "/v1/runs?limit=1&limit=2",
        "/v1/runs?before=1",
        "/v1/events?cursor=-1",
        "/v1/events?since=yesterday",
        "/v1/events?since=2026-01-01T00:00:00",
        "/v1/events?live=yes",
        "/v1/instances?label=zone",
        "/v1/instances/Not_One",
        "/v1/runs/1",
        "/v1/bundles/1",
    ],
)
async def test_a_query_that_is_not_understood_is_refused(api: aiohttp.ClientSession, path: str) -> None:
    """Values are checked as strictly as names."""
    await problem(await api.get(path), 400, "bad-request")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v2/instances", 404), ("DELETE", "/v1/instances", 405)]
)
async def test_errors_of_http_itself_errors_are_problems_too(
    api: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    """There is no other kind of error than a problem."""
    await problem(await api.request(method, path), status, "http")


async def test_a_fault_of_ours_says_so_without_its_inside(
    api: aiohttp.ClientSession, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody foresaw is a 500 that points to the log and shows nothing of itself."""

    async def broken() -> None:
        raise LookupError("inside")

    monkeypatch.setattr(memory.fleet, "status", broken)
    found = await problem(await api.get("/v1/status"), 500, "internal")
    assert "inside" not in str(found)


async def test_a_journal_that_is_away_is_told(
    api: aiohttp.ClientSession, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no fault of ours: 503, with what to do about the database."""

    async def away() -> None:
        raise JournalError(journal="j", reason="no answer in time", action="see that the database runs")

    monkeypatch.setattr(memory.fleet, "status", away)
    found = await problem(await api.get("/v1/status"), 503, "journal")
    assert (found["detail"], found["action"]) == ("no answer in time", "see that the database runs.")


async def test_a_refusal_of_the_service_goes_through_as_it_is(api: aiohttp.ClientSession) -> None:
    """Kind, status, title, detail and action of a RefusedError are those of the problem."""
    found = await problem(await api.get("/v1/instances/worker-9"), 404, "unknown-instance")
    assert (found["title"], found["detail"]) == ("No such instance", "worker-9")


async def test_a_converge_carries_who_asked_and_what(api: aiohttp.ClientSession, memory: Memory) -> None:
    """The request has the caller's name by the kernel's word, and every option."""
    body = {
        "selector": {"instances": ["worker-1"], "labels": {"zone": "a"}},
        "bundle": V1,
        "noop": True,
        "parallel": 2,
        "timeout_s": 60,
    }
    response = await api.post("/v1/converge", json=body)
    ticket = await response.json()
    assert response.headers["Location"] == f"/v1/plans/{ticket['id']}"
    (request,) = memory.runs.requests
    assert request.selector == Selector(instances=(ids.instance_id("worker-1"),), labels={"zone": "a"})
    assert (request.digest, request.noop, request.parallel, request.timeout_s) == (V1, True, 2, 60)
    assert request.requested_by


async def test_a_rollout_carries_who_asked_and_how(api: aiohttp.ClientSession, memory: Memory) -> None:
    """The request has the strategy as it was read, the approved hash, and the caller's name."""
    body = {
        "selector": {"roles": ["worker"]},
        "bundle": V2,
        "strategy": {"max_unavailable": "30%", "drain": {"timeout": "5m"}},
        "approved": "abc",
        "confirmed": True,
    }
    planned = await (await api.post("/v1/rollouts/preview", json=body)).json()
    assert planned["id"] is None
    response = await api.post("/v1/rollouts", json=body)
    assert response.headers["Location"] == "/v1/rollouts/r-7"
    (request,) = memory.rollouts.requests
    assert memory.rollouts.previews == [request]
    assert request.strategy == Strategy(
        max_unavailable=Amount(value=30, percent=True), drain=DrainPolicy(timeout_s=300)
    )
    assert (request.digest, request.approved, request.confirmed) == (V2, "abc", True)
    assert request.requested_by


async def test_a_steps_bundles_are_told_as_from_and_to(api: aiohttp.ClientSession) -> None:
    """As `rollout show -o json` documents it."""
    found = await (await api.get("/v1/rollouts/r-7")).json()
    assert (found["steps"][0]["from"], found["steps"][0]["to"]) == (V1, V2)


async def test_a_strategy_that_is_not_understood_names_its_field(
    api: aiohttp.ClientSession, memory: Memory
) -> None:
    """The path as it was written, and nothing is begun."""
    body = {"selector": {"all": True}, "bundle": V2, "strategy": {"health": {"pases": 1}}}
    for path in ("/v1/rollouts", "/v1/rollouts/preview"):
        found = await problem(await api.post(path, json=body), 400, "bad-strategy")
        assert found["detail"] == "health.pases: unknown; did you mean 'passes'?"
    body = {"policy": {"timeout": "soon"}}
    found = await problem(await api.post("/v1/instances/worker-1/drain", json=body), 400, "bad-policy")
    assert found["detail"].startswith("policy.timeout: 'soon' is no length of time")
    assert memory.rollouts.requests == []
    assert memory.drains.asked == []


@pytest.mark.parametrize("action", RolloutAction)
async def test_what_is_done_to_a_rollout_carries_who_did_it(
    api: aiohttp.ClientSession, memory: Memory, action: RolloutAction
) -> None:
    """With no body for all of it; with those named, and with the failures looked past."""
    response = await api.post(f"/v1/rollouts/r-7/{action.value}")
    assert response.headers["Location"] == "/v1/rollouts/r-7"
    (request,) = memory.rollouts.acts
    assert (request.rollout, request.action, request.instances, request.beyond_failed) == (
        "r-7",
        action,
        (),
        0,
    )
    assert request.requested_by


async def test_retrying_names_whom_and_what_to_look_past(api: aiohttp.ClientSession, memory: Memory) -> None:
    """Instances and `beyond_failed` arrive as they were said; a rollout that is not there is a 404."""
    body = {"instances": ["worker-1"], "beyond_failed": 2}
    assert (await api.post("/v1/rollouts/r-7/retry", json=body)).status == 202
    (request,) = memory.rollouts.acts
    assert (request.instances, request.beyond_failed) == (("worker-1",), 2)
    await problem(await api.post("/v1/rollouts/r-8/retry"), 404, "unknown-rollout")


async def test_why_asks_for_a_subject_or_for_all(api: aiohttp.ClientSession, memory: Memory) -> None:
    """Whatever waits, or what is named."""
    assert [each["subject"] for each in await (await api.get("/v1/why")).json()] == ["worker-1"]
    assert await (await api.get("/v1/why?subject=r-7")).json() == []
    assert memory.rollouts.asked == [None, "r-7"]


async def test_a_drain_carries_its_policy_and_who_asked(api: aiohttp.ClientSession, memory: Memory) -> None:
    """Its state is found where the answer says."""
    body = {"policy": {"force": True}, "confirmed": True}
    response = await api.post("/v1/instances/worker-1/drain", json=body)
    assert response.headers["Location"] == "/v1/drains/d-1"
    assert (await api.post("/v1/instances/worker-1/uncordon")).headers["Location"] == "/v1/drains/d-1"
    (instance, policy, confirmed, by), (_, none, _, also_by) = memory.drains.asked
    assert (instance, policy, confirmed, none) == ("worker-1", DrainPolicy(force=True), True, None)
    assert by
    assert also_by
    await problem(await api.get("/v1/drains/d-2"), 404, "unknown-drain")


async def test_an_upload_is_streamed_through(api: aiohttp.ClientSession, memory: Memory) -> None:
    """A bundle's bytes arrive as they were sent, whatever their number."""
    content = bytes(range(256)) * 4096
    response = await api.post("/v1/bundles", data=io.BytesIO(content))
    assert response.headers["Location"] == f"/v1/bundles/{V1}"
    assert memory.bundles.received == [content]


async def test_an_upload_has_a_bound(
    api: aiohttp.ClientSession, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle over the limit is refused before all of it is taken in."""
    monkeypatch.setattr(bundle_routes, "MAX_PACKED", 10)
    await problem(await api.post("/v1/bundles", data=b"x" * 11), 413, "too-large")
    assert memory.bundles.received == []


async def test_a_body_has_a_bound(api: aiohttp.ClientSession) -> None:
    """A JSON body that is megabytes long is refused, not read."""
    await problem(await api.post("/v1/converge", data=io.BytesIO(b" " * (5 * 1024**2))), 413, "http")


async def test_readiness_is_told_by_the_status(api: aiohttp.ClientSession, memory: Memory) -> None:
    """While a condition does not hold, /readyz is 503 and says which; /healthz is about the process alone."""
    memory.fleet.conditions["broker"] = False
    response = await api.get("/readyz")
    assert (response.status, await response.json()) == (503, {"journal": True, "broker": False})
    assert (await api.get("/healthz")).status == 200


async def test_a_token_is_asked_for_with_all_that_it_is_for(
    api: aiohttp.ClientSession, memory: Memory
) -> None:
    """Whom, what for, how long, and which names its certificate is to have."""
    body = {
        "instance": "worker-9",
        "role": "worker",
        "pool": "large",
        "labels": {"zone": "a"},
        "node": "node-9",
        "addresses": ["worker-9.site.example", "2001:DB8::1"],
        "life_s": 60,
    }
    made = await (await api.post("/v1/tokens", json=body)).json()
    assert made["token"] == "tmk1.the-token"
    (asked,) = memory.enrolments.asked
    assert (asked.instance, asked.pool, asked.labels) == ("worker-9", "large", {"zone": "a"})
    assert (asked.node, asked.life_s) == ("node-9", 60)
    assert asked.addresses == ("worker-9.site.example", "2001:db8::1")
    (listed,) = await (await api.get("/v1/tokens")).json()
    assert listed["token"] is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"instance": "Worker 9"}, "Worker 9"),
        ({"role": "no role"}, "no role"),
        ({"node": "Node_9"}, "node"),
        ({"addresses": ["a b"]}, "addresses"),
        ({"adresses": []}, "adresses"),
        ({"addresses": [f"h{n}" for n in range(17)]}, "addresses"),
        ({"addresses": ["fe80::1%eth0"]}, "addresses"),
        ({"pool": "a\nb"}, "pool"),
        ({"labels": {"zone": "a\x1b"}}, "label 1"),
        ({"labels": {"": "a"}}, "labels"),
    ],
)
async def test_what_a_token_can_t_be_for_is_refused_by_name(
    api: aiohttp.ClientSession, memory: Memory, change: dict[str, Any], word: str
) -> None:
    """Before the service hears of it."""
    body = {"instance": "worker-9", "role": "worker", **change}
    found = await problem(await api.post("/v1/tokens", json=body), 400, "bad-request")
    assert word in found["detail"]
    assert memory.enrolments.asked == []
