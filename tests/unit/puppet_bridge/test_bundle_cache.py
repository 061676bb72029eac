"""The cache of unpacked bundles: whole or not there, whoever writes, damages or prunes it."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from broker.ids import Digest
from puppet_bridge.archive import Limits
from puppet_bridge.bundle import BundleFile, build
from puppet_bridge.cache import BundleCache
from puppet_bridge.errors import DigestError


def bundle(folder: Path, text: str) -> BundleFile:
    """Build a bundle that differs from others by `text`."""
    source = folder / f"src-{text}"
    (source / "manifests").mkdir(parents=True)
    (source / "manifests/site.pp").write_text(f"notify {{ '{text}': }}\n")
    (source / "data").mkdir()
    (source / "data/common.yaml").write_text("a: 1\n")
    return build(source, folder, puppet="no-such-puppet")


def unpacked(cache: BundleCache, file: BundleFile) -> Path:
    return cache.unpack(file.path, file.digest, Limits(size=file.size))


def test_unpacked_once_found_ever_after(tmp_path: Path) -> None:
    """A bundle that is there is found without its archive."""
    cache, file = BundleCache(tmp_path / "cache"), bundle(tmp_path, "a")
    assert cache.find(file.digest) is None
    place = unpacked(cache, file)
    file.path.unlink()
    assert unpacked(cache, file) == place == cache.find(file.digest)


@pytest.mark.parametrize("damage", ["remove", "truncate", "touch", "add", "mode", "marker"])
def test_damage_is_noticed_and_repaired(tmp_path: Path, damage: str) -> None:
    """A file that is missing, changed, added or made executable makes the bundle count as not there."""
    cache, file = BundleCache(tmp_path / "cache"), bundle(tmp_path, "a")
    place = unpacked(cache, file)
    target = place / "data/common.yaml"
    match damage:
        case "remove":
            target.unlink()
        case "truncate":
            target.write_text("")
        case "touch":
            target.write_text("a: 2\n")
        case "add":
            (place / "data/extra.yaml").write_text("")
        case "mode":
            target.chmod(0o755)
        case "marker":
            place.with_suffix(".json").write_text("{")
    assert cache.find(file.digest) is None
    assert unpacked(cache, file) == place
    assert target.read_text() == "a: 1\n"
    assert not (place / "data/extra.yaml").exists()


def test_a_kill_in_the_middle_leaves_nothing_that_counts(tmp_path: Path) -> None:
    """An unpacking that was killed before its rename is no bundle, and the next one sweeps it away."""
    cache, file = BundleCache(tmp_path / "cache"), bundle(tmp_path, "a")
    place = cache.place(file.digest)
    left = tmp_path / "cache/.unfinished-killed"
    (left / "bundle/data").mkdir(parents=True)
    place.with_suffix(".json").write_text("{}")
    assert cache.find(file.digest) is None
    unpacked(cache, file)
    assert not left.exists()


def test_what_another_still_writes_is_not_swept(tmp_path: Path) -> None:
    """A download that is under way beside an unpacking is left alone, and gone when it ends."""
    cache, file = BundleCache(tmp_path / "cache"), bundle(tmp_path, "a")
    with cache.aside() as aside:
        (aside / "archive").write_text("half of it")
        unpacked(BundleCache(tmp_path / "cache"), file)
        assert (aside / "archive").read_text() == "half of it"
    assert not aside.exists()


def test_many_unpack_at_once(tmp_path: Path) -> None:
    """Unpackers of one bundle at once all get the same whole bundle."""
    file = bundle(tmp_path, "a")
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(lambda _: unpacked(BundleCache(tmp_path / "cache"), file), range(8)))
    assert set(places) == {BundleCache(tmp_path / "cache").find(file.digest)}


def test_a_failed_unpacking_leaves_what_was_there(tmp_path: Path) -> None:
    """A wrong archive for a digest changes nothing in the cache."""
    cache, one, two = BundleCache(tmp_path / "cache"), bundle(tmp_path, "a"), bundle(tmp_path, "b")
    unpacked(cache, one)
    with pytest.raises(DigestError):
        cache.unpack(one.path, two.digest, Limits())
    assert cache.find(one.digest) is not None
    assert cache.find(two.digest) is None


def test_prune_keeps_the_newest_and_those_in_use(tmp_path: Path) -> None:
    """Pruning removes the least recently used, but none that is held or named as in use."""
    cache = BundleCache(tmp_path / "cache")
    files = [bundle(tmp_path, text) for text in "abcde"]
    for age, file in enumerate(files):
        unpacked(cache, file)
        os.utime(cache.place(file.digest).with_suffix(".json"), (age, age))
    with cache.hold(files[0].digest) as held:
        os.utime(cache.place(files[0].digest).with_suffix(".json"), (0, 0))
        assert cache.prune(1, in_use={files[1].digest}) == (files[2].digest, files[3].digest)
        assert held is not None
        assert held.is_dir()
    there = [file.digest for file in files if cache.find(file.digest)]
    assert there == [files[0].digest, files[1].digest, files[4].digest]
    assert cache.prune(0) != ()
    assert not any(cache.place(file.digest).exists() for file in files)


def test_a_hold_ends_with_its_process(tmp_path: Path) -> None:
    """A bundle that a killed process held can be pruned."""
    cache, file = BundleCache(tmp_path / "cache"), bundle(tmp_path, "a")
    unpacked(cache, file)
    script = (
        "import sys, pathlib; from puppet_bridge.cache import BundleCache\n"
        f"with BundleCache(pathlib.Path({str(tmp_path / 'cache')!r})).hold({str(file.digest)!r}):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert cache.prune(0) == ()
        holder.kill()
        holder.wait()
    assert cache.prune(0) == (file.digest,)


def test_what_is_not_there_can_be_held_and_pruned(tmp_path: Path) -> None:
    """Holding an absent bundle yields None, and pruning an absent cache does nothing."""
    cache = BundleCache(tmp_path / "cache")
    with cache.hold(Digest("sha256:" + "0" * 64)) as held:
        assert held is None
    assert cache.prune(1) == ()
