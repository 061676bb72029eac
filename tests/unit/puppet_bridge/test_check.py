"""What Puppet's own parser finds in a bundle, with file and line; needs Puppet."""

import shutil
from pathlib import Path

import pytest

from puppet_bridge.bundle import build
from puppet_bridge.errors import CheckError

pytestmark = pytest.mark.skipif(shutil.which("puppet") is None, reason="no puppet on this machine")


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_every_fault_is_found_at_once(tmp_path: Path) -> None:
    """Manifests, functions, types and templates that do not parse are all named, each with its line."""
    source = tmp_path / "src"
    write(source, "manifests/site.pp", "\nclass {\n")
    write(source, "modules/m/manifests/init.pp", "class m {\n  file { 'x' ensure => present }\n}\n")
    write(source, "modules/m/manifests/sound.pp", "class m::sound { }\n")
    write(source, "modules/m/functions/f.pp", "function m::f() {\n")
    write(source, "modules/m/templates/a.epp", "<%= $x %>\n<% if { %>\n")
    write(source, "modules/m/templates/b.epp", "<%= $x\n")
    with pytest.raises(CheckError) as caught:
        build(source, tmp_path)
    assert [(finding.file, finding.line) for finding in caught.value.findings] == [
        ("manifests/site.pp", 2),
        ("modules/m/functions/f.pp", 1),
        ("modules/m/manifests/init.pp", 2),
        ("modules/m/templates/a.epp", 2),
        ("modules/m/templates/b.epp", 2),
    ]
    assert "modules/m/manifests/init.pp:2: Syntax error at 'ensure'" in str(caught.value)


def test_what_puppet_does_not_load_is_left_alone(tmp_path: Path) -> None:
    """A module's tests may hold broken code, and its plans are in another dialect."""
    source = tmp_path / "src"
    write(source, "manifests/site.pp", "include m\n")
    write(source, "modules/m/manifests/init.pp", "class m { }\n")
    write(source, "modules/m/spec/fixtures/broken.pp", "class {\n")
    write(source, "modules/m/plans/init.pp", "plan m() { }\n")
    assert build(source, tmp_path).files == 4


def test_a_puppet_that_fails_otherwise_is_not_taken_for_sound_code(tmp_path: Path) -> None:
    """If Puppet itself breaks, its words are the finding; the bundle is not built unchecked."""
    source = tmp_path / "src"
    write(source, "manifests/site.pp", "include m\n")
    write(tmp_path, "bin/puppet", "#!/bin/sh\necho 'cannot load such file -- puppet' >&2\nexit 1\n")
    (tmp_path / "bin/puppet").chmod(0o755)
    with pytest.raises(CheckError, match="cannot load such file"):
        build(source, tmp_path, puppet=str(tmp_path / "bin/puppet"))
