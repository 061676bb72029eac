"""Building a bundle: what goes in, what its digest depends on, and what is refused."""

import gzip
import hashlib
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.ids import Digest
from puppet_bridge.archive import Limits
from puppet_bridge.bundle import build, file_name, unpack, verify
from puppet_bridge.errors import CheckError, LayoutError, LimitError, ManifestError

NO_PUPPET = "no-such-puppet"


def site(root: Path, **files: str) -> Path:
    """Make a bundle's directory with `files`, named by their path with `__` for a slash."""
    for name, text in {"manifests__site.pp": "", **files}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def members(archive: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(archive) as tar:
        return {member.name: member for member in tar}


def test_digest_is_the_same_everywhere(tmp_path: Path) -> None:
    """The digest of a given tree is fixed for ever: neither Python nor the machine has a say in it."""
    source = site(tmp_path / "src", data__common="a: 1\n", modules__m__files__run="#!/bin/sh\n")
    (source / "modules/m/files/run").chmod(0o755)
    bundle = build(source, tmp_path, puppet=NO_PUPPET)
    assert bundle.digest == "sha256:bb5ded1f6929557cb1cadde513ad001c6f0229d72aacb51aab3eced14e2fe0bb"


def test_digest_ignores_owner_time_umask_and_order(tmp_path: Path) -> None:
    """Two checkouts of one tree have one digest, whatever their times, modes and empty folders are."""
    one = site(tmp_path / "one", data__b="b", data__a="a")
    two = site(tmp_path / "two", data__a="a", data__b="b")
    os.utime(two / "data/a", (1, 1))
    (two / "data/a").chmod(0o600)
    (two / "modules/empty").mkdir(parents=True)
    assert build(one, tmp_path, puppet=NO_PUPPET).digest == build(two, tmp_path, puppet=NO_PUPPET).digest


def test_an_executable_file_differs(tmp_path: Path) -> None:
    """Whether a file can be executed is part of the bundle."""
    source = site(tmp_path / "src", modules__run="x")
    plain = build(source, tmp_path, puppet=NO_PUPPET)
    (source / "modules/run").chmod(0o755)
    assert build(source, tmp_path, puppet=NO_PUPPET).digest != plain.digest


def test_archive_is_plain_for_any_tar(tmp_path: Path) -> None:
    """Any tar reads the archive: files sorted by bytes, owner and time 0, modes 644 and 755."""
    source = site(tmp_path / "src", modules__Z="", modules__a="", modules__é="")
    (source / "modules/a").chmod(0o777)
    found = members(build(source, tmp_path, puppet=NO_PUPPET).path)
    assert list(found) == ["manifests/site.pp", "modules/Z", "modules/a", "modules/é"]
    assert {m.mode for name, m in found.items() if name != "modules/a"} == {0o644}
    assert found["modules/a"].mode == 0o755
    assert {(m.uid, m.gid, m.mtime, m.type) for m in found.values()} == {(0, 0, 0, tarfile.REGTYPE)}


def test_sizes_and_digest_are_those_of_the_tar(tmp_path: Path) -> None:
    """`size` is that of the uncompressed tar, which is also what is digested."""
    bundle = build(site(tmp_path / "src", data__x="x" * 5000), tmp_path, puppet=NO_PUPPET)
    plain = gzip.decompress(bundle.path.read_bytes())
    assert bundle.size == len(plain)
    assert bundle.digest == "sha256:" + hashlib.sha256(plain).hexdigest()
    assert bundle.compressed_size == bundle.path.stat().st_size
    assert bundle.files == 2


def test_git_is_left_out_and_nothing_else(tmp_path: Path) -> None:
    """`.git` is left out wherever it is; an editor's leftover is packed, and named in a warning."""
    source = site(tmp_path / "src", **{".gitignore": "", ".git__HEAD": "", "modules__m__x.pp~": ""})
    (source / "modules/m/.git").write_text("gitdir: elsewhere")
    warnings: list[str] = []
    bundle = build(source, tmp_path, puppet=NO_PUPPET, warn=warnings.append)
    assert set(members(bundle.path)) == {".gitignore", "manifests/site.pp", "modules/m/x.pp~"}
    assert any("modules/m/x.pp~" in warning for warning in warnings)


def test_links_inside_are_followed(tmp_path: Path) -> None:
    """A link within the bundle is packed as what it leads to, so the archive holds regular files only."""
    source = site(tmp_path / "src", modules__one__x="content")
    (source / "modules/two").symlink_to("one")
    (source / "modules/y").symlink_to("one/x")
    found = members(build(source, tmp_path, puppet=NO_PUPPET).path)
    assert {"modules/one/x", "modules/two/x", "modules/y"} < set(found)
    assert all(member.isreg() for member in found.values())


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/etc/passwd", "leads out"),
        ("../../outside", "leads out"),
        ("missing", "leads nowhere"),
        ("link", "leads nowhere"),
        ("..", "leads back"),
        ("../.git/config", "leads out"),
    ],
)
def test_links_that_lead_astray_are_refused(tmp_path: Path, target: str, reason: str) -> None:
    """A link out of the bundle, to nothing, or in a circle is refused by its name."""
    (tmp_path / "outside").write_text("secret")
    source = site(tmp_path / "src", modules__x="", **{".git__config": ""})
    (source / "modules/link").symlink_to(target)
    with pytest.raises(LayoutError, match=reason) as caught:
        build(source, tmp_path, puppet=NO_PUPPET)
    assert caught.value.entry.startswith(("modules/link", "'modules/link"))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe in the tree is refused by its name."""
    source = site(tmp_path / "src")
    os.mkfifo(source / "pipe")
    with pytest.raises(LayoutError, match="neither a file nor a folder") as caught:
        build(source, tmp_path, puppet=NO_PUPPET)
    assert caught.value.entry == "pipe"


@pytest.mark.parametrize("name", ["x" * 101, "a\nb", os.fsdecode(b"\xff")])
def test_names_that_no_archive_holds_are_refused(tmp_path: Path, name: str) -> None:
    """A name that is too long, not printable or not UTF-8 is refused, and nothing is written."""
    source = site(tmp_path / "src")
    (source / name).write_text("")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(LayoutError):
        build(source, out, puppet=NO_PUPPET)
    assert list(out.iterdir()) == []


def test_no_site_no_bundle(tmp_path: Path) -> None:
    """A directory without manifests/site.pp is no bundle, and one that isn't there neither."""
    with pytest.raises(LayoutError, match=r"manifests/site\.pp"):
        build(tmp_path, tmp_path, puppet=NO_PUPPET)
    with pytest.raises(LayoutError, match="no directory"):
        build(tmp_path / "missing", tmp_path, puppet=NO_PUPPET)


def test_limits_bound_a_build(tmp_path: Path) -> None:
    """A tree with more files or bytes than the limits is refused."""
    source = site(tmp_path / "src", data__a="a", data__b="b")
    with pytest.raises(LimitError, match="2 files"):
        build(source, tmp_path, puppet=NO_PUPPET, limits=Limits(files=2))
    with pytest.raises(LimitError, match="2000 bytes"):
        build(source, tmp_path, puppet=NO_PUPPET, limits=Limits(size=2000))


def test_manifest_is_read_and_checked(tmp_path: Path) -> None:
    """What tarmak.yaml says comes with the bundle, built or verified; a bad one is an error."""
    source = site(tmp_path / "src", **{"tarmak.yaml": "name: s\nversion: 1.2.3\nroles: [etcd]\n"})
    bundle = build(source, tmp_path, puppet=NO_PUPPET)
    assert bundle.manifest.version == "1.2.3"
    assert verify(bundle.path) == bundle
    (source / "tarmak.yaml").write_text("nmae: s\n")
    with pytest.raises(ManifestError, match="do you mean name"):
        build(source, tmp_path, puppet=NO_PUPPET)


def test_yaml_that_does_not_parse_is_named_with_its_line(tmp_path: Path) -> None:
    """Broken YAML in Hiera's places is refused with file and line; elsewhere YAML is nobody's business."""
    source = site(
        tmp_path / "src",
        **{
            "hiera.yaml": "version: 5\n",
            "data__role__x.yaml": "a: 1\nb: [\n",
            "modules__m__spec__x.yaml": "[",
        },
    )
    with pytest.raises(CheckError) as caught:
        build(source, tmp_path, puppet=NO_PUPPET)
    (finding,) = caught.value.findings
    assert (finding.file, finding.line) == ("data/role/x.yaml", 3)


def test_without_puppet_a_warning_says_what_is_unchecked(tmp_path: Path) -> None:
    """Where Puppet isn't there the bundle is built all the same, and a warning says so."""
    warnings: list[str] = []
    source = site(tmp_path / "src", **{"manifests__site.pp": "class {", "data__x.yaml": "a: 1"})
    build(source, tmp_path, puppet=NO_PUPPET, warn=warnings.append)
    assert [w for w in warnings if "not checked" in w and NO_PUPPET in w]
    assert [w for w in warnings if "no hiera.yaml" in w]


def test_out_may_be_a_file_or_a_directory(tmp_path: Path) -> None:
    """A directory gets the archive under its digest; a file is written, or replaced, as it is named."""
    source = site(tmp_path / "src")
    named = build(source, tmp_path, puppet=NO_PUPPET)
    assert named.path == tmp_path / file_name(named.digest)
    chosen = build(source, tmp_path / "my.tar.gz", puppet=NO_PUPPET)
    assert chosen.path.read_bytes() == named.path.read_bytes()


NAME = st.from_regex(r"[a-zA-Zäß0-9_.-]{1,12}", fullmatch=True).filter(lambda n: n not in {".", "..", ".git"})
TREE = st.dictionaries(
    st.lists(NAME, min_size=1, max_size=3).map(lambda parts: "/".join(["modules", *parts])),
    st.tuples(st.binary(max_size=1500), st.booleans()),
    max_size=8,
)


@given(tree=TREE)
def test_what_is_unpacked_builds_the_same_bundle(
    tree: dict[str, tuple[bytes, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A bundle that is built, unpacked and built again has the same digest: nothing is lost or added."""
    tmp_path = tmp_path_factory.mktemp("round")
    source = site(tmp_path / "src")
    for name, (content, executable) in tree.items():
        path = source / name
        if any(
            other != name and (other.startswith(name + "/") or name.startswith(other + "/")) for other in tree
        ):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if executable else 0o644)
    bundle = build(source, tmp_path, puppet=NO_PUPPET)
    unpacked = unpack(bundle.path, tmp_path / "cache", bundle.digest, Limits(size=bundle.size))
    assert build(unpacked, tmp_path, puppet=NO_PUPPET).digest == Digest(bundle.digest)
