"""Commands as an operator gives them: in this process, with clusters in a folder of their own; or typed."""

import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from orchestrator.cli.main import main_with

PROGRAM: Final = (sys.executable, "-P", "-m", "orchestrator.cli.main")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


Tarmak = Callable[..., Said]


def operator(
    here: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tarmak:
    """Return `tarmak`, given in the folder `here`, with clusters in `data`, where nobody can be asked."""
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    monkeypatch.chdir(here)

    def run(*words: str) -> Said:
        capsys.readouterr()
        code = main_with(words)
        said = capsys.readouterr()
        return Said(code=code, out=said.out, err=said.err)

    return run


@contextmanager
def short_folder() -> Iterator[Path]:
    """Have a folder for clusters; of a short name, since ssh has its sockets there."""
    with tempfile.TemporaryDirectory(prefix="tk") as folder:
        yield Path(folder)


def typed(answer: str, words: Sequence[str]) -> Said:
    """Give a command at a terminal, where somebody types `answer`; all that it says is `out`."""
    person, terminal = pty.openpty()
    os.write(person, answer.encode())
    ran = subprocess.run((*PROGRAM, *words), stdin=terminal, stderr=terminal, stdout=terminal, check=False)
    os.close(terminal)
    return Said(code=ran.returncode, out=_read_all(person), err="")


def _read_all(terminal: int) -> str:
    """Return what was written to a terminal that nobody writes to any more."""
    said = b""
    while True:
        try:
            some = os.read(terminal, 65536)
        except OSError:  # Linux says EIO at the end
            break
        if not some:
            break
        said += some
    os.close(terminal)
    return said.decode()
