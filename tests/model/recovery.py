"""When a worker counts as dead, and what becomes of its jobs."""

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
    """
    now, lost = reference.now, []
    over = [job for job in reference.live.values() if job.mark and job.lease_end < now and job.queue in queues]
    for job in sorted(over, key=lambda job: (queues.index(job.queue), job.lease_end, job.id)):
        worker, *_, due = job.mark.split(":")
        mark, beat = job.mark, reference.beats.get(worker)
        silent = beat is None or beat <= job.lease_end - LEASE_MS * 2 / 3
        job.leave(int(due), "nl" if silent else "")
        if silent:
            lost.append(job.id)
            gone = job.noted["l"] == MAX_LOSSES
            reference.records.append((job.queue, job.id, mark, "archived" if gone else "requeued"))
            if gone:
                reference.kept.archive(reference.live.pop(job.id), now, job.payload)
    return lost
