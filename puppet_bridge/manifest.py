"""What a bundle says of itself in its optional `tarmak.yaml`, and nothing that it doesn't mean.

A misspelt key would otherwise be a silent wish, so an unknown one is an error that names its nearest
known. Pure: the text comes in, the manifest comes out.

    name: example-site           # for people
    version: 1.0.0               # for people; the digest is what counts
    roles: [master, worker]      # the roles that the code knows
    puppet: "7.0"                # the least Puppet that it needs
    host_modules: [stdlib]       # modules that the host's own packages bring
"""

import difflib
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import yaml

from broker import ids
from broker.errors import InvalidIdError
from broker.ids import Role
from puppet_bridge.errors import ManifestError

FILE: Final = "tarmak.yaml"
PUPPET_VERSION: Final = re.compile(r"[0-9]+(\.[0-9]+){0,2}")
MODULE: Final = re.compile(r"[a-z][a-z0-9_]*")
MAX_SIZE: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleManifest:
    """A bundle's account of itself; an empty `roles` claims none in particular."""

    name: str = ""
    version: str = ""
    roles: tuple[Role, ...] = ()
    puppet: str = ""
    host_modules: tuple[str, ...] = ()


KNOWN: Final = tuple(field.name for field in fields(BundleManifest))


def parse(text: str) -> BundleManifest:
    """Return what `text`, a tarmak.yaml, says; raises ManifestError."""
    document = _load(text)
    for key in document:
        if key not in KNOWN:
            raise ManifestError(key=str(key), reason=f"is not known{_nearest(str(key))}")
    modules = _list(document, "host_modules")
    return BundleManifest(
        name=_text(document, "name"),
        version=_text(document, "version"),
        roles=tuple(_role(item) for item in _list(document, "roles")),
        puppet=_matched("puppet", PUPPET_VERSION, _text(document, "puppet"), 'such as "7.0"'),
        host_modules=tuple(_matched("host_modules", MODULE, item, "such as stdlib") for item in modules),
    )


def _load(text: str) -> Mapping[Hashable, Any]:
    if len(text) > MAX_SIZE:
        raise ManifestError(reason=f"longer than {MAX_SIZE} characters")
    try:
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = None if error.problem_mark is None else error.problem_mark.line + 1
        raise ManifestError(reason=error.problem or "not YAML", line=line) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ManifestError(reason=f"not YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ManifestError(reason="not a mapping of keys to values")
    return document


def _nearest(key: str) -> str:
    near = difflib.get_close_matches(key, KNOWN, n=1, cutoff=0.5)
    return f"; do you mean {near[0]}?" if near else f"; known are {', '.join(KNOWN)}"


def _text(document: Mapping[Hashable, Any], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise ManifestError(key=key, reason=f"{value!r} is not a text; put it in quotes")
    return value


def _list(document: Mapping[Hashable, Any], key: str) -> list[str]:
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ManifestError(key=key, reason=f"{value!r} is not a list of texts")
    return value


def _role(text: str) -> Role:
    try:
        return ids.role(text)
    except InvalidIdError as error:
        raise ManifestError(key="roles", reason=f"{text!r} is not a role's name") from error


def _matched(key: str, form: re.Pattern[str], text: str, such_as: str) -> str:
    if text and form.fullmatch(text) is None:
        raise ManifestError(key=key, reason=f"{text!r} is not of its form, {such_as}")
    return text
