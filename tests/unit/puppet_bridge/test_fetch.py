"""Fetching through a child: real children, no network."""

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.ids import Digest
from puppet_bridge.bundle import BundleFile, build, file_name
from puppet_bridge.cache import BundleCache
from puppet_bridge.children import import_roots, python_command, python_environment
from puppet_bridge.errors import FetchError
from puppet_bridge.fetch import BundleFetcher, FetchRequest, FetchTls

ABSENT = Digest("sha256:" + "0" * 64)


@pytest.fixture
def bundle(tmp_path: Path) -> BundleFile:
    """A bundle in a directory that serves as a store."""
    source = tmp_path / "src"
    (source / "manifests").mkdir(parents=True)
    (source / "manifests/site.pp").write_text("notify { 'x': }\n")
    (tmp_path / "store").mkdir()
    return build(source, tmp_path / "store", puppet="no-such-puppet")


def url_of(bundle: BundleFile) -> str:
    return f"file://{bundle.path}"


def python(code: str) -> tuple[str, ...]:
    """Return the command of a child that is a few lines of Python."""
    return (sys.executable, "-c", code)


async def test_a_bundle_is_fetched_and_unpacked(tmp_path: Path, bundle: BundleFile) -> None:
    """A fetch ends with the unpacked bundle, and tells of its progress."""
    said: list[tuple[int, int | None]] = []
    fetcher = BundleFetcher(cache_dir=tmp_path / "cache")
    found = await fetcher.fetch(
        bundle.digest, bundle.size, url_of(bundle), progress=lambda *now: said.append(now)
    )
    assert (found / "manifests/site.pp").read_text() == "notify { 'x': }\n"
    assert said == [(bundle.compressed_size, bundle.compressed_size)]


async def test_what_is_cached_starts_no_child(tmp_path: Path, bundle: BundleFile) -> None:
    """A bundle that is in the cache is there at once, whatever its URL is."""
    await BundleFetcher(cache_dir=tmp_path / "cache").fetch(bundle.digest, bundle.size, url_of(bundle))
    fetcher = BundleFetcher(cache_dir=tmp_path / "cache", command=("/nonexistent/python",))
    found = await fetcher.fetch(bundle.digest, bundle.size, "https://gone.example/bundles/x")
    assert found == BundleCache(tmp_path / "cache").place(bundle.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A request that can't succeed, and what the error has to say."""

    digest: Digest | None = None
    size: int | None = None
    name: str | None = None
    words: str


@pytest.mark.parametrize(
    "wrong",
    [
        Wrong(size=100, words="declared limit of 100 bytes"),
        Wrong(digest=ABSENT, name=file_name(ABSENT), words="has no bundle"),
        Wrong(digest=ABSENT, words="names another bundle"),
        Wrong(name="latest.tar.gz", words="does not end in a bundle's name"),
    ],
)
async def test_a_failed_fetch_says_why(tmp_path: Path, bundle: BundleFile, wrong: Wrong) -> None:
    """The child's reason reaches the caller, and nothing is in the cache."""
    url = f"file://{bundle.path.parent}/{wrong.name}" if wrong.name else url_of(bundle)
    wanted = wrong.digest or bundle.digest
    with pytest.raises(FetchError, match=wrong.words) as caught:
        await BundleFetcher(cache_dir=tmp_path / "cache").fetch(wanted, wrong.size or bundle.size, url)
    assert caught.value.url == url
    assert BundleCache(tmp_path / "cache").find(wanted) is None


async def test_a_child_that_dies_is_an_error_with_its_last_words(tmp_path: Path, bundle: BundleFile) -> None:
    """A child that ends without an answer is told with its exit code and what it said last."""
    for code, words in (
        ("import sys; sys.exit('no memory left')", "ended with 1: no memory left"),
        ("import os; os.kill(os.getpid(), 9)", "ended with -9: not a word"),
    ):
        fetcher = BundleFetcher(cache_dir=tmp_path / "cache", command=python(code))
        with pytest.raises(FetchError, match=words):
            await fetcher.fetch(bundle.digest, bundle.size, url_of(bundle))


async def test_a_cancelled_fetch_leaves_no_child(tmp_path: Path, bundle: BundleFile) -> None:
    """Cancelling kills the child with whatever it started, and waits for its end."""
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)
    code = f"import os, time; open({str(pipe)!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
    fetcher = BundleFetcher(cache_dir=tmp_path / "cache", command=python(code))
    async with asyncio.TaskGroup() as tasks:
        fetch = tasks.create_task(fetcher.fetch(bundle.digest, bundle.size, url_of(bundle)))
        pid = int(await asyncio.to_thread(pipe.read_text))
        fetch.cancel()
    assert fetch.cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_orphaned_child_ends_by_itself(tmp_path: Path) -> None:
    """A child whose parent is gone ends, even in the middle of a transfer that hangs."""
    pipe = tmp_path / file_name(ABSENT)
    os.mkfifo(pipe)
    request = FetchRequest(
        digest=ABSENT, size=1, url=f"file://{pipe}", cache=str(tmp_path / "cache"), tls=None
    )
    with subprocess.Popen(
        python_command("puppet_bridge.fetch_child"),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=python_environment(),
    ) as child:
        assert child.stdin is not None
        child.stdin.write(request.to_json())
        child.stdin.flush()
        child.stdin.close()
        assert child.wait() == 3


def test_a_request_survives_the_pipe() -> None:
    """What the child reads is what the parent wrote."""
    tls = FetchTls(ca="/ca", certificate="/crt", key="/key")
    request = FetchRequest(digest=ABSENT, size=7, url="https://h/b", cache="/c", tls=tls)
    assert FetchRequest.from_json(request.to_json()) == request


def test_a_child_finds_our_code_and_nothing_of_our_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A child imports what its parent does, from anywhere, and inherits only what is named."""
    monkeypatch.setenv("SECRET_OF_PARENT", "x")
    monkeypatch.setenv("AWS_REGION", "eu-1")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "only_here.py").write_text("")
    code = "import broker, only_here, os; print(sorted(os.environ))"
    said = subprocess.run(
        (sys.executable, "-P", "-s", "-c", code),
        env=python_environment(prefixes=("AWS_",)),
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "AWS_REGION" in said
    assert "SECRET_OF_PARENT" not in said
    assert str(tmp_path) in import_roots()


def test_the_parent_stays_light() -> None:
    """Importing the parent's side loads none of the libraries that the child is for."""
    code = (
        "import sys, puppet_bridge.fetch\n"
        "heavy = {'aiohttp', 'aioboto3', 'botocore', 'tenacity', 'yaml', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        (sys.executable, "-P", "-c", code),
        env=python_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
