"""The port to whoever signs the mesh's certificates: an authority of one's own, or a site's Vault."""

from collections.abc import Sequence
from typing import Protocol


class CertificateAuthority(Protocol):
    """Signs the certificates of the mesh; keys stay with those who made them."""

    async def certificate(self) -> bytes:
        """Return the authority's own certificate, as PEM: what everyone trusts."""

    def key_of(self, request: bytes) -> bytes:
        """Return the public key (DER) of a certificate request (PKCS#10, PEM); raises CertificateError."""

    async def issue(self, request: bytes, *, name: str, hosts: Sequence[str]) -> bytes:
        """Return a certificate for the key of `request`, as PEM: as client and server, of `name`.

        What the request wishes for its holder counts for nothing: its names are `hosts`. Raises
        CertificateError.
        """


class CertificateError(Exception):
    """A request can't be signed; `reason` says why."""

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
