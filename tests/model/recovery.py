"""When a worker counts as dead, what becomes of its jobs, and of one that is cancelled before it runs."""

LEASE_MS, MAX_LOSSES = 12_000, 3


class Rest:
    """If everybody was silent for half a lease, or time went back, the server was away: for a lease nobody is dead."""

    def __init__(self):
        self.seen, self.until = None, None

    def goes_on(self, now):
        if self.seen is None or not -1000 <= now - self.seen <= LEASE_MS / 2:
            self.until = now + LEASE_MS
        self.seen = now
        return now < self.until


def take_back(reference, queues):
    """Give jobs whose lease is over back at their due time; return those whose run is lost.

    A worker that beats but does not list a lease never got it: nothing ran, and nothing is lost.
    One that was to be cancelled is not given back.
    """
    now, lost = reference.now, []
    over = [job for job in reference.live.values() if job.mark and job.lease_end < now and job.queue in queues]
    for job in sorted(over, key=lambda job: (queues.index(job.queue), job.lease_end, job.id)):
        worker, *_, due = job.mark.split(":")[:6]
        mark, beat = job.mark, reference.beats.get(worker)
        silent = beat is None or beat <= job.lease_end - LEASE_MS * 2 / 3
        cancelled = reference.cancels.pop(job.id, None)
        job.leave(int(due), "nl" if silent else "")
        if silent:
            lost.append(job.id)
            gone = cancelled or job.noted["l"] == MAX_LOSSES
            reference.records.append((job.queue, job.id, mark, "archived" if gone else "requeued"))
            if gone:
                reference.unlock(job)
                reference.kept.archive(reference.live.pop(job.id), now, job.payload)
        elif cancelled:
            cancel_unrun(reference, job, int(due))
    return lost


def cancel_unrun(reference, job, due, *, recorded=True):
    """Archive a job before a run that it will not have: that run is recorded as cancelled."""
    now = reference.now
    job.leave(due, "n")
    record = (job.queue, job.id, f":0:0:{now}:{job.noted['n']}:{due}", "cancelled")
    reference.records += [record] if recorded else []
    reference.unlock(job)
    reference.shut(job)
    reference.kept.archive(reference.live.pop(job.id), now, job.payload)
