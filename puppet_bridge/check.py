"""A bundle that does not parse converges nowhere, so it is better refused where it is built.

YAML is always parsed. Manifests and EPP templates are parsed by Puppet itself where it is there; where it
is not, a warning says what was left unchecked, and the instances' own Puppet has the last word. Each
finding names file and line. Only what Puppet would load is looked at: a module's own tests may hold
broken code on purpose, and its plans are in another dialect.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from puppet_bridge.errors import CheckError, Finding
from puppet_bridge.tree import Source

CODE: Final = re.compile(r"manifests/.*\.pp|modules/[^/]+/(manifests|functions|types)/.*\.pp")
TEMPLATE: Final = re.compile(r"modules/[^/]+/templates/.*\.epp")
YAML: Final = re.compile(r"(modules/[^/]+/)?(hiera\.ya?ml|data/.*\.ya?ml)")
PLACE: Final = re.compile(
    r"(?P<reason>.*) \(file: (?P<file>[^,)]+)(?:, line: (?P<line>\d+))?(?:, column: \d+)?\)"
)
COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
FILES_A_PROCESS: Final = 5000
TIME_LIMIT_S: Final = 600

Warn = Callable[[str], None]


def check(root: Path, found: Iterable[Source], warn: Warn, *, puppet: str | None = "puppet") -> None:
    """Parse each file of the bundle at `root` that an instance would; raises CheckError with all findings."""
    names = [source.name for source in found]
    findings = [finding for name in names if YAML.fullmatch(name) for finding in _yaml(root, name)]
    executable = None if puppet is None else shutil.which(puppet)
    if puppet is None:
        warn("manifests and templates are not checked, as asked")
    elif executable is None:
        warn(f"manifests and templates are not checked: no {puppet} on this machine")
    else:
        findings += _Puppet(executable, root.resolve()).check(names)
    if findings:
        raise CheckError(sorted(findings, key=lambda finding: (finding.file, finding.line or 0)))


def _yaml(root: Path, name: str) -> list[Finding]:
    try:
        # Events only: nothing is built, so neither an alias bomb nor a foreign tag can do harm.
        for _ in yaml.parse((root / name).read_bytes(), Loader=yaml.CSafeLoader):
            pass
    except yaml.MarkedYAMLError as error:
        line = None if error.problem_mark is None else error.problem_mark.line + 1
        return [Finding(file=name, line=line, reason=error.problem or "not YAML")]
    except yaml.YAMLError as error:
        return [Finding(file=name, line=None, reason=str(error).replace("\n", " "))]
    return []


class _Puppet:
    """Puppet's own parser, run over many files at once, since it takes a second to start."""

    def __init__(self, executable: str, root: Path) -> None:
        self._executable = executable
        self._root = root

    def check(self, names: Sequence[str]) -> list[Finding]:
        code = [name for name in names if CODE.fullmatch(name)]
        templates = [name for name in names if TEMPLATE.fullmatch(name)]
        findings: list[Finding] = []
        for batch in _batches(code):
            done = self._run("parser", "validate", "--render-as", "json", *batch)
            findings += self._code_findings(done, batch)
        for batch in _batches(templates):
            done = self._run("epp", "validate", "--continue_on_error", *batch)
            findings += self._template_findings(done, batch)
        return findings

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory(prefix="tarmak-check-") as own:
            places = ("--confdir", f"{own}/conf", "--vardir", f"{own}/var", "--color", "false")
            return subprocess.run(
                (self._executable, *words, *places),
                cwd=self._root,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": own, "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIME_LIMIT_S,
                check=False,
            )

    def _code_findings(self, done: subprocess.CompletedProcess[str], batch: Sequence[str]) -> list[Finding]:
        if done.returncode == 0:
            return []
        try:
            faults: dict[str, dict[str, Any]] = json.loads(done.stdout)
            return [
                self._finding(name, fault["line"], str(fault["message"])) for name, fault in faults.items()
            ]
        except (ValueError, LookupError, TypeError, AttributeError):
            return [Finding(file=batch[0], line=None, reason=f"puppet parser validate: {_words(done)}")]

    def _template_findings(
        self, done: subprocess.CompletedProcess[str], batch: Sequence[str]
    ) -> list[Finding]:
        if done.returncode == 0:
            return []
        places = (PLACE.search(line) for line in COLOURS.sub("", done.stderr).splitlines())
        findings = [
            self._finding(place["file"], place["line"], place["reason"].removeprefix("Error: "))
            for place in places
            if place is not None
        ]
        return findings or [Finding(file=batch[0], line=None, reason=f"puppet epp validate: {_words(done)}")]

    def _finding(self, file: str, line: str | int | None, reason: str) -> Finding:
        name = file.removeprefix(f"{self._root}/")
        if line is None:  # Puppet gives none for what it missed at the file's end
            line = len((self._root / name).read_bytes().splitlines())
        return Finding(file=name, line=int(line), reason=reason.replace("\n", " "))


def _batches(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[start : start + FILES_A_PROCESS] for start in range(0, len(names), FILES_A_PROCESS))


def _words(done: subprocess.CompletedProcess[str]) -> str:
    said = COLOURS.sub("", done.stderr or done.stdout).strip().splitlines()
    return said[0] if said else f"exit code {done.returncode}, without a word"
