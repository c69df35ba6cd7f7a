"""Child processes of a worker: for CPU-heavy tasks, and for jobs that may have killed a worker.

    pool.py        which job goes to which child, which are idle, when one is let go; read this first
    quarantine.py  the one child that runs several jobs: those whose worker was lost once
    process.py     one child, from the outside: started, handed jobs, killed, buried
    messages.py    what goes to and fro: lines of JSON
    memory.py      how much a process has, and may have

What runs inside a child is assembled like a daemon: see daemon/child.py.
"""
