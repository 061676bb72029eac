"""Signatures that cost a microsecond: nobody forges in a simulation, where Ed25519 took a third of the time.

What is signed, by whom, over which bytes, and what is checked before it is believed stays as it is; only
the arithmetic below `SigningKey.sign` and `VerifyKey.verify` is a keyed hash here.
"""

import contextlib
import functools
import hashlib
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.client import Signature
from broker.errors import SignatureError
from broker.signing import SigningKey, VerifyKey


@functools.cache
def key_of(name: str) -> SigningKey:
    """Return the signing key of a name, the same in every simulation."""
    return SigningKey(Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"#")))


@contextlib.contextmanager
def quick_keys() -> Iterator[None]:
    """Let every key sign and verify by a keyed hash."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SigningKey, "sign", _sign)
        patch.setattr(VerifyKey, "verify", _verify)
        yield


def _sign(self: SigningKey, payload: bytes) -> Signature:
    return Signature(key=self.public.id, value=_hash(self.public, payload))


def _verify(self: VerifyKey, payload: bytes, signature: Signature | None) -> None:
    if signature is None or signature.key != self.id or signature.value != _hash(self, payload):
        raise SignatureError(reason="not signed, or by another key")


def _hash(key: VerifyKey, payload: bytes) -> bytes:
    return hashlib.blake2b(payload, key=key.raw, digest_size=16).digest()
