"""`cluster.yaml` becomes a `Cluster`, or an error that names file, line and key.

PyYAML keeps no lines once it has built its values, and takes the last of two equal keys without a word. So
the tree of nodes is walked first: it yields each key's line, and finds the doubles.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from orchestrator.infrastructure.cluster import Cluster
from orchestrator.infrastructure.errors import DescriptionError
from orchestrator.nearest import nearest

DEFAULT: Final = Path("cluster.yaml")
ACTION: Final = "mend it; `tarmak cluster schema` has all keys, docs/reference/cluster.md what they mean"
KINDS: Final = ("local", "static")

Path_ = tuple[str | int, ...]
Lines = dict[Path_, int]


def load(file: Path) -> Cluster:
    """Return the cluster that `file` describes, its paths made absolute; raises DescriptionError."""
    text = _text(file)
    lines: Lines = {}
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        for path, line, double in _keys(node):
            if double:
                raise _error(file, line, path, "it is there twice")
            lines[path] = line
        table = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _not_yaml(file, error) from error
    if not isinstance(table, dict):
        raise _error(file, 1, (), "it is no mapping of keys to values")
    try:
        cluster = Cluster.model_validate_json(json.dumps(table, default=str))
    except ValidationError as error:
        raise _explained(file, lines, error) from error
    return _anchored(file, lines, cluster)


def schema() -> str:
    """Return the JSON Schema of a description, for editors."""
    table = Cluster.model_json_schema()
    table["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    table["title"] = "A cluster of Tarmak"
    # The name of a pool stands for its role where that is one.
    table["$defs"]["Pool"]["required"].remove("role")
    return json.dumps(table, indent=2, ensure_ascii=False) + "\n"


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DescriptionError(
            what=f"there is no {file}",
            why="it describes the cluster",
            action=f"write one with `tarmak cluster init {file}`, or name another file",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DescriptionError(what=f"{file} can't be read: {error}") from error


def _keys(node: yaml.Node | None, path: Path_ = ()) -> Iterator[tuple[Path_, int, bool]]:
    """Yield each key's path and line, and whether it is there already."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            below = (*path, str(key.value))
            yield below, key.start_mark.line + 1, str(key.value) in seen
            seen.add(str(key.value))
            yield from _keys(value, below)
    elif isinstance(node, yaml.SequenceNode):
        for place, value in enumerate(node.value):
            yield (*path, place), value.start_mark.line + 1, False
            yield from _keys(value, (*path, place))


def _explained(file: Path, lines: Lines, error: ValidationError) -> DescriptionError:
    # A mistyped key is also a missing one: what was checked by us says more.
    found = sorted(error.errors(), key=lambda each: each["type"] != "tarmak")
    path, reason = _place(found[0]), _reason(found[0])
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return _error(file, _line(lines, path), path, reason + more)


def _place(error: Any) -> Path_:
    path = tuple(error["loc"])
    if error["type"] == "union_tag_invalid":
        return (*path, "kind")
    # Which kind of provider was meant is no key of the file.
    if len(path) > 1 and path[0] == "provider" and path[1] in KINDS:
        path = (path[0], *path[2:])
    return (*(part for part in path if part != "[key]"), *error.get("ctx", {}).get("at", ()))


def _reason(error: Any) -> str:
    given, context = error.get("input"), error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "it is missing"
        case "union_tag_invalid":
            return f"{context['tag']!r} is no provider; {nearest(context['tag'], KINDS)}"
        case "union_tag_not_found":
            return "its `kind` is missing: local or static"
        case "enum" | "literal_error" if isinstance(given, str):
            return f"{given!r} is none of {context['expected']}"
        case "string_type" | "path_type" if isinstance(given, int | float):
            return _unquoted(given)
        case _:
            return str(error["msg"][:1].lower() + error["msg"][1:])


def _unquoted(given: float) -> str:
    if isinstance(given, bool):
        return "it must be text, and YAML takes it for yes or no: write it in quotes"
    return f'it must be text: write it in quotes, as "{given}"'


def _line(lines: Lines, path: Path_) -> int | None:
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def _error(file: Path, line: int | None, path: Path_, reason: str) -> DescriptionError:
    where = f"{file}:{line}" if line else str(file)
    return DescriptionError(what=f"{where}: {_dotted(path)}{reason}", action=ACTION)


def _dotted(path: Path_) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return f"{text}: " if text else ""


def _not_yaml(file: Path, error: yaml.YAMLError) -> DescriptionError:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or str(error)
    return _error(file, None if mark is None else mark.line + 1, (), f"not YAML: {reason}")


def _anchored(file: Path, lines: Lines, cluster: Cluster) -> Cluster:
    base, source = file.absolute().parent, cluster.source()
    if source is not None:
        source = Path(os.path.normpath(base / source.expanduser()))
        if not source.is_dir():
            reason = f"{source} is no directory, and it is no digest (sha256:…)"
            raise _error(file, lines.get(("bundle",)), ("bundle",), reason)
        cluster = cluster.model_copy(update={"bundle": str(source)})
    identity = getattr(cluster.provider, "identity", None)
    if identity is not None:
        identity = base / identity.expanduser()
        if not identity.is_file():
            path = ("provider", "identity")
            raise _error(file, lines.get(path), path, f"there is no file {identity}")
        provider = cluster.provider.model_copy(update={"identity": identity})
        cluster = cluster.model_copy(update={"provider": provider})
    return cluster
