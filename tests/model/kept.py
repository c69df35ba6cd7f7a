"""What is kept of jobs that have ended: the completed ones with their results, and the archive."""

from typing import Any, NamedTuple

KEEP_COMPLETED, KEEP_ARCHIVED, KEEP_ARCHIVED_MS = 3, 3, 40_000
"""What a worker keeps of a queue for which nobody has said it."""
_AT_ONCE = 2  # a job that has ended takes so many with it, until as few are left as are to be kept


class Completed(NamedTuple):
    until: int


class Archived(NamedTuple):
    since: int
    payload: bytes
    noted: dict[str, Any]


class Kept:
    def __init__(self):
        self.completed, self.archived = {}, {}  # by queue and id
        self.results, self.passing = {}, set()  # id -> incarnation; the ids whose result Redis forgets by itself
        self.said = {}  # queue -> what it keeps: how many completed, how long an archived one, how many archived

    def result_of(self, job_id):
        return self.results.get(job_id, b"")

    def put(self, job, ending, now):
        completed, archived_ms, archived = self.said.get(job.queue, (KEEP_COMPLETED, KEEP_ARCHIVED_MS, KEEP_ARCHIVED))
        if ending.move == "A":
            self.archive(job, now, ending.result)
            self._forget(self.archived, job.queue, now - archived_ms, archived)
        elif ending.result:
            self.results[job.id] = ending.result[:19]
            self.completed[job.queue, job.id] = Completed(now + ending.at)
            self._forget(self.completed, job.queue, 0, completed, _AT_ONCE)

    def archive(self, job, now, result):
        self.archived[job.queue, job.id] = Archived(now, job.payload, job.noted)
        if result:
            self.results[job.id] = result[:19]
            self.passing.add(job.id)

    def may_run_again(self, queue, job_id):
        """Return whether a job is archived, and no later one of its id is kept as completed."""
        return (queue, job_id) in self.archived and not self.results.keys() - self.passing >= {job_id}

    def take_archived(self, queue, job_id):
        self.forget_result(job_id)
        return self.archived.pop((queue, job_id))

    def forget_result(self, job_id):
        self.results.pop(job_id, None)
        self.passing.discard(job_id)

    def trim(self, queue, now, keep_archived_ms, keep_archived_count):
        unsaid = len(self.completed), keep_archived_ms, keep_archived_count
        completed, archived_ms, archived = self.said.get(queue, unsaid)
        over = self._forget(self.completed, queue, now, completed)
        return over + self._forget(self.archived, queue, now - archived_ms, archived)

    def _forget(self, shelf, queue, until, count, most=None):
        """Forget what is older, and the oldest of what is more, or ``most`` of that; return how many."""
        line = sorted((kept[0], place) for place, kept in shelf.items() if place[0] == queue)
        over = [place for n, (at, place) in enumerate(line) if at <= until or n < len(line) - count]
        for place in over[:most]:
            del shelf[place]
            if shelf is self.completed:
                self.forget_result(place[1])
        return len(over)
