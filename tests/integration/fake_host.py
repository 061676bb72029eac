"""A host program of a few lines: a host is a directory, and what was asked of it a line in a file.

    fake_host.py FOLDER up|down|status [--home HOME]

`FOLDER/fail-NAME` has an `up` of that host fail with what the file says; `FOLDER/hang-NAME` has it hang.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path


def main() -> None:
    folder, word = Path(sys.argv[1]), sys.argv[2]
    if word == "status":
        status(Path(sys.argv[4]))
        return
    described = json.loads(os.environ["TARMAK_HOST"])
    with (folder / "calls").open("a") as calls:
        calls.write(json.dumps([word, described["name"], described]) + "\n")
    place = Path(described["home"]) / "hosts" / described["name"]
    if word == "up":
        up(folder, described, place)
    else:
        shutil.rmtree(place, ignore_errors=True)
        if not any(place.parent.iterdir()):
            place.parent.rmdir()


def up(folder: Path, described: dict[str, object], place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    failing, hanging = folder / f"fail-{place.name}", folder / f"hang-{place.name}"
    if failing.exists():
        sys.exit(f"making {place.name}\n{failing.read_text()}")
    if hanging.exists():
        (folder / "pid").write_text(str(os.getpid()))
        sys.stdout.write(f"{place.name} hangs\n")
        sys.stdout.flush()
        signal.pause()
    (place / "host.json").write_text(json.dumps(described))
    (place / "host_key.pub").write_text(f"ssh-ed25519 AAAA{place.name} root@{place.name}\n")
    (place / "running").touch()


def status(home: Path) -> None:
    for place in sorted((home / "hosts").glob("*")):
        state = "running" if (place / "running").exists() else "stopped"
        sys.stdout.write(json.dumps({"name": place.name, "state": state}) + "\n")


if __name__ == "__main__":
    main()
