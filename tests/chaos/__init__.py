"""Long runs with faults: what happened in real daemons is held against what the ledger says of it.

    __main__.py  the runs by name, what they print, the exit code
    records.py   a fixed number of jobs, while Postgres, recorders and connections fail; read this first
    outage.py    a steady load, while Postgres is away for long
    effects.py   jobs enqueued in transactions, each with one effect, while everything fails
    schedules.py each due time is one job, while everything fails and clocks are wrong
    laws.py      what must be true of the ledger afterwards; effect_laws.py: of effects; schedule_laws.py: of due times
    control.py   the same under a daemon that breaks them: the laws must see it

    ground.py    the servers, of which Postgres comes and goes; effect_ground.py: behind wires that are cut
    daemons.py   real daemons, killed and replaced
    faults.py    when what fails; effect_faults.py, wires.py, halting.py: in the run effects
    calls.py     who enqueues, and how far the jobs are; orders.py, ways.py, progress.py: in the run effects
    schedule_site.py the schedules, and how far they are
    screen.py    lines and tables for people

Short forms of records, effects and schedules are among the acceptance tests.
"""
