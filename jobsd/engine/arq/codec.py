"""Payloads of arq's clients: read with arq's deserializer, and in JSON where they are JSON."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, cast

from jobsd.arq import job_deserializer, job_serializer
from jobsd.store.codec import PAYLOAD_START, JsonCodec, Payload, UndecodableError, payload_of

if TYPE_CHECKING:
    from arq.jobs import Deserializer, Serializer

TRY = "jt"
"""Among a payload's options: the number of the first try, arq's ``_job_try``."""


def is_ours(payload: bytes | None) -> bool:
    """Tell whether a jobsd client wrote it: then its result has jobsd's form."""
    return (payload or b"").startswith(PAYLOAD_START)


class ArqCodec(JsonCodec):
    """Reads a job, and names the serializer of its result: the one that the job came in.

    No pickle begins with a brace; where arq's default is in use, what does is JSON.
    """

    def __init__(self, serializer: Serializer | None, deserializer: Deserializer | None) -> None:
        self._serializer = serializer
        self._json_too = deserializer is None
        self._loads: Deserializer = deserializer or cast("Deserializer", pickle.loads)

    def decode(self, payload: bytes | None) -> Payload:
        if payload is None or is_ours(payload):
            return super().decode(payload)
        try:
            job = self.loads(payload)
            read = payload_of(job)
        except Exception as error:
            msg = f"the payload cannot be read: {error!r}"
            raise UndecodableError(msg) from error
        return read._replace(options={TRY: job["t"]}) if job.get("t") else read

    def loads(self, stored: bytes) -> dict[str, Any]:
        """Return a job or a result as arq's dictionary: the deserializer of the worker's pool."""
        return job_deserializer(stored) if self._is_json(stored) else self._loads(stored)

    def serializer(self, payload: bytes | None) -> Serializer | None:
        """Return what writes the result of a job with this payload; None is arq's default, pickle."""
        return job_serializer if self._is_json(payload or b"") else self._serializer

    def _is_json(self, stored: bytes) -> bool:
        return is_ours(stored) or (self._json_too and stored.startswith(b"{"))
