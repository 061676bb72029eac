"""Who may join: a token is good once, for one instance, for a short time, and for one pair of keys.

Once means: for one host. The answer to a join may be lost on its way, so the same token may be shown again
with the same keys while its time lasts; with others it is somebody else's, whoever came first.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from broker.ids import InstanceId, Role
from orchestrator.domain.model import Enrolment

PREFIX: Final = "tmk1"
SECRET_BYTES: Final = 32
ID_BYTES: Final = 6
LIFE: Final = timedelta(hours=1)
LONGEST_LIFE: Final = timedelta(days=7)
_FORM: Final = re.compile(rf"{PREFIX}\.([0-9a-f]{{12}})\.([A-Za-z0-9_-]{{43}})\.([0-9a-f]{{64}})")


class TokenState(Enum):
    """Whether a token can still be joined with."""

    OPEN = "open"
    USED = "used"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A token as its text has it; `authority` is the SHA-256 of the authority's certificate (DER), in hex."""

    id: str
    secret: str = field(repr=False)
    authority: str

    def text(self) -> str:
        """Return the line that is handed to a host."""
        return f"{PREFIX}.{self.id}.{self.secret}.{self.authority}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """What is kept of a token: whom it is for, until when, the hash of its secret, and whose keys used it.

    `addresses` are the names and addresses that the instance's certificate is to be good for, besides its id.
    """

    id: str
    instance: InstanceId
    role: Role
    pool: str
    labels: Mapping[str, str]
    node: str | None
    addresses: tuple[str, ...]
    secret_hash: str = field(repr=False)
    made_by: str
    made_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    keys: str | None = None

    def state(self, at: datetime) -> TokenState:
        """Return whether it can still be joined with."""
        if self.used_at is not None:
            return TokenState.USED
        return TokenState.OPEN if at <= self.expires_at else TokenState.EXPIRED

    def enrolment(self, key: str, at: datetime) -> Enrolment:
        """Return who joins with it, whose public signing key is `key`."""
        return Enrolment(
            id=self.instance,
            role=self.role,
            pool=self.pool or self.role,
            labels=self.labels,
            key=key,
            enrolled_at=at,
            node=self.node,
            joined=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The token is good: it is spent as `token`; `again` says that it had been, for the same keys."""

    token: JoinToken
    again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedAway:
    """It is not, and why; `told` says that its holder may know: they have the secret."""

    reason: str
    told: bool


def parse(text: str) -> Shown | None:
    """Return the parts of a token's text, None if it is none."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    return Shown(id=found[1], secret=found[2], authority=found[3])


def make_secret(entropy: bytes) -> str:
    """Return `SECRET_BYTES` of randomness as a token's text has them."""
    return base64.urlsafe_b64encode(entropy).decode().rstrip("=")


def hash_of(secret: str) -> str:
    """Return what is kept of a secret; it is random, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def keys_of(tls: bytes, signing: bytes) -> str:
    """Return what names a pair of public keys: that of TLS (DER) and that of signatures (raw)."""
    return hashlib.sha256(len(tls).to_bytes(4, "big") + tls + signing).hexdigest()


def judge(
    token: JoinToken | None, shown: Shown, keys: str, at: datetime, *, authority: str
) -> Admitted | TurnedAway:
    """Return whether whoever shows `shown`, and has `keys`, may join by the `token` of that id.

    `authority` is our own, as tokens name it.
    """
    if shown.authority != authority:
        return TurnedAway(reason="foreign: a token of another authority", told=False)
    if token is None:
        return TurnedAway(reason="unknown token", told=False)
    if not hmac.compare_digest(hash_of(shown.secret), token.secret_hash):
        return TurnedAway(reason="wrong secret", told=False)
    if at > token.expires_at:
        return TurnedAway(
            reason=f"late: it was good until {token.expires_at:%Y-%m-%d %H:%M:%S} UTC", told=True
        )
    if token.used_at is not None and token.keys != keys:
        return TurnedAway(reason=f"used at {token.used_at:%Y-%m-%d %H:%M:%S} UTC with other keys", told=True)
    spent = replace(token, used_at=token.used_at or at, keys=keys)
    return Admitted(token=spent, again=token.used_at is not None)
