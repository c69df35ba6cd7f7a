"""Child processes of a worker. Each runs one job at a time: CPU-heavy tasks, and jobs that may have killed a worker.

    pool.py      who waits for a child, which are idle, when one is let go; read this first
    process.py   one child, from the outside: started, handed a job, killed, buried
    messages.py  what goes to and fro: lines of JSON
    memory.py    how much a process has, and may have

What runs inside a child is assembled like a daemon: see daemon/child.py.
"""
