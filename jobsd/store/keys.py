"""Every key in Redis: name, type, contents.

A queue's *base key* is ``jobsd:{main}:<queue>``; the part in braces, the shard, puts all queues of a
shard into one slot of a cluster, so that a script may touch several. A queue name with a colon
(``arq:queue``) is the raw key of an arq queue, and one that ends in its only colon (``mails:``) the raw
key without it. The scripts derive every other key from the two
prefixes below, so this page is also the map of what they write.

    <base>                     zset    id -> ms: may run at; while active: a hint of the lease end; parked: PARKED;
                                       in a lane: LANED
    <base>:active              zset    id -> lease end, ms: the only authority on leases
    <base>:retry               zset    id -> ms: waits for a retry
    <base>:parked:<reason>     zset    id -> original due time, ms: waits for something but time
    <base>:lane:<lane>         zset    id -> original due time, ms: waits for its turn under its limits, see LANES
    <base>:turns               zset    lane -> turn, rising: lanes whose next job may run
    <base>:closed              zset    lane -> ms at which its limit opens; 9e15: when a lease under it ends
    <base>:behind:<limit>      zset    lane -> rising number: closed until a lease under this limit ends
    <base>:held                hash    limit key -> leases under it
    <base>:starts              list    ms of each start that the queue's rate may still count
    <base>:starts:<limit>      list    the same of a limit key
    <base>:completed           zset    id -> ms at which its result is forgotten
    <base>:archived            zset    id -> ms at which it was archived
    <base>:dead:<id>           hash    payload, info (JSON): an archived job
    <base>:side                hash    id -> JSON of what is not default: see SIDE
    <base>:stats               hash    processed, failed, lost, stale: totals
    <base>:wake                list    at most one token, popped by one idle worker
    <base>:cron                hash    entry of an arq worker's cron_jobs -> its last due time that became a job, ms

    <shard>:state              hash    seen, amnesty (ms); paused:<base> (ms); watch:<base> (due:worker);
                                       unknown: accept or refuse, what enqueue does with a new queue;
                                       keep:<base>: how much of its finished jobs is kept (keep.lua);
                                       schedules: counts what all daemons are to hear of;
                                       limits:<base or resource> in effect, limits-config:, limits-set: (limits.lua)
    <shard>:queues             set     every base key that was ever used
    <shard>:epoch              string  a text drawn once; another, or none, means that Redis has lost everything
    <shard>:workers            zset    worker -> last beat, ms
    <shard>:worker:<id>        hash    beat, lease, claim, finish, answers; host, pid, queues, tasks ...;
                                       throttle: percent, while records wait and it claims fewer jobs
    <shard>:sender:<name>      string  the number of a client's last call and its answer; ends after a minute
    <shard>:held               hash    resource -> leases under it, in all queues
    <shard>:starts:<limit>     list    ms of each start that the resource's rate may still count
    <shard>:unique:<digest>    string  base and id of the job that holds a unique key; ends with the job or its time
    <shard>:throttle:<digest>  string  base and id of the first job of the time in which there is to be no other
    <shard>:open:<digest>      hash    base, id of the waiting job that takes calls in; of an aggregate items, first
    <shard>:cancels            hash    id of a running job that is to be cancelled -> state and mark
    <shard>:cancel:<worker>    list    at most one token: it has jobs to cancel
    <shard>:unblock:<worker>   list    ends its wait for a wake-up when it stops; gone at once
    <shard>:outbox             zset    "<id> <incarnation>" of what came from the outbox -> ms at which to ask whether
                                       its row is still there; below 0: it is gone, and this is forgotten at that ms
    <shard>:schedules          hash    schedule -> lines: version, who declares it, source, when, definition, state
    <shard>:declared           zset    fingerprint of what a daemon declares -> ms at which one was last heard of
    <shard>:declaring          zset    the same -> ms at which the latest daemon of it has started
    <shard>:judges             zset    daemons that reach Postgres, which keeps schedules -> ms at which they said so
    <shard>:spare              hash    the same while Postgres is away, which keeps them: version and state alone
    <shard>:spared:<name>      list    what came of its due times meanwhile, JSON, the latest first
    <shard>:schedule:<name>    list    what came of its last 50 due times, JSON, the latest first
    <shard>:records            stream  one entry per batch of endings, one field per job

    arq:job:<id>               string  the payload
    arq:in-progress:<id>       string  the mark of the claim: worker:claim:index:started_at:attempt:due, and behind
                                       another colon what the job is limited by, if anything
    arq:result:<id>            string  the result, in arq's form
    arq:retry:<id>             string  starts that arq's own workers count; written when a queue goes back to them
    arq:abort                  zset    id -> ms at which an arq client asked to abort the job

SIDE: ``n`` attempts so far, ``f`` failures, ``l`` losses, ``x`` interruptions, ``e`` [type, message] of
the last error, ``w`` [[worker, started_at, last beat, or end and peak memory of a child], ...] of the losses,
``p`` [done, total] of the running attempt, ``d``: it is in doubt whether the job is done, and how often that was asked
in vain.

LANES: a job's limits are ``k=<limit key>`` of its queue and ``r=<resource>`` of the shard; its lane is all of them.
They stand in its payload, and in its mark: its lane, ``u=<digest>/<ms>`` (a unique key), ``o=<digest>`` (it takes calls
in until it is claimed).
"""

from __future__ import annotations

PARKED = -9_000_000_000_000_000
"""Before every time, so that arq, too, says that such a job is queued, and no look at what is due meets it."""
LANED = -8_000_000_000_000_000
FIRST_TIME = -7_000_000_000_000_000
"""Scores from here on are times."""
NO_CHILD = "executor:process"
"""Why jobs are parked that wait for a child process; others are for task:<name>, which no daemon knows."""
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


def cancel_key(worker: str, shard: str = DEFAULT_SHARD) -> str:
    return f"{shard_key(shard)}:cancel:{worker}"
