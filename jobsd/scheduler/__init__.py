"""The scheduler: turns due times into jobs, in each daemon, all of them alike.

    scheduler.py  sleeps until something is due, decides, writes; read this first
    roster.py     which schedules this daemon fires
    plans.py      what is due next, of thousands of schedules
    telling.py    what a daemon says of them at its start
    bridge.py     how they go on while Postgres, their judge, is away

Nobody leads. What was decided is written only by who saw the schedule as it still is (Store.apply), so a due time that
several daemons come to is decided once. Time is the store's server's; a daemon's own clock only says how long to sleep.
"""
