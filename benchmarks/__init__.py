"""How fast is it, beside arq, on this machine, now: ``python -m benchmarks``.

    __main__.py      the rounds; read this first
    backlog.py       jobs a second, and what each costs the worker and the servers
    enqueue.py       jobs put in a second
    latency.py       from enqueue() to the task's first line, while nothing else happens
    imports.py       what a program pays that only enqueues
    jobsd_worker.py  a worker process: runs a number of jobs, says what that took, ends
    arq_worker.py    the same of arq
    meter.py         what a worker process measures of itself
    processes.py     starting such processes, and their end
    ground.py        the servers that all of it happens on, and the CPU that they use
    machine.py       what it all runs on, and who else is using that
    report.py        figures of all rounds, as tables and as JSON

Both systems take turns in one run, on the same servers, because a machine is not as fast in one minute as in
the next: compare within a run, not between two.
"""
