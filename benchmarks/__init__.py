"""How fast is it, beside arq, on this machine, now: ``python -m benchmarks``; docs/performance.md says more.

    __main__.py      the options
    rounds.py        what a run does; read this first
    steps.py         all that is measured, and how much of it

    backlog.py       jobs a second, and what each costs the worker and the servers
    unkept.py        the same where results are not kept
    limits.py        what limits cost that never bite
    promises.py      what each promise costs
    long.py          the same for a million jobs
    latency.py       from enqueue() to the task's first line, while nothing else happens
    delayed.py       how late delayed jobs begin, and whether one is too early
    sleep.py         jobs that wait, at several numbers of slots
    enqueue.py       jobs put in a second
    workers.py       several worker processes on one queue
    imports.py       what a program pays that only enqueues
    memory.py        what a job that waits takes of Valkey's memory
    schedules.py     10,000 schedules in one daemon
    lateness.py      how late runs of schedules begin
    idle.py          what a worker does that has nothing to do

    jobsd_worker.py  a worker process: runs a number of jobs, says what that took, ends
    arq_worker.py    the same of arq
    promises_worker.py  a worker whose jobs are promised something
    schedules_worker.py  a scheduler that times its ticks
    tally_worker.py  a worker process among others: says which jobs it has begun
    meter.py         what a worker process measures of itself
    processes.py     starting such processes, and their end
    filling.py       jobs that wait before a measurement begins
    ground.py        the servers that all of it happens on
    accounting.py    the CPU that another process has used
    machine.py       what it all runs on, and who else is using that

    figures.py       what was measured, round by round
    report.py        figures as they come, and as JSON
    layouts.py       what the tables look like
    tables.py        figures and targets as tables
    targets.py       what is to be reached
    judging.py       whether it is
    picture.py       throughput and latency, drawn
    document.py      the figures in docs/performance.md
    flame.py         a worker's flame graph, on its own: ``python -m benchmarks.flame``

Both systems take turns in one run, on the same servers, because a machine is not as fast in one minute as in
the next: compare within a run, not between two.
"""
