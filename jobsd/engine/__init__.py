"""The engine: leases a job, runs it, writes down what became of it.

worker.py      the heart; read this first
dispatcher.py  free slots to queues, then a claim         -> Lease
shares.py      which queue gets which slot. Pure
runner.py      the task under its limits                  -> Outcome
calling.py     the function with its context, through the hooks
threads.py     a plain function in a thread; children/ has those in a process of their own
outcomes.py    an error or a stop                         -> Outcome
effects.py     what a run has committed, which goes before
dependencies.py  what tasks are lent: open before the first claim, closed after the last ending
decide.py      what the outcome means for the job. Pure   -> Transition
endings.py     a transition as the row that is written    -> Ending
finisher.py    the endings of the moment, written to Redis
leases.py      the heartbeat: a thread that keeps leases alive and watches the loop
gates.py       limits that a worker sees to by itself: how many of a queue in its process, in which hours
cancels.py     hears that running jobs are to be cancelled, and stops them
drain.py       the end of the work: what runs may end, no more is claimed
backpressure.py fewer claims while too many records wait for Postgres
keepers.py     takes back dead workers' jobs, releases parked ones, forgets old ones
options.py     what can be set
arq_worker.py  jobsd.Worker: arq's Worker on this engine; its parts are in arq/
"""
