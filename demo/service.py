"""The other service, such as a web application: it knows nothing of the daemon, and only enqueues."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from demo import shop
from demo.shop_tasks import ask_for_review, charge_card, confirm_order, index_product, print_label, update_stock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd import Client, JobRef, JobRequest

EXPORT = "export:process"
EXPORT_FILE = "orders.csv"
_CONFIRMED, _STOCK_UPDATES, _INDEXED = 700, 800, 500
_DELAY_S = 2


class Expected(NamedTuple):
    """How a job is to end: its last transition, the number of its runs, how long it waits for the first."""

    task: str
    queue: str
    transition: str = "completed"
    runs: int = 1
    waits_s: int = 0


@dataclass
class Service:
    """Enqueues the shop's day, one awaited call after the other; ``expected`` grows by id."""

    client: Client
    expected: dict[str, Expected] = field(default_factory=dict)
    export: JobRef[Any] | None = None

    async def work(self) -> None:
        # By name: what a service does that has not the task's code. The queue is then the caller's to say.
        self.export = await self.client.enqueue(
            EXPORT, query="orders", user="demo", file_name=EXPORT_FILE, _queue="low"
        )
        self.expected[self.export.id] = Expected(EXPORT, "low")
        for request, expected in planned():
            job = await self.client.enqueue(request)
            self.expected[job.id] = expected

    async def exported(self) -> dict[str, Any]:
        """Return the result of the export, as a web request would that offers the file."""
        assert self.export is not None  # noqa: S101 - work() is done
        return await self.export.result(timeout=5)


def planned() -> Iterator[tuple[JobRequest[Any], Expected]]:
    """Yield every job but the export, with what is to become of it."""
    yield _plan(charge_card.job(order_id=1), runs=3)
    yield _plan(print_label.job(order_id=2), transition="archived", runs=2)
    yield _plan(ask_for_review.opts(delay=f"{_DELAY_S}s").job(order_id=3), waits_s=_DELAY_S)
    for n in range(max(_CONFIRMED, _STOCK_UPDATES, _INDEXED)):
        if n < _CONFIRMED:
            yield _plan(confirm_order.job(order_id=n + 1))
        if n < _STOCK_UPDATES:
            yield _plan(update_stock.job(product_id=n % shop.PRODUCTS + 1))
        if n < _INDEXED:
            yield _plan(index_product.job(product_id=n + 1))


def _plan(request: JobRequest[Any], **facts: Any) -> tuple[JobRequest[Any], Expected]:
    return request, Expected(request.task, request.queue, **facts)
