"""Hosts over a real sshd: commands arrive as they were meant, files whole, and no stranger is spoken to."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.infrastructure.errors import ReachError
from orchestrator.infrastructure.reach import Ssh
from tests.integration.sshd import Sshd, keygen, sshd


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Sshd]:
    """A host with a real sshd."""
    with sshd(tmp_path) as running:
        yield running


async def test_a_command_arrives_word_by_word(place: Sshd) -> None:
    """No shell on the way reads anything into them; code and both outputs come back."""
    words = ("a b", "$HOME", "it's", 'a "quote"', "*", "")
    ran = await Ssh(place.config).run(place.host, "printf", "%s|", *words)
    assert (ran.code, ran.out) == (0, "".join(f"{word}|" for word in words))
    ran = await Ssh(place.config).run(place.host, "sh", "-c", "cat; echo gone >&2; exit 3", stdin=b"said")
    assert (ran.code, ran.out, ran.err.splitlines()[-1]) == (3, "said", "gone")


async def test_what_has_to_succeed_fails_with_its_last_words(place: Sshd) -> None:
    """The error names the host, the command and what it said."""
    with pytest.raises(ReachError, match=r"worker-1: `ls /nowhere` ended with 2: .*No such file"):
        await Ssh(place.config).do(place.host, "ls", "/nowhere")


async def test_a_file_is_put_whole_with_its_mode(place: Sshd, tmp_path: Path) -> None:
    """Whatever its bytes are; and what is there already is not brought again."""
    content, there = bytes(range(256)) * 4096, tmp_path / "there" / "a file"
    (tmp_path / "here").write_bytes(content)
    ssh = Ssh(place.config)
    assert await ssh.bring(place.host, tmp_path / "here", str(there), mode=0o640)
    assert (there.read_bytes(), there.stat().st_mode & 0o777) == (content, 0o640)
    assert [file.name for file in there.parent.iterdir()] == ["a file"]
    assert not await ssh.bring(place.host, tmp_path / "here", str(there), mode=0o640)
    (tmp_path / "here").write_bytes(b"changed")
    assert await ssh.bring(place.host, tmp_path / "here", str(there), mode=0o640)
    assert there.read_bytes() == b"changed"


async def test_a_file_is_fetched_whole_for_its_owner_alone(place: Sshd, tmp_path: Path) -> None:
    """Whatever its name and its bytes are; one that can't be had leaves nothing behind."""
    content, there = bytes(range(256)) * 8192, tmp_path / "there" / "an odd\\ \n'name"
    there.parent.mkdir()
    there.write_bytes(content)
    (tmp_path / "here").mkdir()
    here = tmp_path / "here" / "file"
    ssh = Ssh(place.config)
    await ssh.fetch(place.host, str(there), here)
    assert (here.read_bytes(), here.stat().st_mode & 0o777) == (content, 0o600)
    with pytest.raises(ReachError, match="No such file"):
        await ssh.fetch(place.host, "/nowhere/file", tmp_path / "here" / "other")
    assert [file.name for file in here.parent.iterdir()] == ["file"]
    assert not await ssh.bring(place.host, here, str(there))


async def test_a_file_that_arrives_otherwise_is_not_there(tmp_path: Path) -> None:
    """What was here before stays as it was."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cat").write_text("#!/bin/sh\nexec head -c 3 /etc/passwd\n")
    (tmp_path / "bin" / "cat").chmod(0o755)
    (tmp_path / "there").write_bytes(b"what there is")
    (tmp_path / "folder").mkdir()
    here = tmp_path / "folder" / "here"
    here.write_bytes(b"what was here")
    with sshd(tmp_path, path=tmp_path / "bin") as place:
        ssh = Ssh(place.config)
        with pytest.raises(ReachError, match=r"worker-1: /.*/there did not arrive whole; fetch it again"):
            await ssh.fetch(place.host, str(tmp_path / "there"), here)
        with pytest.raises(ReachError, match=r"/here can't be written: .*it did not arrive whole"):
            await ssh.bring(place.host, tmp_path / "there", str(here))
    assert here.read_bytes() == b"what was here"
    assert [file.name for file in here.parent.iterdir()] == ["here"]


async def test_a_long_command_is_followed_line_by_line(place: Sshd) -> None:
    """What it says on either output is told in order."""
    told: list[str] = []
    code = await Ssh(place.config).follow(
        place.host, "sh", "-c", "echo one; echo two >&2; echo three; exit 1", tell=told.append
    )
    assert (code, told) == (1, ["one", "two", "three"])


async def test_a_command_that_can_t_be_begun_is_not_followed(place: Sshd) -> None:
    """Ssh's own end is not taken for the command's."""
    text = place.config.read_text().replace(f"Port {place.host.port}", "Port 1")
    place.config.write_text(text)
    with pytest.raises(ReachError, match="worker-1 can't be reached"):
        await Ssh(place.config).follow(place.host, "true", tell=lambda _: None)


async def test_a_host_with_another_key_is_not_spoken_to(place: Sshd, tmp_path: Path) -> None:
    """It may be somebody else: the error says so, and nothing was run there."""
    place.known.write_text(f"[127.0.0.1]:{place.host.port} {keygen(tmp_path / 'other')}\n")
    with pytest.raises(ReachError, match="worker-1 can't be reached") as failed:
        await Ssh(place.config).do(place.host, "touch", str(tmp_path / "touched"))
    assert "host key is not the one that was recorded" in failed.value.action
    assert not (tmp_path / "touched").exists()


async def test_a_host_where_nobody_listens_says_so(place: Sshd) -> None:
    """The address that was tried is named, and what to look at."""
    text = place.config.read_text().replace(f"Port {place.host.port}", "Port 1")
    place.config.write_text(text)
    with pytest.raises(ReachError, match=r"127\.0\.0\.1:1\b.*refused.*is sshd running there") as failed:
        await Ssh(place.config).do(replace(place.host, port=1), "true")
    assert failed.value.what.startswith("worker-1 can't be reached")
