"""What a wing at rest must not carry."""

import subprocess
import sys
from importlib import metadata

from wing import VERSION

HEAVY = {
    "pydantic",
    "aiohttp",
    "aioboto3",
    "hvac",
    "kubernetes_asyncio",
    "sqlalchemy",
    "typer",
    "rich",
    "structlog",
}


def test_the_resident_wing_imports_nothing_heavy() -> None:
    """Everything that the daemon imports, imported in a fresh Python, brings none of the large libraries."""
    code = "import sys, wing.daemon; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not HEAVY & set(loaded.stdout.split())


def test_its_version_is_the_distributions() -> None:
    """The version is written down twice to save memory, and is the same in both places."""
    assert metadata.version("tarmak") == VERSION
