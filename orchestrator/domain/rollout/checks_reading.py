"""The checks of one role's health as plain data, read and written; a part of the strategy's text."""

from typing import Any, Final

from broker.messages import CommandCheck, EtcdCheck, HealthChecks, HttpCheck, NodeCheck, VaultCheck
from orchestrator.domain.rollout.fields import Fields
from orchestrator.domain.rollout.strategy import StrategyError
from orchestrator.durations import written

CHECKS: Final = ("node", "etcd", "vault", "commands", "http")
ETCD: Final = ("endpoint", "ca", "certificate", "key", "timeout")
VAULT: Final = ("endpoint", "ca", "timeout")
HTTP: Final = ("url", "status", "ca", "timeout")
STATUSES: Final = (100, 599)


def checks_from(raw: object, path: str) -> HealthChecks:
    """Return the checks that the mapping `raw` describes; StrategyError names the field below `path`."""
    given = Fields(raw, path, CHECKS)
    return HealthChecks(
        node=_node(given["node"], given.at("node")) if "node" in given else None,
        etcd=_etcd(given["etcd"], given.at("etcd")) if "etcd" in given else None,
        vault=_vault(given["vault"], given.at("vault")) if "vault" in given else None,
        commands=tuple(_command(each, place) for place, each in given.each("commands")),
        http=tuple(_http(each, place) for place, each in given.each("http")),
    )


def checks_plain(checks: HealthChecks) -> dict[str, Any]:
    """Return `checks` as `checks_from` reads them; files that are not named are left out."""
    plain: dict[str, Any] = {}
    if checks.node is not None:
        plain["node"] = {"timeout": written(checks.node.timeout_s)}
    if checks.etcd is not None:
        plain["etcd"] = _check_plain(checks.etcd, ETCD)
    if checks.vault is not None:
        plain["vault"] = _check_plain(checks.vault, VAULT)
    if checks.commands:
        plain["commands"] = [
            {"command": list(each.command), "timeout": written(each.timeout_s)} for each in checks.commands
        ]
    if checks.http:
        plain["http"] = [_check_plain(each, HTTP) for each in checks.http]
    return plain


def _node(raw: object, path: str) -> NodeCheck:
    given = Fields(raw, path, ("timeout",))
    return NodeCheck(timeout_s=given.seconds("timeout", NodeCheck().timeout_s, least=1))


def _etcd(raw: object, path: str) -> EtcdCheck:
    default, given = EtcdCheck(), Fields(raw, path, ETCD)
    return EtcdCheck(
        endpoint=_url(given, "endpoint", default.endpoint),
        ca=given.text("ca", None),
        certificate=given.text("certificate", None),
        key=given.text("key", None),
        timeout_s=given.seconds("timeout", default.timeout_s, least=1),
    )


def _vault(raw: object, path: str) -> VaultCheck:
    default, given = VaultCheck(), Fields(raw, path, VAULT)
    return VaultCheck(
        endpoint=_url(given, "endpoint", default.endpoint),
        ca=given.text("ca", None),
        timeout_s=given.seconds("timeout", default.timeout_s, least=1),
    )


def _command(raw: object, path: str) -> CommandCheck:
    given = Fields(raw, path, ("command", "timeout"))
    words = given.texts("command")
    if not words or not words[0]:
        raise StrategyError(field=given.at("command"), reason="no command; write its words as a list")
    return CommandCheck(command=words, timeout_s=given.seconds("timeout", 30, least=1))


def _http(raw: object, path: str) -> HttpCheck:
    given = Fields(raw, path, HTTP)
    if "url" not in given:
        raise StrategyError(field=given.at("url"), reason="it is needed, as https://127.0.0.1/healthz")
    least, most = STATUSES
    return HttpCheck(
        url=_url(given, "url", ""),
        status=given.whole("status", 200, least=least, most=most),
        ca=given.text("ca", None),
        timeout_s=given.seconds("timeout", 10, least=1),
    )


def _url(given: Fields, name: str, default: str) -> str:
    url = given.text(name, default) or default
    if not url.startswith(("http://", "https://")):
        raise given.wrong(name, "neither http:// nor https://")
    return url


def _check_plain(check: EtcdCheck | VaultCheck | HttpCheck, names: tuple[str, ...]) -> dict[str, Any]:
    said = {name: getattr(check, name) for name in names if name != "timeout"}
    plain = {name: value for name, value in said.items() if value is not None}
    return plain | {"timeout": written(check.timeout_s)}
