"""What the scripts promise, said once more without Redis: read it as their specification. The methods bear their names.

A live job waits until ``at``, runs (then it has a mark) or is parked. ``noted`` counts its attempts (n), failures (f),
losses (l) and interruptions (x). The first 19 bytes of a payload, and of a result, tell the uses of an id apart.
"""

from jobsd.store.keys import PARKED
from tests.model.kept import Kept
from tests.model.recovery import LEASE_MS, Rest, take_back

COUNTED = {"R": "nf", "A": "nf", "S": "n", "Q": "nx"}


class Job:
    def __init__(self, job_id, queue, payload, at, **noted):
        self.id, self.queue, self.payload, self.at, self.noted = job_id, queue, payload, at, noted
        self.mark, self.lease_end, self.retry_at = "", 0, None

    def leave(self, at, counted):
        self.mark, self.at = "", at
        self.noted.pop("p", None)
        for name in counted:
            self.noted[name] = self.noted.get(name, 0) + 1


class Reference:
    def __init__(self, now):
        self.now, self.live, self.paused, self.kept = now, {}, {}, Kept()
        self.rest, self.beats, self.records, self.parked = Rest(), {}, [], {}

    def enqueue(self, jobs):
        answers, fresh = [], {}  # True: stored, by this call or an earlier copy of it; False: the id is another's
        for queue, job_id, when, payload in jobs:
            holder = self.live[job_id].payload if job_id in self.live else self.kept.result_of(job_id)
            answers.append(not holder or (job_id not in fresh and holder[:19] == payload[:19]))
            if not holder:
                at = int(when) if when.isdigit() else self.now + int(when or 0)
                self.live[job_id] = fresh[job_id] = Job(job_id, queue, payload, at)
        return answers

    def claim(self, start, quotas, slots):
        """Return the runs found lost, and the jobs leased: the earliest due first; their marks begin with ``start``."""
        lost, leased = self.recover(list(quotas)), []
        for queue, quota in [*quotas.items(), *((queue, slots) for queue in quotas)]:
            due = [job for job in self.live.values() if job.queue == queue and job.at <= self.now and not job.mark]
            room = 0 if queue in self.paused else min(quota, slots - len(leased))
            for job in sorted(due, key=lambda job: (job.at, job.id))[:room]:
                leased.append(job)
                job.mark = f"{start}{len(leased)}:{self.now}:{job.noted.get('n', 0) + 1}:{job.at}"
                job.lease_end, job.retry_at = self.now + LEASE_MS, None
        return lost, leased

    def extend(self, worker, leases, last):
        """Return the leases that are no longer the worker's. It has beaten when it has listed the last of its own."""
        self.rest.goes_on(self.now)
        self.beats |= {worker: self.now} if last else {}
        for lease in filter(self.holds, leases):
            self.live[lease.id].lease_end = self.now + LEASE_MS
        return [lease for lease in leases if not self.holds(lease)]

    def finish(self, endings):
        answers = []  # an ending counts while its mark is the job's, however late
        for ending in endings:
            answers.append(self.holds(ending.lease))
            if not answers[-1]:
                continue
            job = self.live[ending.lease.id]
            self.records += [(job.queue, job.id, job.mark, ending.move)] if ending.record else []
            job.leave(ending.at, COUNTED.get(ending.move, "") if ending.data else "")
            job.retry_at = ending.at if ending.move == "R" else None
            if ending.move == "P":
                job.at, self.parked[job.queue, ending.data, job.id] = PARKED, ending.at
            elif ending.move in "ACD":
                self.kept.put(self.live.pop(job.id), ending, self.now)
        return answers

    def recover(self, queues):
        return [] if self.rest.goes_on(self.now) else take_back(self, queues)

    def release(self, queues, reasons):
        released = [place for reason in reasons for place in self.parked if place[0] in queues and place[1] == reason]
        for queue, reason, job_id in released:
            job, due = self.live.get(job_id), self.parked.pop((queue, reason, job_id))
            if job and job.queue == queue and job.at >= PARKED:  # not one that arq's abort made due meanwhile
                job.at = due
        return len(released)

    def rerun(self, queue, job_id):
        archived = None if job_id in self.live else self.kept.take_archived(queue, job_id)
        if archived:
            self.live[job_id] = Job(job_id, queue, archived.payload, self.now, n=archived.noted["n"])
        return archived is not None

    def progress(self, lease, done, total):
        if self.holds(lease):
            self.live[lease.id].noted["p"] = [done, total]
        return self.holds(lease)

    def holds(self, lease):
        return lease.id in self.live and self.live[lease.id].mark == lease.mark
