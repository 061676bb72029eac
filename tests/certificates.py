"""Certificates for a test's mesh, from an authority that is thrown away with the test."""

from pathlib import Path

from broker.mqtt import MqttSettings
from orchestrator.adapters.local_ca import CertificateFiles, LocalCa

HOSTS = ("localhost", "127.0.0.1")


class Certificates:
    """An authority in `folder`, and what it has issued, each once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = LocalCa.create(folder / "ca")
        self._clients: dict[str, CertificateFiles] = {}
        self.server = self._authority.issue_server("broker", hosts=HOSTS).write(folder)

    @property
    def ca(self) -> Path:
        """The authority's own certificate."""
        return self._authority.certificate

    def client(self, name: str) -> CertificateFiles:
        """Return the certificate and key of `name`, issued when first asked for."""
        if name not in self._clients:
            self._clients[name] = self._authority.issue_client(name).write(self._folder)
        return self._clients[name]

    def settings(self, name: str, *, port: int) -> MqttSettings:
        """Return what `name` needs to reach a broker on this machine."""
        files = self.client(name)
        return MqttSettings(
            host="127.0.0.1", port=port, ca=self.ca, certificate=files.certificate, key=files.key
        )
