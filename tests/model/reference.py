"""What the scripts promise, said once more without Redis: read it as their specification. The methods bear their names.

The first 19 bytes of a payload, and of a result, tell the uses of an id apart. A job that is due may wait in a lane:
that is no other state, only another place. What is not here: limited.py, limits; keyed.py, keys that one job holds;
recovery.py, the jobs of dead workers; kept.py, what is kept of jobs that have ended.
"""

from jobsd.store.keys import FIRST_TIME, PARKED
from tests.model.kept import Kept
from tests.model.keyed import Keyed
from tests.model.limited import Limits, parts_of, places_of
from tests.model.live import Job
from tests.model.recovery import LEASE_MS, Rest, cancel_unrun, take_back

COUNTED = {"R": "nf", "A": "nf", "S": "n", "Q": "nx"}
GOES_ON = "RSQPL"


class Reference(Keyed):
    def __init__(self, now):
        super().__init__()
        self.now = self.latest = now
        self.live, self.paused, self.kept, self.limits = {}, {}, Kept(), Limits()
        self.rest, self.beats, self.records, self.parked, self.queues = Rest(), {}, [], {}, set()
        self.cancels = {}  # id of a running job -> how far its cancelling has come

    def enqueue(self, jobs):
        """Return True for each job that was stored, False if its id is another's, or the Holder of its key."""
        taken = self.live.keys() | self.kept.results.keys()
        for queue, job_id, when, *_ in jobs:
            self.queues |= {queue} - ({queue} if job_id in taken else set())
            taken |= {job_id} - ({job_id} if " " in when else set())
        order = sorted(range(len(jobs)), key=lambda n: " " in jobs[n].when)  # first those that have nothing to look at
        answers = {n: self.take_in(jobs[n]) for n in order}
        return [answers[n] for n in range(len(jobs))]

    def claim(self, start, ids):
        """Lease these jobs; their marks begin with ``start``. Return what forbids it.

        Which of those that may start are chosen is told by laws.py and limit_laws.py: who is first, and who is not
        passed over.
        """
        wrongs = [f"{job_id} was leased, and does not live" for job_id in ids if job_id not in self.live]
        for n, job in enumerate((self.live[job_id] for job_id in ids if job_id in self.live), 1):
            wrongs += [f"{job.id} was leased: {reason}" for reason in self.forbids(job)]
            self.lease(job, f"{start}{n}")
        return wrongs

    def forbids(self, job):
        """Tell why a job may not start."""
        # What once was due is so in its lane when the clock was put back.
        now = self.latest if parts_of(job.limits) else self.now
        if job.mark or not FIRST_TIME <= job.at <= now:
            yield f"it does not wait, or is not due: {job.mark or job.at}"
        if job.queue in self.paused:
            yield f"{job.queue} is paused"
        for place in places_of(job.queue, job.limits):
            if not self.limits.has_room(place, self.running(place), self.now):
                yield f"there is no room under {place}, {self.limits.at(place)}"

    def lease(self, job, start):
        limits = f":{job.limits}" if job.limits else ""
        job.mark = f"{start}:{self.now}:{job.noted.get('n', 0) + 1}:{job.at}{limits}"
        job.lease_end, job.retry_at = self.now + LEASE_MS, None
        self.shut(job)
        for place in places_of(job.queue, job.limits):
            self.limits.note_start(place, self.now)

    def pass_time(self, ms):
        self.now += ms
        self.latest = max(self.now, self.latest)
        self.limits.look(self.now)

    def extend(self, worker, leases, last):
        """Return the leases that are no longer the worker's. It has beaten when it has listed the last of its own."""
        self.rest.goes_on(self.now)
        self.beats |= {worker: self.now} if last else {}
        for lease in filter(self.holds, leases):
            self.live[lease.id].lease_end = self.now + LEASE_MS
        return [lease for lease in leases if not self.holds(lease)]

    def finish(self, endings):
        """Return a letter for each. An ending counts while its mark is the job's, however late.

        One that would let a job run again that is to be cancelled is not written: the worker ends it as cancelled.
        """
        letters, seen = "", set()
        for ending in endings:
            mark = ending.lease.mark
            if not self.holds(ending.lease) or mark in seen:
                letters += "s"
            elif ending.move in GOES_ON and ending.lease.id in self.cancels:
                letters += "c"
            else:
                letters += "a"
                self.end(self.live[ending.lease.id], ending)
            seen.add(mark)
        return letters

    def end(self, job, ending):
        self.records += [(job.queue, job.id, job.mark, ending.move)] if ending.record else []
        if ending.move in "PL" or (ending.move == "Q" and not ending.data):  # it has not begun
            for place in places_of(job.queue, job.limits):
                self.limits.give_back(place, ending.lease.started_at)
        job.leave(ending.at, COUNTED.get(ending.move, "") if ending.data else "")
        job.retry_at = ending.at if ending.move == "R" else None
        self.cancels.pop(job.id, None)
        if ending.move == "P":
            job.at, self.parked[job.queue, ending.data, job.id] = PARKED, ending.at
        elif ending.move == "L":
            job.change(l=ending.data)
        elif ending.move not in GOES_ON:
            self.unlock(job)
            self.kept.put(self.live.pop(job.id), ending, self.now)

    def recover(self, queues):
        return [] if self.rest.goes_on(self.now) else take_back(self, queues)

    def release(self, queues, reasons):
        parked = [place for reason in reasons for place in self.parked if place[0] in queues and place[1] == reason]
        released = 0
        for queue, reason, job_id in parked:
            job, due = self.live.get(job_id), self.parked.pop((queue, reason, job_id))
            if job and job.queue == queue and job.at == PARKED:  # not one that arq's abort made due meanwhile
                job.at = due
                released += 1
        return released

    def rerun(self, queue, job_id):
        """Return 1; 0 if no such job is archived, or its id is another's; 2 if another job has its unique key."""
        if job_id in self.live or not self.kept.may_run_again(queue, job_id):
            return 0
        archived = self.kept.archived[queue, job_id]
        job = Job(job_id, queue, archived.payload, self.now, n=archived.noted["n"])
        if self.holder_of(job):
            return 2
        self.lock(job)
        self.kept.take_archived(queue, job_id)
        self.live[job_id] = job
        return 1

    def progress(self, lease, done, total):
        if self.holds(lease):
            self.live[lease.id].noted["p"] = [done, total]
        return self.holds(lease)

    def cancel(self, queue, job_id):
        """Archive a job that waits; note of one that runs that it is to end. Return how far that has come."""
        job = self.live.get(job_id)
        if not job or job.queue != queue:
            ended = job_id in self.kept.results or (queue, job_id) in self.kept.archived
            return "ended" if ended else "unknown"
        if job.mark:
            return self.cancels.setdefault(job_id, "requested")
        parked = self.parked.pop((queue, f"task:{job.task}", job_id), self.now) if job.at == PARKED else None
        cancel_unrun(self, job, parked or job.at, recorded=bool(self.records))  # who cancels knows no better
        return "cancelled"

    def told(self, job_id, mark, state):
        """Note how far the cancelling of a running job has come."""
        known = job_id in self.cancels and self.live[job_id].mark == mark
        self.cancels |= {job_id: state} if known else {}
        return known

    def limit(self, name, how, text):
        return self.limits.change(name, how, text)

    def holds(self, lease):
        return lease.id in self.live and self.live[lease.id].mark == lease.mark

    def running(self, place):
        """Return how many leases there are under a limit."""
        return sum(bool(job.mark) and place in places_of(job.queue, job.limits) for job in self.live.values())
