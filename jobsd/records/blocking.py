"""A connection of asyncpg's for a plain function: its calls block, and are made in the event loop meanwhile."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

_REST = (
    "the connection of a plain function has execute, executemany, fetch, fetchrow, fetchval and transaction; "
    "for the rest there is asyncpg's: ctx.wait(conn.connection.{}(…))"
)


class BlockingConnection:
    """What takes most of a task's time, as asyncpg has it, without ``await``. ``connection`` is asyncpg's own."""

    __slots__ = ("_wait", "connection")

    def __init__(self, connection: Any, wait: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.connection = connection
        self._wait = wait

    def execute(self, query: str, *args: Any, **options: Any) -> str:
        return self._wait(self.connection.execute(query, *args, **options))

    def executemany(self, query: str, args: Any, **options: Any) -> None:
        self._wait(self.connection.executemany(query, args, **options))

    def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        return self._wait(self.connection.fetch(query, *args, **options))

    def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        return self._wait(self.connection.fetchrow(query, *args, **options))

    def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        return self._wait(self.connection.fetchval(query, *args, **options))

    @contextmanager
    def transaction(self, **options: Any) -> Generator[None]:
        """Return a savepoint: what is in it is undone where an error leaves it, and nothing else."""
        transaction = self.connection.transaction(**options)
        self._wait(transaction.start())
        try:
            yield
        except BaseException:
            self._wait(transaction.rollback())
            raise
        self._wait(transaction.commit())

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(_REST.format(name))
