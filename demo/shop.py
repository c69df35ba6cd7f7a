"""The shop's data: always the same, however often it is made, and copied into Postgres in a moment."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobsd.records.pool import Pool

CUSTOMERS, PRODUCTS, ORDERS = 4_000, 500, 30_000

_SEED = 20_260_101
_OPENED = datetime(2026, 1, 1, 8, tzinfo=UTC)
_SQL = Path(__file__).parent
_FIRST = ("Adi", "Ayu", "Bayu", "Citra", "Dewi", "Eka", "Farid", "Gita", "Indra", "Lina", "Putri", "Rizky", "Sari")
_LAST = ("Halim", "Hidayat", "Kusuma", "Lestari", "Nugroho", "Pratama", "Rahman", "Santoso", "Siregar", "Wijaya")
_CITIES = ("Bandung", "Denpasar", "Jakarta", "Makassar", "Medan", "Padang", "Semarang", "Surabaya", "Yogyakarta")
_MADE_OF = ("Bamboo", "Batik", "Ceramic", "Clay", "Cotton", "Linen", "Rattan", "Silk", "Teak", "Woven")
_THINGS = ("Basket", "Bench", "Bowl", "Box", "Chair", "Clock", "Cushion", "Frame", "Lamp", "Mirror", "Scarf", "Tray")
_STATUS = ("paid", "paid", "paid", "shipped", "delivered", "returned")
# Customers write what they like; the third would run in a spreadsheet that trusts it.
_NOTES = (
    "Please ring twice.",
    'Leave it with the "neighbour", floor 2',
    '=HYPERLINK("http://evil.example")',
    "- no bag",
)


class Shop(NamedTuple):
    """The rows of each table."""

    customers: list[tuple[Any, ...]]
    products: list[tuple[Any, ...]]
    orders: list[tuple[Any, ...]]
    order_lines: list[tuple[Any, ...]]


def make_shop() -> Shop:
    """Make the rows; a third of a second, mostly for the order lines."""
    chance = random.Random(_SEED)
    prices = [Decimal(chance.randrange(500, 50_000)) / 100 for _ in range(PRODUCTS)]
    products = [
        (n, f"{chance.choice(_MADE_OF)} {chance.choice(_THINGS)} No. {n}", prices[n - 1], 2_000, None)
        for n in range(1, PRODUCTS + 1)
    ]
    orders = [_order(n, chance) for n in range(1, ORDERS + 1)]
    lines = [line for n in range(1, ORDERS + 1) for line in _lines(n, prices, chance)]
    return Shop([_customer(n, chance) for n in range(1, CUSTOMERS + 1)], products, orders, lines)


async def open_shop(pool: Pool) -> Shop:
    """Make the shop and copy it into Postgres, all or nothing."""
    shop = make_shop()
    async with pool.transaction() as connection:
        await connection.execute((_SQL / "shop.sql").read_text("utf-8"))
        for table, rows in shop._asdict().items():
            await connection.copy_records_to_table(table, schema_name="shop", records=rows)
        await connection.execute((_SQL / "shop_indexes.sql").read_text("utf-8"))
    return shop


def _customer(n: int, chance: random.Random) -> tuple[Any, ...]:
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    return n, f"{first} {last}", f"{first}.{last}.{n}@example.com".lower(), chance.choice(_CITIES)


def _order(n: int, chance: random.Random) -> tuple[Any, ...]:
    placed_at = _OPENED + timedelta(minutes=7 * n, seconds=chance.randrange(400))
    note = chance.choice(_NOTES) if chance.random() < 0.1 else None  # noqa: PLR2004
    return n, chance.randint(1, CUSTOMERS), placed_at, chance.choice(_STATUS), note


def _lines(order: int, prices: list[Decimal], chance: random.Random) -> Iterator[tuple[Any, ...]]:
    for line in range(1, chance.randint(1, 4) + 1):
        product = chance.randint(1, PRODUCTS)
        yield order, line, product, chance.randint(1, 5), prices[product - 1]
