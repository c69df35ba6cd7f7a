"""Long runs with faults: what happened in real daemons is held against what the ledger says of it.

    __main__.py  the runs by name, what they print, the exit code
    records.py   a fixed number of jobs, while Postgres, recorders and connections fail; read this first
    outage.py    a steady load, while Postgres is away for long
    laws.py      what must be true of the ledger afterwards
    control.py   the same under a daemon that breaks them: the laws must see it

    ground.py    the servers, of which Postgres comes and goes
    daemons.py   real daemons, killed and replaced
    faults.py    when what fails
    calls.py     who enqueues, and how far the jobs are
    screen.py    lines and tables for people

A short form of the first run is among the acceptance tests.
"""
