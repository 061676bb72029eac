"""The client's promises: a stream without a hole or a double, and errors that say who is at fault."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from broker import ids
from orchestrator import client as clients
from orchestrator.client import Client, Upgrade
from orchestrator.domain.rollout_views import WhyView
from orchestrator.domain.views import EventView, Selector
from orchestrator.exchange import BadUrlError, ProblemError, StrangeAnswerError, UnreachableError
from orchestrator.operations import RolloutAction
from tests.unit.orchestrator.faces import (
    V1,
    V2,
    Memory,
    a_bundle,
    a_run,
    an_event,
    an_instance,
    run_id,
    served,
)

WORKER = ids.instance_id("worker-1")
R7 = ids.rollout_id("r-7")
WHY = WhyView(subject="worker-1", cause="drain blocked", sentence="worker-1 waits.", command="tarmak why r-7")


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    made = Memory(tmp_path)
    made.fleet.put(an_instance("worker-1"), an_instance("etcd-1"))
    made.runs.views[run_id(1)] = a_run(1)
    made.bundles.views.append(a_bundle())
    made.tail.stored += [an_event(number) for number in range(1, 8)]
    return made


@pytest.fixture
def client(memory: Memory, tmp_path: Path) -> Iterator[Client]:
    with served(memory, tmp_path / "api.sock") as url:
        yield Client(url)


def test_views_come_back_as_they_were_made(client: Client, memory: Memory) -> None:
    """What the service made, the client hands out again, equal in every field."""
    assert client.instances(Selector(roles=(ids.role("worker"),))) == [memory.fleet.views["worker-1"]]
    assert client.instance(WORKER) == memory.fleet.views["worker-1"]
    assert client.bundles() == memory.bundles.views
    assert client.run(run_id(1)) == memory.runs.views[run_id(1)]
    assert list(client.events()) == memory.tail.stored
    assert client.status().healthy


def test_rollouts_and_drains_come_back_as_they_were_made(client: Client, memory: Memory) -> None:
    """Each call arrives as it was asked, and its view comes back equal in every field."""
    asked = Upgrade(selector=Selector(everything=True), digest=V2, strategy={"canary": 0}, approved="abc")
    assert client.preview(asked).id is None
    begun = client.upgrade(asked)
    assert begun == memory.rollouts.views["r-7"]
    assert client.rollout(R7) == begun
    assert client.rollouts((("limit", "1"),)) == [replace(begun, steps=())]
    acted = client.act(R7, RolloutAction.RETRY, instances=(WORKER,), beyond_failed=1)
    assert acted == begun
    (request,), (act,) = memory.rollouts.requests, memory.rollouts.acts
    assert (request.strategy.canary, request.approved, request.confirmed) == (0, "abc", False)
    assert (act.action, act.instances, act.beyond_failed) == (RolloutAction.RETRY, (WORKER,), 1)
    memory.rollouts.whys.append(WHY)
    assert client.why() == client.why("worker-1") == [WHY]
    drain = client.drain(WORKER, {"force": True}, confirmed=True)
    assert drain == client.drain_state(drain.id) == memory.drains.views["d-1"]
    assert client.uncordon(WORKER).action == "uncordon"


def test_events_are_paged_without_a_seam(
    client: Client, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, each comes once, in order."""
    monkeypatch.setattr(clients, "PAGE", 3)
    assert [event.cursor for event in client.events(cursor=1)] == [2, 3, 4, 5, 6, 7]
    assert len(memory.tail.asked) == 3


def test_a_broken_stream_goes_on_without_a_hole_or_a_double(
    client: Client, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends the stream again and again; the reader sees every event exactly once."""
    monkeypatch.setattr(clients, "PAUSES_S", (0.0,))
    memory.tail.break_after = 2
    stream = client.tail(cursor=0)
    seen = [next(stream) for _ in range(7)]
    assert [event.cursor for event in seen if isinstance(event, EventView)] == [1, 2, 3, 4, 5, 6, 7]
    assert [asked.cursor for asked in memory.tail.asked] == [0, 2, 4, 6]


def test_a_stream_outlives_a_restart_of_the_server(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nobody answers the reader tries again, and goes on where it was."""
    monkeypatch.setattr(clients, "PAUSES_S", (0.0,))
    with served(memory, tmp_path / "api.sock") as url:
        stream = Client(url).tail(cursor=5)
        seen = [next(stream), next(stream)]
    memory = Memory(tmp_path)
    memory.tail.stored += [an_event(number) for number in range(1, 9)]
    with served(memory, tmp_path / "api.sock"):
        seen.append(next(stream))
    assert [event.cursor for event in seen if isinstance(event, EventView)] == [6, 7, 8]


def test_nobody_there_is_said_at_once(tmp_path: Path) -> None:
    """Without a socket there is no waiting, for a stream neither."""
    client = Client(f"unix://{tmp_path}/none.sock")
    with pytest.raises(UnreachableError) as caught:
        client.status()
    assert caught.value.reason == "no such file or directory"
    with pytest.raises(UnreachableError):
        next(client.tail())


def test_a_path_that_no_socket_can_have_is_unreachable() -> None:
    """A path over the system's limit is an error of its own, not a traceback."""
    with pytest.raises(UnreachableError, match="too long"):
        Client(f"unix:///{'x' * 200}").status()


def test_a_problem_says_what_to_do(client: Client) -> None:
    """A refusal keeps its kind, status and action."""
    with pytest.raises(ProblemError) as caught:
        client.instance(ids.instance_id("worker-9"))
    assert (caught.value.kind, caught.value.status) == ("unknown-instance", 404)
    assert caught.value.action


@pytest.mark.parametrize("url", ["http://localhost:80", "/run/x.sock", "unix://relative", ""])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    """Only an absolute path of a Unix socket is an orchestrator's URL."""
    with pytest.raises(BadUrlError):
        Client(url)


def test_a_bundle_is_pushed_in_pieces(client: Client, memory: Memory, tmp_path: Path) -> None:
    """A file goes up as it is, without being read as a whole first."""
    packed = tmp_path / "packed"
    packed.write_bytes(bytes(range(256)) * 2000)
    with packed.open("rb") as content:
        assert client.push(content).digest == V1
    assert memory.bundles.received == [packed.read_bytes()]


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[Client]:
    """Serve one connection with `answer`, whatever is asked."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, name="tests.strange")
        thread.start()
        try:
            yield Client(f"unix://{path}")
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", UnreachableError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", UnreachableError),
        (b"SSH-2.0-OpenSSH\r\n", UnreachableError),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a": 1}\n', StrangeAnswerError),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", StrangeAnswerError),
    ],
)
def test_strange_servers_are_told_apart(tmp_path: Path, answer: bytes, error: type[Exception]) -> None:
    """Broken answers and answers of something else are errors of the tree, never of a library."""
    with answering(tmp_path / "s.sock", answer) as client, pytest.raises(error):
        client.status()


def test_a_strange_stream_is_an_error(tmp_path: Path) -> None:
    """Bytes that are no event stream end it with an error of the tree."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    with (
        answering(tmp_path / "s.sock", head + b"data: \xff\xfe\n\n") as client,
        pytest.raises(StrangeAnswerError),
    ):
        next(client.tail())
