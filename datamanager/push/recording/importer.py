"""A recording becomes streams: every message is kept, as what it is where that is understood, else as its bytes.

The producer is named by the file's checksum, and messages are numbered as they stand in it: pushing the file again, also
after it broke off, doubles nothing.
"""

import asyncio
import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mcap.records import Attachment, Channel, Message, Metadata, Schema
from mcap.stream_reader import StreamReader

from datamanager.client.flatten import flatten
from datamanager.client.gather import Gather
from datamanager.client.upload import Uploader, file_checksum, legal_stream
from datamanager.errors import Refused
from datamanager.kinds.names import MAX_T_NS
from datamanager.push.bodies import Bodies, Session
from datamanager.push.console import Console, size_text
from datamanager.push.plan import PlannedFile
from datamanager.push.recording.convert import convert, kind_of_schema
from datamanager.push.recording.decode import Decoders, Undecodable

__all__ = ["import_recording"]

_MAX_CHANNELS = 2000  # of a sample; a map of a million cells is no sample
_BATCH_SAMPLES = 500
_BATCH_BYTES = 256 * 1024
_LARGE_BYTES = 4 * 1024 * 1024
_MAX_RECORD_BYTES = 1024 * 1024 * 1024
_MAX_PARTS = 8
_TOLD_REJECTS = 10


async def import_recording(
    session: Session, uploader: Uploader, file: PlannedFile, prefix: str | None, console: Console
) -> int:
    """Imports one recording.

    Args:
        session: where to.
        uploader: for what is too large for a message.
        file: the recording.
        prefix: stands before the names of all its streams.
        console: is told what became of it.

    Returns:
        1 when anything in it was refused, or it is cut off; else 0.

    Raises:
        OSError: it cannot be read.
        ReaderError: the server does not answer.
    """
    checksum = await asyncio.to_thread(file_checksum, file.path)
    return await _Importer(session, uploader, file, prefix, console, f"mcap-{checksum[:40]}").run()


@dataclass(slots=True)
class _Lane:
    """One channel on its way to its stream."""

    channel: Channel
    schema: Schema | None
    stream: str
    gather: Gather | None = None
    counts: Counter[str] = field(default_factory=Counter)
    why: str | None = None

    @property
    def schema_name(self) -> str:
        return self.schema.name if self.schema is not None else ""


class _Importer:
    def __init__(
        self,
        session: Session,
        uploader: Uploader,
        file: PlannedFile,
        prefix: str | None,
        console: Console,
        producer: str,
    ) -> None:
        self._session = session
        self._uploader = uploader
        self._file = file
        self._prefix = prefix
        self._console = console
        self._producer = producer
        self._bodies = Bodies(session, producer, same=True)
        self._decoders = Decoders()
        self._schemas: dict[int, Schema] = {}
        self._lanes: dict[int, _Lane] = {}
        self._kinds: dict[str, str] = {}
        self._seqs: Counter[str] = Counter()
        self._metadata: dict[str, Any] = {}
        self._attachments = 0

    async def run(self) -> int:
        broken: str | None = None
        with self._file.path.open("rb") as source:
            records = self._records(source)
            try:
                for record in records:
                    await self._take(record)
                    self._console.share(self._file.name, source.tell(), self._file.size_bytes)
            except _CutOff as cut:
                broken = str(cut)
        for lane in self._lanes.values():
            await self._finish(lane)
        if self._metadata:
            self._bodies.metadata = {"mcap": self._metadata}
        await self._bodies.flush()
        return self._tell(broken)

    def _records(self, source: Any) -> Iterator[Any]:
        """The records, until the end or where it is broken: what came before that is kept."""
        try:
            yield from StreamReader(source, record_size_limit=_MAX_RECORD_BYTES).records
        except Exception as exc:  # a parser of broken files raises whatever they make it stumble over
            raise _CutOff(f"it is broken at byte {source.tell()}: {type(exc).__name__} {exc}"[:300]) from exc

    async def _take(self, record: Any) -> None:
        if isinstance(record, Schema):
            self._schemas[record.id] = record
        elif isinstance(record, Channel):
            if record.id not in self._lanes:
                schema = self._schemas.get(record.schema_id)
                self._lanes[record.id] = _Lane(record, schema, self._stream_of(record, schema))
        elif isinstance(record, Message):
            lane = self._lanes.get(record.channel_id)
            if lane is not None:
                await self._message(lane, record)
        elif isinstance(record, Attachment):
            await self._attachment(record)
        elif isinstance(record, Metadata):
            self._metadata[record.name.replace("\0", "")[:200] or "metadata"] = dict(record.metadata)

    def _stream_of(self, channel: Channel, schema: Schema | None) -> str:
        """A stream for each topic; a second channel of it has another one where it is of another kind."""
        topic = channel.topic.strip("/") or f"channel_{channel.id}"
        wanted = legal_stream("/".join(part.replace(".", "_") for part in f"{self._prefix or ''}/{topic}".split("/")))
        kind = (kind_of_schema(schema.name) if schema else None) or "time_series"
        return self._named(wanted, kind)

    def _named(self, wanted: str, kind: str) -> str:
        """A stream of that kind: the one of that name, or one beside it."""
        name, n = wanted, 2
        while self._kinds.setdefault(name, kind) != kind:
            name, n = f"{wanted}_{n}", n + 1
        return name

    async def _message(self, lane: _Lane, message: Message) -> None:
        t_ns = min(message.log_time, MAX_T_NS)
        try:
            value = self._decoders.decode(lane.channel, lane.schema, message.data)
            converted = convert(lane.schema_name, value)
            if converted is None:
                await self._sample(lane, t_ns, value)
            else:
                lane.counts[converted[0]] += 1
                await self._send(lane.stream, *converted, t_ns, {"schema": lane.schema_name})
        except Undecodable as unknown:
            await self._keep(lane, t_ns, message.data, str(unknown))

    async def _sample(self, lane: _Lane, t_ns: int, value: dict[str, Any]) -> None:
        try:
            names, values = flatten(value)
        except Refused as refused:
            raise Undecodable(refused.detail) from refused
        if len(names) > _MAX_CHANNELS:
            raise Undecodable(f"{len(names)} values are no sample")
        lane.counts["time_series"] += 1
        if lane.gather is None or not lane.gather.takes(names, values, None):
            await self._finish(lane)
            lane.gather = Gather(0.0, None)
        lane.gather.add(t_ns, names, values)
        if len(lane.gather) >= _BATCH_SAMPLES or lane.gather.nbytes >= _BATCH_BYTES:
            await self._finish(lane)

    async def _finish(self, lane: _Lane) -> None:
        """Sends the samples that were gathered."""
        gather, lane.gather = lane.gather, None
        if gather is not None:
            described = {"topic": lane.channel.topic, "schema": lane.schema_name}
            await self._send(lane.stream, "time_series", gather.payload(), None, described)

    async def _keep(self, lane: _Lane, t_ns: int, data: bytes, why: str) -> None:
        """Keeps the bytes of what is not understood, beside its stream."""
        lane.counts["file"] += 1
        lane.why = lane.why or why
        parts = lane.stream.split("/")
        stream = self._named(f"{lane.stream}/raw" if len(parts) < _MAX_PARTS else f"{lane.stream}_raw", "file")
        described = {
            "topic": lane.channel.topic,
            "schema": lane.schema_name,
            "schema_encoding": lane.schema.encoding if lane.schema is not None else "",
            "message_encoding": lane.channel.message_encoding,
            "why": why,
        }
        await self._send(stream, "file", {"data": data}, t_ns, described)

    async def _attachment(self, attachment: Attachment) -> None:
        self._attachments += 1
        wanted = legal_stream(f"{self._prefix or ''}/attachments/{attachment.name or 'attachment'}")
        stream = self._named(wanted, "file")
        payload: dict[str, Any] = {"data": attachment.data, "name": attachment.name[:1000]}
        t_ns = min(attachment.log_time, MAX_T_NS)
        await self._send(stream, "file", payload, t_ns, {"media_type": attachment.media_type[:200]})

    async def _send(
        self, stream: str, kind: str, payload: dict[str, Any], t_ns: int | None, metadata: dict[str, Any]
    ) -> None:
        seq = self._seqs[stream]
        self._seqs[stream] += 1
        data = payload.get("data")
        if t_ns is not None and isinstance(data, bytes) and len(data) > _LARGE_BYTES:
            await self._upload(stream, kind, payload, data, t_ns, metadata, seq)
        else:
            await self._bodies.add(stream, seq, kind, payload, t_ns, metadata)

    async def _upload(
        self,
        stream: str,
        kind: str,
        payload: dict[str, Any],
        data: bytes,
        t_ns: int,
        metadata: dict[str, Any],
        seq: int,
    ) -> None:
        rest = {name: value for name, value in payload.items() if name not in ("data", "name")}
        with tempfile.NamedTemporaryFile(prefix="datamanager-push-") as file:
            file.write(data)
            file.flush()
            await self._uploader.upload(
                self._session.robot_id,
                self._session.session_id,
                file.name,
                kind=kind,
                stream=stream,
                t=t_ns,
                name=payload.get("name") or stream.rpartition("/")[2],
                metadata=metadata,
                payload=rest,
                upload_key=f"{self._producer}\n{stream}\n{seq}",
                checksum=hashlib.sha256(data).hexdigest(),
            )

    def _tell(self, broken: str | None) -> int:
        """Says what became of each channel; 1 when anything went wrong."""
        kept = 0
        for lane in sorted(self._lanes.values(), key=lambda lane: lane.channel.topic):
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(lane.counts.items())) or "nothing"
            note = f" ({lane.counts['file']} kept as they are: {lane.why})" if lane.why else ""
            kept += lane.counts["file"]
            self._console.say(f"    {lane.channel.topic} [{lane.schema_name}] → {lane.stream}: {counts}{note}")
        total = sum(sum(lane.counts.values()) for lane in self._lanes.values())
        extras = (
            f", {self._attachments} attachments, {len(self._metadata)} metadata"
            if self._attachments or self._metadata
            else ""
        )
        for rejected in self._bodies.rejected[:_TOLD_REJECTS]:
            self._console.say(f"    NO  {rejected.stream} {rejected.seq}: {rejected.code}: {rejected.detail}")
        summary = f"{total} messages of {len(self._lanes)} channels{extras}, {kept} kept as they are"
        wrong = [f"{len(self._bodies.rejected)} messages refused"] if self._bodies.rejected else []
        if wrong or broken:
            self._console.say(f"NO  {self._file.name}: {summary}; {'; '.join([*wrong, *([broken] if broken else [])])}")
            return 1
        self._console.say(f"ok  {self._file.name} ({size_text(self._file.size_bytes)}): {summary}")
        return 0


class _CutOff(Exception):
    """A recording ends where it should not."""
