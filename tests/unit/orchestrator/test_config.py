"""A configuration is taken as it is meant, or refused with the file, the key, and what is known."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker.signing import SigningKey
from orchestrator.config import ConfigError, load, load_key, load_roster

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = """
cluster = "c"
name = "orchestrator_1"
roster = "roster.toml"
[broker]
host = "broker"
ca = "ca.pem"
certificate = "o.pem"
key = "o.key"
[signing]
key = "signing.pem"
[bundles]
listen = "0.0.0.0:8443"
url = "https://bastion:8443"
ca = "ca.pem"
certificate = "b.pem"
key = "b.key"
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "orchestrator.toml"
    file.write_text(text)
    return file


def test_paths_are_from_the_files_folder_and_the_rest_has_defaults(tmp_path: Path) -> None:
    """What is not said is as documented."""
    config = load(written(tmp_path, GOOD))
    assert config.roster == tmp_path / "roster.toml"
    assert config.broker.key == tmp_path / "o.key"
    assert config.journal_url.endswith("/var/lib/tarmak/orchestrator/journal.sqlite")
    assert config.retention.days == 30


@pytest.mark.parametrize(
    ("wrong", "key", "words"),
    [
        (GOOD.replace('host = "broker"', 'hots = "broker"'), "broker.hots", "did you mean 'host'?"),
        ("nmae = 1\n" + GOOD, "nmae", "did you mean 'name'?"),
        (GOOD.replace("orchestrator_1", "worker-1"), "name", "not a valid orchestrator"),
        (GOOD.replace("0.0.0.0:8443", "8443"), "bundles.listen", "HOST:PORT"),
        (GOOD + "[retention]\ndays = 0\n", "retention.days", "greater than 0"),
        (GOOD.replace("[signing]", "[signing"), "", "not TOML"),
    ],
)
def test_a_wrong_configuration_names_file_and_key(tmp_path: Path, wrong: str, key: str, words: str) -> None:
    """The error says where, what, and which known key is nearest."""
    file = written(tmp_path, wrong)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert (caught.value.file, caught.value.key.endswith(key)) == (file, True)
    assert words in str(caught.value)


def test_a_signing_key_that_is_none_is_named(tmp_path: Path) -> None:
    """The file is named, its content is not shown."""
    file = written(tmp_path, GOOD)
    (tmp_path / "signing.pem").write_text("secret")
    with pytest.raises(ConfigError, match=r"signing\.pem") as caught:
        load_key(file, load(file))
    assert "secret" not in str(caught.value)


def test_a_roster_enrols(tmp_path: Path) -> None:
    """Each table is one instance; the pool is the role's name where none is given."""
    key = SigningKey.generate().public.to_base64()
    file = tmp_path / "roster.toml"
    file.write_text(f'[[instance]]\nid = "a-1"\nrole = "a"\nkey = "{key}"\nlabels = {{ zone = "b" }}\n')
    (enrolment,) = load_roster(file, NOW)
    assert (enrolment.id, enrolment.pool, enrolment.labels, enrolment.key) == ("a-1", "a", {"zone": "b"}, key)


def test_a_kubeconfig_is_from_the_files_folder_and_optional(tmp_path: Path) -> None:
    """Without one Kubernetes is not seen."""
    assert load(written(tmp_path, GOOD)).kubernetes.kubeconfig is None
    given = load(written(tmp_path, GOOD + '[kubernetes]\nkubeconfig = "k.conf"\n'))
    assert given.kubernetes.kubeconfig == tmp_path / "k.conf"


def test_a_node_may_have_a_name_of_its_own(tmp_path: Path) -> None:
    """It is the instance's id unless the roster says another; no two instances have the same."""
    file = tmp_path / "roster.toml"
    members = [("a-1", 'node = "ip-10.internal"'), ("a-2", ""), ("a-3", 'node = "a-2"')]
    keys = [SigningKey.generate().public.to_base64() for _ in members]
    tables = [
        f'[[instance]]\nid = "{name}"\nrole = "a"\nkey = "{key}"\n{more}\n'
        for (name, more), key in zip(members, keys, strict=True)
    ]
    file.write_text("".join(tables[:2]))
    assert [each.node_name for each in load_roster(file, NOW)] == ["ip-10.internal", "a-2"]
    file.write_text("".join(tables))
    with pytest.raises(ConfigError, match="its Node a-2 is a-2's already"):
        load_roster(file, NOW)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('id = "a"\nrole = "a"\nkey = "{key}"\nnode = "No Node"', "a Kubernetes Node's name"),
        ('id = "A"\nrole = "a"\nkey = "{key}"', "not a valid instance"),
        ('id = "a"\nrole = "a"\nkey = "AAAA"', "32 bytes"),
        ('id = "a"\nroel = "a"\nkey = "{key}"', "instance.0"),
        ('id = "a"\nrole = "a"\nkey = "{key}"\n[[instance]]\nid = "b"\nrole = "a"\nkey = "{key}"', "twice"),
    ],
)
def test_a_wrong_roster_is_refused_whole(tmp_path: Path, lines: str, words: str) -> None:
    """One bad entry must not half-enrol a fleet."""
    key = SigningKey.generate().public.to_base64()
    file = tmp_path / "roster.toml"
    file.write_text("[[instance]]\n" + lines.format(key=key))
    with pytest.raises(ConfigError, match=words):
        load_roster(file, NOW)
