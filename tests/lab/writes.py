"""A client that writes to etcd and reads it all the time, and knows afterwards what it was promised.

It goes to the three members in turn, by etcd's HTTP gateway, with a certificate of the cluster's authority.
What was acknowledged has to be there at the end, whatever happened in between; its longest pause is what a
user of the cluster would have felt.
"""

import base64
import http.client
import json
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

PORT: Final = 2379
ANSWER_S: Final = 2.0


@dataclass(slots=True, kw_only=True)
class Account:
    """What became of the writes: `longest_s` is the longest time without one that was acknowledged."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: int = 0
    stale: list[str] = field(default_factory=list)
    longest_s: float = 0.0


class Etcd:
    """A cluster of etcd as its clients see it."""

    def __init__(self, addresses: Sequence[str], *, ca: Path, certificate: Path, key: Path) -> None:
        self.addresses = tuple(addresses)
        self._context = ssl.create_default_context(cafile=str(ca))
        self._context.load_cert_chain(certificate, key)

    def put(self, address: str, key: str, value: str) -> None:
        self._call(address, "/v3/kv/put", {"key": _coded(key), "value": _coded(value)})

    def get(self, address: str, key: str) -> str | None:
        found = self._call(address, "/v3/kv/range", {"key": _coded(key)}).get("kvs", [])
        return base64.b64decode(found[0]["value"]).decode() if found else None

    def version(self, address: str) -> str | None:
        """Return which etcd runs there, whether or not it has a quorum; None if none does."""
        try:
            return str(self._call(address, "/version", None)["etcdserver"])
        except OSError:
            return None

    def all(self, prefix: str) -> dict[str, str]:
        """Return everything whose key begins so, read through the quorum."""
        for address in self.addresses:
            try:
                body = {"key": _coded(prefix), "range_end": _coded(prefix[:-1] + chr(ord(prefix[-1]) + 1))}
                found = self._call(address, "/v3/kv/range", body, timeout_s=30).get("kvs", [])
            except OSError:
                continue
            return {_plain(each["key"]): _plain(each["value"]) for each in found}
        raise OSError("no member answers")

    def _call(self, address: str, path: str, body: Any, *, timeout_s: float = ANSWER_S) -> Any:
        connection = http.client.HTTPSConnection(address, PORT, context=self._context, timeout=timeout_s)
        try:
            if body is None:
                connection.request("GET", path)
            else:
                connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            said = answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"no answer: {error}") from error
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise OSError(f"{answer.status} {said[:200]!r}")
        return json.loads(said)


class Writer:
    """Writes for as long as its block lasts, and looks at which members run."""

    def __init__(self, etcd: Etcd, prefix: str) -> None:
        self._etcd = etcd
        self._prefix = prefix
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._write), threading.Thread(target=self._look)]
        self.account = Account()
        self.away: set[frozenset[str]] = set()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def lost(self) -> dict[str, str]:
        """Return what was acknowledged and is not there."""
        there = self._etcd.all(self._prefix)
        return {key: value for key, value in self.account.acknowledged.items() if there.get(key) != value}

    def _write(self) -> None:
        account, last, number = self.account, time.monotonic(), 0
        while not self._ended.is_set():
            address = self._etcd.addresses[number % len(self._etcd.addresses)]
            key, value = f"{self._prefix}{number:08}", f"value {number}"
            number += 1
            try:
                self._etcd.put(address, key, value)
                account.acknowledged[key] = value
                now = time.monotonic()
                account.longest_s, last = max(account.longest_s, now - last), now
                if self._etcd.get(address, key) != value:
                    account.stale.append(key)
            except OSError:
                account.refused += 1

    def _look(self) -> None:
        while not self._ended.wait(0.2):
            away = frozenset(each for each in self._etcd.addresses if self._etcd.version(each) is None)
            self.away.add(away)


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _plain(coded: str) -> str:
    return base64.b64decode(coded).decode()
