"""Files that others look for by name."""

from pathlib import Path

import pytest

from puppet_bridge.atomic import appearing, write_whole


def test_a_file_is_never_seen_half(tmp_path: Path) -> None:
    """It appears by rename, with its mode, and leaves nothing else; one that was there gives way."""
    for content in (b"x", b"longer than before"):
        write_whole(tmp_path / "env", content, mode=0o600)
        assert [file.name for file in tmp_path.iterdir()] == ["env"]
        assert (tmp_path / "env").read_bytes() == content
        assert (tmp_path / "env").stat().st_mode & 0o777 == 0o600


def test_what_fails_in_the_middle_leaves_what_was_there(tmp_path: Path) -> None:
    """Nothing of the new one is to be seen."""

    def fail() -> None:
        with appearing(tmp_path / "env") as draft:
            draft.out.write(b"half")
            raise ValueError("in the middle")

    write_whole(tmp_path / "env", b"before")
    with pytest.raises(ValueError, match="in the middle"):
        fail()
    assert [file.name for file in tmp_path.iterdir()] == ["env"]
    assert (tmp_path / "env").read_bytes() == b"before"
