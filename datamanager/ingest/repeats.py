"""Whether a message that comes again under a known number, unmarked, is the one that is stored."""

from typing import TYPE_CHECKING, Any

import numpy as np

from datamanager.ingest.commit import Stores
from datamanager.ingest.stream import StreamWriter
from datamanager.ingest.wire import Message
from datamanager.kinds.names import parse_time_ns
from datamanager.kinds.table import KIND_TABLE
from datamanager.kinds.time_series.columns import is_columnar, parse_columns
from datamanager.storage.blocks import decode_batch
from datamanager.storage.keys import record_id
from datamanager.storage.records import RecordCollection

if TYPE_CHECKING:
    from datamanager.ingest.producer import Producer

__all__ = ["same_message"]

Times = np.ndarray[Any, np.dtype[np.int64]]


async def same_message(stores: Stores, producer: "Producer", stream: StreamWriter, message: Message, seq: int) -> bool:
    """Whether what is stored under `seq` has the message's times, and so is that message.

    A robot that rebooted and counts from 0 again bears other times; a body that is sent once more bears the same.

    Raises:
        MongoUnavailable: MongoDB does not answer.
        Refused: the message's time cannot be read.
    """
    session = producer.session
    place = (session.robot_id, session.session_id)
    if stream.kind != "time_series":
        row = KIND_TABLE.get(stream.kind)
        collection: RecordCollection = "frames_metadata" if row and row.kept == "frames_metadata" else "records"
        name = record_id(*place, stream.name, producer.name, seq)
        found = (await stores.records.known(collection, [name])).get(name)
        return found is not None and found["t_ns"] == parse_time_ns(message.t_ns, message.timestamp)
    wanted = _times(message)
    times = _times_of(seq, stream.read_last)
    if len(times):  # a body that is sent again comes in the order of its blocks
        return np.array_equal(times, wanted)
    async for block in stores.telemetry.around(*place, stream.name, producer.name, seq):
        batch = decode_batch(block["data"], session.schema(stream.name, block["schema"]))
        stream.read_last = (batch.column(0).to_numpy(), batch.column(1).to_numpy())
        times = _times_of(seq, stream.read_last)
        if len(times):
            return np.array_equal(times, wanted)
    return False


def _times_of(seq: int, block: tuple[Times, Times] | None) -> Times:
    """The times of one message in a block's columns `t_ns` and `seq`."""
    return np.array([], np.int64) if block is None else block[0][block[1] == seq]


def _times(message: Message) -> Times:
    payload = message.payload
    if type(payload) is dict and is_columnar(payload):
        channels = payload["channels"]
        most = len(channels) if type(channels) is dict else 0
        return np.sort(parse_columns(payload, max_channels=most, from_json=True).t_ns)
    t_ns = parse_time_ns(message.t_ns, message.timestamp)
    return np.array([] if t_ns is None else [t_ns], np.int64)
