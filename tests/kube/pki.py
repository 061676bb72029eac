"""A cluster's keys and certificates, from an authority that is thrown away with the test.

Kubernetes knows who asks by the client's certificate alone: its common name is the user, its organization
the group.
"""

from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.adapters.local_ca import CertificateFiles

HOST = "127.0.0.1"
ADMINS = "system:masters"
NODES = "system:nodes"


class ClusterPki:
    """An authority in `folder`, what the servers need of it, and a certificate for each user, made once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._authority = trustme.CA(organization_name="tests")
        self.ca = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))
        serving = self._authority.issue_cert(HOST, "localhost", "kubernetes.default.svc")
        self.serving = self._write("apiserver", serving)
        self.token_key = folder / "service-accounts.key"
        self.token_public_key = folder / "service-accounts.pub"
        self._write_token_keys()

    def admin(self) -> CertificateFiles:
        """Return a certificate that may do everything."""
        return self._client("kubernetes-admin", group=ADMINS)

    def controllers(self) -> CertificateFiles:
        """Return the controller manager's; as an admin's, so that it needs no token for each controller."""
        return self._client("system:kube-controller-manager", group=ADMINS)

    def kubelet(self, node: str) -> CertificateFiles:
        """Return the certificate that the kubelet of `node` has, and the wing beside it."""
        return self._client(f"system:node:{node}", group=NODES)

    def _client(self, user: str, *, group: str) -> CertificateFiles:
        name = user.replace(":", "-")
        files = CertificateFiles(certificate=self._folder / f"{name}.pem", key=self._folder / f"{name}.key")
        if not files.key.exists():
            # Without a name of a host trustme writes an empty list of them, which Go takes for a broken one.
            issued = self._authority.issue_cert(f"{name}.test", common_name=user, organization_name=group)
            self._write(name, issued)
        return files

    def _write(self, name: str, issued: trustme.LeafCert) -> CertificateFiles:
        files = CertificateFiles(certificate=self._folder / f"{name}.pem", key=self._folder / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(str(files.certificate))
        issued.private_key_pem.write_to_path(str(files.key))
        return files

    def _write_token_keys(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.token_key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.token_public_key.write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
