"""A door like the orchestrator's, of aiohttp's own file server behind mutual TLS, and its authority."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import trustme
from aiohttp import web

from broker.ids import Digest
from puppet_bridge.bundle import file_name
from puppet_bridge.stores import TlsFiles


class Authority:
    """A certificate authority made for one test."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self._ca.cert_pem.write_to_path(str(folder / "ca.pem"))

    def client(self, name: str) -> TlsFiles:
        """Issue what a client needs."""
        issued = self._ca.issue_cert(common_name=name, key_type=trustme.KeyType.ECDSA)
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(key))
        return TlsFiles(ca=self._folder / "ca.pem", certificate=certificate, key=key)

    def server(self) -> ssl.SSLContext:
        """Return the context of a server on 127.0.0.1 that lets in only its own clients."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.verify_mode = ssl.CERT_REQUIRED
        self._ca.configure_trust(context)
        self._ca.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA).configure_cert(context)
        return context


class Door:
    """Serves the archives of a folder; `answers` are statuses to give first, and `deaf` ignores Range."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.answers: list[int] = []
        self.deaf = False
        self.ranges: list[str | None] = []

    @contextlib.asynccontextmanager
    async def open(self, context: ssl.SSLContext) -> AsyncIterator[int]:
        """Serve on a free port of this machine, and yield it."""
        app = web.Application()
        app.router.add_get("/bundles/{digest}", self._serve)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        try:
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.ranges.append(request.headers.get("Range"))
        if self.answers:
            return web.Response(status=self.answers.pop(0))
        path = self._folder / file_name(Digest(request.match_info["digest"]))
        if not path.exists():
            return web.Response(status=404)
        if self.deaf:
            return web.Response(body=path.read_bytes())
        return web.FileResponse(path)
