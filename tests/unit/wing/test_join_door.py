"""Whom a host that joins believes before it tells its secret."""

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.local_ca import LocalCa
from wing.join_door import DoorPlace, JoinError, Request, knock

HOST = "127.0.0.1"


class Impostor(HTTPServer):
    """Shows whatever certificate it likes as the authority's, and hears what it is told."""

    def __init__(self, shown: str) -> None:
        super().__init__((HOST, 0), _Answers)
        self.shown = shown
        self.heard: list[Any] = []


class _Answers(BaseHTTPRequestHandler):
    server: Impostor

    def do_GET(self) -> None:
        self._answer({"ca": self.server.shown})

    def do_POST(self) -> None:
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer({})

    def _answer(self, plain: object) -> None:
        content = json.dumps(plain).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's
        """Say nothing."""


@contextmanager
def impostor(folder: Path, shown: str) -> Iterator[Impostor]:
    """Answer, with a certificate of another authority, while the block runs; `shown` precedes that one's."""
    other = LocalCa.create(folder / "other")
    own = other.issue_server("door", hosts=[HOST]).write(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    with Impostor(shown + other.certificate.read_text()) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever, name="tests.impostor")
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join()


def padded_authority(folder: Path) -> str:
    """Return an authority's certificate whose base64 ends with padding, as that of two in three does."""
    for number in range(1000):
        pem = LocalCa.create(folder / f"ca-{number}").certificate.read_text()
        if "=" in pem:
            return pem
    raise AssertionError("no certificate with padding")


def test_nobody_is_believed_for_showing_the_authority_beside_another(tmp_path: Path) -> None:
    """What was hashed is all that is trusted: a second certificate behind the right one proves nothing."""
    pem = padded_authority(tmp_path)
    authority = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    with impostor(tmp_path, pem) as server:
        place = DoorPlace(host=HOST, port=server.server_port)
        with pytest.raises(JoinError, match="does not prove who it is"):
            knock(place, Request(token="secret", csr="", signing_key=""), authority=authority)
    assert server.heard == []
