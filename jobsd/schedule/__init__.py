"""What a schedule is, said once for all who declare, keep, fire and show it. Nothing in here waits or connects.

definition.py   Schedule: which task, when, under which policies; its JSON
state.py        State: how far it has come; Entry: both, as a store keeps them
decide.py       pure: which due times become jobs, which are passed over, and why; read this first
options.py      what people write of a schedule, checked and made one; read this second
declared.py     the schedules that this process declares, by name, and all of a daemon's
in_code.py      cron(), and the schedules of @task(cron=…)
job_class.py    BaseScheduledJob, db_context
holidays.py     the callables that say when nothing is to run
"""
