"""Runs in the child: drops root, asks to die with the parent, and becomes the server.

A program of its own, ``python -I -S become.py UID GID SIGNAL PARENT SERVER ARGUMENT...`` ("-" keeps the user),
rather than Popen's ``user=`` and ``preexec_fn``: uvloop refuses the one, threads forbid the other.
"""

# All imports come first: after the drop, an interpreter in root's home can no longer be read.
import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_PARENT_GONE = 70


def main() -> None:
    uid, gid, signal_number, parent = sys.argv[1:5]
    server = sys.argv[5:]
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if int(signal_number):
        # After setuid, which clears it. The parent may have died meanwhile, unnoticed by the kernel's promise.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal_number))
        if os.getppid() != int(parent):
            sys.exit(_PARENT_GONE)
    os.umask(0o077)
    os.chdir("/")
    os.execv(server[0], server)  # noqa: S606 - no shell is wanted


main()
