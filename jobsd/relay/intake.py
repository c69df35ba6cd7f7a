"""What the recorder takes from the stream next, and how much of it at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobsd.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobsd.store.record_stream import Entry, RecordStream

BATCH_ROWS = 1_000  # more are hardly faster, and hold up the jobs that share the loop: about 10 ms a thousand
BATCH_BYTES = 8 * 1024 * 1024
BLOCK_MS = 2_000
TAKE_OVER_EVERY_S = 5.0
SILENT_MS = 20_000  # twice as long as one write may take; taking over too early costs work, never a second row

# Nobody knows the size of entries before they are read: begin small, double while that is too little.
_FEWEST = 4
_MOST = 256


def portions(entries: Iterable[Entry], rows: int) -> Iterator[tuple[list[tuple[bytes, bytes]], list[bytes]]]:
    """Yield records, at most ``rows`` and some 8 MiB of them, and the ids of the entries that they complete."""
    portion: list[tuple[bytes, bytes]] = []
    whole: list[bytes] = []
    size = 0
    for entry in entries:
        for record in entry.records:
            length = len(record[1])
            if portion and (len(portion) >= rows or size + length > BATCH_BYTES):
                yield portion, whole
                portion, whole, size = [], [], 0
            portion.append(record)
            size += length
        whole.append(entry.id)
    yield portion, whole


class Intake:
    """Entries in this order: those that we took and did not settle, those of silent recorders, new ones."""

    def __init__(self, stream: RecordStream, *, block_ms: int = BLOCK_MS, silent_ms: int = SILENT_MS) -> None:
        self.more = False
        self._stream = stream
        self._block_ms = block_ms
        self._silent_ms = silent_ms
        self._count = _FEWEST
        self._owing = True
        self._take_over_at = monotonic()

    def failed(self) -> None:
        """Say that entries may have been delivered and not settled; they are asked for again."""
        self._owing = True

    async def waiting(self, stopping: asyncio.Event) -> list[Entry]:
        """Return the next entries; where there are none, wait for a while, but not beyond ``stopping``."""
        return await self._old() or self._weighed(await self._new(stopping))

    async def at_once(self) -> list[Entry]:
        """Return the next entries, or none."""
        return await self._old() or self._weighed(await self._stream.read(self._count, 0))

    async def _old(self) -> list[Entry]:
        if self._owing:
            if owed := await self._stream.unsettled(self._count):
                return self._weighed(owed)
            self._owing = False
        if monotonic() < self._take_over_at:
            return []
        taken = await self._stream.take_over(self._silent_ms, self._count)
        if not taken:
            self._take_over_at = monotonic() + TAKE_OVER_EVERY_S
        return self._weighed(taken)

    async def _new(self, stopping: asyncio.Event) -> list[Entry]:
        reading = asyncio.ensure_future(self._stream.read(self._count, self._block_ms))
        stopped = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait((reading, stopped), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                return reading.result()
            return []  # should the answer be on its way, then drain asks for it again
        finally:
            reading.cancel()
            stopped.cancel()
            await asyncio.gather(reading, stopped, return_exceptions=True)

    def _weighed(self, entries: list[Entry]) -> list[Entry]:
        self.more = len(entries) >= self._count
        rows = sum(len(entry.records) for entry in entries)
        size = sum(len(value) for entry in entries for _, value in entry.records)
        if not self.more or rows > BATCH_ROWS or size > BATCH_BYTES:
            self._count = max(_FEWEST, self._count // 2)
        elif rows <= BATCH_ROWS // 2 and size <= BATCH_BYTES // 2:
            self._count = min(_MOST, self._count * 2)
        return entries
