"""Terraform or OpenTofu, whichever is there: both take the same words and files."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.infrastructure.errors import NoTerraformError

VARIABLE: Final = "TARMAK_TERRAFORM"
NAMES: Final = ("terraform", "tofu")
FOREIGN: Final = (
    "TF_CLI_ARGS",
    "TF_DATA_DIR",
    "TF_INPUT",
    "TF_LOG",
    "TF_PLUGIN_TIMEOUT",
    "TF_VAR_",
    "TF_WORKSPACE",
)
"""What an operator has set for a configuration of their own would change ours."""


def find(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the program to use; raises NoTerraformError that says how to get one."""
    named = environment.get(VARIABLE)
    path = environment.get("PATH")
    if named:
        found = shutil.which(named, path=path)
        if found is None:
            action = f"set {VARIABLE} to Terraform's or OpenTofu's program, or unset it"
            raise NoTerraformError(what=f"{VARIABLE} is {named}, which is no program", action=action)
        return Path(found)
    for name in NAMES:
        if found := shutil.which(name, path=path):
            return Path(found)
    raise NoTerraformError(
        what="there is neither `terraform` nor `tofu` on PATH",
        why="one of them makes a cluster's machines",
        action="install OpenTofu (opentofu.org/docs/intro/install) or Terraform 1.4 or later, or name its"
        f" program in {VARIABLE}",
    )


def environment_for(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment that it runs in: without what steers other configurations."""
    kept = {name: value for name, value in given.items() if not name.startswith(FOREIGN)}
    return {**kept, "TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
