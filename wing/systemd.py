"""What systemd is told of a wing: that it is up, that it lives, that it ends (sd_notify(3)).

Outside systemd, without NOTIFY_SOCKET in the environment, all of it does nothing.
"""

import sdnotify  # type: ignore[import-untyped] # it has no types, and three calls of it are made here


class Systemd:
    """The service manager as a wing's supervisor. The watchdog must be longer than a tick (5 s)."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()

    def ready(self) -> None:
        """Say that the wing is up; with or without a broker, which may come later."""
        self._notifier.notify("READY=1\nWATCHDOG=1")

    def alive(self) -> None:
        """Say that events are still handled, so that the watchdog waits on."""
        self._notifier.notify("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._notifier.notify("STOPPING=1")
