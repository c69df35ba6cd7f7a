"""Every key in Redis: name, type, contents.

A queue's *base key* is ``jobsd:{main}:<queue>``; the part in braces, the shard, puts all queues of a
shard into one slot of a cluster, so that a script may touch several. A queue name with a colon
(``arq:queue``) is the raw key of an arq queue, and one that ends in its only colon (``mails:``) the raw
key without it. The scripts derive every other key from the two
prefixes below, so this page is also the map of what they write.

    <base>                     zset    id -> ms: may run at; while active: a hint of the lease end; parked: PARKED
    <base>:active              zset    id -> lease end, ms: the only authority on leases
    <base>:retry               zset    id -> ms: waits for a retry
    <base>:parked:<reason>     zset    id -> original due time, ms: waits for something but time
    <base>:completed           zset    id -> ms at which its result is forgotten
    <base>:archived            zset    id -> ms at which it was archived
    <base>:dead:<id>           hash    payload, info (JSON): an archived job
    <base>:side                hash    id -> JSON of what is not default: see SIDE
    <base>:stats               hash    processed, failed, lost, stale: totals
    <base>:wake                list    at most one token, popped by one idle worker
    <base>:cron                hash    entry of an arq worker's cron_jobs -> its last due time that became a job, ms

    <shard>:state              hash    seen, amnesty (ms); paused:<base> (ms); watch:<base> (due:worker);
                                       unknown: accept or refuse, what enqueue does with a new queue
    <shard>:queues             set     every base key that was ever used
    <shard>:epoch              string  the worker that first came; gone means that Redis lost everything
    <shard>:workers            zset    worker -> last beat, ms
    <shard>:worker:<id>        hash    beat, lease, claim, finish, answers; host, pid, queues, tasks ...
    <shard>:sender:<name>      string  the number of a client's last call and its answer; ends after a minute
    <shard>:unblock:<worker>   list    ends its wait for a wake-up when it stops; gone at once
    <shard>:records            stream  one entry per batch of endings, one field per job

    arq:job:<id>               string  the payload
    arq:in-progress:<id>       string  the mark of the claim: worker:claim:index:started_at:attempt:due
    arq:result:<id>            string  the result, in arq's form
    arq:abort                  zset    id -> ms at which an arq client asked to abort the job

SIDE: ``n`` attempts so far, ``f`` failures, ``l`` losses, ``x`` interruptions, ``e`` [type, message] of
the last error, ``w`` [[worker, started_at, last beat], ...] of the losses, ``p`` [done, total] of the running attempt.
"""

from __future__ import annotations

PARKED = 9_000_000_000_000_000
JOB = "arq:job:"
IN_PROGRESS = "arq:in-progress:"
RESULT = "arq:result:"
DEFAULT_SHARD = "main"


def shard_key(shard: str = DEFAULT_SHARD) -> str:
    """Return the prefix of the shard's own keys. The empty name keeps them apart from every queue's."""
    return f"jobsd:{{{shard}}}:"


def base_key(queue: str, shard: str = DEFAULT_SHARD) -> str:
    """Return the queue's base key: its name, where that is a raw key.

    >>> base_key("default"), base_key("arq:queue"), base_key("mails:")
    ('jobsd:{main}:default', 'arq:queue', 'mails')
    """
    if ":" not in queue:
        return f"jobsd:{{{shard}}}:{queue}"
    return queue.removesuffix(":") if queue.count(":") == 1 else queue


def queue_of(base: str) -> str:
    """Return the queue's name: the inverse of base_key."""
    prefix, brace, name = base.partition("}:")
    if brace and prefix.startswith("jobsd:{"):
        return name
    return base if ":" in base else f"{base}:"


def records_key(shard: str = DEFAULT_SHARD) -> str:
    return shard_key(shard) + ":records"


def unblock_key(worker: str, shard: str = DEFAULT_SHARD) -> str:
    return f"{shard_key(shard)}:unblock:{worker}"
