"""What is brought onto a host: the programs as zipapps, and the units that run them.

Whoever brings them may run from a checkout, or be one of those zipapps: `./dev build` puts all of it into one
folder, and a copy of that folder is all that an operator's machine needs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from orchestrator.infrastructure.errors import InfrastructureError

OPT: Final = "/opt/tarmak"
UNITS: Final = "/etc/systemd/system"
VARIABLE: Final = "TARMAK_RELEASE"
BASTION_UNITS: Final = ("tarmak-mosquitto.service", "tarmak-orchestrator.service")
WING_UNITS: Final = ("wing-join.service", "wing.service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A file of ours and where it belongs on a host."""

    file: Path
    path: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The pieces for a bastion, and those for every host."""

    bastion: tuple[Piece, ...]
    everywhere: tuple[Piece, ...]

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Return the release that is in `folder`; InfrastructureError if it is not whole."""
        release = cls(
            bastion=(
                _program(folder, "tarmak.pyz"),
                Piece(file=folder / "systemd/tarmak.sysusers", path="/usr/lib/sysusers.d/tarmak.conf"),
                *(_unit(folder, name) for name in BASTION_UNITS),
            ),
            everywhere=(_program(folder, "wing.pyz"), *(_unit(folder, name) for name in WING_UNITS)),
        )
        missing = [piece.file for piece in (*release.bastion, *release.everywhere) if not piece.file.exists()]
        if missing:
            raise InfrastructureError(
                what=f"there is no whole release in {folder}",
                why=f"it lacks {', '.join(str(file.relative_to(folder)) for file in missing)}",
                action=f"make one with `./dev build`, or name its folder in {VARIABLE}",
            )
        return release


def folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the release is: as named, beside the zipapp that runs, or in the checkout."""
    if named := environment.get(VARIABLE):
        return Path(named).absolute()
    if zipapp := environment.get("PEX"):
        return Path(zipapp).parent
    return Path(__file__).parents[2] / "dist"


def _program(folder: Path, name: str) -> Piece:
    return Piece(file=folder / name, path=f"{OPT}/{name}", mode=0o755)


def _unit(folder: Path, name: str) -> Piece:
    return Piece(file=folder / "systemd" / name, path=f"{UNITS}/{name}")
