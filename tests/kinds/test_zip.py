"""Kind `zip`: what common tools make is taken; what lies, bombs, hides or leads out is refused, with its place."""

import io
import json
import os
import struct
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.archive_samples import tar_of, zip_of, zip_with

from datamanager.errors import Refused
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import BytesSource
from datamanager.kinds.zip import examine, find_member, read_members
from datamanager.kinds.zip.content import LOCAL_BYTES, MemberUnpacker, local_bytes, packed_start

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "zip"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())
FORMATS = Path(__file__).resolve().parents[3] / "shared" / "data" / "formats" / "zip"
LIMITS = KindLimits()


def looked_at(data: bytes, limits: KindLimits = LIMITS) -> Found:
    return examine(BytesSource(data), Hints(), limits)


def refusal(data: bytes, limits: KindLimits = LIMITS) -> Refused:
    with pytest.raises(Refused) as caught:
        looked_at(data, limits)
    return caught.value


def unpacked(data: bytes) -> dict[str, bytes]:
    """Every member's content, as it is read back."""
    scan = read_members(BytesSource(data), LIMITS, 0, 10**6)
    found = {}
    for member, end in zip(scan.members, scan.ends, strict=True):
        size = local_bytes(data[member.offset : member.offset + LOCAL_BYTES])
        begin = packed_start(member, data[member.offset : member.offset + size], end)
        unpacker = MemberUnpacker(member)
        found[member.name] = b"".join(unpacker.feed(data[begin : begin + member.packed]))
        unpacker.finish()
    return found


@pytest.mark.parametrize("name", EXPECTED)
def test_golden_files_are_as_they_were(name: str) -> None:
    found = looked_at((GOLDEN / name).read_bytes())
    assert {"mime_type": found.mime_type, "ending": found.ending, "metadata": found.metadata} == EXPECTED[name]


def test_no_golden_file_is_missing() -> None:
    assert {path.name for path in GOLDEN.glob("*.zip")} == set(EXPECTED)
    assert {"stored.zip", "deflate.zip", "bz2.zip", "lzma.zip", "empty.zip"} <= set(EXPECTED)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters='\0\\/:"'), min_size=5, max_size=12)


@given(
    st.dictionaries(NAMES, st.binary(max_size=500), max_size=5),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
)
@settings(max_examples=50)
def test_any_members_come_back(members: dict[str, bytes], method: int) -> None:
    data = zip_of(members, method)
    assert unpacked(data) == members
    metadata = looked_at(data).metadata
    assert metadata["member_count"] == metadata["members_checked"] == metadata["members_unpacked"] == len(members)


def test_streamed_prefixed_and_commented_archives_are_taken() -> None:
    class Pipe(list[bytes]):
        """A file that cannot be sought in: sizes and CRCs come behind the data, as macOS and web servers have it."""

        def write(self, data: bytes) -> int:
            self.append(bytes(data))
            return len(data)

        def flush(self) -> None:
            """Does nothing."""

    with zipfile.ZipFile(pipe := Pipe(), "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]  # as a file
        archive.writestr("a", b"x" * 1000)
        archive.comment = b"a comment"
    streamed = b"".join(pipe)
    assert unpacked(streamed) == {"a": b"x" * 1000}
    assert looked_at(streamed).metadata["comment_bytes"] == 9
    assert unpacked(b"#!/bin/sh\nexit\n" + streamed) == {"a": b"x" * 1000}
    assert looked_at(b"#!/bin/sh\nexit\n" + streamed).metadata["prefix_bytes"] == 15


def test_a_zip64_archive_is_taken() -> None:
    with zipfile.ZipFile(out := io.BytesIO(), "w") as archive, archive.open("big", "w", force_zip64=True) as member:
        member.write(b"content")
    data = out.getvalue()
    end = data.rindex(b"PK\5\6")
    fields = struct.unpack_from("<4H2L", data, end + 4)
    wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, fields[4], fields[5])
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert unpacked(data[:end] + wide + locator + last) == {"big": b"content"}
    assert refusal(data[:end] + locator + last).code == "bad_payload"
    lying = wide[:24] + struct.pack("<4Q", 2, 2, fields[4], fields[5])
    assert refusal(data[:end] + lying + locator + last).code == "bad_payload"


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


DEFLATED = deflated(b"content")
SIZED = {"method": 8, "size": 7, "crc": zlib.crc32(b"content")}


def test_members_are_read_by_parts_or_by_name() -> None:
    data = zip_of({f"./m{i}": b"x" * i for i in range(5)}, zipfile.ZIP_STORED)
    source = BytesSource(data)
    part = read_members(source, LIMITS, 1, 2)
    assert ([m.name for m in part.members], part.total) == (["./m1", "./m2"], 5)
    assert part.ends[0] == part.members[1].offset
    assert [m.name for m in find_member(source, LIMITS, "m3").members] == ["./m3"]
    assert find_member(source, LIMITS, "m9").members == []
    last = find_member(source, LIMITS, "m4")
    assert last.ends == [data.index(b"PK\1\2")]
    for all_of_them in (read_members(source, LIMITS, 1, 2, 5), find_member(source, LIMITS, "m3", 5)):
        assert len(all_of_them.members) == 5
    assert len(read_members(source, LIMITS, 1, 2, 4).members) == 2


UNSAFE = [
    b"../evil", b"a/../../evil", b"a/..", b"..", b"/etc/passwd", b"//host/share", b"a\\b", b"..\\evil", b"\\evil", b"C:\\evil", b"c:evil",
    b"a\0b", b"NUL", b"a/CON", b"com1/x", b"lpt9",
]  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE)
def test_names_that_lead_out_are_refused(name: bytes) -> None:
    refused = refusal(zip_with(name=name))
    assert (refused.code, refused.offset) == ("unsafe_content", 30 + len(name) + 7)


def test_names_that_only_look_hostile_are_taken() -> None:
    names = [b"a..b", b"..a", b"a/...", b"aux.c", b"console", b"./a", b"b//c", b".hidden", b"x/.y", b"12:30"]
    assert looked_at(zip_with(names=names)).metadata["member_count"] == len(names)


@pytest.mark.parametrize("names", [[b"a", b"a"], [b"a", b"./a"], [b"a//b", b"a/b"], [b"a", b"a/"]])
def test_names_that_are_there_twice_are_refused(names: list[bytes]) -> None:
    refused = refusal(zip_with(b"", names=names))
    assert refused.code == "unsafe_content"
    assert "twice" in refused.detail


def test_nothing_may_lie_behind_a_link() -> None:
    link = {"outside": 0o120777 << 16}
    assert looked_at(zip_with(b"/etc", b"etc", central=link)).metadata["links_outside"] == 1
    assert looked_at(zip_with(b"b", b"etc", central=link)).metadata.get("links_outside") is None
    assert "behind the link" in refusal(zip_with(names=[b"l", b"l/passwd"], central=link)).detail


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "bad_payload", "cut off"),
        (b"PK", "bad_payload", "cut off"),
        (b"PK\x03\x04" + bytes(100), "bad_payload", "cut off"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "kind_mismatch", "image/png, not zip"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(30) + zip_of({"a": b"b"}), "kind_mismatch", "image/jpeg, not zip"),
        (b"\x1f\x8b\x08\x00" + bytes(60), "kind_mismatch", "application/gzip, not zip"),
        (b"just words, and no archive\n" * 5, "kind_mismatch", "text/plain, not zip"),
        (zip_with(central={"flags": 1}, local={"flags": 1}), "unsafe_content", "encrypted"),
        (zip_with(local={"flags": 1}), "unsafe_content", "encrypted"),
        (zip_with(central={"flags": 1 << 13}), "unsafe_content", "encrypted"),
        (zip_with(central={"outside": 0o020666 << 16}), "unsafe_content", "device"),
        (zip_with(central={"outside": 0o060666 << 16}), "unsafe_content", "device"),
        (zip_with(central={"disk": 1}), "bad_payload", "one part"),
        (zip_with(end={"disk": 1}), "bad_payload", "one part"),
        (zip_with(end={"here": 0}), "bad_payload", "one part"),
        (zip_with(end={"count": 2, "here": 2}), "bad_payload", "outside"),
        (zip_with(end={"size": 5}), "bad_payload", "outside"),
        (zip_with(end={"offset": 5000}), "bad_payload", "outside"),
        (zip_with(end={"comment": 1}), "bad_payload", "comment"),
        (zip_with(central={"name": b""}), "bad_payload", "no name"),
        (zip_with(central={"name": b"\xff", "flags": 1 << 11}), "bad_payload", "UTF-8"),
        (zip_with(name=b"x" * 5000), "too_large", "5000 characters"),
        (zip_with(central={"name": b"b.txt"}), "bad_payload", "local header"),
        (zip_with(local={"method": 8}), "bad_payload", "local header"),
        (zip_with(local={"size": 8}), "bad_payload", "local header"),
        (zip_with(local={"crc": 8}), "bad_payload", "local header"),
        (zip_with(local={"crc": 8}, central={"crc": 8}), "bad_payload", "CRC"),
        (zip_with(local={"size": 6}, central={"size": 6}), "bad_payload", "two sizes"),
        (zip_with(DEFLATED, local=SIZED | {"size": 8}, central=SIZED | {"size": 8}), "bad_payload", "to have 8"),
        (zip_with(DEFLATED, local=SIZED | {"size": 6}, central=SIZED | {"size": 6}), "bad_payload", "more than the 6"),
        (zip_with(DEFLATED + b"x", local=SIZED, central=SIZED), "bad_payload", "ends 1 bytes before"),
        (zip_with(DEFLATED[:-1], local=SIZED, central=SIZED), "bad_payload", "ends too early"),
        (zip_with(local={"packed": 20, "method": 9}, central={"packed": 20, "method": 9}), "bad_payload", "reaches into"),
        (zip_with(local={"method": 8}, central={"method": 8}), "bad_payload", "deflate"),
        (zip_with(local={"method": 14}, central={"method": 14}), "bad_payload", "lzma"),
        (zip_with(local={"method": 93}, central={"method": 93}), "bad_payload", "zst"),
        (zip_with(local={"packed": 9, "method": 9}, central={"packed": 9, "method": 9}), "unsafe_content", "overlaps"),
        (zip_with(central={"offset": 1}), "bad_payload", "no local header"),
        (zip_with(central={"size": 2**32 - 1, "extra": b"\1\0\4\0abcd"}), "bad_payload", "zip64 field"),
        (zip_with(name=b"d/"), "bad_payload", "folder"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(data: bytes, code: str, says: str) -> None:
    refused = refusal(data)
    assert refused.code == code, refused.detail
    assert says in refused.detail
    assert refused.offset is not None


def test_what_came_to_a_tool_through_a_pipe_is_a_file() -> None:
    assert looked_at(zip_with(name=b"-", central={"outside": 0o010600 << 16})).metadata["files"] == 1


def test_a_method_that_is_not_read_here_is_listed() -> None:
    metadata = looked_at(zip_with(local={"method": 9}, central={"method": 9})).metadata
    assert metadata["methods"] == {"method 9": 1}
    assert (metadata["members_checked"], metadata["members_unpacked"]) == (1, 0)


def test_truncated_anywhere_it_is_refused() -> None:
    data = zip_of({"a.txt": b"first" * 20, "inner.zip": zip_of({"x": b"y"}), "b": os.urandom(300)}, zipfile.ZIP_STORED)
    for end in range(len(data)):
        assert refusal(data[:end]).code == "bad_payload", end


def bomb(size: int) -> bytes:
    packed = deflated(bytes(size))
    fields = {"method": 8, "size": size, "packed": len(packed), "crc": zlib.crc32(bytes(size))}
    return zip_with(packed, local=fields, central=fields)


def test_bombs_are_refused_by_what_they_say() -> None:
    assert looked_at(bomb(16 * 2**20)).metadata["unpacked_bytes"] == 16 * 2**20
    refused = refusal(bomb(16 * 2**20 + 1))
    assert (refused.code, "250 times" in refused.detail) == ("unsafe_content", True)


def test_a_bomb_that_says_it_is_small_is_stopped_at_what_it_says() -> None:
    packed = deflated(bytes(100_000_000))
    fields = {"method": 8, "size": 1000, "packed": len(packed), "crc": 0}
    began_s = time.process_time()
    assert "more than the 1000" in refusal(zip_with(packed, local=fields, central=fields)).detail
    assert time.process_time() - began_s < 0.5


def test_members_that_share_their_bytes_are_refused() -> None:
    kernel = os.urandom(100)
    data = zip_with(kernel, names=[b"a", b"b", b"c"], central={"offset": 0, "name": b"a"})
    assert refusal(data).code == "unsafe_content"  # by their names already
    one = zip_with(kernel, b"a")
    entry = one[one.index(b"PK\1\2") : one.index(b"PK\5\6")]
    directory = entry + entry[:-1] + b"b"
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, len(directory), one.index(b"PK\1\2"), 0)
    refused = refusal(one[: one.index(b"PK\1\2")] + directory + last)
    assert refused.code == "unsafe_content"
    assert "overlap" in refused.detail


def test_quoted_local_headers_are_refused() -> None:
    """The better zip bomb: each member's extra field, or first stored block, holds the headers of those after it."""
    inner = zip_with(b"kernel", b"b")
    local_b = inner[: inner.index(b"PK\1\2")]
    extra = struct.pack("<2H", 0x9999, len(local_b) - 6) + local_b[:-6]
    head = {"extra": extra, "name": b"a"}
    outer = zip_with(b"kernel", local=head, central={"name": b"a"})
    start = outer.index(b"PK\1\2")
    entry = outer[start : outer.index(b"PK\5\6")]
    second = entry[:42] + struct.pack("<L", LOCAL_BYTES + 1 + 4) + b"b"
    directory = entry + second
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, len(directory), start, 0)
    refused = refusal(outer[:start] + directory + last)
    assert refused.code == "unsafe_content"
    assert "overlap" in refused.detail


def test_each_limit_holds_to_the_member_and_the_byte() -> None:
    data = zip_of({f"m{i}": b"x" * 10 for i in range(5)}, zipfile.ZIP_STORED)
    assert looked_at(data, KindLimits(max_members=5, max_unpacked_bytes=50)).metadata["member_count"] == 5
    assert refusal(data, KindLimits(max_members=4)).code == "too_large"
    assert refusal(data, KindLimits(max_unpacked_bytes=49)).code == "too_large"


def test_of_many_members_the_first_stand_in_the_metadata() -> None:
    metadata = looked_at(zip_of({f"folder/{i}": b"" for i in range(1000)}, zipfile.ZIP_STORED)).metadata
    assert (len(metadata["members"]), metadata["member_count"], metadata["members_complete"]) == (256, 1000, True)


@given(st.binary(max_size=300))
def test_any_bytes_are_answered(noise: bytes) -> None:
    good = zip_of({"a": b"content", "b": b"x" * 50})
    for data in (noise, b"PK\3\4" + noise, good[:-22] + noise, noise + good, good + noise):
        try:
            looked_at(data)
        except Refused:
            continue


@given(st.data())
def test_any_changed_byte_is_answered(data: st.DataObject) -> None:
    changed = bytearray((GOLDEN / data.draw(st.sampled_from(sorted(EXPECTED)))).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        looked_at(bytes(changed))
    except Refused:
        return


def test_a_tar_is_no_zip() -> None:
    assert refusal(tar_of({"a": b"b"})).code in {"kind_mismatch", "bad_payload"}


def test_public_samples_are_answered() -> None:
    if not FORMATS.is_dir():
        pytest.skip(f"the format samples are not here ({FORMATS})")
    refused = set()
    for path in FORMATS.rglob("*.zip"):
        try:
            looked_at(path.read_bytes())
        except Refused:
            refused.add(path.name)
    assert refused == {"comment-truncated.zip", "dupdir.zip", "test-badbase.zip", "test-baddirsz.zip"}
