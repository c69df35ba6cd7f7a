"""What systemd is told where the unit says Type=notify: ready, reloading, stopping. Elsewhere nothing happens.

The protocol is a datagram to the socket that NOTIFY_SOCKET names; see sd_notify(3).
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

VARIABLE = "NOTIFY_SOCKET"
_SENT_WITHIN_S = 1.0


def ready() -> None:
    """Say that the service is up; also the end of a reload."""
    _notify("READY=1")


def reloading() -> None:
    # The time lets systemd tell this reload's end from that of an earlier one.
    _notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    _notify("STOPPING=1")


def _notify(*lines: str) -> None:
    """Send it or leave it: a manager that does not listen is no reason to stop working."""
    address = os.environ.get(VARIABLE, "")
    if not address:
        return
    if address.startswith("@"):  # Linux's abstract sockets
        address = f"\0{address[1:]}"
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(_SENT_WITHIN_S)
        sender.sendto("\n".join(lines).encode(), address)
