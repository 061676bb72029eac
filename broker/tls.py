"""Mutual TLS for a client of the mesh, which says why a broker has refused it.

Under TLS 1.3 a broker judges our certificate only after the handshake: to us the connection was made, and
then reading fails. A library on top reports a lost connection; who has to find out why a wing does not come
up needs the broker's own last word (its certificate has expired, its authority is unknown).
"""

import ssl
from pathlib import Path
from typing import Self


class TlsContext(ssl.SSLContext):
    """TLS for one connection; `problem` is why the broker broke it, when that could be heard."""

    problem: str | None = None

    @classmethod
    def of(cls, *, ca: Path, certificate: Path, key: Path) -> Self:
        """Return a context that checks the broker's chain and name, and shows our certificate.

        OSError (ssl.SSLError is one) if a file can't be read or is not what it should be.
        """
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(ca)
        context.load_cert_chain(certificate, key)
        context.sslsocket_class = _Socket
        return context


class _Socket(ssl.SSLSocket):
    """Does what paho leaves out: closes itself when its handshake fails, and keeps the broker's last word.

    Under TLS 1.3 a broker refuses our certificate only after the handshake, as an error of reading.
    """

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the standard library's
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLError as error:
            if isinstance(self.context, TlsContext):
                self.context.problem = str(error)
            raise
