"""`wing.toml` becomes one typed value, or an error that says which key of which file is wrong.

A mistyped key must not become a silent default on hundreds of hosts: unknown keys are refused, with the
nearest known one named. msgspec does the typing, since pydantic would cost every wing 9 MB for good.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec

from broker import ids
from broker.errors import InvalidIdError, KeyFormatError
from broker.ids import ClusterName, InstanceId, Role
from broker.signing import Keyring, SigningKey, VerifyKey

DEFAULT_PATH: Final = Path("/etc/tarmak/wing.toml")


class ConfigError(Exception):
    """A configuration can't be used: which file, which key, what is wrong with it."""

    def __init__(self, *, file: Path, key: str, reason: str) -> None:
        self.file = file
        self.key = key
        self.reason = reason
        super().__init__(f"{file}: {key}: {reason}" if key else f"{file}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """Where the broker is, and the PEM files of this instance's certificate."""

    host: str
    port: int
    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningConfig:
    """The wing's own private signing key, and the public keys of the orchestrators that it obeys, by name."""

    key: Path
    orchestrators: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PuppetConfig:
    """Which Puppet, what more than the bundle's modules it finds, and whose lock it takes (None: its own)."""

    executable: str = "puppet"
    module_path: tuple[str, ...] = ()
    lock: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BundlesConfig:
    """The PEM files with which bundles' doors are entered; what is not given is the broker's."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainConfig:
    """How this instance is emptied: as a Kubernetes Node, by the site's own commands, or not at all.

    `node` is the Node's name (empty: the instance's id). The commands are words, run without a shell. Where
    none is given, the programs `drain` and `uncordon` in `hooks` are (None: `hooks` beside the file), if they
    are there: so what a role needs before it is changed comes with the role's own Puppet code.
    """

    kubeconfig: Path | None = None
    node: str = ""
    command: tuple[str, ...] = ()
    uncordon_command: tuple[str, ...] = ()
    hooks: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WingConfig:
    """All that a wing is told about itself."""

    cluster: ClusterName
    instance: InstanceId
    role: Role
    broker: BrokerConfig
    signing: SigningConfig
    pool: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    state_dir: Path = Path("/var/lib/tarmak/wing")
    root: Path = Path("/")
    heartbeat_s: float = 60.0
    puppet: PuppetConfig = field(default_factory=PuppetConfig)
    bundles: BundlesConfig = field(default_factory=BundlesConfig)
    drain: DrainConfig = field(default_factory=DrainConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A wing's own signing key, and whom it believes."""

    own: SigningKey
    orchestrators: Keyring


def load(file: Path) -> WingConfig:
    """Return the configuration in `file`; raises ConfigError. Relative paths are from the file's folder."""
    try:
        plain = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(file=file, key="", reason=error.strerror or str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(file=file, key="", reason=f"not TOML: {error}") from error
    _refuse_unknown(file, plain, WingConfig, "")
    try:
        config = msgspec.convert(plain, WingConfig, dec_hook=_path(file.parent))
    except msgspec.ValidationError as error:
        reason, _, key = str(error).partition(" - at ")
        raise ConfigError(file=file, key=key.strip("`").removeprefix("$."), reason=reason) from error
    return _checked(file, config)


def load_keys(file: Path, config: WingConfig) -> Keys:
    """Return the keys that `config` (from `file`) names; raises ConfigError."""
    try:
        own = SigningKey.from_pem(config.signing.key.read_bytes())
    except (OSError, KeyFormatError) as error:
        raise ConfigError(file=file, key="signing.key", reason=f"{config.signing.key}: {error}") from error
    verifying = {}
    for name, text in config.signing.orchestrators.items():
        try:
            verifying[name] = VerifyKey.from_base64(text)
        except KeyFormatError as error:
            raise ConfigError(file=file, key=f"signing.orchestrators.{name}", reason=str(error)) from error
    try:
        return Keys(own=own, orchestrators=Keyring(verifying))
    except KeyFormatError as error:
        raise ConfigError(file=file, key="signing.orchestrators", reason=str(error)) from error


def _path(folder: Path) -> Any:
    def hook(wanted: type, value: object) -> object:
        if wanted is Path and isinstance(value, str):
            return folder / value
        raise NotImplementedError(f"{wanted} can't be configured")

    return hook


def _checked(file: Path, config: WingConfig) -> WingConfig:
    try:
        ids.cluster_name(config.cluster)
        ids.instance_id(config.instance)
        ids.role(config.role)
    except InvalidIdError as error:
        raise ConfigError(file=file, key=error.field, reason=str(error)) from error
    if not config.signing.orchestrators:
        reason = "names no orchestrator, so no command could ever be obeyed"
        raise ConfigError(file=file, key="signing.orchestrators", reason=reason)
    if config.heartbeat_s <= 0:
        raise ConfigError(file=file, key="heartbeat_s", reason="must be more than 0")
    if config.drain.uncordon_command and not config.drain.command:
        reason = "there is no drain.command whose doing it could undo"
        raise ConfigError(file=file, key="drain.uncordon_command", reason=reason)
    doors = {
        name: getattr(config.bundles, name) or getattr(config.broker, name)
        for name in ("ca", "certificate", "key")
    }
    hooks = config.drain.hooks or file.parent / "hooks"
    drain = replace(config.drain, node=config.drain.node or config.instance, hooks=hooks)
    return replace(config, bundles=BundlesConfig(**doors), drain=drain)


def _refuse_unknown(file: Path, plain: Mapping[str, Any], shape: Any, path: str) -> None:
    hints = get_type_hints(shape)
    known = [known_field.name for known_field in fields(shape)]
    for key, value in plain.items():
        if key not in known:
            import difflib  # noqa: PLC0415 - for a file that is refused only

            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
            raise ConfigError(file=file, key=f"{path}{key}", reason=f"unknown key; {hint}")
        inner = hints[key]
        if is_dataclass(inner) and isinstance(value, Mapping):
            _refuse_unknown(file, value, inner, f"{path}{key}.")
