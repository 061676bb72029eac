"""The wing's program as its host starts it: once without a mesh, under systemd, and over an upgrade."""

import asyncio
import socket
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tests.integration.wing_site import DEADLINE_S, Site, site

WRITES = "file { \"${facts['tarmak']['root']}/made\": content => 'made' }"
FAILS = "exec { '/bin/false': }"


@dataclass
class Ended:
    """How a program ended, and what it said."""

    code: int | None
    said: str


async def converged(mesh: Site, manifest: str, *options: str) -> Ended:
    """Run `wing converge` on a bundle that holds `manifest`; the resident wing is not there."""
    bundle = url2pathname(urlsplit(mesh.bundle(manifest).url).path)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wing", "converge", "--config", str(mesh.config)),
        *("--bundle", bundle, *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return Ended(code=process.returncode, said=said.decode())


async def test_converge_without_a_mesh(tmp_path: Path) -> None:
    """Exit 0 means converged, 1 means not, with Puppet's reason; a noop changes nothing."""
    async with site(tmp_path) as mesh:
        planned = await converged(mesh, WRITES, "--noop")
        assert planned.code == 0, planned.said
        assert not (tmp_path / "root" / "made").exists()

        done = await converged(mesh, WRITES)
        assert done.code == 0, done.said
        assert (tmp_path / "root" / "made").read_text() == "made"
        assert "converged on sha256:" in done.said.splitlines()[-1]

        failed = await converged(mesh, FAILS)
        assert failed.code == 1, failed.said
        assert "Exec[/bin/false]" in failed.said.splitlines()[-1]


async def test_an_upgrade_is_taken_up_in_place(tmp_path: Path) -> None:
    """When its own zipapp has changed an idle wing starts it: a new boot, in the same process."""
    program = tmp_path / "wing.pyz"
    write_program(program, "first")
    async with site(tmp_path) as mesh:
        with (tmp_path / "wing.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(program), "--config", str(mesh.config)), stdout=log, stderr=log
            )
        try:
            first = await mesh.until_born()
            write_program(program, "second")
            second = await mesh.until_born()
        finally:
            process.terminate()
            code = await process.wait()
        assert code == 0
        assert second.standing.boot != first.standing.boot
        starts = (tmp_path / "starts").read_text().splitlines()
        assert starts == [f"first {process.pid}", f"second {process.pid}"]


async def test_systemd_hears_of_it(tmp_path: Path) -> None:
    """READY with or without a broker, WATCHDOG while events are handled, STOPPING at the end."""
    place = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(place))
        listening.setblocking(False)
        async with site(tmp_path) as mesh, mesh.wing(NOTIFY_SOCKET=str(place)) as wing:
            assert await heard(listening, lambda words: b"READY=1" in words)
            assert await heard(listening, lambda words: words == b"WATCHDOG=1")
            wing.terminate()
            assert await heard(listening, lambda words: words == b"STOPPING=1")
            assert await wing.wait() == 0


async def heard(listening: socket.socket, wanted: Callable[[bytes], bool]) -> bytes:
    """Wait for a notification."""
    async with asyncio.timeout(DEADLINE_S):
        while not wanted(words := await asyncio.get_running_loop().sock_recv(listening, 1000)):
            pass
    return words


def write_program(file: Path, name: str) -> None:
    """Put a zipapp in place in one step, as an installer does; its start is noted."""
    note = file.parent / "starts"
    lines = (
        "import os, sys",
        f"open({str(note)!r}, 'a').write(f'{name} {{os.getpid()}}\\n')",
        "from wing.__main__ import main",
        "sys.exit(main())",
    )
    aside = file.with_suffix(".new")
    with zipfile.ZipFile(aside, "w") as archive:
        archive.writestr("__main__.py", "\n".join(lines))
    aside.replace(file)
