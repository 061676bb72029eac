"""The first description of a cluster, written where there is none yet."""

import re
from pathlib import Path

from orchestrator.infrastructure.cluster_file import KINDS
from orchestrator.infrastructure.errors import DescriptionError
from orchestrator.infrastructure.template import template
from orchestrator.nearest import nearest


def begin(file: Path, *, provider: str, name: str | None) -> None:
    """Write a description of a cluster to start from; DescriptionError if something is there already."""
    if provider not in KINDS:
        raise DescriptionError(what=f"there is no provider {provider}", why=nearest(provider, KINDS))
    text = template(name or named_after(file.absolute().parent), provider)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        action = "name another file, or take that one away first"
        raise DescriptionError(
            what=f"{file} is there already, and is left as it is", action=action
        ) from error
    except OSError as error:
        raise DescriptionError(what=f"{file} can't be written: {error.strerror}") from error


def named_after(directory: Path) -> str:
    """Return a cluster's name made of a directory's; `lab` if nothing of that can be one."""
    return re.sub(r"[^a-z0-9]+", "-", directory.name.lower())[:40].strip("-") or "lab"
