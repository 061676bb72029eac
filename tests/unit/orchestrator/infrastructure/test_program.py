"""Which Terraform is used, and what of an operator's environment it sees."""

import os
from pathlib import Path

import pytest

from orchestrator.infrastructure.errors import NoTerraformError
from orchestrator.infrastructure.program import environment_for, find


def program(folder: Path, name: str) -> str:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return str(file)


def test_whichever_is_there_is_used(tmp_path: Path) -> None:
    """Terraform before OpenTofu; the variable before both, as a path or as a name."""
    tofu = program(tmp_path / "a", "tofu")
    path = f"{tmp_path / 'a'}{os.pathsep}{tmp_path / 'b'}"
    assert str(find({"PATH": path})) == tofu
    terraform = program(tmp_path / "b", "terraform")
    assert str(find({"PATH": path})) == terraform
    assert str(find({"PATH": path, "TARMAK_TERRAFORM": tofu})) == tofu
    assert str(find({"PATH": path, "TARMAK_TERRAFORM": "tofu"})) == tofu


def test_where_neither_is_there_is_a_word_how_to_get_one(tmp_path: Path) -> None:
    """As there is for a variable that names nothing."""
    with pytest.raises(NoTerraformError, match=r"neither `terraform` nor `tofu`.*install OpenTofu"):
        find({"PATH": str(tmp_path)})
    with pytest.raises(NoTerraformError, match="TARMAK_TERRAFORM is /nowhere, which is no program"):
        find({"PATH": str(tmp_path), "TARMAK_TERRAFORM": "/nowhere"})


def test_other_configurations_settings_are_kept_out() -> None:
    """Credentials and mirrors pass; what would change our plans does not."""
    given = {
        "HOME": "/root",
        "TF_CLI_ARGS_plan": "-x",
        "TF_VAR_a": "b",
        "TF_WORKSPACE": "c",
        "AWS_PROFILE": "d",
    }
    seen = environment_for({**given, "TF_CLI_CONFIG_FILE": "/mirror.tfrc"})
    assert {"HOME", "AWS_PROFILE", "TF_CLI_CONFIG_FILE"} <= seen.keys()
    assert not {"TF_CLI_ARGS_plan", "TF_VAR_a", "TF_WORKSPACE"} & seen.keys()
    assert seen["TF_IN_AUTOMATION"] == "1"
