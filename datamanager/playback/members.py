"""Members of archives: the list, and one of them without unpacking the rest."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec

from datamanager.clock import Clock
from datamanager.errors import NotFound, Refused
from datamanager.kinds.archives.member import Member, MemberType
from datamanager.kinds.archives.names import plain_name
from datamanager.kinds.archives.unpacking import RatioUnpacker
from datamanager.kinds.tar import PLAIN_MIME_TYPE, find_packed
from datamanager.kinds.tar import find_member as find_in_tar
from datamanager.kinds.tar import read_members as read_tar
from datamanager.kinds.zip import ZipScan
from datamanager.kinds.zip import find_member as find_in_zip
from datamanager.kinds.zip import read_members as read_zip
from datamanager.kinds.zip.content import METHODS, MemberUnpacker, local_bytes, packed_start
from datamanager.playback.bounded_cache import BoundedCache
from datamanager.playback.contents import Contents
from datamanager.playback.pages import DEFAULT_LIMIT, Page
from datamanager.playback.params import encode_cursor, parse_int, parse_offset
from datamanager.playback.stored_bytes import StoredBytes
from datamanager.playback.unpacked import HeavyWork, cut_out, spread, unpacked
from datamanager.storage.mongo import Document

__all__ = ["MemberItem", "MemberPage", "MemberReader", "OpenMember"]

_KINDS = ("zip", "tar")
_CACHED_MEMBERS, _CACHED_PLACES = 50_000, 5_000  # about 30 MB
_KEPT_MEMBERS = 20_000  # of a zip with more of them each is looked for anew
_PIECE_BYTES = 512 * 1024
_GUESS_BYTES = 512
_LOOK_S = 20.0
_HOPS = 4  # of hard links
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEAVY = 4  # at the same time: each may take 128 MiB
_HEAVY_PACKINGS = frozenset({"lzma", "xz", "zst"})


class MemberItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One member of an archive.

    Attributes:
        target: what a link leads to.
        packed_bytes: what it takes in the archive; of a packed tar this is not known.
        modified: of a tar, with its zone; a zip knows none.
    """

    name: str
    type: MemberType
    size_bytes: int
    target: str | None = None
    packed_bytes: int | None = None
    modified: str | None = None


class MemberPage(Page[MemberItem], frozen=True, kw_only=True):
    """Some members. `complete` is false where a packed tar was not unpacked to its end: then it has more than are listed."""

    complete: bool = True


@dataclass(frozen=True, slots=True)
class OpenMember:
    """A member that is about to be sent.

    Attributes:
        name: its own.
        size: bytes in all.
        checksum: of the whole archive, SHA-256 in hex.
        by_range: whether `pieces` gives any range, or only all of it.
        pieces: the bytes [start, end).
    """

    name: str
    size: int
    checksum: str
    by_range: bool
    pieces: Callable[[int, int], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class _Place:
    """A member, and of a zip where it has to end at the latest."""

    member: Member
    end: int = 0


@dataclass(frozen=True, slots=True)
class _Index:
    """The members of a zip, or of a packed tar as far as it was unpacked."""

    members: list[Member]
    by_name: dict[str, _Place]
    packing: str | None = None
    complete: bool = True


class MemberReader:
    """Reads members. The lists of archives that were asked for lately are kept."""

    def __init__(self, contents: Contents, clock: Clock, *, page_limit: int) -> None:
        self._contents = contents
        self._clock = clock
        self._page_limit = page_limit
        self._indexes: BoundedCache[_Index] = BoundedCache(_CACHED_MEMBERS)
        self._places: BoundedCache[_Place] = BoundedCache(_CACHED_PLACES)
        self._heavy = HeavyWork(_HEAVY)

    async def page(self, record_id: str, *, limit: str | None, cursor: str | None) -> MemberPage:
        """Some members, in the archive's order.

        Raises:
            NotFound: there is no such record.
            Refused: it is of another kind, or a parameter is wrong.
        """
        count = parse_int(limit, "limit", default=DEFAULT_LIMIT, most=self._page_limit)
        after = parse_offset(cursor)
        document, _ = await self._contents.stored(record_id, _KINDS)
        if _is_plain_tar(document):
            scan = await self._contents.read(record_id, _KINDS, read_tar, self._contents.limits, after, count)
            following = scan.following if scan.following != after else None  # where there is no way on, say so
            complete = scan.following is None or following is not None
            return _page(scan.members, following, document, complete=complete)
        if document["kind"] == "zip":
            members, total = await self._zip_page(record_id, after, count)
            return _page(members, after + count if after + count < total else None, document, complete=True)
        index = await self._tar_index(record_id)
        following = after + count if after + count < len(index.members) else None
        return _page(
            index.members[after : after + count], following, document, complete=index.complete or following is not None
        )

    async def open(self, record_id: str, name: str) -> OpenMember:
        """One member.

        Raises:
            NotFound: there is no such record or member.
            Refused: the record is of another kind; the member is none that has content, or cannot be read.
        """
        document, stored = await self._contents.stored(record_id, _KINDS)
        plain = plain_name(name)
        if document["kind"] == "zip":
            place = await self._zip_place(record_id, plain, name)
            member = place.member
            by_range, pieces = await self._zip_pieces(stored, place)
        elif _is_plain_tar(document):
            member = await self._find(record_id, plain, name)
            by_range = member.holes is None
            pieces = partial(_plain_pieces, stored, member)
        else:
            index = await self._tar_index(record_id)
            member = await self._find_packed(document, index, plain, name)
            by_range = False
            pieces = partial(self._packed_pieces, stored, member, index.packing or "")
        return OpenMember(member.name, member.size, str(document["checksum"]), by_range, pieces)

    async def _zip_page(self, record_id: str, start: int, count: int) -> tuple[list[Member], int]:
        index = self._indexes.get(record_id)
        if index is None:
            limits = self._contents.limits
            scan = await self._contents.read(record_id, _KINDS, read_zip, limits, start, count, _KEPT_MEMBERS)
            if scan.total > _KEPT_MEMBERS:
                return scan.members, scan.total
            index = self._keep(record_id, _Index(scan.members, _by_name(scan)))
        return index.members[start : start + count], len(index.members)

    async def _zip_place(self, record_id: str, plain: str, name: str) -> _Place:
        index, key = self._indexes.get(record_id), f"{record_id}/{plain}"
        place = index.by_name.get(plain) if index is not None else self._places.get(key)
        if place is None and index is None:
            limits = self._contents.limits
            scan = await self._contents.read(record_id, _KINDS, find_in_zip, limits, plain, _KEPT_MEMBERS)
            by_name = _by_name(scan)
            place = by_name.get(plain)
            if scan.total <= _KEPT_MEMBERS:
                self._keep(record_id, _Index(scan.members, by_name))
            elif place is not None:
                self._places.put(key, place, 1)
        if place is None:
            raise NotFound(f"there is no member {name[:200]!r}")
        return _Place(_with_content(place.member), place.end)

    async def _tar_index(self, record_id: str) -> _Index:
        index = self._indexes.get(record_id)
        if index is not None:
            return index
        limits = self._contents.limits
        most = min(limits.max_members, _CACHED_MEMBERS - 1)
        scan = await self._contents.read(record_id, _KINDS, read_tar, limits, 0, most)
        by_name = {plain_name(member.name): _Place(member) for member in scan.members}
        return self._keep(record_id, _Index(scan.members, by_name, scan.packing, complete=scan.following is None))

    def _keep(self, record_id: str, index: _Index) -> _Index:
        self._indexes.put(record_id, index, 1 + len(index.members))
        return index

    async def _find(self, record_id: str, plain: str, name: str) -> Member:
        """A member of a plain tar, looked for from header to header; of a hard link, what it is another name of."""
        for _ in range(_HOPS):
            key = f"{record_id}/{plain}"
            place = self._places.get(key)
            member = place.member if place is not None else await self._look(record_id, plain, name)
            self._places.put(key, _Place(member), 1 + len(member.holes or ()))
            if member.type != "hardlink":
                return _with_content(member)
            plain = plain_name(member.target or "")
        raise Refused("bad_payload", f"the member {name[:200]!r} is a hard link to a hard link")

    async def _find_packed(self, document: Document, index: _Index, plain: str, name: str) -> Member:
        """A member of a packed tar; beyond what is listed it is looked for by unpacking all before it, once."""
        for _ in range(_HOPS):
            key = f"{document['_id']}/{plain}"
            place = index.by_name.get(plain) or self._places.get(key)
            if place is None:
                place = _Place(await self._look_packed(document, index, plain, name))
                self._places.put(key, place, 1 + len(place.member.holes or ()))
            if place.member.type != "hardlink":
                return _with_content(place.member)
            plain = plain_name(place.member.target or "")
        raise Refused("bad_payload", f"the member {name[:200]!r} is a hard link to a hard link")

    async def _look_packed(self, document: Document, index: _Index, plain: str, name: str) -> Member:
        if not index.complete:
            source, limits = self._contents.source(document), self._contents.limits
            async with self._heavy.begun():
                member, is_sure = await asyncio.to_thread(find_packed, source, limits, plain, _LOOK_S)
            if member is not None:
                return member
            if not is_sure:
                raise Refused("too_large", f"the member {name[:200]!r} was not found by unpacking for {_LOOK_S} s")
        raise NotFound(f"there is no member {name[:200]!r}")

    async def _look(self, record_id: str, plain: str, name: str) -> Member:
        following: int | None = 0
        end_s = self._clock.monotonic_s() + _LOOK_S
        limits = self._contents.limits
        while following is not None and self._clock.monotonic_s() < end_s:
            before = following
            member, following = await self._contents.read(record_id, _KINDS, find_in_tar, limits, before, plain)
            if member is not None:
                return member
            if following == before:
                break
        if following is not None:
            raise Refused("too_large", f"the member {name[:200]!r} was not found within {_LOOK_S} s")
        raise NotFound(f"there is no member {name[:200]!r}")

    async def _zip_pieces(
        self, stored: StoredBytes, place: _Place
    ) -> tuple[bool, Callable[[int, int], AsyncIterator[bytes]]]:
        member = place.member
        header = await stored.read(member.offset, _GUESS_BYTES)
        size = local_bytes(header)
        if size > len(header):
            header += await stored.read(member.offset + len(header), size - len(header))
        start = packed_start(member, header[:size], place.end)
        MemberUnpacker(member)  # says now whether it can be read

        async def pieces(first: int, last: int) -> AsyncGenerator[bytes, None]:
            if (first, last) != (0, member.size):  # stored: a part cannot be held to the CRC of all
                async for piece in stored.pieces(start + first, last - first):
                    yield piece
                return
            async with (
                self._room(METHODS[member.method]),
                aclosing(stored.pieces(start, member.packed, _PIECE_BYTES)) as packed,
                aclosing(unpacked(packed, MemberUnpacker(member))) as content,
            ):
                async for piece in content:
                    yield piece

        return member.method == 0 and member.packed == member.size, pieces

    async def _packed_pieces(
        self, stored: StoredBytes, member: Member, packing: str, _first: int, _last: int
    ) -> AsyncGenerator[bytes, None]:
        unpacker = RatioUnpacker(packing, self._contents.limits.max_ratio)
        async with (
            self._room(packing),
            aclosing(stored.pieces(0, stored.size, _PIECE_BYTES)) as packed,
            aclosing(unpacked(packed, unpacker)) as plain,
            aclosing(cut_out(plain, member.offset, member.packed)) as content,
        ):
            async for piece in _laid_out(member, content):
                yield piece

    def _room(self, packing: str) -> AbstractAsyncContextManager[None]:
        return self._heavy.begun() if packing in _HEAVY_PACKINGS else nullcontext()


async def _plain_pieces(stored: StoredBytes, member: Member, start: int, end: int) -> AsyncGenerator[bytes, None]:
    offset, size = (member.offset, member.packed) if member.holes is not None else (member.offset + start, end - start)
    async with aclosing(stored.pieces(offset, size)) as content:
        async for piece in _laid_out(member, content):
            yield piece


def _laid_out(member: Member, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    return content if member.holes is None else spread(content, member.holes, member.size)


def _is_plain_tar(document: Document) -> bool:
    return document["kind"] == "tar" and document.get("mime_type") == PLAIN_MIME_TYPE


def _by_name(scan: ZipScan) -> dict[str, _Place]:
    return {plain_name(member.name): _Place(member, end) for member, end in zip(scan.members, scan.ends, strict=True)}


def _with_content(member: Member) -> Member:
    if member.type == "directory":
        raise Refused("wrong_type", f"the member {member.name[:200]!r} is a folder")
    if member.type == "link" and member.target is not None:
        raise Refused("wrong_type", f"the member {member.name[:200]!r} is a link to {member.target[:200]!r}")
    return member


def _page(members: list[Member], following: int | None, document: Document, *, complete: bool) -> MemberPage:
    is_zip = document["kind"] == "zip"
    return MemberPage(
        items=[_item(member, is_zip=is_zip) for member in members],
        next_cursor=None if following is None else encode_cursor((following,)),
        complete=complete,
    )


def _item(member: Member, *, is_zip: bool) -> MemberItem:
    return MemberItem(
        name=member.name,
        type=member.type,
        size_bytes=member.size,
        target=member.target,
        packed_bytes=member.packed if is_zip else None,
        modified=None
        if member.modified is None
        else _dos_time(member.modified)
        if is_zip
        else _unix_time(member.modified),
    )


def _dos_time(value: int) -> str | None:
    day, second = divmod(value, 1 << 16)
    try:
        at = datetime(1980 + (day >> 9), day >> 5 & 15, day & 31, second >> 11, second >> 5 & 63, second * 2 & 63)  # noqa: DTZ001  # it knows no zone
    except ValueError:  # zeros, where a tool did not know the time
        return None
    return at.isoformat()


def _unix_time(value: int) -> str | None:
    try:
        return (_EPOCH + timedelta(seconds=value)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return None
