"""Judges what all suites together have run: pure modules to 98 %, everything to 90 %, by branch.

    python -m tests.coverage_floors DATA

Which modules are pure stands in one place, the import contract that keeps them so.
"""

import configparser
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PURE = "importlinter:contract:pure"
FLOORS = {"pure modules": 98, "all modules": 90}


def main() -> int:
    """Print both reports; return 1 if either is below its floor."""
    (data,) = sys.argv[1:]
    below = [
        what
        for what, include in {"pure modules": pure_files(), "all modules": []}.items()
        if not reported(data, what, include)
    ]
    for what in below:
        print(f"coverage: {what} are below {FLOORS[what]} %", file=sys.stderr)
    return 1 if below else 0


def pure_files() -> list[str]:
    """Return the files of the modules that the contract names; one that is gone is an error there."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    names = contracts[PURE]["source_modules"].split()
    folders = [name.replace(".", "/") for name in names]
    return [f"{folder}/*" if (ROOT / folder).is_dir() else f"{folder}.py" for folder in folders]


def reported(data: str, what: str, include: list[str]) -> bool:
    """Print the report on `include` (nothing: all) and return whether it reaches its floor."""
    print(f"\n{what}, floor {FLOORS[what]} %:", flush=True)
    chosen = [f"--include={','.join(include)}"] if include else []
    command = ["coverage", "report", f"--data-file={data}", f"--fail-under={FLOORS[what]}", *chosen]
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
