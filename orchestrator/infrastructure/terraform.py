"""Terraform as a child process in a cluster's directory: its words become values, its failures our errors."""

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from orchestrator.infrastructure.errors import NoTerraformError, StoppedError
from orchestrator.infrastructure.interrupts import passed_on
from orchestrator.infrastructure.places import Home
from orchestrator.infrastructure.program import environment_for
from orchestrator.infrastructure.progress import Problem, Progress, Said, parse
from orchestrator.infrastructure.state import State
from orchestrator.infrastructure.troubles import error_for

CHANGES: Final = 2
"""What `plan -detailed-exitcode` ends with when there is something to do."""
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")

Tell = Callable[[Progress], None]


class Terraform:
    """Does one thing at a time in `home`; `tell` hears how it goes. Raises TerraformError and its kinds."""

    def __init__(self, program: Path, home: Home, tell: Tell) -> None:
        self._program = program
        self._home = home
        self._tell = tell

    def init(self) -> None:
        """Have the directory ready for what is written in it, with the plugins that it names."""
        self._heard("prepare itself", "init", "-input=false", "-no-color")

    def plan(self, out: Path, *, destroy: bool = False, replace: Sequence[str] = ()) -> bool:
        """Save in `out` what would be done, and return whether that is anything."""
        words = [f"-replace={address}" for address in replace]
        words += ["-destroy"] if destroy else []
        saved = (f"-out={out}", "-detailed-exitcode", "-input=false")
        code = self._watched("plan", "plan", "-json", *saved, *words, good=(0, CHANGES))
        return code == CHANGES

    def planned(self, plan: Path) -> Mapping[str, Any]:
        """Return a saved plan, in Terraform's JSON."""
        return self._read("read the plan", "show", "-json", "-no-color", str(plan))

    def apply(self, plan: Path, *, doing: str = "apply") -> None:
        """Do what was saved in `plan`, and that alone; StoppedError if it was interrupted."""
        self._watched(doing, "apply", "-json", "-input=false", str(plan))

    def state(self) -> State:
        """Return what is recorded; an empty state if there is none yet."""
        if not self._home.state.exists():
            return State()
        return State.of(self._read("read its state", "show", "-json", "-no-color"))

    def _read(self, doing: str, *words: str) -> Mapping[str, Any]:
        table = json.loads(self._heard(doing, *words))
        if not isinstance(table, dict):
            raise TypeError(table)
        return table

    def _heard(self, doing: str, *words: str) -> str:
        """Run what ends in a moment, and return what it says; its complaints are for people here."""
        with self._started(words, stderr=subprocess.PIPE) as process, passed_on(process, self._say) as asked:
            out, said = process.communicate()
        self._check_stopped(asked.count, process.returncode)
        if process.returncode:
            raise error_for([_complaint(said)], process.returncode, self._home.state, doing)
        return out

    def _watched(self, doing: str, *words: str, good: Sequence[int] = (0,)) -> int:
        """Run what takes its time, and tell how it goes; returns its exit code."""
        failures: list[Problem] = []
        process = self._started(words, stderr=subprocess.STDOUT)
        with process, passed_on(process, self._say) as asked:
            for told in _parsed(process.stdout or ()):
                if isinstance(told, Problem) and told.is_error:
                    failures.append(told)
                    # The first ends the command, and what was stopped has failed as it was meant to.
                    if len(failures) == 1 or asked.count:
                        continue
                self._hear(told)
        if process.returncode in good and not asked.count:
            return process.returncode
        self._check_stopped(asked.count, process.returncode)
        raise error_for(failures, process.returncode, self._home.state, doing)

    def _started(self, words: Sequence[str], *, stderr: int) -> "subprocess.Popen[str]":
        try:
            return subprocess.Popen(
                (str(self._program), *words),
                cwd=self._home.path,
                env=environment_for(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            what = f"{self._program} can't be started: {error.strerror}"
            raise NoTerraformError(what=what, action="see that it is a program for this machine") from error

    def _check_stopped(self, asked: int, code: int) -> None:
        if not asked or code == 0:
            return
        recorded = "what was done until then is recorded" if asked == 1 else "it was not let record all"
        raise StoppedError(
            what="interrupted: Terraform has stopped",
            why=recorded,
            action="apply again to go on from there, or destroy to take back what was made",
        )

    def _hear(self, progress: Progress) -> None:
        # Whoever listened may be gone (`| head`), and Terraform still has to end in order.
        with suppress(BrokenPipeError):
            self._tell(progress)

    def _say(self, text: str) -> None:
        self._hear(Said(text=text))


def _parsed(lines: Iterable[str]) -> Iterator[Progress]:
    for line in lines:
        told = parse(line)
        if told is not None:
            yield told


def _complaint(text: str) -> Problem:
    """Return a complaint that was drawn for people, with a frame and in colours, as what it says."""
    lines = [line.strip("╷│╵ \t") for line in COLOUR.sub("", text).splitlines()]
    summary, _, detail = "\n".join(lines).strip().removeprefix("Error: ").partition("\n")
    found = detail.partition("Error: ")[2] if summary.startswith("Warning: ") else ""
    if found:
        summary, _, detail = found.partition("\n")
    return Problem(is_error=True, summary=summary, detail=detail.strip())
