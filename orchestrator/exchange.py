"""One HTTP exchange over a daemon's Unix socket, with the standard library and no event loop.

A command that asks one thing has 0.3 s, of which importing an asynchronous HTTP client would take more
than all. What can go wrong on the way is one tree, so that the commands tell "nobody is there" from "it
said no".

ClientError
├── BadUrlError         no URL of an orchestrator
├── UnreachableError    nobody answers at the URL
├── StrangeAnswerError  what answers does not speak this API
└── ProblemError        the orchestrator refused, and says what to do
"""

import http.client
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from orchestrator import sse
from orchestrator.sse import SentEvent

T = TypeVar("T")

SCHEME: Final = "unix://"
ANSWER_S: Final = 60.0
SILENCE_S: Final = 45.0
PIECE: Final = 64 * 1024
REFUSED_FROM: Final = 400


class ClientError(Exception):
    """The root of what can go wrong between a client and its orchestrator."""


class BadUrlError(ClientError):
    """A URL does not name an orchestrator's socket."""

    def __init__(self, *, url: str) -> None:
        self.url = url
        super().__init__(f"{url!r} is no orchestrator's URL")


class UnreachableError(ClientError):
    """Nobody answers at `url`."""

    def __init__(self, *, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"{url}: {reason}")


class StrangeAnswerError(ClientError):
    """Something answers at `url`, but not as an orchestrator of this version would."""

    def __init__(self, *, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"{url}: {reason}")


class ProblemError(ClientError):
    """The orchestrator refused: `kind` is a stable word, `action` what to do."""

    def __init__(self, problem: "Problem") -> None:
        self.kind = problem.kind
        self.status = problem.status
        self.title = problem.title
        self.detail = problem.detail
        self.action = problem.action
        super().__init__(f"{problem.title}: {problem.detail}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What a client reads of an RFC 9457 problem."""

    kind: str = "unknown"
    title: str = "The orchestrator refused"
    status: int = 0
    detail: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request: `content` is JSON, or bytes in pieces of unknown number."""

    method: str
    path: str
    content: bytes | Iterable[bytes] | None = None
    headers: Mapping[str, str] | None = None


class Exchange:
    """Carries requests to the socket that `url` names, each over a connection of its own."""

    def __init__(self, url: str) -> None:
        if not url.startswith(f"{SCHEME}/"):
            raise BadUrlError(url=url)
        self.url = url
        self.hung_up = False
        self._streaming: socket.socket | None = None

    def hang_up(self) -> None:
        """End the stream that another thread is reading, and start no further one."""
        self.hung_up = True
        streaming = self._streaming
        if streaming is not None:
            with suppress(OSError):  # it may have broken by itself just now
                streaming.shutdown(socket.SHUT_RDWR)

    def ask(self, asked: Asked, form: type[T], *, answer_s: float = ANSWER_S) -> T:
        """Return the answer as `form`; `answer_s` bounds each silence."""
        with closing(self._connection(answer_s)) as connection, self._sent(connection, asked) as response:
            return self.decoded(self._read(response), form)

    def stream(self, path: str) -> Iterator[SentEvent | None]:
        """Yield server-sent events until the stream ends, and None for each sign of life without one."""
        asked = Asked(method="GET", path=path, headers={"Accept": "text/event-stream"})
        decoder = sse.Decoder()
        with closing(self._connection(SILENCE_S)) as connection, self._sent(connection, asked) as response:
            self._streaming = connection.sock
            yield None
            while not self.hung_up and (piece := self._piece(response)):
                yield None
                yield from self._fed(decoder, piece)

    def _fed(self, decoder: sse.Decoder, piece: bytes) -> Iterator[SentEvent]:
        try:
            yield from decoder.feed(piece)
        except ValueError as error:
            raise StrangeAnswerError(url=self.url, reason=f"its stream is not understood: {error}") from error

    def decoded(self, content: bytes | str, form: type[T]) -> T:
        """Return JSON as `form`, or raise StrangeAnswerError."""
        try:
            return msgspec.json.decode(content, type=form)
        except msgspec.MsgspecError as error:
            reason = f"its answer is not understood ({error}); is it of the same version?"
            raise StrangeAnswerError(url=self.url, reason=reason) from error

    def _connection(self, timeout_s: float) -> "_UnixConnection":
        return _UnixConnection(self.url.removeprefix(SCHEME), timeout_s=timeout_s)

    def _sent(self, connection: "_UnixConnection", asked: Asked) -> http.client.HTTPResponse:
        try:
            connection.connect()
        except (OSError, ValueError) as error:
            raise UnreachableError(url=self.url, reason=_reason(error)) from error
        try:
            _send(connection, asked)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(url=self.url, reason=f"no answer ({_reason(error)})") from error
        if response.status >= REFUSED_FROM:
            with response:
                raise ProblemError(self.decoded(self._read(response) or b"{}", Problem))
        return response

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read()
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(url=self.url, reason=f"the answer broke off ({_reason(error)})") from error

    def _piece(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read1(PIECE)
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(url=self.url, reason=f"the stream broke off ({_reason(error)})") from error


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket; `timeout_s` bounds each silence, in seconds."""

    def __init__(self, path: str, *, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        """Connect to the socket, where the standard library would look a host up."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self._timeout_s)
            connection.connect(self._path)
        except BaseException:
            connection.close()
            raise
        self.sock = connection


def _send(connection: _UnixConnection, asked: Asked) -> None:
    """Send the request; a server that has refused before the end is not an error, its answer is."""
    headers = dict(asked.headers or {})
    pieces: Any = asked.content
    chunked = pieces is not None and not isinstance(pieces, bytes)
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
    try:
        connection.request(asked.method, asked.path, body=pieces, headers=headers, encode_chunked=chunked)
    except BrokenPipeError:
        if not chunked:
            raise


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return str(error) or type(error).__name__
