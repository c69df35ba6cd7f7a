"""arq's rules on jobsd's engine: what ``jobsd.Worker`` is made of.

../arq_worker.py   jobsd.Worker: arq's arguments, start and stop; read this first
engine.py          the engine with arq's hooks, counters and burst
calls.py           one call of an arq function: its ctx, tries, hooks; what it raises, in the engine's words
functions.py       arq's functions as tasks
endings.py         results in arq's form, kept as long as arq keeps them
codec.py           payloads in arq's serializer, and in JSON
aborts.py          Job.abort()
cron.py            cron_jobs, where the worker fires them
schedules.py       cron_jobs as schedules, where a daemon's scheduler does
health.py          the health check's line
lines.py           what arq logs of a job
addresses.py       RedisSettings as an address
settings.py        WorkerSettings by its path
"""
