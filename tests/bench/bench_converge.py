"""What the mesh costs on top of Puppet: from the operator's command to `converged`, against bare Puppet.

The reference is `puppet apply` of the same code with the options that any site would give it, in a
confdir and vardir of its own. For the no-change metrics one apply is the proof, so both sides run
Puppet once; a change needs a confirming apply, so its reference applies twice as well.
"""

import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.figures import Figure, figure
from tests.dev_mesh import DevMesh, dev_mesh, write_bundle

INSTANCE = "worker-1"
COUNT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A bundle to measure; `text` makes its manifest for the content that a round gives its files."""

    metric: str
    text: Callable[[str], str]
    changes: bool


def files(content: str) -> str:
    """Return a manifest of a hundred files."""
    return f"""
    $root = $facts['tarmak']['root']
    file {{ "${{root}}/bench": ensure => directory }}
    Integer[1, {COUNT}].each |$n| {{
      file {{ "${{root}}/bench/file-${{n}}": ensure => file, content => "{content} ${{n}}\\n" }}
    }}
    """


def mixed(content: str) -> str:
    """Return a manifest of a hundred files, directories, links and guarded commands."""
    return f"""
    $root = $facts['tarmak']['root']
    file {{ "${{root}}/mixed": ensure => directory }}
    Integer[1, {COUNT // 4}].each |$n| {{
      file {{ "${{root}}/mixed/dir-${{n}}": ensure => directory }}
      file {{ "${{root}}/mixed/dir-${{n}}/file": ensure => file, content => "{content} ${{n}}\\n" }}
      file {{ "${{root}}/mixed/link-${{n}}": ensure => link, target => "dir-${{n}}/file" }}
      exec {{ "mark ${{n}}":
        command => "/bin/touch ${{root}}/mixed/mark-${{n}}",
        creates => "${{root}}/mixed/mark-${{n}}",
      }}
    }}
    """


SITES = (
    Site(metric=f"no-change, {COUNT} files", text=files, changes=False),
    Site(metric=f"no-change, {COUNT} mixed", text=mixed, changes=False),
    Site(metric=f"change and confirm, {COUNT} files", text=files, changes=True),
)


def bench_converge(runs: int) -> Sequence[Figure]:
    """Measure all sites on one mesh of one worker."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tarmak-bench-")))
        mesh = stack.enter_context(dev_mesh(folder / "mesh", "worker=1"))
        return [_measured(mesh, site, folder, runs) for site in SITES]


def _measured(mesh: DevMesh, site: Site, folder: Path, runs: int) -> Figure:
    ours: list[float] = []
    reference: list[float] = []
    bare = _Bare(Path(tempfile.mkdtemp(dir=folder)))
    for turn in range(runs + 1):
        content = f"turn {turn}" if site.changes else "same"
        bundle = write_bundle(Path(tempfile.mkdtemp(dir=folder)) / "bundle", site.text(content))
        digest = mesh.push(bundle)
        converge = partial(mesh.tarmak, "converge", "--instance", INSTANCE, "--bundle", digest, "--yes")
        pair = _timed(converge), _timed(partial(bare.apply, bundle, twice=site.changes))
        if turn:
            ours.append(pair[0])
            reference.append(pair[1])
    name = "puppet apply, twice" if site.changes else "puppet apply"
    return figure("converge", site.metric, unit="s", ours=ours, reference=reference, name=name)


class _Bare:
    """Puppet as one would run it by hand, in its own directories."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.root.mkdir()
        self.facts = folder / "facts.d"
        self.facts.mkdir()
        (self.facts / "tarmak.yaml").write_text(f"---\ntarmak:\n  root: {self.root}\n")

    def apply(self, bundle: Path, *, twice: bool) -> None:
        for _ in range(2 if twice else 1):
            self._apply(bundle)

    def _apply(self, bundle: Path) -> None:
        words = [
            "puppet",
            "apply",
            f"--confdir={self.folder}/conf",
            f"--vardir={self.folder}/var",
            f"--pluginfactdest={self.facts}",
            f"--hiera_config={bundle}/hiera.yaml",
            f"--modulepath={bundle}/modules",
            "--detailed-exitcodes",
            str(bundle / "manifests" / "site.pp"),
        ]
        ended = subprocess.run(words, check=False, capture_output=True, text=True)
        if ended.returncode not in {0, 2}:
            raise AssertionError(f"bare puppet failed: {ended.stdout}{ended.stderr}")


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
