"""A Valkey and a Postgres of one's own, out of wheels, run by jobsd itself.

Who holds ``owner.lock`` in the state directory runs the servers; everybody else attaches to their sockets
and takes over when the owner is gone. The addresses follow from the directory alone.

    embedded.py     read this first: own or attach, and the heir that waits
    crew.py         the owner's servers: started together, kept alive, stopped in order
    server.py       what both servers share: launch, readiness, stopping
    valkey.py       the queue's server
    postgres.py     the records' server
    initdb.py       its data directory, made aside and renamed when whole
    places.py       every path and address below the state directory
    directories.py  making those directories, and whose they must be
    binaries.py     where the programs come from
    runtime.py      copies of them, when the servers' user cannot reach the originals
    account.py      that user: as root never root
    launch.py       one process: its log, its environment, its tie to this process
    become.py       what runs in the child before it is a server
    processes.py    which process a number in a pid file means
    orphans.py      servers that outlived their owner
    locks.py        an flock that a forked child does not keep
    probes.py       does a server answer on its socket
    versions.py     which version a program is

    STATE/owner.lock, alive.lock    who runs the servers; does any of them live
    STATE/run/                      sockets (below /tmp when the path is too long for one)
    STATE/log/                      what the servers say
    STATE/valkey/, STATE/postgres/  the data
    STATE/runtime/                  copied programs, only as root

Local disks only: locks, sockets and fsync are unsafe on NFS.
"""

from __future__ import annotations

from jobsd.embedded.embedded import Embedded, running_servers
from jobsd.embedded.places import Servers, state_directory

__all__ = ["Embedded", "Servers", "running_servers", "state_directory"]
