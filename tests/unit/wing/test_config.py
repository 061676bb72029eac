"""`wing.toml` is read strictly."""

from pathlib import Path

import pytest

from broker.signing import SigningKey
from wing.config import ConfigError, load, load_keys

GOOD = """
cluster = "prod"
instance = "worker-1"
role = "worker"
heartbeat_s = 30
[labels]
zone = "a"
[broker]
host = "mesh.example"
port = 8883
ca = "ca.pem"
certificate = "/etc/tarmak/worker-1.pem"
key = "worker-1.key"
[signing]
key = "signing.pem"
[signing.orchestrators]
orchestrator_1 = "{public}"
[puppet]
module_path = ["/usr/share/puppet/modules"]
[drain]
kubeconfig = "kubelet.conf"
command = ["/usr/local/bin/empty", "--now"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration with its keys."""
    (tmp_path / "signing.pem").write_bytes(SigningKey.generate().to_pem())
    path = tmp_path / "wing.toml"
    path.write_text(GOOD.replace("{public}", SigningKey.generate().public.to_base64()))
    return path


def test_a_good_file_is_read_and_relative_paths_are_from_its_folder(file: Path) -> None:
    """Paths, defaults, and the bundles' door that is the broker's unless told otherwise."""
    config = load(file)
    assert config.broker.ca == file.parent / "ca.pem"
    assert config.broker.certificate == Path("/etc/tarmak/worker-1.pem")
    assert config.bundles.key == file.parent / "worker-1.key"
    assert (config.root, config.labels) == (Path("/"), {"zone": "a"})
    assert (config.drain.kubeconfig, config.drain.node) == (file.parent / "kubelet.conf", "worker-1")
    assert config.drain.command == ("/usr/local/bin/empty", "--now")
    own = SigningKey.from_pem((file.parent / "signing.pem").read_bytes())
    assert load_keys(file, config).own.public == own.public


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("heartbeat_s", "hartbeat_s", r"wing\.toml: hartbeat_s: unknown key; did you mean 'heartbeat_s'"),
        ("certificate", "certifcate", r"broker\.certifcate: unknown key; did you mean 'certificate'"),
        ("port = 8883", 'port = "8883"', r"broker\.port: Expected `int`, got `str`"),
        ('role = "worker"', "", r"missing required field `role`"),
        ('"worker-1"', '"Worker_1"', r"instance: .*not a valid instance"),
        ("= 30", "= 0", r"heartbeat_s: must be more than 0"),
        ("kubeconfig =", "kubeconf =", r"drain\.kubeconf: unknown key; did you mean 'kubeconfig'"),
        ('command = ["/usr/local/bin/empty", "--now"]', 'command = "empty"', r"drain\.command: Expected"),
        ("\ncommand =", "\nuncordon_command =", r"drain\.uncordon_command: there is no drain\.command"),
        ("[labels]", "[labels", r"not TOML"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(file: Path, before: str, after: str, complaint: str) -> None:
    """The error says which file, which key, what is wrong, and the nearest known key."""
    file.write_text(file.read_text().replace(before, after, 1))
    with pytest.raises(ConfigError, match=complaint):
        load(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """No configuration: the error names the path."""
    with pytest.raises(ConfigError, match=r"wing\.toml: No such file"):
        load(tmp_path / "wing.toml")


def test_a_bad_public_key_names_its_orchestrator(file: Path) -> None:
    """A key that is none is told with whose it is."""
    file.write_text(file.read_text().replace('orchestrator_1 = "', 'orchestrator_1 = "!'))
    with pytest.raises(ConfigError, match=r"signing\.orchestrators\.orchestrator_1"):
        load_keys(file, load(file))
