"""The page of reasons, made from the table that the program itself uses."""

from pathlib import Path
from typing import Final

from orchestrator.domain.rollout.sentences import TABLE

PAGE: Final = Path(__file__).parents[4] / "docs" / "reference" / "why.md"
HEAD: Final = """# Reasons

What `tarmak why` says: for whatever waits or failed one causal sentence, and the next safe command. No state
that can be reached is without one; the tests walk through them. Words in braces are filled in.

| cause | sentence | next safe command |
|---|---|---|
"""


def page() -> str:
    """Return the page as it has to be."""
    rows = [
        f"| {cause.value} | {each.sentence} | {f'`{each.command}`' if each.command else 'wait'} |"
        for cause, each in TABLE.items()
    ]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
