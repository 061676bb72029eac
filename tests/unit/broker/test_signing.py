"""Nothing is believed but what a known key has signed, bit by bit."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from broker.client import Signature
from broker.errors import KeyFormatError, MeshError, SignatureError
from broker.signing import Keyring, SigningKey, VerifyKey

KEY = SigningKey.generate()
OTHER = SigningKey.generate()
RING = Keyring({"etcd-1": KEY.public, "etcd-2": OTHER.public})

# RFC 8032, 7.1, test 2: a published pair, so that the scheme can't change unnoticed.
RFC_SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
RFC_PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
RFC_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def pkcs8(raw: bytes) -> bytes:
    """Return a raw Ed25519 secret in PEM (RFC 8410)."""
    der = bytes.fromhex("302e020100300506032b657004220420") + raw
    return b"-----BEGIN PRIVATE KEY-----\n" + base64.encodebytes(der) + b"-----END PRIVATE KEY-----\n"


def refusal(payload: bytes, signature: Signature | None) -> str:
    with pytest.raises(SignatureError) as refused:
        RING.verify(payload, signature)
    return refused.value.reason


def test_it_is_the_ed25519_of_the_rfc() -> None:
    """A key of RFC 8032's test vectors signs as printed there, and verifies it."""
    key = SigningKey.from_pem(pkcs8(RFC_SECRET))
    assert key.public.raw == RFC_PUBLIC
    assert key.sign(b"\x72").value == RFC_SIGNATURE
    key.public.verify(b"\x72", Signature(key=key.public.id, value=RFC_SIGNATURE))


@given(st.binary(max_size=300))
def test_a_ring_names_who_signed(payload: bytes) -> None:
    """A good signature gives the name of its key's holder."""
    assert RING.verify(payload, KEY.sign(payload)) == "etcd-1"
    assert RING.verify(payload, OTHER.sign(payload)) == "etcd-2"


@given(st.binary(min_size=1, max_size=300), st.data())
def test_one_bit_undoes_a_signature(payload: bytes, data: st.DataObject) -> None:
    """Any altered bit, of the payload or of the signature, is refused."""
    signature = KEY.sign(payload)
    bit = data.draw(st.integers(0, 8 * len(payload) - 1))
    assert "does not fit" in refusal(flipped(payload, bit), signature)
    bit = data.draw(st.integers(0, 8 * len(signature.value) - 1))
    assert "does not fit" in refusal(
        payload, Signature(key=signature.key, value=flipped(signature.value, bit))
    )


def flipped(payload: bytes, bit: int) -> bytes:
    return (int.from_bytes(payload) ^ 1 << bit).to_bytes(len(payload))


def test_an_unsigned_payload_is_refused() -> None:
    """Silence about the sender is no signature."""
    assert refusal(b"x", None) == "unsigned"
    with pytest.raises(SignatureError, match="unsigned"):
        KEY.public.verify(b"x", None)


def test_a_stranger_is_refused() -> None:
    """A key that the reader was not enrolled with is named, clipped, and refused."""
    stranger = SigningKey.generate()
    assert stranger.public.id in refusal(b"x", stranger.sign(b"x"))
    assert len(refusal(b"x", Signature(key="f" * 10_000, value=b""))) < 200
    with pytest.raises(SignatureError, match="unknown key"):
        KEY.public.verify(b"x", OTHER.sign(b"x"))


def test_a_signature_under_anothers_id_is_refused() -> None:
    """The id says only which key to try: claiming another's gets nobody in."""
    forged = Signature(key=KEY.public.id, value=OTHER.sign(b"x").value)
    assert "does not fit" in refusal(b"x", forged)


@pytest.mark.parametrize("length", [0, 1, 63, 65, 1000])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    """Bytes that are no Ed25519 signature at all are refused like a wrong one."""
    assert "does not fit" in refusal(b"x", Signature(key=KEY.public.id, value=bytes(length)))


def test_a_key_survives_its_files() -> None:
    """A private key comes back from PEM, a public one from base64."""
    assert SigningKey.from_pem(KEY.to_pem()).public == KEY.public
    assert VerifyKey.from_base64(KEY.public.to_base64()) == KEY.public
    assert VerifyKey.from_base64(f"  {KEY.public.to_base64()}\n") == KEY.public
    assert len({KEY.public, VerifyKey(KEY.public.raw), OTHER.public}) == 2


def test_a_keys_id_is_its_hash() -> None:
    """The id is the first 16 hexadecimal digits of the SHA-256 of the raw public key."""
    assert KEY.public.id == hashlib.sha256(KEY.public.raw).hexdigest()[:16]
    assert KEY.sign(b"x").key == KEY.public.id


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0"),
        ("AAAA", "3"),
        (base64.b64encode(bytes(33)).decode(), "33"),
        ("not base64!", "base64"),
        ("A" * 43, "base64"),
        ("ä" * 44, "base64"),
        ("\udcff", "base64"),
    ],
)
def test_text_that_is_no_public_key_is_explained(text: str, reason: str) -> None:
    """A slip in a roster is told as what it is."""
    with pytest.raises(KeyFormatError, match=reason) as refused:
        VerifyKey.from_base64(text)
    assert isinstance(refused.value, MeshError)
    assert isinstance(refused.value, ValueError)


def test_pem_that_is_no_signing_key_is_explained() -> None:
    """Rubbish, an encrypted key and a key of another kind are each told as what they are."""
    inner = load_pem_private_key(KEY.to_pem(), password=None)
    encrypted = inner.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    elliptic = generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    for pem, reason in (
        (b"", "PKCS8 PEM"),
        (KEY.to_pem()[:60], "PKCS8 PEM"),
        (encrypted, "unencrypted"),
        (elliptic, "another kind"),
    ):
        with pytest.raises(KeyFormatError, match=reason):
            SigningKey.from_pem(pem)


def test_no_secret_is_shown() -> None:
    """Whatever is printed of a key or a ring, it is public."""
    raw = load_pem_private_key(KEY.to_pem(), password=None).private_bytes(
        Encoding.Raw, PrivateFormat.Raw, NoEncryption()
    )
    shown = f"{KEY} {KEY!r} {RING} {RING!r} {KEY.public!r} {Keyring({'a': KEY.public})!r}"
    assert KEY.public.id in shown
    for secret in (raw.hex(), base64.b64encode(raw).decode(), repr(raw)):
        assert secret not in shown


def test_two_names_with_one_key_are_refused() -> None:
    """A key that two share would let each speak for the other."""
    with pytest.raises(KeyFormatError, match="etcd-1 and etcd-2"):
        Keyring({"etcd-1": KEY.public, "etcd-2": VerifyKey(KEY.public.raw)})
