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
from orchestrator.api import bundles as bundle_routes
from orchestrator.api.openapi import document
from orchestrator.api.server import ROUTES, SocketConfig, serve
from orchestrator.domain.views import Selector
from tests.unit.orchestrator.faces import V1, Memory, a_bundle, a_run, an_event, an_instance, run_id

WORKER = an_instance("worker-1")


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    made = Memory(tmp_path)
    made.fleet.put(WORKER, an_instance("etcd-1"))
    made.runs.views[run_id(1)] = a_run(1)
    made.runs.logs[run_id(1)] = [{"level": "notice", "message": "done"}]
    made.runs.plans["t1"] = made.plan_of()
    made.bundles.views.append(a_bundle())
    made.tail.stored += [an_event(1), an_event(2)]
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
@pytest.mark.parametrize("path", ["/v1/converge", "/v1/ping"])
async def test_an_empty_selection_is_an_error(
    api: aiohttp.ClientSession, memory: Memory, path: str, body: dict[str, Any]
) -> None:
    """Nothing selected is never everything."""
    await problem(await api.post(path, json=body), 400, "empty-selection")
    assert memory.runs.requests == []
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
    ],
)
async def test_a_body_that_is_not_understood_is_refused(
    api: aiohttp.ClientSession, memory: Memory, path: str, body: bytes
) -> None:
    """What is no JSON, of the wrong type or out of bounds is a problem, and nothing happens."""
    await problem(await api.post(path, data=body), 400, "bad-request")
    assert memory.runs.requests == []


@pytest.mark.parametrize(
    "path",
    [
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
