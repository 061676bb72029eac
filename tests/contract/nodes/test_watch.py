"""How a watch goes on over what an API server, or something between, may answer."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.adapters.clock import SystemClock
from orchestrator.adapters.kubernetes.nodes import KubernetesNodes, Patience
from orchestrator.adapters.kubernetes.preflight import KubernetesPreflight
from orchestrator.domain.nodes import AllNodes, NodeChanged, NodeNews, NodesLost
from orchestrator.ports import PreflightError
from tests.contract.nodes.script import Answer, Script, event, events, failed, page, said, scripted
from tests.contract.nodes.sites import BRISK, DEADLINE_S

HUSH = replace(BRISK, silence_s=0.2, lasting_s=0.0)
EAGER = replace(BRISK, lasting_s=3600.0)
STAYS = events(ends=False)


@pytest.fixture
async def script(tmp_path: Path) -> AsyncIterator[Script]:
    async with scripted(tmp_path) as serving:
        yield serving


@asynccontextmanager
async def news(script: Script, patience: Patience = BRISK) -> AsyncIterator[AsyncGenerator[NodeNews, None]]:
    nodes = KubernetesNodes(script.kubeconfig, SystemClock(), patience)
    async with aclosing(nodes.news()) as told, asyncio.timeout(DEADLINE_S):
        yield told


def told(found: NodeNews) -> object:
    """Return news in short: names, a change, or a reason."""
    match found:
        case AllNodes():
            return {node.name for node in found.nodes}
        case NodeChanged():
            return found.name, found.node is not None
        case NodesLost():
            return found.reason


async def test_a_long_list_comes_in_pages(script: Script) -> None:
    """It is told as one, and watched from its version on."""
    script.says(page("7", "a", "b", more="token"), page("7", "c"), STAYS)
    async with news(script) as found:
        assert told(await anext(found)) == {"a", "b", "c"}
    assert script.queries[1]["continue"] == "token"


async def test_a_watch_that_ends_in_order_goes_on_where_it_ended(script: Script) -> None:
    """Bookmarks count: what was told before is not told again, and nothing is listed anew."""
    bookmark = event("BOOKMARK", "", "12")
    script.says(
        page("7", "a"),
        events(event("ADDED", "b", "9"), bookmark),
        events(event("DELETED", "a", "13"), ends=False),
    )
    async with news(script) as found:
        assert [told(await anext(found)) for _ in range(3)] == [{"a"}, ("b", True), ("a", False)]
    assert script.watched == ["7", "12"]


@pytest.mark.parametrize(
    "expired",
    [said(410, {"code": 410, "message": "too old"}), events(failed(410, "too old"))],
    ids=["as an answer", "as an event"],
)
async def test_a_version_that_is_no_more_means_a_new_list(script: Script, expired: Answer) -> None:
    """Who is gone meanwhile is not in it; that is no loss of the watch."""
    script.says(page("7", "a", "b"), expired, page("90", "b"), STAYS)
    async with news(script) as found:
        assert [told(await anext(found)) for _ in range(2)] == [{"a", "b"}, {"b"}]


async def test_a_connection_that_has_died_silently_is_left(script: Script) -> None:
    """Without even a bookmark for so long, the watch is begun again; nobody is told of it."""
    script.says(page("7", "a"), STAYS, events(event("ADDED", "b", "8"), ends=False))
    async with news(script, HUSH) as found:
        assert [told(await anext(found)) for _ in range(2)] == [{"a"}, ("b", True)]
    assert script.watched[:2] == ["7", "7"]


async def test_a_watch_that_the_server_ends_in_error_is_lost(script: Script) -> None:
    """Its reason is told; what comes after is told as a whole, from the version that was known."""
    script.says(
        page("7", "a"),
        events(event("ADDED", "b", "8"), failed(500, "etcd is gone")),
        events(ends=False),
    )
    async with news(script) as found:
        seen = [told(await anext(found)) for _ in range(4)]
    assert seen == [{"a"}, ("b", True), "etcd is gone", {"a", "b"}]
    assert script.watched == ["7", "8"]


async def test_a_watch_that_ends_as_soon_as_it_has_begun_is_lost(script: Script) -> None:
    """A proxy that can't stream would be asked without end."""
    script.says(page("7", "a"), events(), STAYS)
    async with news(script, EAGER) as found:
        assert told(await anext(found)) == {"a"}
        assert told(await anext(found)) == "the API server ends the watch as soon as it has begun"
        assert told(await anext(found)) == {"a"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said(401, {"code": 401, "message": "Unauthorized"}), "Unauthorized"),
        (said(403, {"code": 403, "message": "nodes is forbidden"}), "nodes is forbidden"),
        (said(503, "<html>no backend</html>"), "the API server answers 503"),
        (said(200, "<html>log in</html>"), "the API server's answer can't be read"),
        (said(200, {"metadata": {}, "items": [{"metadata": {"name": 7}}]}), "the API server's answer can't"),
        (said(410, {"code": 410, "message": "too old"}), "the Nodes change faster than they can be listed"),
    ],
)
async def test_whatever_else_is_answered_is_the_reason(script: Script, answer: Answer, reason: str) -> None:
    """It is told once, and tried again until all is well."""
    script.says(answer, answer, page("7", "a"), STAYS)
    async with news(script) as found:
        assert str(told(await anext(found))).startswith(reason)
        assert told(await anext(found)) == {"a"}


async def test_a_node_too_large_to_be_watched_is_listed(script: Script) -> None:
    """A line longer than the client bears is no end: the list has it."""
    fat = event("MODIFIED", "a", "8", annotations={"x": "y" * 5_000_000})
    script.says(page("7", "a"), events(fat), page("8", "a", "b"), STAYS)
    async with news(script) as found:
        assert [told(await anext(found)) for _ in range(2)] == [{"a"}, {"a", "b"}]


@pytest.mark.parametrize("text", [None, "", "[]", "current-context: nobody", "{"])
async def test_a_kubeconfig_that_can_not_be_used_is_named(tmp_path: Path, text: str | None) -> None:
    """Missing, empty or nonsense: the file is told, for the watch as for the look."""
    file = tmp_path / "kubeconfig"
    if text is not None:
        file.write_text(text)
    async with aclosing(KubernetesNodes(file, SystemClock(), BRISK).news()) as found:
        lost = await anext(found)
    assert isinstance(lost, NodesLost)
    assert str(file) in lost.reason
    with pytest.raises(PreflightError, match="kubeconfig"):
        await KubernetesPreflight(file).look(set())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said(403, {"code": 403, "message": "pods is forbidden"}), "pods is forbidden"),
        (said(410, {"code": 410}), "the cluster changes faster than it can be listed"),
        (
            said(200, {"metadata": {}, "items": [{"metadata": {"name": "a"}, "spec": {"nodeName": "n"}}]}),
            "",
        ),
        (
            said(
                200,
                {
                    "metadata": {},
                    "items": [
                        {
                            "metadata": {"name": "a"},
                            "spec": {
                                "nodeName": "n",
                                "containers": [{"resources": {"requests": {"cpu": "much"}}}],
                            },
                        }
                    ],
                },
            ),
            "the API server's answer can't be read: 'much' is no quantity",
        ),
    ],
)
async def test_a_look_says_what_kept_it(script: Script, answer: Answer, reason: str) -> None:
    """A refusal, a list that expires, an amount that is none."""
    script.says(answer, page("1", "n"), page("1"))
    preflight = KubernetesPreflight(script.kubeconfig)
    if not reason:
        assert [pod.name for pod in (await preflight.look({"n"})).pods] == ["a"]
        return
    with pytest.raises(PreflightError) as caught:
        await preflight.look({"n"})
    assert caught.value.reason == reason
