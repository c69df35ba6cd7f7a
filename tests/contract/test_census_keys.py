"""The walk of fsck knows every key on the map of keys.py, with its type: another one would be told as nobody's."""

from __future__ import annotations

import pytest

from jobsd.store import census
from tests.contract.test_lua_keys import the_map

NOT_WALKED = ("arq:",)  # of jobs, and arq's own: known by their prefixes


def known(key: str) -> str | None:
    owner, _, rest = key.partition(":")
    word, _, name = rest.partition(":")
    if owner == "<base>":
        return (census._OF_QUEUE_BY_NAME if name else census._OF_QUEUE).get(word) if rest else "zset"
    return (census._OF_SHARD_BY_NAME if name else census._OF_SHARD).get(word)


@pytest.mark.parametrize("key", [key for key in the_map() if not key.startswith(NOT_WALKED)])
def test_a_key_on_the_map_is_known_to_the_walk(key):
    assert known(key) == the_map()[key]


def test_the_walk_knows_no_other_keys():
    on_map = {key.split(":")[0] + ":" + key.split(":")[1] for key in the_map() if key.startswith("<") and ":" in key}
    of_queue = {f"<base>:{word}" for word in {**census._OF_QUEUE, **census._OF_QUEUE_BY_NAME}}
    of_shard = {f"<shard>:{word}" for word in {**census._OF_SHARD, **census._OF_SHARD_BY_NAME}}
    assert of_queue | of_shard == on_map
