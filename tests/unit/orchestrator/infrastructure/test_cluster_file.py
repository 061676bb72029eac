"""A cluster's description: what it may say, and how whoever mistyped is told."""

import json
from ipaddress import IPv4Network
from pathlib import Path

import jsonschema
import pytest
import yaml

from orchestrator.infrastructure.beginning import begin, named_after
from orchestrator.infrastructure.cluster import Cluster, InstanceRole
from orchestrator.infrastructure.cluster_file import load, schema
from orchestrator.infrastructure.errors import DescriptionError
from orchestrator.infrastructure.template import template

SCHEMA = Path(__file__).parents[4] / "docs/reference/cluster.schema.json"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqI0fSV3gXGL2VWnt6LKyzt5fTmA4tQ0CrvZfWn4bEx"
LOCAL = """\
name: shop
provider:
  kind: local
network:
  cidr: 198.18.4.0/24
pools:
  - name: bastion
    size: small
  - name: etcd
    count: 3
  - name: large-workers
    role: worker
    count: 2
    labels:
      zone: a
versions:
  etcd: "3.5"
"""
STATIC = f"""\
name: shop
provider:
  kind: static
pools:
  - name: bastion
    hosts:
      - name: bastion-1
        address: 192.0.2.10
        host_key: {KEY} root@bastion
  - name: worker
    hosts:
      - name: left
        address: left.example.org
        user: admin
        port: 2222
        host_key: {KEY}
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    return file


def test_a_description_becomes_a_cluster(tmp_path: Path) -> None:
    """Pools take their role from their name if it is one, and have one instance unless they say more."""
    cluster = load(written(tmp_path, LOCAL))
    assert [(pool.role, pool.names()) for pool in cluster.pools] == [
        (InstanceRole.BASTION, ("bastion-1",)),
        (InstanceRole.ETCD, ("etcd-1", "etcd-2", "etcd-3")),
        (InstanceRole.WORKER, ("large-workers-1", "large-workers-2")),
    ]
    assert cluster.network is not None
    assert cluster.network.cidr == IPv4Network("198.18.4.0/24")
    assert (cluster.bundle, cluster.versions, cluster.warnings()) == (None, {"etcd": "3.5"}, ())


def test_an_inventory_becomes_a_cluster(tmp_path: Path) -> None:
    """Hosts are root's at port 22 unless they say otherwise; a comment is no part of a host's key."""
    bastion, worker = load(written(tmp_path, STATIC)).pools
    assert bastion.hosts is not None
    assert worker.hosts is not None
    host = bastion.hosts[0]
    assert (host.user, host.port, host.host_key) == ("root", 22, KEY)
    assert (worker.hosts[0].user, worker.hosts[0].port, worker.names()) == ("admin", 2222, ("left",))


WRONG = {
    "an unknown key": (
        "size: small",
        "siez: small",
        r":8: pools\[0\]\.siez: no such key; did you mean 'size'",
    ),
    "at the top": ("versions:", "version:", r":16: version: no such key; did you mean 'versions'\?"),
    "of a provider": ("kind: local", "kind: local\n  jump: true", r":4: provider\.jump: no such key"),
    "a provider": (
        "kind: local",
        "kind: lokal",
        r":3: provider\.kind: 'lokal' is no provider; did you mean 'local'",
    ),
    "no provider": ("kind: local", "{}", r":2: provider: its `kind` is missing"),
    "a role": ("role: worker", "role: workr", r":12: pools\[2\]\.role: 'workr' is none of 'bastion'"),
    "no role": ("role: worker", "count: 1", r":13: pools\[2\]\.count: it is there twice"),
    "a missing role": ("    role: worker\n", "", r":11: pools\[2\]\.role: it is missing"),
    "a size": ("size: small", "size: tiny", r":8: pools\[0\]\.size: 'tiny' is none of 'small'"),
    "a number": ('"3.5"', "3.5", r':17: versions\.etcd: it must be text: write it in quotes, as "3.5"'),
    "a count": ("count: 3", "count: '3'", r":10: pools\[1\]\.count: input should be a valid integer"),
    "too few": (
        "count: 3",
        "count: -1",
        r":10: pools\[1\]\.count: input should be greater than or equal to 0",
    ),
    "a name": ("name: shop", "name: Shop_1", r":1: name: 'Shop_1' is no name"),
    "a network": ("198.18.4.0/24", "10.0.0.0/24", r":5: network\.cidr: 10\.0\.0\.0/24 is not within 198\.18"),
    "a small one": (
        "198.18.4.0/24",
        "198.18.4.0/28",
        r":5: network\.cidr: .*room for 5 instances, and there are 6",
    ),
    "host bits": ("198.18.4.0/24", "198.18.4.1/24", r":5: network\.cidr: "),
    "no network": (
        "network:\n  cidr: 198.18.4.0/24\n",
        "",
        r": network: it is missing; the provider local needs",
    ),
    "two bastions": (
        "name: etcd",
        "name: b\n    role: bastion",
        r":6: pools: exactly one instance must be a bast",
    ),
    "equal pools": (
        "large-workers\n    role: worker",
        "etcd",
        r":9: pools\[1\]\.name: there are 2 pools named etcd",
    ),
    "hosts": ("size: small", "hosts: []", r":8: pools\[0\]\.hosts: the provider local has no such key"),
    "a bundle": ("versions:", "bundle: ./nowhere\nversions:", r":16: bundle: .*nowhere is no directory"),
    "a double": ("name: shop", "name: shop\nname: shop", r":2: name: it is there twice"),
    "no mapping": (LOCAL, "- a\n", r":1: it is no mapping"),
    "no YAML": ("name: shop", "name: [shop", r":\d+: not YAML: "),
    "a tag": (
        "name: shop",
        "name: !!python/object:os.system shop",
        r":1: not YAML: could not determine a cons",
    ),
    "long": (
        "name: large-workers",
        f"name: {'a' * 62}",
        r":11: pools\[2\]\.name: the instance's name a+-1 would be",
    ),
}


@pytest.mark.parametrize(("old", "new", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    """The error has the file, the line, the key's path, what is wrong, and where all keys are explained."""
    assert old in LOCAL
    with pytest.raises(DescriptionError, match=r"cluster\.yaml" + said) as told:
        load(written(tmp_path, LOCAL.replace(old, new, 1)))
    assert "tarmak cluster schema" in told.value.action


WRONG_HOSTS = {
    "a key": (
        f"{KEY} root@bastion",
        "AAAA",
        r"pools\[0\]\.hosts\[0\]\.host_key: it is no public host key; `ssh-k",
    ),
    "base64": (f"{KEY} root@bastion", "ssh-ed25519 AAAA-", r"host_key: it is no public host key"),
    "no key": (f"        host_key: {KEY} root@bastion\n", "", r"hosts\[0\]\.host_key: it is missing"),
    "a port": ("2222", "70000", r":15: pools\[1\]\.hosts\[0\]\.port: input should be less than 65536"),
    "an option": (
        "left.example.org",
        "'-oProxyCommand=x'",
        r"address: '-oProxyCommand=x' is no name or address",
    ),
    "a user": ("admin", "'a b'", r"user: 'a b' is no name of a user"),
    "an address": ("left.example.org", "192.0.2.10\n        port: 22", r"it is there twice"),
    "twice": (
        "left.example.org\n        user: admin\n        port: 2222",
        "192.0.2.10",
        r"is bastion-1's already",
    ),
    "a count": (
        "    hosts:\n      - name: left",
        "    count: 1\n    hosts:\n      - name: left",
        r"static has no such k",
    ),
    "no hosts": (
        "  - name: worker\n",
        "  - name: master\n  - name: worker\n",
        r"pools\[1\]\.hosts: the hosts that",
    ),
    "equal": ("name: left", "name: bastion-1", r"pools\[0\]\.name: 2 instances would be named bastion-1"),
    "outside": (
        "pools:",
        "network:\n  cidr: 198.51.100.0/24\npools:",
        r"192\.0\.2\.10 is not within the network 198",
    ),
    "an identity": (
        "kind: static",
        "kind: static\n  identity: none",
        r":4: provider\.identity: there is no file",
    ),
    "a word": (
        "kind: static",
        "kind: static\n  identity: no",
        r"YAML takes it for yes or no",
    ),
    "a jump": (
        "kind: static",
        "kind: static\n  jump: 'yes'",
        r":4: provider\.jump: input should be a valid boolean",
    ),
}


@pytest.mark.parametrize(("old", "new", "said"), WRONG_HOSTS.values(), ids=WRONG_HOSTS)
def test_a_wrong_inventory_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    """A host that can't be reached safely, or is no single one, is an error with its place."""
    assert old in STATIC
    with pytest.raises(DescriptionError, match=said):
        load(written(tmp_path, STATIC.replace(old, new, 1)))


def test_addresses_are_held_to_the_network_that_is_named(tmp_path: Path) -> None:
    """A name may lead into it, as far as is known here."""
    text = STATIC.replace("pools:", "network:\n  cidr: 192.0.2.0/24\npools:", 1)
    assert load(written(tmp_path, text)).network is not None


def test_more_than_one_thing_wrong_is_counted(tmp_path: Path) -> None:
    """The first is named, a mistyped key before the one that it leaves out, and the rest counted."""
    text = LOCAL.replace("cidr:", "cdir:").replace("name: shop", "nmae: shop")
    with pytest.raises(DescriptionError, match=r":1: nmae: no such key; did you mean 'name'\?"):
        load(written(tmp_path, text))
    text = LOCAL.replace("size: small", "size: tiny").replace("count: 3", "count: x")
    with pytest.raises(DescriptionError, match=r"tiny.*\(and 1 more\)"):
        load(written(tmp_path, text))


def test_an_even_number_of_etcd_is_warned_of(tmp_path: Path) -> None:
    """It can be made, and is hardly meant."""
    (warning,) = load(written(tmp_path, LOCAL.replace("count: 3", "count: 4"))).warnings()
    assert warning == "4 instances of etcd outlive no more losses than 3: make it an odd number"


def test_paths_are_from_the_files_folder(tmp_path: Path) -> None:
    """A bundle is a source tree beside the file, or a digest; an identity is a file."""
    (tmp_path / "site").mkdir()
    (tmp_path / "id").touch()
    text = STATIC.replace("kind: static", "kind: static\n  identity: id") + "bundle: site\n"
    cluster = load(written(tmp_path, text))
    assert (cluster.source(), cluster.digest()) == (tmp_path / "site", None)
    assert getattr(cluster.provider, "identity", None) == tmp_path / "id"
    digest = f"sha256:{'0' * 64}"
    cluster = load(written(tmp_path, f"{LOCAL}bundle: {digest}\n"))
    assert (cluster.source(), cluster.digest()) == (None, digest)


def test_a_description_survives_being_kept(tmp_path: Path) -> None:
    """What is kept as JSON is read back as the same cluster."""
    for text in (LOCAL, STATIC):
        cluster = load(written(tmp_path, text))
        assert Cluster.model_validate_json(cluster.to_json()) == cluster


def test_a_file_that_is_not_there_says_how_to_begin(tmp_path: Path) -> None:
    """As does one that is no text."""
    with pytest.raises(DescriptionError, match="write one with `tarmak cluster init"):
        load(tmp_path / "none.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DescriptionError, match="can't be read"):
        load(tmp_path / "binary")


@pytest.mark.parametrize("provider", ["local", "static"])
def test_what_init_writes_can_be_used(tmp_path: Path, provider: str) -> None:
    """It is a valid description, by the loader and by the schema, and names the schema to editors."""
    file = tmp_path / "cluster.yaml"
    begin(file, provider=provider, name="shop")
    assert load(file).name == "shop"
    jsonschema.Draft202012Validator(json.loads(schema())).validate(yaml.safe_load(file.read_text()))
    assert file.read_text().startswith("# yaml-language-server: $schema=")


def test_init_never_overwrites(tmp_path: Path) -> None:
    """A file that is there stays as it is; a provider that is not known is named."""
    file = written(tmp_path, "mine")
    with pytest.raises(DescriptionError, match="is there already"):
        begin(file, provider="local", name=None)
    assert file.read_text() == "mine"
    with pytest.raises(DescriptionError, match="did you mean 'static'"):
        begin(tmp_path / "new", provider="statik", name=None)
    with pytest.raises(DescriptionError, match="can't be written"):
        begin(tmp_path / "none" / "new", provider="local", name=None)


def test_a_cluster_is_named_after_its_folder() -> None:
    """As far as that makes a name."""
    assert [named_after(Path(name)) for name in ("/My Shop (2)", "/äö", "/shop")] == [
        "my-shop-2",
        "lab",
        "shop",
    ]


def test_the_schema_in_the_documentation_is_the_programs() -> None:
    """`tarmak cluster schema > docs/reference/cluster.schema.json` after a change."""
    assert SCHEMA.read_text() == schema()


def test_the_schema_refuses_what_the_loader_does() -> None:
    """Unknown keys, at the top and within."""
    validator = jsonschema.Draft202012Validator(json.loads(schema()))
    for old, new in (
        ("versions:", "version:"),
        ("size: small", "siez: small"),
        ("kind: local", "kind: lokal"),
    ):
        assert list(validator.iter_errors(yaml.safe_load(LOCAL.replace(old, new))))
    assert template("shop", "local") != template("shop", "static")
