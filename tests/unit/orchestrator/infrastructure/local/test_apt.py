"""Of what apt knows, Debian's own archives are taken, and how they are reached."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.infrastructure.local import apt
from orchestrator.infrastructure.local.apt import PrivateApt, Source, parse_targets, reaching, sources
from orchestrator.infrastructure.local.errors import LocalError
from orchestrator.infrastructure.local.recipe import Recipe

LISTED = """\
http://mirror.example/debian/ bookworm main
http://mirror.example/debian/ bookworm-updates main
http://mirror.example/debian/ bookworm contrib
http://mirror.example/security/ bookworm-security main
https://third.example/ bookworm stable
https://other.example/ sdk-bookworm main

"""
DUMP = """\
Acquire "";
Acquire::cdrom::mount "/media/cdrom/";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::http::Proxy::own.example "DIRECT";
Acquire::https "";
Acquire::Check-Valid-Until "false";
Acquire::Languages:: "none";
Acquire::Retries "3";
"""
RECIPE = Recipe(suite="bookworm", architecture="amd64")


def test_third_parties_are_left_out() -> None:
    """Only main of the release, its updates and its security updates make a host."""
    assert [(source.uri, source.suite) for source in parse_targets(LISTED, "bookworm")] == [
        ("http://mirror.example/debian/", "bookworm"),
        ("http://mirror.example/debian/", "bookworm-updates"),
        ("http://mirror.example/security/", "bookworm-security"),
    ]


def test_the_next_release_is_in_the_same_archive() -> None:
    """The line for another suite differs in the suite alone, and names Debian's own keys."""
    line = Source("http://mirror.example/debian/", "bookworm").line("trixie")
    assert line.endswith("] http://mirror.example/debian/ trixie main")
    assert "debian-archive-keyring" in line


def test_proxies_and_the_like_are_taken_over() -> None:
    """The image is fetched as this machine fetches its packages; the rest of its settings is its own."""
    assert reaching(DUMP) == (
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::http::Proxy::own.example "DIRECT";',
        'Acquire::Check-Valid-Until "false";',
        'Acquire::Retries "3";',
    )


def test_without_an_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose apt has no such release is told what is missing."""
    monkeypatch.setattr(apt, "run", lambda *_: LISTED)
    assert len(sources("bookworm")) == 3
    with pytest.raises(LocalError, match=r"no archive with the suite trixie.*sources\.list\.d"):
        sources("trixie")


def test_an_apt_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages are fetched without touching this machine's lists, status or preferences."""
    said: list[str] = []
    monkeypatch.setattr(apt, "run", lambda *words, **_: said.append(" ".join(map(str, words))))
    own = PrivateApt(directory=tmp_path, status=tmp_path / "status", preferred="bookworm")
    own.update(["deb x bookworm main"])
    own.download("etcd-server/trixie")
    assert (tmp_path / "sources/all.list").read_text() == "deb x bookworm main\n"
    assert own.archives.is_dir()
    assert said[0].endswith(" update")
    assert "--download-only --no-install-recommends install etcd-server/trixie" in said[1]
    assert all(
        f"Dir::State={tmp_path}/state" in line and "preferencesparts=/dev/null" in line for line in said
    )


def test_a_changed_recipe_is_another_image() -> None:
    """Whatever is in an image is in its name."""
    assert RECIPE.digest == Recipe(suite="bookworm", architecture="amd64").digest
    others = [replace(RECIPE, pool=(*RECIPE.pool, "vim")), replace(RECIPE, suite="trixie")]
    others.append(replace(RECIPE, architecture="arm64"))
    assert len({one.digest for one in (RECIPE, *others)}) == 4


def test_a_release_without_a_next_one() -> None:
    """A release whose successor nobody knows yet has a pool all the same."""
    assert RECIPE.next_suite == "trixie"
    assert replace(RECIPE, suite="sid").next_suite is None
