#!/usr/bin/python3
"""Saves a verified snapshot of this host's etcd member.

    /usr/local/lib/etcd/snapshot FILE

The file is there whole and verified, or not at all.
"""

import os
import sys
from pathlib import Path

from member import EtcdError, Member, Settings


def main(words: list[str]) -> int:
    """Save the snapshot; returns the exit code."""
    if len(words) != 1:
        print("usage: snapshot FILE (a new file, for the snapshot)", file=sys.stderr)
        return 2
    os.umask(0o077)
    try:
        print(Member(Settings.load()).save(Path(words[0])))
    except (EtcdError, OSError) as error:
        print(f"no snapshot was saved: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
