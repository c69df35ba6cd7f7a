"""The recorder: takes records from the stream, writes them into the ledger, and only then removes them.

Whatever goes wrong on the way, the entries stay in the stream, delivered to this consumer, and are read again.
The ledger's key makes the second time harmless.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobsd.clock import now_ms
from jobsd.errors import UnreachableError
from jobsd.events import Event
from jobsd.logger import log
from jobsd.records.migrate import ensure_schema
from jobsd.records.views import provide_views
from jobsd.records.writing import reject
from jobsd.redaction import Policies
from jobsd.relay.carrying import write
from jobsd.relay.intake import BATCH_ROWS, Intake, portions
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


class Recorder(Service):
    """Needs Postgres only to write: away at the start or later, records wait in the stream.

    SchemaError, in mode ``manual``, is one failed tick after another until somebody migrates; it ends nothing.
    """

    expected = AWAY

    def __init__(
        self,
        stream: RecordStream,
        pool: Pool,
        *,
        migrate: MigrateMode = "manual",
        views: str | None = None,
        policies: Policies | None = None,
        intake: Intake | None = None,
    ) -> None:
        super().__init__()
        self.recorded = 0  # rows new in the ledger
        self.rejected = 0
        self.lag_ms = 0  # how long the oldest record of the last tick had waited, or is waiting for Postgres
        self._stream = stream
        self._pool = pool
        self._migrate: MigrateMode = migrate
        self._policies = Policies() if policies is None else policies
        self._views = views  # the schema in which they are still to be made
        self._intake = intake or Intake(stream)
        self._ready = False
        self._missed = 0  # ticks in a row that found no Postgres
        self._portion = BATCH_ROWS

    @property
    def ready(self) -> bool:
        """Whether the ledger's schema was there when Postgres was last asked."""
        return self._ready

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
            if self._views is not None:
                await provide_views(self._pool, self._views)
                self._views = None
            await self._stream.forget_consumers(FORGET_CONSUMERS_MS)
            self._ready = True

    async def _carry(self, entries: Sequence[Entry]) -> None:
        """Write, then settle: what is settled is committed.

        Jobs share the loop, so no more is prepared in one go than is written next. Each portion is settled by itself:
        a Postgres that is too slow for the next one has taken this one for good.
        """
        for portion, whole in portions(entries, self._portion):
            written = await write(self._pool, portion, self._policies)
            self.recorded += written.rows
            await self._reject(written.rejected)
            await self._stream.settle(whole)
        self.lag_ms = max(0, now_ms() - entries[0].added_at) if entries else 0

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
        self._portion = min(BATCH_ROWS, self._portion * 2)
        if self._missed:
            log.info(Event.POSTGRES_CONNECTED, url=self._pool.url)
            self._missed = 0
