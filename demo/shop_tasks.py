"""The shop's tasks. Each may run twice for one job, so each only does what may be done twice."""

from __future__ import annotations

import asyncio
import re

from jobsd import Context, fixed, task

SOON = fixed("200ms")


@task("shop:confirm_order", queue="critical", timeout="10s")
async def confirm_order(ctx: Context, order_id: int) -> None:
    await ctx.db.execute("UPDATE shop.orders SET status = 'confirmed' WHERE id = $1 AND status = 'paid'", order_id)


@task("shop:update_stock", timeout="10s")
async def update_stock(ctx: Context, product_id: int) -> int:
    """Count anew rather than subtract: a second run comes to the same number."""
    return await ctx.db.fetchval(
        """
        UPDATE shop.products SET stock = received - (
            SELECT coalesce(sum(quantity), 0) FROM shop.order_lines WHERE product_id = products.id)
        WHERE id = $1 RETURNING stock
        """,
        product_id,
    )


@task("shop:index_product", queue="low", timeout="10s")
async def index_product(ctx: Context, product_id: int) -> list[str]:
    name = await ctx.db.fetchval("SELECT name FROM shop.products WHERE id = $1", product_id)
    await asyncio.sleep(0.005)  # where a real one would call the search service
    return re.findall(r"\w+", name.lower())


@task("shop:charge_card", timeout="10s", retries=5, backoff=SOON)
async def charge_card(ctx: Context, order_id: int) -> str:
    """Twice the other side does not answer; the third time it does."""
    await asyncio.sleep(0.02)
    if ctx.attempt <= 2:  # noqa: PLR2004
        raise ConnectionError("the payment service has reset the connection")
    return f"paid-{order_id}"


@task("shop:print_label", timeout="10s", retries=1, backoff=SOON)
async def print_label(ctx: Context, order_id: int) -> None:
    ctx.log.warning("printer.empty", order_id=order_id)
    raise RuntimeError("the label printer is out of paper")


@task("shop:ask_for_review", timeout="10s")
async def ask_for_review(ctx: Context, order_id: int) -> None:
    await asyncio.sleep(0.01)
    ctx.log.info("review.asked", order_id=order_id)
