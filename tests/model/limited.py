"""Limits: how many jobs may run, and start in a time, of a queue, a limit key of it, and a resource of the shard."""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

NO_LIMITS = ":::::||"


class Limit(NamedTuple):
    """At most ``running`` at once; in no ``window`` of ms, its edges included, more than ``count`` starts."""

    running: int | None
    count: int | None
    window: int | None


@dataclass
class Start:
    """``over``: since then it once did not count; it may be forgotten."""

    at: int
    over: bool = False


def parts_of(limits, kinds="kr"):
    """Return the limit keys and resources that a job's limits name."""
    return [part for part in limits.split(",") if part and part[0] in kinds]


class Limits:
    """What limits each queue, and each resource (``r=<name>``): set at run time, or else by configuration.

    ``starts`` are those under a rate, by place: (queue, "") for all of a queue, (queue, "k=…"), ("", "r=…").
    """

    def __init__(self):
        self.configured, self.set, self.starts = {}, {}, defaultdict(list)

    def text(self, name):
        text = self.set.get(name) or self.configured.get(name, "")
        return "" if text == NO_LIMITS else text

    def change(self, name, how, text):
        """Change what limits a queue or a resource; return what is in effect now."""
        before = self.text(name) or NO_LIMITS
        match how:
            case "config" if text in {"", NO_LIMITS}:
                self.configured.pop(name, None)
            case "config":
                self.configured[name] = text
            case "reset":
                self.set.pop(name, None)
            case "set":
                parts = zip(_parts(text), _parts(before), strict=True)
                *shared, process, hours = [old if new == "*" else new for new, old in parts]
                self.set[name] = f"{':'.join(shared)}|{process}|{hours}"
        return self.text(name)

    def at(self, place):
        queue, part = place
        numbers = [int(field) if field else None for field in _parts(self.text(queue or part) or NO_LIMITS)[:6]]
        return Limit(*(numbers[3:] if queue and part else numbers[:3]))

    def has_room(self, place, running, now):
        limit = self.at(place)
        counts = [
            start for start in self.starts[place] if not start.over and abs(now - start.at) <= (limit.window or 0)
        ]
        return running < (limit.running or running + 1) and len(counts) < (limit.count or len(counts) + 1)

    def note_start(self, place, now):
        self.starts[place] += [Start(now)] if self.at(place).count else []

    def give_back(self, place, at):
        """Count a start no more, of a job that has not begun. Of two in one ms either will do."""
        for start in [start for start in self.starts[place] if start.at == at][-1:] if self.at(place).count else []:
            self.starts[place] = [other for other in self.starts[place] if other is not start]

    def look(self, now):
        """Note which starts do not count now."""
        for place, starts in self.starts.items():
            for start in starts if self.at(place).count else ():
                start.over |= abs(now - start.at) > self.at(place).window

    def forget(self, kept):
        """Forget what Redis has forgotten, place -> what it keeps; return what it should have kept."""
        for place, starts in self.starts.items():
            over = len(starts) - len(kept.get(place, []))
            while over > 0 and starts[0].over:
                over -= len([starts.pop(0)])
        return {place: [start.at for start in starts] for place, starts in self.starts.items() if starts}


def places_of(queue, limits):
    """Return the places of the limits that a job is under."""
    return [(queue, ""), *((queue if part[0] == "k" else "", part) for part in parts_of(limits))]


def _parts(text):
    shared, process, hours = text.split("|")
    return [*shared.split(":"), process, hours]
