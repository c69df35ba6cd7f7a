"""Keys that one job holds: unique, throttle; and the open job that takes later calls in: debounce, aggregate.

Those that end by their time are taken away by the machine: Redis's own time hardly passes meanwhile.
"""

import json
import re
from dataclasses import dataclass

from jobsd.store.jobs import Holder
from tests.model.live import Job


@dataclass
class Open:
    """The job that takes calls in; for an aggregate, how many items it has, and since when."""

    queue: str
    id: str
    items: int | None = None
    first: int | None = None


class Keyed:
    """What the reference knows of keys; of itself it needs ``now``, ``live`` and ``kept``."""

    def __init__(self):
        self.keys = {}  # (unique or throttle, digest) -> queue and id of the holder
        self.open = {}  # digest -> Open

    def take_in(self, new):
        """Store a new job and return True; False if its id is another's; else the job that holds its key."""
        when, _, rule = new.when.partition(" ")
        if new.id in self.live or self.kept.result_of(new.id):
            return False
        job = Job(new.id, new.queue, new.payload, 0)
        kind, _, how = rule.partition("=")
        key = ("throttle", how.partition("/")[0]) if kind == "t" else unique_key(job)
        holder = self.keys.get(key)
        if holder and (kind == "t" or holder[1] in self.live):
            return Holder(*holder, joined=False)
        if key:
            self.keys[key] = job.queue, job.id
        match kind:
            case "d":
                return self.debounce(job, int(how))
            case "a":
                return self.aggregate(job, *map(int, how.split("/")))
        return self.store(job, int(when) if when.isdigit() else self.now + int(when or 0))

    def store(self, job, due):
        self.live[job.id], job.at = job, due
        return True

    def debounce(self, job, ms):
        """The job that waits is this call's from now on."""
        waiting = self.waiting(open_key(job))
        if not waiting:
            self.open[open_key(job)] = Open(job.queue, job.id)
            return self.store(job, self.now + ms)
        waiting.payload, waiting.at = job.payload, self.now + ms
        return Holder(waiting.queue, waiting.id, joined=True)

    def aggregate(self, job, grace, delay, most, items, most_bytes):
        """The job that waits gets this call's items too, unless that is too much; what is full is due at once."""
        digest, waiting = open_key(job), self.waiting(open_key(job))
        if waiting:
            total = self.open[digest].items + items
            joined = Job(waiting.id, waiting.queue, waiting.payload, 0)
            joined.change(a=[items_of(waiting) + items_of(job)])
            fits = total <= most and len(joined.payload) <= most_bytes
            due = min(self.now + grace, self.open[digest].first + delay)
            if fits:
                waiting.payload, self.open[digest].items = joined.payload, total
            if not fits or total == most:
                due = self.now
                del self.open[digest]
            if waiting.at > self.now:  # else it is due, and waits for a worker only
                waiting.at = due
            if fits:
                return Holder(waiting.queue, waiting.id, joined=True)
        self.open.pop(digest, None)
        if items >= most:
            return self.store(job, self.now)
        self.open[digest] = Open(job.queue, job.id, items, self.now)
        return self.store(job, self.now + min(grace, delay))

    def waiting(self, digest):
        """Return the job that takes calls in under a key."""
        opened = self.open.get(digest)
        job = self.live.get(opened.id) if opened else None
        return job if job and job.queue == opened.queue and not job.mark else None

    def shut(self, job):
        """Take no more calls into a job."""
        if job.id == getattr(self.open.get(open_key(job)), "id", None):
            del self.open[open_key(job)]

    def holder_of(self, job):
        """Return the other live job that holds a job's unique key."""
        _, holder = self.keys.get(unique_key(job), ("", None))
        return self.live.get(holder)

    def lock(self, job):
        if unique_key(job):
            self.keys[unique_key(job)] = job.queue, job.id

    def unlock(self, job):
        """A unique key ends with its job."""
        if self.keys.get(unique_key(job), ("", None))[1] == job.id:
            del self.keys[unique_key(job)]


def unique_key(job):
    found = re.search("u=([0-9a-f]+)/", job.limits)
    return ("unique", found[1]) if found else None


def open_key(job):
    found = re.search("o=([0-9a-f]+)", job.limits)
    return found and found[1]


def items_of(job):
    return json.loads(job.payload)["a"][0]
