"""The client behind the bare ``enqueue()``: made at first use, from the environment.

Importing this costs next to nothing; redis and pydantic are imported by the first call.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from jobsd.errors import DisabledError, NotConfiguredError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping

    from jobsd.client import Client, JobRef
    from jobsd.enqueueable import Enqueueable, P, R, TaskName
    from jobsd.job import JobRequest


WAYS = "set JOBSD_REDIS_URL (or REDIS_HOST), or use Client(url)"

captive: Callable[[], Client | None] | None = None
"""Tells of the client that stands for every other one, where a test captures jobs (jobsd.testing)."""

_clients: dict[asyncio.AbstractEventLoop, tuple[Client, AsyncGenerator[Client, None]]] = {}


def redis_url_of(environment: Mapping[str, str]) -> str | None:
    """Return the address that the environment names: JOBSD_REDIS_URL, else REDIS_HOST, _PORT, _PASSWORD, _DB.

    Raises DisabledError for REDIS_ENABLE=false.
    """
    if environment.get("REDIS_ENABLE", "").strip().lower() in {"false", "0", "no", "off"}:
        raise DisabledError
    if url := environment.get("JOBSD_REDIS_URL"):
        return url
    host = environment.get("REDIS_HOST")
    if not host:
        return None
    password = environment.get("REDIS_PASSWORD", "")
    secret = f":{quote(password, safe='')}@" if password else ""
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"  # IPv6
    return f"redis://{secret}{host}:{environment.get('REDIS_PORT') or 6379}/{environment.get('REDIS_DB') or 0}"


async def default_client() -> Client:
    """Return this event loop's client. It closes with the loop (asyncio.run finalizes its generators).

    Raises NotConfiguredError if no address is known, DisabledError.
    """
    import asyncio  # noqa: PLC0415 - costs more than all else that is imported here

    if captive is not None and (client := captive()) is not None:
        return client
    loop = asyncio.get_running_loop()
    if loop in _clients:
        return _clients[loop][0]
    from jobsd.client import Client  # noqa: PLC0415

    url = redis_url_of(os.environ) or _dev_socket()
    if url is None:
        raise NotConfiguredError(what="Redis", ways=WAYS)
    held = _hold(Client(url), loop)
    client = await anext(held)
    _clients[loop] = client, held
    return client


async def _hold(client: Client, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[Client, None]:
    try:
        yield client
    finally:
        _clients.pop(loop, None)
        await client.close()


def _dev_socket() -> str | None:
    """Return the address of a running ``jobsd dev``: its socket follows from the state directory alone."""
    try:
        from jobsd.embedded.places import Places, state_directory  # noqa: PLC0415 - embedded is an extra
    except ModuleNotFoundError:
        return None
    places = Places(state_directory())
    return places.redis_url if places.valkey_socket.exists() else None


async def close_default_client() -> None:
    """Close this event loop's client, if it has one; the next ``enqueue`` makes a new one."""
    import asyncio  # noqa: PLC0415

    if found := _clients.get(asyncio.get_running_loop()):
        await found[1].aclose()


async def enqueue(task: Enqueueable[P, R] | TaskName[P], /, *args: P.args, **kwargs: P.kwargs) -> JobRef[R]:
    """Enqueue one job with the default client. See Client.enqueue."""
    return await (await default_client()).enqueue(task, *args, **kwargs)


async def enqueue_many(jobs: Iterable[JobRequest[R]] | AsyncIterable[JobRequest[R]]) -> list[JobRef[R]]:
    """Enqueue many jobs with the default client. See Client.enqueue_many."""
    return await (await default_client()).enqueue_many(jobs)
