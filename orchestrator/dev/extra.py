"""What a user adds to every wing's configuration, such as a kubeconfig that its Node is drained with.

The file is TOML in which `{instance}` and `{role}` stand for each wing's own. The wing itself says which keys
it knows; here only what is no TOML at all is refused, before anything starts.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.dev.errors import DevError
from orchestrator.dev.members import Member

Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """The text of such a file."""

    file: Path
    text: str

    @classmethod
    def read(cls, file: Path) -> "Extra":
        """Return what is in `file`; DevError if it can't be read or is no TOML."""
        try:
            extra = cls(file=file, text=file.read_text(encoding="utf-8"))
            tomllib.loads(extra.text)
        except OSError as error:
            raise DevError(what=f"{file} can't be read", why=error.strerror or str(error)) from error
        except ValueError as error:
            raise DevError(what=f"{file} is not TOML", why=str(error)) from error
        return extra

    def of(self, member: Member) -> Table:
        """Return what is added to one wing's configuration."""
        return tomllib.loads(self.text.replace("{instance}", member.id).replace("{role}", member.role))


def merged(table: Table, extra: Table) -> Table:
    """Return `table` with what `extra` says, which goes before; tables are merged key by key."""
    both = {
        key: merged(table[key], value)
        for key, value in extra.items()
        if isinstance(value, Mapping) and isinstance(table.get(key), Mapping)
    }
    return {**table, **extra, **both}
