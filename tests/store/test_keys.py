from __future__ import annotations

import pytest

from jobsd.job import is_job_id, is_queue_name
from jobsd.store.keys import base_key, queue_of, records_key, shard_key


@pytest.mark.parametrize("queue", ["default", "a.b_c-D9", "arq:queue", "x" * 128])
@pytest.mark.parametrize("shard", ["main", "eu-1"])
def test_a_queues_name_and_its_base_key_lead_to_each_other(queue, shard):
    assert is_queue_name(queue)
    assert queue_of(base_key(queue, shard)) == queue


def test_queues_of_a_shard_share_its_slot():
    assert base_key("default") == "jobsd:{main}:default"
    assert base_key("default", "eu-1") == "jobsd:{eu-1}:default"
    assert shard_key("eu-1") == "jobsd:{eu-1}:"
    assert records_key("eu-1") == "jobsd:{eu-1}::records"


def test_a_name_with_a_colon_is_the_raw_key_of_an_arq_queue():
    assert base_key("arq:queue") == "arq:queue"


def test_no_queue_can_be_called_so_that_its_keys_are_the_shards():
    shards = {f"{shard_key()}:{name}" for name in ("state", "queues", "workers", "records")}
    assert not is_queue_name("")
    assert not {base_key(name) for name in ("state", "queues", "workers", "records")} & shards


@pytest.mark.parametrize("name", ["", " ", "two words", "ümlaut", "a/b", "{a}", "x" * 129, "a\n", ":" * 257])
def test_a_name_that_would_be_hard_to_type_is_no_queue(name):
    assert not is_queue_name(name)


@pytest.mark.parametrize("job_id", ["1", "invoice:42", "a.b_c-D9", "x" * 128])
def test_ids_are_plain_words(job_id):
    assert is_job_id(job_id)


@pytest.mark.parametrize("job_id", ["", "a b", "a/b", "é", "{a}", "x" * 129, "a\n"])
def test_what_is_no_plain_word_is_no_id(job_id):
    assert not is_job_id(job_id)
