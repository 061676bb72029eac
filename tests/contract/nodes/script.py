"""An API server that says what a script tells it to: what a real one says once in a blue moon."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Script:
    """The answers in their order, the last one for ever, and the queries that they were given to."""

    kubeconfig: Path
    answers: list[Answer] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)

    def says(self, *answers: Answer) -> None:
        """Let it answer so from now on."""
        self.answers = list(answers)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)

    @property
    def watched(self) -> list[str]:
        """The versions from which it was watched."""
        return [query["resourceVersion"] for query in self.queries if "watch" in query]


@asynccontextmanager
async def scripted(folder: Path) -> AsyncIterator[Script]:
    """Serve a script at a port of this host."""
    script = Script(kubeconfig=folder / "kubeconfig")
    app = web.Application()
    app.router.add_get("/{tail:.*}", script.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.01)  # 0 would be for ever
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        script.kubeconfig.write_text(yaml.safe_dump(_kubeconfig(f"http://{host}:{port}")))
        yield script
    finally:
        await runner.cleanup()


def page(version: str, *names: str, more: str | None = None) -> Answer:
    """Answer a page of Nodes."""
    body = {
        "metadata": {"resourceVersion": version, "continue": more},
        "items": [node(name, version) for name in names],
    }
    return said(200, body)


def said(status: int, body: object) -> Answer:
    """Answer something else, as JSON or as it is."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, content_type="application/json")

    return answer


def events(*each: object, ends: bool = True) -> Answer:
    """Answer a watch with these events; one that does not end stays silent then."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for event in each:
            await response.write(json.dumps(event).encode() + b"\n")
        if not ends:
            await asyncio.get_running_loop().create_future()
        return response

    return answer


def event(kind: str, name: str, version: str, **more: Any) -> dict[str, Any]:
    """Return one event of a watch about a Node."""
    return {"type": kind, "object": node(name, version, **more)}


def failed(code: int, message: str) -> dict[str, Any]:
    """Return the event by which an API server ends a watch."""
    return {"type": "ERROR", "object": {"kind": "Status", "code": code, "message": message}}


def node(name: str, version: str, **more: Any) -> dict[str, Any]:
    """Return a Ready Node as JSON."""
    ready = {"type": "Ready", "status": "True"}
    return {
        "metadata": {"name": name, "resourceVersion": version, **more},
        "status": {"conditions": [ready]},
    }


def _kubeconfig(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
