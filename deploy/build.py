"""`./dev build`: an instance has python3 and no network to PyPI, yet needs the wing and all it imports.

Makes the wheel and two zipapps, `dist/wing.pyz` and `dist/tarmak.pyz`. Each holds the locked
requirements as wheels for every Python in `PYTHONS` on x86-64 Linux; pex's own bootstrap picks those of
the python3 that runs it and unpacks them once, below `$PEX_ROOT` (default: `~/.cache/pex`).
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from packaging import markers, tags
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
CACHE = ROOT / ".cache" / "build"
PYTHONS = ((3, 11), (3, 12), (3, 13))
# Debian 12 and Ubuntu 24.04 have newer ones; wheels for any older C library are taken as well.
GLIBC = (2, 34)
WING_PACKAGES = ("broker", "puppet_bridge", "wing")


def main() -> int:
    """Build everything anew; prints what was made, with its size."""
    shutil.rmtree(DIST, ignore_errors=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    wheel = build_wheel()
    platforms = [complete_platform(version) for version in PYTHONS]
    wheels = gather_wheels()
    code = [word for name in WING_PACKAGES for word in ("--package", f"{name}@{ROOT}")]
    zipapp(
        "wing", platforms, wheels, wing_requirements(wheels), [*code, "--entry-point", "wing.__main__:main"]
    )
    shutil.copy(wheel, wheels)
    zipapp("tarmak", platforms, wheels, pinned(wheels), ["--script", "tarmak"])
    # All that `tarmak cluster` brings onto hosts is in one folder.
    shutil.copytree(ROOT / "deploy" / "systemd", DIST / "systemd")
    for made in sorted(path for path in DIST.iterdir() if path.is_file()):
        print(f"{made.relative_to(ROOT)}  {made.stat().st_size / 1e6:.1f} MB")
    return 0


def build_wheel() -> Path:
    """Build the project's wheel with the locked setuptools."""
    run("-m", "build", "--quiet", "--wheel", "--no-isolation", "--outdir", str(DIST), str(ROOT))
    return next(DIST.glob("*.whl"))


def zipapp(
    name: str, platforms: Sequence[Path], wheels: Path, requirements: Iterable[str], program: Sequence[str]
) -> None:
    """Put what is required, out of `wheels`, and what starts into `dist/NAME.pyz`."""
    targets = [f"--complete-platform={path}" for path in platforms]
    run(
        *("-m", "pex", *targets, *program, *requirements),
        # These files, and nothing that they ask for besides.
        *("--no-pypi", "--find-links", str(wheels), "--intransitive"),
        # As a venv, because the programs start children as `sys.executable -m …`.
        *("--venv", "prepend", "--sh-boot", "--python-shebang", "/usr/bin/env python3"),
        *("--output-file", str(DIST / f"{name}.pyz")),
        environment={"PEX_ROOT": str(CACHE / "pex")},
    )


def pinned(wheels: Path) -> list[str]:
    """Return each project in the folder as `name==version`."""
    named = {parse_wheel_filename(wheel.name)[:2] for wheel in wheels.iterdir()}
    return sorted(f"{project}=={version}" for project, version in named)


def wing_requirements(wheels: Path) -> list[str]:
    """Return those that the wing needs: its locked versions are the runtime's own."""
    lines = (ROOT / "requirements" / "wing.txt").read_text().splitlines()
    wanted = {canonicalize_name(line.partition("==")[0]) for line in lines if re.match("[a-z0-9]", line)}
    return [requirement for requirement in pinned(wheels) if requirement.partition("==")[0] in wanted]


def gather_wheels() -> Path:
    """Download each locked file for each Python, checked against its hash; the folder holds only wheels."""
    wheels = CACHE / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    requirements = ("--require-hashes", "--requirement", str(ROOT / "requirements" / "runtime.txt"))
    for version in PYTHONS:
        run(*pip, "download", "--no-deps", *target_options(version), "--dest", str(wheels), *requirements)
    for source in wheels.glob("*.tar.gz"):
        # A project that publishes no wheel (sdnotify): pure Python, so one wheel is for all.
        run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source))
        source.unlink()
    return wheels


def target_options(version: tuple[int, int]) -> Iterator[str]:
    """Say to pip which files fit."""
    abi = f"cp{version[0]}{version[1]}"
    yield from ("--python-version", f"{version[0]}.{version[1]}", "--implementation", "cp")
    for name in (abi, "abi3", "none"):
        yield from ("--abi", name)
    for name in platform_tags():
        yield from ("--platform", name)


def complete_platform(version: tuple[int, int]) -> Path:
    """Describe CPython VERSION on x86-64 Linux to pex, which knows only the interpreters of this machine."""
    number = f"{version[0]}.{version[1]}"
    environment = {
        **markers.default_environment(),
        "python_version": number,
        "python_full_version": f"{number}.0",
        "implementation_version": f"{number}.0",
    }
    abi = f"cp{version[0]}{version[1]}"
    fitting = [
        *tags.cpython_tags(version, abis=[abi], platforms=platform_tags()),
        *tags.compatible_tags(version, abi, platforms=platform_tags()),
    ]
    described = {"marker_environment": environment, "compatible_tags": [str(tag) for tag in fitting]}
    path = CACHE / f"{abi}.json"
    path.write_text(json.dumps(described))
    return path


def platform_tags() -> list[str]:
    """Name the platforms whose wheels run here, newest C library first."""
    major, newest = GLIBC
    plain = [f"manylinux_{major}_{minor}_x86_64" for minor in range(newest, 4, -1)]
    return [*plain, "manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]


def run(*words: str, environment: dict[str, str] | None = None) -> None:
    """Run a Python program of this environment; its own words say what went wrong."""
    ended = subprocess.run([sys.executable, *words], check=False, env={**os.environ, **(environment or {})})
    if ended.returncode:
        raise SystemExit(f"build: {' '.join(words[:3])} failed with exit code {ended.returncode}")


if __name__ == "__main__":
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise SystemExit("build: the zipapps are built on x86-64 Linux, whose wheels they hold")
    sys.exit(main())
