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


@pytest.mark.parametrize(
    ("lines", "words"),
    [
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
