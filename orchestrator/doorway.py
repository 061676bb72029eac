"""What `[authority]` and `[join]` in orchestrator.toml become: who signs, and what hosts are told.

A door that no host would believe must not open: it would be found out by the first host that tries to join,
long after. So what the files hold is compared here, before anybody leads.
"""

import os
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from orchestrator.adapters.local_ca import LocalAuthority, LocalCa
from orchestrator.config import ConfigError, JoinConfig, OrchestratorConfig, load_key
from orchestrator.service.joining import Doorway


def doorway_of(file: Path, config: OrchestratorConfig) -> Doorway | None:
    """Return what letting hosts in takes, None if `config` (from `file`) has no door.

    Raises ConfigError, also for a door whose certificate is not one of the authority's.
    """
    if config.authority is None or config.join is None:
        return None
    directory = config.authority.directory
    try:
        ca = LocalCa.load(directory)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(file=file, key="authority.directory", reason=f"{directory}: {error}") from error
    _check(file, config.join, ca)
    return Doorway(
        authority=LocalAuthority(ca),
        entropy=os.urandom,
        url=config.join.url,
        cluster=config.cluster,
        broker_host=config.broker.host,
        broker_port=config.broker.port,
        orchestrators={**config.join.orchestrators, config.name: load_key(file, config).public.to_base64()},
    )


def _check(file: Path, join: JoinConfig, ca: LocalCa) -> None:
    """Raise ConfigError unless hosts would believe the door, since they know it by the authority alone."""
    (authority,) = _certificates(file, "authority.directory", ca.certificate)[:1]
    trusted = _certificates(file, "join.ca", join.ca)
    if authority.public_bytes(Encoding.DER) not in {each.public_bytes(Encoding.DER) for each in trusted}:
        raise _differs(file, "join.ca", join.ca, "is not the certificate of", ca)
    if not any(_is_of(each, authority) for each in _certificates(file, "join.certificate", join.certificate)):
        raise _differs(file, "join.certificate", join.certificate, "was not issued by", ca)


def _certificates(file: Path, key: str, named: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(named.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(file=file, key=key, reason=f"{named}: {error}") from error


def _is_of(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _differs(file: Path, key: str, named: Path, how: str, ca: LocalCa) -> ConfigError:
    reason = f"{named} {how} the authority in {ca.certificate.parent}, so no host would join by this door"
    return ConfigError(file=file, key=key, reason=reason)
