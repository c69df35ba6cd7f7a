"""A live job: it waits until ``at``, runs (then it has a mark), is parked, or waits in a lane."""

import json


class Job:
    """``noted`` counts its attempts (n), failures (f), losses (l) and interruptions (x)."""

    def __init__(self, job_id, queue, payload, at, **noted):
        self.id, self.queue, self.payload, self.at, self.noted = job_id, queue, payload, at, noted
        self.mark, self.lease_end, self.retry_at = "", 0, None

    @property
    def limits(self):
        """Return what limits it, as its payload says."""
        return json.loads(self.payload).get("l", "")

    @property
    def task(self):
        return json.loads(self.payload)["f"]

    def leave(self, at, counted):
        self.mark, self.at = "", at
        self.noted.pop("p", None)
        for name in counted:
            self.noted[name] = self.noted.get(name, 0) + 1

    def change(self, **fields):
        """Let its payload say something else; what limits it stands second."""
        told = json.loads(self.payload) | fields
        first = {name: told.pop(name) for name in ("i", "l") if name in told}
        self.payload = json.dumps(first | told, separators=(",", ":")).encode()
