"""What fsck finds, in words: what each kind of trouble is, and what a repair makes of it."""

from __future__ import annotations

from typing import NamedTuple


class Trouble(NamedTuple):
    """``means`` is one line for a person; ``repair`` what --repair does, '' where it can do nothing by itself."""

    means: str
    repair: str


TROUBLES = {
    # jobs
    "payload_in_no_queue": Trouble("payload in no queue", "goes back into the queue that some trace of it names"),
    "no_payload": Trouble(
        "in a queue, and its payload is gone", "archived with that cause; from the outbox: comes back"
    ),
    "two_queues": Trouble("in two queues", "stays where its lease is, or what is noted of it"),
    "ended_payload": Trouble("payload of a job that has ended", "removed; the archive or the result has it"),
    "archived_and_live": Trouble("archived, and in a queue", "stays in the queue"),
    "waits_for_nothing": Trouble("set aside, and in no line that ever calls it", "waits in its queue or lane again"),
    "stray_entry": Trouble("in a line where it does not wait", "leaves that line"),
    "stray_side": Trouble("notes of a job that is not there", "removed"),
    "stray_mark": Trouble("claimed by nobody, and marked so", "the mark is removed"),
    "stray_cancel": Trouble("asked to be cancelled, and no such run", "the wish is removed"),
    "lease_without_mark": Trouble("runs without a mark", "taken back when its lease ends"),
    "stale_lease": Trouble("its worker is gone, and nobody has taken it back", "taken back, as daemons do it"),
    "lease_not_in_queue": Trouble("runs, and its queue does not know it", "stands in its queue again"),
    "unreadable_job": Trouble("a key of it holds something else", ""),
    # what has ended
    "completed_without_result": Trouble("completed, and its result is gone", "leaves the list"),
    "endless_result": Trouble("result that nobody would forget", "forgotten in an hour"),
    "two_completed": Trouble("completed in two queues", "stays in the one that its result names"),
    "archived_without_job": Trouble("archived, and nothing is kept of it", "leaves the list"),
    "dead_unlisted": Trouble("archived, and in no list", "is listed again"),
    # lanes and keys
    "idle_lane": Trouble("lane whose jobs would not have their turn", "gets a turn"),
    "stray_turn": Trouble("turn of a lane that has another, or no job", "removed"),
    "wrong_count": Trouble("leases counted under a limit are not those there are", "counted anew"),
    "key_without_holder": Trouble("unique key or open job whose holder is gone", "removed"),
    "endless_key": Trouble("key that would never end by itself", "ends in an hour"),
    "unlisted_queue": Trouble("queue that is not in the list of queues", "is listed"),
    "wrong_type": Trouble("key that holds something else", ""),
    "unknown_key": Trouble("key that is none of jobsd's", ""),
    # the outbox
    "outbox_ended": Trouble("in the outbox, and has ended", "leaves the outbox"),
    "outbox_lost": Trouble("in the outbox as pushed, and Redis has nothing of it", "a daemon pushes it again"),
    "outbox_refused": Trouble("in the outbox, and Redis refuses it", ""),
    "outbox_forgotten": Trouble("remembered as pushed, and in the outbox no more", "forgotten"),
    "ended_and_live": Trouble("has ended by the ledger, and is in Redis", ""),
}
