"""The root image and the package pool: made once, kept in the user's cache, whole or not there at all.

Everything is made beside its place and moved there by one rename, under a lock: a crash leaves at most
scratch, which the next one removes, and two that begin at once make one image.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.local import apt
from orchestrator.infrastructure.local.errors import LocalError
from orchestrator.infrastructure.local.places import HostPlaces
from orchestrator.infrastructure.local.programs import BUILDING, demand, run
from orchestrator.infrastructure.local.recipe import ENABLED, FILES, MASKED, PACKAGES, Recipe
from puppet_bridge.atomic import write_whole

BUILD_S: Final = 1800
SCRATCH: Final = ".lab-"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Image:
    """A root image and its pool, below one directory of the cache."""

    directory: Path

    @property
    def root(self) -> Path:
        """The file system that all hosts share below their own."""
        return self.directory / "root"

    @property
    def packages(self) -> Path:
        """The pool: packages and their index."""
        return self.directory / "packages"


def cache() -> Path:
    """Return this user's cache, by the XDG Base Directory Specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tarmak"


def image(tell: Tell, *, folder: Path | None = None) -> Image:
    """Return the image for this machine, made now if it is not in the cache."""
    recipe = Recipe(suite=apt.suite(), architecture=run("dpkg", "--print-architecture").strip())
    folder = folder or cache()
    found = Image(folder / f"lab-{recipe.digest}")
    if not found.directory.is_dir():
        demand(BUILDING)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lab.lock", tell):
            if not found.directory.is_dir():
                _make(recipe, found, tell)
    return found


def image_of(host: HostPlaces, tell: Tell) -> Image:
    """Return the image that a host's disk was begun on: over another one it would be half of each."""
    if not host.image.exists():
        found = image(tell)
        write_whole(host.base, f"{found.directory}\n".encode())
        return found
    found = Image(Path(host.base.read_text(encoding="utf-8").strip()))
    if not found.root.is_dir():
        raise LocalError(
            what=f"{host.name} has lost the root image that its disk was begun on",
            why=f"{found.directory} is gone from the cache",
            action=f"make {host.name} anew: end it (`down`), then apply again",
        )
    return found


@contextmanager
def _locked(file: Path, tell: Tell) -> Iterator[None]:
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting for another one who makes the hosts' root image")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _make(recipe: Recipe, found: Image, tell: Tell) -> None:
    folder = found.directory.parent
    for left in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
        made = Image(Path(scratch) / "image")
        made.directory.mkdir()
        tell(f"making the hosts' root image from Debian {recipe.suite} (once; a minute or two)")
        _bootstrap(recipe, made.root)
        tell("fetching the packages that hosts may install")
        _fill_pool(recipe, made, Path(scratch) / "apt")
        _finish(made)
        made.directory.rename(found.directory)
    tell(f"the root image is ready: {found.directory}")


def _bootstrap(recipe: Recipe, root: Path) -> None:
    settings = apt.reaching(run("apt-config", "dump", "Acquire"))
    run(
        "mmdebstrap",
        "--variant=minbase",
        "--format=directory",
        "--mode=root",
        f"--architectures={recipe.architecture}",
        f"--include={','.join(recipe.image)}",
        *(f"--aptopt={setting}" for setting in settings),
        recipe.suite,
        root,
        *(source.line() for source in apt.sources(recipe.suite)),
        timeout_s=BUILD_S,
    )


def _fill_pool(recipe: Recipe, made: Image, scratch: Path) -> None:
    known = apt.sources(recipe.suite)
    ours = apt.PrivateApt(directory=scratch, status=made.root / "var/lib/dpkg/status", preferred=recipe.suite)
    next_ones = [source.line(recipe.next_suite) for source in known if source.suite == recipe.suite]
    ours.update([source.line() for source in known] + (next_ones if recipe.next_suite else []))
    for package in recipe.pool:
        ours.download(package)
    for package in recipe.later if recipe.next_suite else ():
        ours.download(f"{package}/{recipe.next_suite}")
    made.packages.mkdir()
    made.packages.chmod(0o755)
    for file in ours.archives.glob("*.deb"):
        file.rename(made.packages / file.name)
    _index(made.packages)


def _index(packages: Path) -> None:
    scanned = run("sh", "-c", 'cd "$1" && exec dpkg-scanpackages --multiversion .', "sh", packages)
    (packages / "Packages").write_text(scanned, encoding="utf-8")
    for file in packages.iterdir():
        file.chmod(0o644)


def _finish(made: Image) -> None:
    """Take out what no two hosts may share or what only this machine can use, and put in what all have."""
    root = made.root
    strangers = [*(root / "etc/ssh").glob("ssh_host_*"), *(root / "etc/apt/sources.list.d").iterdir()]
    strangers += [*(root / "etc/apt/apt.conf.d").glob("99mmdebstrap"), root / "etc/apt/sources.list"]
    for file in (*strangers, *(root / name for name in FILES), root / "etc/hostname"):
        file.unlink(missing_ok=True)
    for name, text in FILES.items():
        (root / name).write_text(text, encoding="utf-8")
        (root / name).chmod(0o644)
    run("mkdir", "--parents", f"{root}{PACKAGES}", root / "var/log/journal")
    run("chroot", root, "systemctl", "--quiet", "enable", *ENABLED)
    run("chroot", root, "systemctl", "--quiet", "mask", *MASKED)
    _read_index(made)


def _read_index(made: Image) -> None:
    """Have apt know the pool already, in mounts of its own so that none can stay."""
    inside = 'mount --bind "$1" "$2$3" && exec chroot "$2" apt-get -q update'
    run("unshare", "--mount", "sh", "-c", inside, "sh", made.packages, made.root, PACKAGES)
