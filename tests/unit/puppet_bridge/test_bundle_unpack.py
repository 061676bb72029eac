"""Unpacking believes nothing: what a build would not have written is refused before anything appears."""

import contextlib
import gzip
import hashlib
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.ids import Digest
from puppet_bridge.archive import Limits
from puppet_bridge.bundle import build, unpack, verify
from puppet_bridge.errors import BundleError, DigestError, LimitError, RefusedError
from puppet_bridge.ustar import END

SITE = "manifests/site.pp"


def member(name: str = SITE, content: bytes = b"", **changes: object) -> bytes:
    """Return one entry's bytes as a build writes them, but for `changes` to its header."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    padded = content + bytes(-len(content) % 512)
    return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict") + padded


def archive(folder: Path, *parts: bytes, end: bytes = END) -> tuple[Path, Digest]:
    """Write an archive of `parts` and return it with the digest that it truly has."""
    plain = b"".join(parts) + end
    path = folder / "archive.tar.gz"
    path.write_bytes(gzip.compress(plain))
    return path, Digest("sha256:" + hashlib.sha256(plain).hexdigest())


def refused(folder: Path, *parts: bytes, end: bytes = END) -> RefusedError:
    """Unpack an archive of `parts` and return how it was refused; nothing may have appeared."""
    path, digest = archive(folder, *parts, end=end)
    with pytest.raises(RefusedError) as caught:
        unpack(path, folder / "cache", digest)
    assert [left for left in (folder / "cache").iterdir() if left.name != ".lock"] == []
    return caught.value


def test_a_plain_bundle_is_unpacked(tmp_path: Path) -> None:
    """What a build writes is unpacked under its digest, with modes and with the folders of a bundle."""
    path, digest = archive(tmp_path, member(content=b"x"), member("modules/m/files/run", b"#!", mode=0o755))
    found = unpack(path, tmp_path / "cache", digest)
    assert found == tmp_path / "cache" / digest.removeprefix("sha256:")
    assert (found / SITE).read_bytes() == b"x"
    assert (found / SITE).stat().st_mode & 0o7777 == 0o644
    assert (found / "modules/m/files/run").stat().st_mode & 0o7777 == 0o755
    assert (found / "data").is_dir()


@pytest.mark.parametrize(
    ("entry", "changes", "reason"),
    [
        ("/etc/passwd", {}, "absolute"),
        ("../../etc/passwd", {}, "leads out"),
        ("modules/../../x", {}, "leads out"),
        ("./x", {}, "shortest form"),
        ("modules//x", {}, "shortest form"),
        ("modules/x\x1b[2J", {}, "can't be printed"),
        (".git/config", {}, "never part"),
        ("x", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "leads out"),
        ("a/x", {"type": tarfile.SYMTYPE, "linkname": "../../passwd"}, "leads out"),
        ("a/x", {"type": tarfile.SYMTYPE, "linkname": "y"}, "a link"),
        ("x", {"type": tarfile.LNKTYPE, "linkname": "../y"}, "leads out"),
        ("x", {"type": tarfile.CHRTYPE}, "device"),
        ("x", {"type": tarfile.BLKTYPE}, "device"),
        ("x", {"type": tarfile.FIFOTYPE}, "pipe"),
        ("x", {"type": tarfile.DIRTYPE}, "directory entry"),
        ("x", {"type": tarfile.XHDTYPE}, "extended header"),
        ("x", {"type": tarfile.GNUTYPE_LONGNAME}, "extended header"),
        ("x", {"type": b"V"}, "unknown type"),
        ("x", {"type": tarfile.AREGTYPE}, "not canonical"),
        ("x", {"mode": 0o4755}, "set-user"),
        ("x", {"mode": 0o2755}, "set-user"),
        ("x", {"mode": 0o666}, "neither 0644 nor 0755"),
        ("x", {"uid": 1}, "not canonical"),
        ("x", {"mtime": 1}, "not canonical"),
        ("x", {"uname": "root"}, "not canonical"),
    ],
)
def test_an_entry_that_no_bundle_holds_is_refused_by_name(
    tmp_path: Path, entry: str, changes: dict[str, Any], reason: str
) -> None:
    """Each kind of dangerous or odd entry is refused, and the error names the entry and the reason."""
    error = refused(tmp_path, member(entry, **changes))
    assert error.entry == entry
    assert reason in error.reason


def test_duplicates_and_disorder_are_refused(tmp_path: Path) -> None:
    """A name that comes twice, comes late, or is a file and a folder at once is refused."""
    assert refused(tmp_path, member("a"), member("a")).reason == "a duplicate"
    assert refused(tmp_path, member("b"), member("a")).reason == "out of order"
    clash = refused(tmp_path, member("a"), member("a-b"), member("a/b"))
    assert (clash.entry, clash.reason) == ("a/b", "lies in a folder that is also a file")


def test_hidden_bytes_are_refused(tmp_path: Path) -> None:
    """There is no room for bytes that are no entry's: in the padding, after the end, or instead of it."""
    padded = bytearray(member("a", b"x"))
    padded[-1] = 1
    assert "hidden" in refused(tmp_path, bytes(padded)).reason
    assert "zero blocks" in refused(tmp_path, member("a"), end=bytes(1023) + b"x").reason
    assert "zero blocks" in refused(tmp_path, end=b"").reason
    assert "header" in refused(tmp_path, END).reason


def test_an_entry_longer_than_the_archive_is_refused(tmp_path: Path) -> None:
    """A size that the archive doesn't have is refused, however large."""
    assert "longer" in refused(tmp_path, member("a", size=1 << 32)).reason


def test_another_digest_is_refused(tmp_path: Path) -> None:
    """An archive that is not the one asked for is not looked at any further."""
    path, _ = archive(tmp_path, member(mode=0o4755))
    with pytest.raises(DigestError) as caught:
        unpack(path, tmp_path / "cache", Digest("sha256:" + "0" * 64))
    assert caught.value.expected == "sha256:" + "0" * 64


def test_limits_of_files_and_bytes_hold(tmp_path: Path) -> None:
    """More files or bytes than declared are refused; exactly as many are not."""
    path, digest = archive(tmp_path, member("a"), member("b", b"x" * 100))
    size = len(gzip.decompress(path.read_bytes()))
    with pytest.raises(LimitError, match="1 files"):
        unpack(path, tmp_path / "cache", digest, Limits(size=size, files=1))
    with pytest.raises(LimitError, match=f"{size - 1} bytes"):
        unpack(path, tmp_path / "cache", digest, Limits(size=size - 1, files=2))
    assert unpack(path, tmp_path / "cache", digest, Limits(size=size, files=2)).is_dir()


def test_a_gzip_bomb_never_exceeds_the_declared_size(tmp_path: Path) -> None:
    """Of a bomb of 256 MiB no more than the declared 1 MiB is ever decompressed."""
    engine = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = tmp_path / "bomb"
    bomb.write_bytes(b"".join(engine.compress(bytes(1 << 20)) for _ in range(256)) + engine.flush())
    tracemalloc.start()
    with pytest.raises(LimitError):
        unpack(bomb, tmp_path / "cache", Digest("sha256:" + "0" * 64), Limits(size=1 << 20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda whole: whole[:-9], "cut short"),
        (lambda whole: whole + b"x", "after the end"),
        (lambda whole: whole + whole, "after the end"),
        (lambda whole: b"PK" + whole, "not a gzip stream"),
        (lambda _: b"", "cut short"),
    ],
)
def test_a_spoilt_gzip_stream_is_refused(
    tmp_path: Path, spoil: Callable[[bytes], bytes], reason: str
) -> None:
    """What is cut short, goes on after its end, or is no gzip at all is refused as such."""
    path, _ = archive(tmp_path, member())
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(RefusedError, match=reason):
        verify(path)


@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_any_altered_bit_is_refused(
    position: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An archive of which any bit of the tar was altered is not believed, whichever bit it is."""
    folder = tmp_path_factory.mktemp("bit")
    source = folder / "src"
    (source / "manifests").mkdir(parents=True)
    (source / SITE).write_text("notify { 'x': }\n")
    bundle = build(source, folder, puppet="no-such-puppet")
    plain = bytearray(gzip.decompress(bundle.path.read_bytes()))
    plain[position % len(plain)] ^= 1 << bit
    bundle.path.write_bytes(gzip.compress(plain))
    with pytest.raises(DigestError):
        verify(bundle.path, digest=bundle.digest)


@given(junk=st.binary(max_size=3000), before=st.sampled_from([b"", member("a", b"x")]))
def test_any_bytes_are_refused_or_believed(
    junk: bytes, before: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever bytes an archive holds, the answer is a BundleError or a bundle, never another exception."""
    path = tmp_path_factory.mktemp("junk") / "archive"
    path.write_bytes(gzip.compress(before + junk + END))
    with contextlib.suppress(BundleError):
        verify(path)
