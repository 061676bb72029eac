"""Which orchestrator is meant: `--url`, then TARMAK_URL, then the context, then this machine's own."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from orchestrator.cli.stop import usage
from orchestrator.client import Client
from orchestrator.exchange import BadUrlError
from orchestrator.nearest import nearest

LAST_RESORT: Final = "unix:///run/tarmak/orchestrator.sock"
CONTEXT_KEYS: Final = ("url",)
KEYS: Final = ("context", "contexts")


def client_for(url: str | None) -> Client:
    """Return the client for the orchestrator that is meant."""
    meant = url_meant(url) or LAST_RESORT
    try:
        return Client(meant)
    except BadUrlError as error:
        raise usage(str(error), action="write it as unix:///run/tarmak/orchestrator.sock") from error


def url_meant(url: str | None) -> str | None:
    """Return the orchestrator's URL if one is named: by the option, the environment, or the context."""
    return url or os.environ.get("TARMAK_URL") or _context(config_file())


def config_file() -> Path:
    """Return where the operator's contexts are (XDG Base Directory)."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "tarmak" / "config.toml"


def _context(file: Path) -> str | None:
    try:
        config = tomllib.loads(file.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise usage(f"{file}: {error}", action="correct the file, or use --url") from error
    _refuse_unknown(file, config, KEYS)
    name = config.get("context")
    return None if name is None else _url(file, config.get("contexts", {}), name)


def _url(file: Path, contexts: Mapping[str, Any], name: str) -> str:
    if name not in contexts:
        raise usage(f"{file}: no context is called {name!r}", action=nearest(name, contexts))
    _refuse_unknown(file, contexts[name], CONTEXT_KEYS)
    url = contexts[name].get("url")
    if not isinstance(url, str):
        raise usage(f"{file}: context {name!r} has no url", action='add url = "unix:///…"')
    return url


def _refuse_unknown(file: Path, given: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in given:
        if key not in known:
            raise usage(f"{file}: unknown key {key!r}", action=nearest(key, known))
