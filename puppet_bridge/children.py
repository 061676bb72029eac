"""A resident process stays small by leaving heavy work to short-lived Python children.

A child must find the same code as its parent, whether that runs from a virtual environment, a checkout or
a zipapp (shiv and pex put their unpacked wheels on `sys.path`), and nothing else: no variable of the
parent's leaks into it but those that its work is named for.
"""

import os
import site
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

PASSED_ON: Final = ("PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


def python_command(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs `module` with this process's own Python."""
    return (sys.executable, "-P", "-s", "-m", module, *arguments)


def python_environment(*, prefixes: Iterable[str] = ()) -> dict[str, str]:
    """Return the whole environment of such a child; variables that start with one of `prefixes` go along."""
    wanted = tuple(prefixes)
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED_ON or (wanted and name.startswith(wanted))
    }
    return passed | {"PYTHONPATH": os.pathsep.join(import_roots()), "LANG": "C.UTF-8", "PYTHONUTF8": "1"}


def import_roots() -> tuple[str, ...]:
    """Return what of our `sys.path` a fresh interpreter doesn't have by itself, as absolute paths."""
    own = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    own |= {Path(folder) for folder in site.getsitepackages()}
    own |= {folder / "lib-dynload" for folder in tuple(own)}
    roots = (Path(entry or os.curdir).absolute() for entry in sys.path)
    return tuple(dict.fromkeys(str(root) for root in roots if root not in own and root.exists()))
