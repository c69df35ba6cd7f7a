"""The recorder: takes records from the stream, writes them into the ledger, and only then removes them.

Whatever goes wrong on the way, the entries stay in the stream, delivered to this consumer, and are read again.
The ledger's key makes the second time harmless.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobsd.clock import monotonic, now_ms, utc_from_ms
from jobsd.errors import UnreachableError
from jobsd.events import Event
from jobsd.logger import log
from jobsd.records.migrate import ensure_schema
from jobsd.records.partitions import ensure_partitions
from jobsd.records.writing import reject
from jobsd.relay.carrying import write
from jobsd.relay.intake import BATCH_BYTES, BATCH_ROWS, Intake
from jobsd.service import Service, backoff_s
from jobsd.store.connection import AWAY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobsd.records.migrate import MigrateMode
    from jobsd.records.pool import Pool
    from jobsd.records.writing import Rejected
    from jobsd.store.record_stream import Entry, RecordStream

# After a small batch: records of one moment share an insert, and a commit, instead of having one each.
GATHER_S = 0.05
FORGET_CONSUMERS_MS = 3_600_000
PARTITIONS_EVERY_S = 86_400.0
PARTITIONS_AGAIN_S = 600.0


class Recorder(Service):
    """Needs Postgres only to write: away at the start or later, records wait in the stream.

    SchemaError, in mode ``manual``, is one failed tick after another until somebody migrates; it ends nothing.
    """

    expected = AWAY

    def __init__(
        self, stream: RecordStream, pool: Pool, *, migrate: MigrateMode = "manual", intake: Intake | None = None
    ) -> None:
        super().__init__()
        self.recorded = 0  # rows new in the ledger
        self.rejected = 0
        self.lag_ms = 0  # how long the oldest record of the last tick had waited, or is waiting for Postgres
        self._stream = stream
        self._pool = pool
        self._migrate: MigrateMode = migrate
        self._intake = intake or Intake(stream)
        self._ready = False
        self._missed = 0  # ticks in a row that found no Postgres
        self._portion = BATCH_ROWS
        self._partitions_at = monotonic()

    async def tick(self) -> float | None:
        try:
            await self._prepare()
            await self._carry(await self._intake.waiting(self._stopping))
        except UnreachableError as error:
            self._missed_postgres(error)
            self.lag_ms = await self._stream.oldest_age_ms() or 0
            return backoff_s(self._missed)
        except BaseException:
            self._intake.failed()
            raise
        self._reached_postgres()
        return None if self._intake.more else GATHER_S

    async def drain(self, timeout_s: float) -> bool:
        """Write what the stream holds now; True if all of it was written. Call it when ``run`` has ended."""
        self._intake.failed()
        try:
            async with asyncio.timeout(timeout_s):
                await self._prepare()
                while entries := await self._intake.at_once():
                    await self._carry(entries)
        except UnreachableError as error:
            self._missed_postgres(error)
            return False
        except TimeoutError:
            return False
        except Exception as error:  # noqa: BLE001 - the daemon is going down; the records stay for the next
            self._failed(error)
            return False
        return True

    async def _prepare(self) -> None:
        if not self._ready:
            await ensure_schema(self._pool, self._migrate)
            await self._stream.forget_consumers(FORGET_CONSUMERS_MS)
            self._ready = True
        if monotonic() >= self._partitions_at:
            await self._make_partitions()

    async def _make_partitions(self) -> None:
        self._partitions_at = monotonic() + PARTITIONS_EVERY_S
        try:
            months = await ensure_partitions(self._pool, utc_from_ms(now_ms()))
        except UnreachableError:
            raise
        except Exception as error:  # noqa: BLE001 - without its partition a month's rows go to the default one
            self._partitions_at = monotonic() + PARTITIONS_AGAIN_S
            log.warning(Event.PARTITION_SKIPPED, cause=repr(error))
            return
        for month in months:
            if month.state in {"blocked", "busy"}:
                log.warning(Event.PARTITION_SKIPPED, month=f"{month.first_day:%Y-%m}", cause=month.state)
            if month.state == "busy":
                self._partitions_at = monotonic() + PARTITIONS_AGAIN_S

    async def _carry(self, entries: Sequence[Entry]) -> None:
        """Write, then settle: what is settled is committed.

        Jobs share the loop, so no more is prepared in one go than is written next.
        """
        rejected: list[Rejected] = []
        portion: list[tuple[bytes, bytes]] = []
        size = 0
        for record in (record for entry in entries for record in entry.records):
            length = len(record[1])
            if portion and (len(portion) >= self._portion or size + length > BATCH_BYTES):
                rejected += await self._write(portion)
                portion, size = [], 0
            portion.append(record)
            size += length
        rejected += await self._write(portion)
        await self._reject(rejected)
        await self._stream.settle([entry.id for entry in entries])
        self.lag_ms = max(0, now_ms() - entries[0].added_at) if entries else 0

    async def _write(self, portion: Sequence[tuple[bytes, bytes]]) -> list[Rejected]:
        written = await write(self._pool, portion)
        self.recorded += written.rows
        self._portion = min(BATCH_ROWS, self._portion * 2)
        return written.rejected

    async def _reject(self, rejected: Sequence[Rejected]) -> None:
        if rejected:
            await reject(self._pool, rejected)
            self.rejected += len(rejected)
            first = rejected[0]
            log.warning(Event.RECORDS_REJECTED, count=len(rejected), job_id=first.job_id, cause=first.cause)

    def _missed_postgres(self, error: UnreachableError) -> None:
        """Say it once, and leave all for a later tick."""
        self._intake.failed()
        if self._ready:
            self._portion = max(1, self._portion // 2)  # it may be that an insert only takes too long
        self._ready = False
        self._missed += 1
        if self._missed == 1:
            log.warning(
                Event.POSTGRES_UNREACHABLE, url=error.url, cause=str(error), consequence="records wait in Redis"
            )

    def _reached_postgres(self) -> None:
        """A server that answers and takes no writes has not been reached."""
        if self._missed:
            log.info(Event.POSTGRES_CONNECTED, url=self._pool.url)
            self._missed = 0
