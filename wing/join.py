"""`wing join`: a host becomes an instance, with a token that is good once and keys that never leave it.

It may be called again at any time: keys that were made are kept, so that an answer that was lost can be
asked for again, and a host that has joined is left as it is. `wing.toml` is written last, so that its
presence means joined. Exit codes: 0 joined, now or before; 1 refused, or the door can't be reached; 2
configuration.
"""

import argparse
import sys
from pathlib import Path

from wing.config import ConfigError, WingConfig, load, load_keys
from wing.join_door import JoinError, Request, knock
from wing.join_files import check, host_keys, install, read_invitation


def join(asked: argparse.Namespace) -> int:
    """Join as `asked`; returns the exit code, or raises ConfigError."""
    config: Path = asked.config
    try:
        if config.exists():
            _believed(config)
            said = f"{config} is there: this host has joined already"
        else:
            said = _joined(asked.file, config)
        asked.file.unlink(missing_ok=True)
    except JoinError as error:
        _say(str(error))
        return 1
    except OSError as error:
        raise ConfigError(file=Path(error.filename or config), key="", reason=str(error)) from error
    _say(said)
    return 0


def _joined(file: Path, config: Path) -> str:
    """Join by what is in `file`; returns what to say of it."""
    invitation = read_invitation(file)
    config.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    keys = host_keys(config.parent)
    signing_key = keys.signing.public.to_base64()
    answer = knock(
        invitation.place,
        Request(token=invitation.token, csr=keys.request(), signing_key=signing_key),
        authority=invitation.authority,
    )
    check(answer, keys)
    install(config, answer)
    wing = _believed(config)
    return f"joined {wing.cluster} as {wing.instance}, role {wing.role}"


def _believed(config: Path) -> WingConfig:
    """Return a configuration that a wing could start with; raises ConfigError."""
    wing = load(config)
    load_keys(config, wing)
    return wing


def _say(text: str) -> None:
    print(f"wing: {text}", file=sys.stderr)  # noqa: T201 - to a person, or the journal of wing-join.service
