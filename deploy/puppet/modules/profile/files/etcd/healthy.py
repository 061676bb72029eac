#!/usr/bin/python3
"""Tells whether this host's etcd member is well: it answers through the quorum, as the version installed.

    /usr/local/lib/etcd/healthy [SECONDS]

Exit code 0 means yes. Without SECONDS it looks once; with them it goes on looking until the member is well or
they are over, and then says what is wrong, and what etcd's service said last.
"""

import socket
import sys
import time
from typing import Final
from urllib.parse import urlsplit

from member import EtcdError, Member, Settings, installed_version, last_words, run, until

CONNECT_S: Final = 2


def main(words: list[str]) -> int:
    """Look until the member is well; returns the exit code."""
    try:
        settings = Settings.load()
    except EtcdError as error:
        return told(str(error))
    patience_s = int(words[0]) if words else 0
    deadline = time.monotonic() + patience_s
    while wrong := look(Member(settings)):
        if not until(deadline):
            after = f" after {patience_s} s" if patience_s else ""
            reason = "; ".join((wrong, *silent(settings), service()))
            return told(f"{settings.name} is not healthy{after}: {reason}")
    return 0


def look(member: Member) -> str:
    """Return what is wrong with `member`, nothing if it is well."""
    try:
        member.health()
        runs, installed = member.status().version, installed_version()
    except EtcdError as error:
        return str(error)
    return "" if runs == installed else f"it runs {runs}, installed is {installed}"


def silent(settings: Settings) -> list[str]:
    """Return which other members nothing listens for, as words: what a lone member can't tell of itself."""
    found = [
        name for name, url in sorted(settings.members.items()) if name != settings.name and not heard(url)
    ]
    return [f"no connection to {', '.join(found)}"] if found else []


def heard(url: str) -> bool:
    """Return whether something listens at the peer's `url`."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=CONNECT_S).close()
    except OSError:
        return False
    return True


def service() -> str:
    """Return what systemd knows of etcd, in a few words."""
    try:
        state = run("systemctl", "show", "--property=ActiveState,SubState", "--value", "etcd.service").split()
        journal = run("journalctl", "--unit=etcd.service", "--lines=1", "--output=cat", "--no-pager")
    except EtcdError as error:
        return str(error)
    return f"etcd.service is {'/'.join(state)} and said last: {last_words(journal)}"


def told(why: str) -> int:
    """Say `why`; returns the exit code of a failure."""
    print(why, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
