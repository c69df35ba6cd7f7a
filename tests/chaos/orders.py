"""Who enqueues in the run ``effects``: in transactions, of which some roll back, and what became of each.

The list of fates is the driver's own. Where the connection was cut at COMMIT nobody knows, until the row is looked up
that the same transaction wrote into witness.orders.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from jobsd import Client, JobRequest
from jobsd.job import JobOptions
from tests.chaos.ways import WAYS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

PRODUCERS = 4
_MOST_JOBS = 9
_ROLLED_BACK, _PARTLY_UNDONE = 0.1, 0.05  # of the transactions; the latter go back to a savepoint, and on
_UNDOING = ("by a word", "without a word")
_AGAIN = 0.15  # of the transactions enqueue one job, with the id that others have had
_LATER = 0.1  # of them enqueue for later
_BY_SQL, _TOGETHER = 0.2, 0.5
_TRICKLE_S = 0.25
_GONE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_TIMEOUT_S = 10.0


class Fate(Enum):
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    IN_DOUBT = "in doubt"


class Order(NamedTuple):
    """``n`` is of this order alone. The id, where it has one, is used again by later ones."""

    n: int
    way: str
    id: str | None = None


class IdInUseError(Exception):
    """A former job with the id has not ended: roll back."""


class Orders:
    """``hurry`` says whether transactions are to follow each other at once, or to trickle."""

    def __init__(self, database_url: str, dice: random.Random, hurry: Callable[[int], bool], ways: set[str]) -> None:
        self.fates: dict[int, Fate] = {}
        self.ways: dict[int, str] = {}
        self.transactions = Counter[str]()
        self.ids = Counter[str]()
        """How often jobs with an id of their own were enqueued, as far as one knows."""
        self._url = database_url
        self._dice = dice
        self._hurry = hurry
        self._often = [way.often if name in ways else 0 for name, way in WAYS.items()]
        self._stopping = False

    def stop(self) -> None:
        self._stopping = True

    async def run(self) -> None:
        async with Client("redis://nowhere") as client, asyncio.TaskGroup() as producers:
            for number in range(PRODUCERS):
                producers.create_task(self._produce(client, number))

    async def _produce(self, client: Client, number: int) -> None:
        conn: Any = None
        while not self._stopping:
            if not self._hurry(len(self.fates)):
                await asyncio.sleep(_TRICKLE_S)
            if conn is None or conn.is_closed():
                conn = await self._connected()
                continue
            if self._dice.random() < _AGAIN:
                orders = [self._order(f"daily-{number}")]
            else:
                orders = [self._order() for _ in range(self._dice.randint(1, _MOST_JOBS))]
            try:
                fate = await self._order_in_transaction(client, conn, orders)
            except IdInUseError:
                conn.terminate()
                self.transactions["given up for an id in use"] += 1
                continue
            self.transactions[fate.value] += 1
            self.ids.update(order.id for order in orders if order.id and fate is Fate.COMMITTED)
        if conn is not None:
            conn.terminate()

    async def _connected(self) -> Any:
        with suppress(*_GONE):
            return await asyncpg.connect(self._url, timeout=2, command_timeout=_TIMEOUT_S)
        await asyncio.sleep(_TRICKLE_S)
        return None

    def _order(self, job_id: str | None = None) -> Order:
        [way] = self._dice.choices(list(WAYS), self._often)
        order = Order(len(self.fates) + 1, way, job_id)
        self.fates[order.n], self.ways[order.n] = Fate.ROLLED_BACK, way  # until it is known better
        return order

    async def _order_in_transaction(self, client: Client, conn: Any, orders: list[Order]) -> Fate:
        undoing = self._dice.choice(_UNDOING) if self._dice.random() < _ROLLED_BACK else None
        if self._dice.random() < _PARTLY_UNDONE:
            undone, kept = orders[: len(orders) // 2], orders[len(orders) // 2 :]
        else:
            undone, kept = [], orders
        transaction, sent = conn.transaction(), False
        try:
            await transaction.start()
            if undone:
                await self._put_and_undo(client, conn, undone)
            await self._put(client, conn, kept)
            if undoing == "by a word":
                await transaction.rollback()
            elif undoing == "without a word":
                conn.terminate()
            else:
                sent = True
                await transaction.commit()
        except _GONE:
            conn.terminate()
            fate = Fate.IN_DOUBT if sent else Fate.ROLLED_BACK
        else:
            fate = Fate.COMMITTED if sent else Fate.ROLLED_BACK
        self.fates |= dict.fromkeys((order.n for order in kept), fate)
        return fate

    async def _put_and_undo(self, client: Client, conn: Any, orders: list[Order]) -> None:
        savepoint = conn.transaction()
        await savepoint.start()
        await self._put(client, conn, orders)
        await savepoint.rollback()

    async def _put(self, client: Client, conn: Any, orders: list[Order]) -> None:
        """Write down the orders, and enqueue their jobs: by a client, one by one or together, or by SQL."""
        await conn.execute("INSERT INTO witness.orders SELECT unnest($1::integer[])", [order.n for order in orders])
        if orders[0].id is None and self._dice.random() < _BY_SQL:
            for order in orders:
                args = json.dumps([order.n, order.way])
                await conn.fetchval("SELECT jobsd.enqueue($1, $2::jsonb)", WAYS[order.way].task, args)
            return
        delay = "700ms" if self._dice.random() < _LATER else None
        options = [JobOptions(conn=conn, id=order.id, delay=delay) for order in orders]
        requests: list[JobRequest[Any]] = [
            JobRequest(WAYS[order.way].task, (order.n, order.way), {}, "default", option)
            for order, option in zip(orders, options, strict=True)
        ]
        if len(requests) > 1 and self._dice.random() < _TOGETHER:
            references = await client.enqueue_many(requests)
        else:
            references = [await client.enqueue(request) for request in requests]
        if any(reference.duplicate for reference in references):
            raise IdInUseError
