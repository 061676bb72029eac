"""How a wing's own log reads: `key=value` lines on stderr, which systemd stamps with the time.

The standard library's logging does it, since structlog would keep 7 MB of the wing's 45 for good
(docs/decisions/0052).
"""

import json
import logging
import sys
from typing import Final

_KNOWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class KeyValueFormatter(logging.Formatter):
    """Writes a record as its event, then what was given as `extra`, each value quoted as JSON if need be."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line; a traceback follows on lines of its own."""
        words = [f"level={record.levelname.lower()}", f"event={_quoted(record.getMessage())}"]
        words += [f"{key}={_quoted(value)}" for key, value in vars(record).items() if key not in _KNOWN]
        line = " ".join(words)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(level: str) -> None:
    """Send the process's log to stderr, from `level` on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KeyValueFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _quoted(value: object) -> str:
    text = str(value)
    plain = text.isprintable() and not any(character in text for character in ' "=') and text
    return text if plain else json.dumps(text, ensure_ascii=False)
