"""`orchestrator.toml` and `roster.toml` become typed values, or an error that names file and key.

A mistyped key must not become a silent default, so unknown ones are refused, with the nearest known one
named. Relative paths are from the file's folder.
"""

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from broker import ids
from broker.errors import InvalidIdError, KeyFormatError
from broker.ids import ClusterName, InstanceId, OrchestratorName, Role
from broker.signing import SigningKey, VerifyKey
from orchestrator.domain.model import Enrolment
from orchestrator.nearest import nearest

DEFAULT_PATH: Final = Path("/etc/tarmak/orchestrator.toml")
ModelT = TypeVar("ModelT", bound="_Table")


class ConfigError(Exception):
    """A configuration can't be used: which file, which key, and what is wrong with it."""

    def __init__(self, *, file: Path, key: str, reason: str) -> None:
        self.file = file
        self.key = key
        self.reason = reason
        super().__init__(f"{file}: {key}: {reason}" if key else f"{file}: {reason}")


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not host or not colon or not port.isdecimal():
        raise ValueError("must be HOST:PORT, such as 0.0.0.0:8443")
    return text


def _public_key(text: str) -> str:
    try:
        return VerifyKey.from_base64(text).to_base64()
    except KeyFormatError as error:
        raise ValueError(str(error)) from error


def _https(text: str) -> str:
    if not text.startswith("https://"):
        raise ValueError("must be https://HOST:PORT, as hosts reach it")
    return text


def _node_name(text: str) -> str:
    try:
        return ids.host_name(text)
    except InvalidIdError as error:
        reason = "must be a Kubernetes Node's name: lower-case letters, digits, hyphens and dots"
        raise ValueError(reason) from error


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ApiConfig(_Table):
    """The operators' socket, and the groups that may use it beside root and the daemon's own user."""

    socket: Path = Path("/run/tarmak/orchestrator.sock")
    groups: tuple[str, ...] = ()


class BrokerConfig(_Table):
    """Where the broker is, and the PEM files of this orchestrator's certificate."""

    host: str
    port: Annotated[int, Field(gt=0, lt=65536)] = 8883
    ca: Path
    certificate: Path
    key: Path


class SigningConfig(_Table):
    """The private key that signs commands."""

    key: Path


class JournalConfig(_Table):
    """The journal's database as SQLAlchemy writes it (None: SQLite in the state directory)."""

    url: str | None = None


class BundlesConfig(_Table):
    """Where bundles are served, what wings are told, who the door is, and in which store (URL) they lie."""

    listen: Annotated[str, AfterValidator(_address)]
    url: str
    ca: Path
    certificate: Path
    key: Path
    store: str | None = None


class AuthorityConfig(_Table):
    """The directory of the authority that signs the certificates of those who join."""

    directory: Path


class JoinConfig(_Table):
    """Where hosts join, by which URL they find that, and who the door is (PEM files).

    `orchestrators` are the public keys of others that stand by, by name: whoever joins obeys them too.
    """

    listen: Annotated[str, AfterValidator(_address)]
    url: Annotated[str, AfterValidator(_https)]
    ca: Path
    certificate: Path
    key: Path
    orchestrators: dict[
        Annotated[OrchestratorName, AfterValidator(ids.orchestrator_name)],
        Annotated[str, AfterValidator(_public_key)],
    ] = {}


class KubernetesConfig(_Table):
    """The kubeconfig of a read-only credential, to see Nodes and what drains would meet (None: not)."""

    kubeconfig: Path | None = None


class RetentionConfig(_Table):
    """For how many days events, runs and logs are kept."""

    days: Annotated[int, Field(gt=0)] = 30


class OrchestratorConfig(_Table):
    """All that an orchestrator is told about itself."""

    cluster: Annotated[ClusterName, AfterValidator(ids.cluster_name)]
    name: Annotated[OrchestratorName, AfterValidator(ids.orchestrator_name)]
    state_dir: Path = Path("/var/lib/tarmak/orchestrator")
    roster: Path
    api: ApiConfig = ApiConfig()
    broker: BrokerConfig
    signing: SigningConfig
    journal: JournalConfig = JournalConfig()
    bundles: BundlesConfig
    authority: AuthorityConfig | None = None
    join: JoinConfig | None = None
    kubernetes: KubernetesConfig = KubernetesConfig()
    retention: RetentionConfig = RetentionConfig()

    @property
    def journal_url(self) -> str:
        """The journal's database."""
        return self.journal.url or f"sqlite+aiosqlite:///{self.state_dir / 'journal.sqlite'}"

    @property
    def store_url(self) -> str:
        """Where bundles are kept."""
        return self.bundles.store or (self.state_dir / "bundles").as_uri()


class _Member(_Table):
    id: Annotated[InstanceId, AfterValidator(ids.instance_id)]
    role: Annotated[Role, AfterValidator(ids.role)]
    pool: str = ""
    labels: dict[str, str] = {}
    node: Annotated[str, AfterValidator(_node_name)] | None = None
    key: Annotated[str, AfterValidator(_public_key)]


class _Roster(_Table):
    instance: tuple[_Member, ...] = ()


def load(file: Path) -> OrchestratorConfig:
    """Return the configuration in `file`; raises ConfigError."""
    config = _read(file, OrchestratorConfig)
    base = file.absolute().parent
    tables = {
        name: _anchored(getattr(config, name), base)
        for name in ("api", "broker", "signing", "bundles", "authority", "join", "kubernetes")
        if getattr(config, name) is not None
    }
    if config.join is not None and config.authority is None:
        reason = "the door needs an [authority] that signs certificates"
        raise ConfigError(file=file, key="join", reason=reason)
    return _anchored(config, base).model_copy(update=tables)


def load_key(file: Path, config: OrchestratorConfig) -> SigningKey:
    """Return the key that signs commands; raises ConfigError."""
    try:
        return SigningKey.from_pem(config.signing.key.read_bytes())
    except (OSError, KeyFormatError) as error:
        raise ConfigError(file=file, key="signing.key", reason=f"{config.signing.key}: {error}") from error


def load_roster(file: Path, at: datetime) -> tuple[Enrolment, ...]:
    """Return who is enrolled; raises ConfigError."""
    members = _read(file, _Roster).instance
    seen: set[str] = set()
    nodes: dict[str, InstanceId] = {}
    for index, member in enumerate(members):
        if member.id in seen or member.key in seen:
            raise ConfigError(
                file=file, key=f"instance.{index}", reason=f"{member.id}: its id or its key is there twice"
            )
        seen |= {member.id, member.key}
        node = member.node or member.id
        if node in nodes:
            reason = f"{member.id}: its Node {node} is {nodes[node]}'s already"
            raise ConfigError(file=file, key=f"instance.{index}.node", reason=reason)
        nodes[node] = member.id
    return tuple(
        Enrolment(
            id=member.id,
            role=member.role,
            pool=member.pool or member.role,
            labels=member.labels,
            key=member.key,
            enrolled_at=at,
            node=member.node,
        )
        for member in members
    )


def _read(file: Path, into: type[ModelT]) -> ModelT:
    try:
        return into.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(file=file, key="", reason=error.strerror or str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(file=file, key="", reason=f"not TOML: {error}") from error
    except ValidationError as error:
        raise _explained(file, into, error) from error


def _explained(file: Path, into: type[_Table], error: ValidationError) -> ConfigError:
    # A mistyped key is also a missing one: the mistyped one says more.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    place = [str(part) for part in first["loc"]]
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = f"no such key; {nearest(place[-1], _known(into, place[:-1]))}"
    return ConfigError(file=file, key=".".join(place), reason=reason)


def _known(into: type[_Table], place: list[str]) -> list[str]:
    table: Any = into
    for name in place:
        if not name.isdecimal():
            table = _table_in(table.model_fields[name].annotation)
    return list(table.model_fields)


def _table_in(annotation: Any) -> Any:
    """Return the table that a field holds: itself, one of a list, or one that may be left out."""
    return next(
        (each for each in (annotation, *get_args(annotation)) if hasattr(each, "model_fields")), annotation
    )


def _anchored(table: ModelT, base: Path) -> ModelT:
    paths = {
        name: base / value
        for name in type(table).model_fields
        if isinstance(value := getattr(table, name), Path)
    }
    return table.model_copy(update=paths)
