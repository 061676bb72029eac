"""The broker between us may lie about who said what: so everything that counts is signed.

Every command and every fact carries an Ed25519 signature over the exact bytes of its payload; the reader
checks it against keys that it was enrolled with, before it looks into the payload. TLS proves a peer to the
broker only, so whoever takes over the broker can silence the mesh but not speak for anyone in it.

A public key is written as base64 of its raw 32 bytes; a private key as PKCS8 PEM, in a file of its own.
A key's id, which travels with each signature, is the first 16 hexadecimal digits of the SHA-256 of the raw
public key. It only says which key to try: ids are short, and prove nothing.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from broker.client import Signature
from broker.errors import KeyFormatError, SignatureError

KEY_BYTES: Final = 32
KEY_ID_DIGITS: Final = 16


class VerifyKey:
    """A public key: tells whether a payload was signed by the holder of its other half."""

    __slots__ = ("_key", "id", "raw")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != KEY_BYTES:
            raise KeyFormatError(reason=f"a public key has {KEY_BYTES} bytes, this has {len(raw)}")
        self._key = Ed25519PublicKey.from_public_bytes(raw)
        self.raw: Final = raw
        self.id: Final = hashlib.sha256(raw).hexdigest()[:KEY_ID_DIGITS]

    @classmethod
    def from_base64(cls, text: str) -> Self:
        """Return the key that `text` writes; raises KeyFormatError, saying what is wrong with it."""
        try:
            raw = base64.b64decode(text.strip().encode(), validate=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise KeyFormatError(reason=f"{text[:64]!r} is not base64: {error}") from error
        return cls(raw)

    def to_base64(self) -> str:
        """Return the key as configurations and rosters write it."""
        return base64.b64encode(self.raw).decode("ascii")

    def verify(self, payload: bytes, signature: Signature | None) -> None:
        """Return if this key's holder signed exactly `payload`; raises SignatureError with the reason."""
        if signature is None:
            raise SignatureError(reason="unsigned")
        if signature.key != self.id:
            raise SignatureError(reason=f"signed with an unknown key: {signature.key[:64]!r}")
        try:
            self._key.verify(signature.value, payload)
        except InvalidSignature as error:
            raise SignatureError(reason=f"the signature of key {self.id} does not fit the payload") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifyKey) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"VerifyKey({self.to_base64()!r})"


class SigningKey:
    """A private key: signs for its holder. Nothing but `to_pem` shows it."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public: Final = VerifyKey(key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> Self:
        """Return a new key, made from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Return the key in `pem` (PKCS8, not encrypted); raises KeyFormatError."""
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyFormatError(reason="not an unencrypted private key in PKCS8 PEM") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFormatError(reason=f"a private key of another kind than Ed25519: {type(key).__name__}")
        return cls(key)

    def to_pem(self) -> bytes:
        """Return the secret itself, as PKCS8 PEM: to be written with mode 600, and nowhere else."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, payload: bytes) -> Signature:
        """Return the signature over exactly `payload`."""
        return Signature(key=self.public.id, value=self._key.sign(payload))

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.id})"


class Keyring:
    """The public keys that a reader believes, each under its holder's name."""

    __slots__ = ("_holders",)

    def __init__(self, keys: Mapping[str, VerifyKey]) -> None:
        self._holders: Final[dict[str, tuple[str, VerifyKey]]] = {}
        for name, key in keys.items():
            holder, _ = self._holders.setdefault(key.id, (name, key))
            if holder != name:
                raise KeyFormatError(
                    reason=f"{holder} and {name} have the same key {key.id}: give each its own"
                )

    def verify(self, payload: bytes, signature: Signature | None) -> str:
        """Return the name of who signed exactly `payload`; raises SignatureError with the reason.

        A good signature says who speaks, not that they may: compare the name with the one that the topic
        or the body claims.
        """
        if signature is None:
            raise SignatureError(reason="unsigned")
        if signature.key not in self._holders:
            raise SignatureError(reason=f"signed with an unknown key: {signature.key[:64]!r}")
        name, key = self._holders[signature.key]
        key.verify(payload, signature)
        return name

    def __repr__(self) -> str:
        return f"Keyring({sorted(name for name, _ in self._holders.values())})"
