"""The root image is there whole or not at all, and has what the example site installs."""

from pathlib import Path

import pytest
import yaml

from orchestrator.infrastructure.local import apt, image
from orchestrator.infrastructure.local.errors import LocalError
from orchestrator.infrastructure.local.image import Image
from orchestrator.infrastructure.local.places import ClusterPlaces
from orchestrator.infrastructure.local.recipe import IMAGE, LATER, POOL

SITE = Path(__file__).parents[5] / "deploy/puppet/data"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Steps of the making, done in a moment and counted."""
    steps: list[str] = []

    def bootstrap(_: object, root: Path) -> None:
        root.mkdir()
        steps.append("bootstrap")

    monkeypatch.setattr(apt, "suite", lambda: "bookworm")
    monkeypatch.setattr(image, "run", lambda *_, **__: "amd64\n")
    monkeypatch.setattr(image, "demand", lambda _: None)
    monkeypatch.setattr(image, "_bootstrap", bootstrap)
    monkeypatch.setattr(image, "_fill_pool", lambda _recipe, one, _scratch: one.packages.mkdir())
    monkeypatch.setattr(image, "_finish", lambda _: steps.append("finish"))
    return steps


def ignore(_: str) -> None:
    """Tell nobody."""


def test_an_image_is_made_once(made: list[str], tmp_path: Path) -> None:
    """The second one who asks gets the image of the first."""
    first = image.image(ignore, folder=tmp_path)
    assert first.root.is_dir()
    assert image.image(ignore, folder=tmp_path) == first
    assert made == ["bootstrap", "finish"]


def test_an_image_that_was_cut_off(made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was cut off is never taken for an image, and what a crash left is removed by the next."""
    (tmp_path / ".lab-crashed/image/root").mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(image, "_finish", _fail)
        with pytest.raises(LocalError, match="no space"):
            image.image(ignore, folder=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["lab.lock"]
    assert image.image(ignore, folder=tmp_path).packages.is_dir()
    assert made == ["bootstrap", "bootstrap", "finish"]


def _fail(_: Image) -> None:
    raise LocalError(what="no space")


@pytest.mark.usefixtures("made")
def test_a_disk_stays_on_its_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that was begun on an image stays on it when there is a newer one, or is refused."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    host = ClusterPlaces(tmp_path).host("a")
    host.directory.mkdir(parents=True)
    first = image.image_of(host, ignore)
    host.image.touch()
    monkeypatch.setattr(apt, "suite", lambda: "trixie")
    assert image.image_of(host, ignore) == first
    assert image.image(ignore) != first
    first.directory.rename(tmp_path / "gone")
    with pytest.raises(LocalError, match=r"a has lost the root image.*make a anew"):
        image.image_of(host, ignore)


def test_what_the_example_site_installs_is_there() -> None:
    """Each package that the site's data names is in the image or in the pool."""
    named: set[str] = set()
    for file in SITE.rglob("*.yaml"):
        named |= set((yaml.safe_load(file.read_text()) or {}).get("profile::base::packages::names", ()))
    assert named
    assert named <= {*IMAGE, *POOL}
    assert set(LATER) <= set(POOL)
