"""Writes configuration as TOML: the standard library only reads it."""

import json
from collections.abc import Mapping

Table = Mapping[str, object]


def to_toml(table: Table, path: str = "") -> str:
    """Return a table of texts, numbers, lists and tables as TOML; JSON writes those just as TOML does."""
    plain = [f"{name} = {json.dumps(value)}" for name, value in table.items() if not isinstance(value, dict)]
    parts = ["\n".join(plain)] if plain else []
    for name, value in table.items():
        if isinstance(value, dict):
            inner = f"{path}.{name}" if path else name
            parts.append(f"[{inner}]\n{to_toml(value, inner)}")
    return "\n\n".join(parts) + "\n"
