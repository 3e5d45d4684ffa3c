"""What a kind is: what its module does with content, and what the table says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from datamanager.errors import Refused
from datamanager.kinds.source import Source

__all__ = ["Found", "Hints", "Kind", "KindLimits", "KindModule"]

_KB, _MB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class KindLimits:
    """How much content may hold; a setting each: `KindsConfig` has the same fields."""

    max_pixels: int = 100_000_000
    max_points: int = 20_000_000
    max_depth: int = 64
    max_document_bytes: int = 32 * _MB
    max_toml_bytes: int = 512 * _KB
    max_scan_bytes: int = 32 * _MB
    max_tracks: int = 64
    max_header_bytes: int = 8 * _MB
    max_members: int = 100_000
    max_unpacked_bytes: int = 1024 * 1024 * _MB
    max_ratio: int = 250


@dataclass(frozen=True, slots=True)
class Hints:
    """What the sender says of content, none of which is believed over the content itself.

    Attributes:
        name: the file's name.
        mime_type: its media type.
        payload: the rest of the message's payload, without its bytes: what a kind asks for by its own fields.
        is_value: whether the payload holds the value itself, of which the content is made, and no bytes.
    """

    name: str | None = None
    mime_type: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    is_value: bool = False

    def text(self, name: str, most: int = 4096) -> str | None:
        """A field of the payload that has to be a text; None where it is not there.

        Raises:
            Refused: `wrong_type`, or `too_large` for more than `most` characters.
        """
        value = self.payload.get(name)
        if value is not None and not isinstance(value, str):
            raise Refused("wrong_type", f"{name} must be a string, not {type(value).__name__}")
        if value is not None and len(value) > most:
            raise Refused("too_large", f"{name} has {len(value)} characters, {most} are allowed")
        return value


@dataclass(frozen=True, slots=True)
class Found:
    """What content turned out to be.

    Attributes:
        mime_type: by content.
        ending: the end of its S3 key, without a dot: `csv`, `tar.gz`.
        metadata: what was extracted; goes into the record's metadata beside what the sender gave.
        fields: what goes into the record's document itself.
        wants: what is derived from it, of the table's `derived`; nothing where this content gives nothing to derive.
    """

    mime_type: str
    ending: str
    metadata: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    wants: tuple[str, ...] = ()


class KindModule(Protocol):
    """What `datamanager/kinds/{kind}.py` has to have."""

    @staticmethod
    def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:
        """Checks content and says what it is. Reads no more than it has to.

        Raises:
            Refused: `kind_mismatch` for content of another kind, with both named; `too_large`, `too_deep`,
                `unsafe_content`, `bad_payload`, each with the offset where that is known.
        """
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table of kinds.

    Attributes:
        name: the kind, and its module in `datamanager.kinds`.
        accepts: what is taken.
        extracted: what goes into the metadata.
        kept: where its bytes are.
        derived: what workers make of it, by the name of the job.
        gives: what playback gives beside the record and its bytes: the last part of the address.
        value: whether a message may hold the value itself instead of bytes: its module then has
            `encode(payload, limits) -> bytes`, which makes the bytes that are kept.
        text_is_base64: whether a text as `data` is base64 also where `encoding` does not say so, as the seed's camera
            frame has it; of other kinds a text is the content.
        here_bytes: content of up to this size is examined at once; larger content in a child process, which has a time
            limit and a memory limit. 0: always in a child. None: the kind's module says, by `is_costly(data)`.
    """

    name: str
    accepts: str
    extracted: str
    kept: Literal["telemetry", "records", "frames_metadata"]
    derived: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    value: bool = False
    text_is_base64: bool = False
    here_bytes: int | None = 64 * _KB
