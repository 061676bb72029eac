"""tarmak.yaml: everything that it may say, and a clear word on everything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.ids import Role
from puppet_bridge.errors import ManifestError
from puppet_bridge.manifest import MAX_SIZE, BundleManifest, parse


def test_everything_can_be_left_out() -> None:
    """An empty file claims nothing."""
    assert parse("") == parse("# nothing\n") == BundleManifest()


def test_everything_can_be_said() -> None:
    """All five keys are read."""
    text = 'name: n\nversion: "1.0"\nroles: [etcd, master]\npuppet: "7.0"\nhost_modules: [stdlib]\n'
    assert parse(text) == BundleManifest(
        name="n", version="1.0", roles=(Role("etcd"), Role("master")), puppet="7.0", host_modules=("stdlib",)
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("host_module: [stdlib]", "tarmak.yaml: host_module: is not known; do you mean host_modules?"),
        ("zzz: 1", "known are name, version, roles, puppet, host_modules"),
        ("version: 1.0", "put it in quotes"),
        ("puppet: '7.x'", "not of its form"),
        ("roles: etcd", "not a list"),
        ("roles: [1]", "not a list"),
        ("roles: [Etcd]", "not a role's name"),
        ("host_modules: [puppetlabs/stdlib]", "not of its form"),
        ("- a", "not a mapping"),
        ("a: b: c", "tarmak.yaml:1: "),
        ("name: n\nroles: [", "tarmak.yaml:2: "),
        ("name: !!python/object:os.system x", "tarmak.yaml:1: "),
        ("name: \x00", "not YAML"),
        ("#" * (MAX_SIZE + 1), "longer"),
        ("[" * 5000, "not YAML"),
    ],
)
def test_a_mistake_is_named(text: str, words: str) -> None:
    """What can't be meant is an error that names the key or the line, and what would be right."""
    with pytest.raises(ManifestError) as caught:
        parse(text)
    assert words in str(caught.value)


@given(text=st.text(max_size=300))
def test_any_text_is_a_manifest_or_a_manifest_error(text: str) -> None:
    """No text makes another exception."""
    try:
        assert isinstance(parse(text), BundleManifest)
    except ManifestError:
        return
