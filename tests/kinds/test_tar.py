"""Kind `tar`: what common tools make is taken, plain and packed; what lies, bombs or leads out is refused, with its place."""

import gzip
import io
import json
import os
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.archive_samples import PACKERS, tar_of, tar_with, zip_of

from datamanager.errors import Refused
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import BytesSource
from datamanager.kinds.tar import examine, find_member, find_packed, read_members
from datamanager.kinds.tar.tape import Budget, OutOfTime

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "tar"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())
FORMATS = Path(__file__).resolve().parents[3] / "shared" / "data" / "formats" / "tar"
LIMITS = KindLimits()


def looked_at(data: bytes, limits: KindLimits = LIMITS) -> Found:
    return examine(BytesSource(data), Hints(), limits)


def refusal(data: bytes, limits: KindLimits = LIMITS) -> Refused:
    with pytest.raises(Refused) as caught:
        looked_at(data, limits)
    return caught.value


@pytest.mark.parametrize("name", EXPECTED)
def test_golden_files_are_as_they_were(name: str) -> None:
    found = looked_at((GOLDEN / name).read_bytes())
    assert {"mime_type": found.mime_type, "ending": found.ending, "metadata": found.metadata} == EXPECTED[name]


def test_no_golden_file_is_missing() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {*EXPECTED, "expected.json"}
    assert {"gnu.tar", "pax.tar", "empty.tar", *(f"packed.tar.{packing}" for packing in PACKERS)} == set(EXPECTED)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0\\/:."), min_size=1, max_size=150)


@given(
    st.dictionaries(NAMES, st.binary(max_size=2000), max_size=5),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.sampled_from(["", *PACKERS]),
)
@settings(max_examples=60)
def test_any_members_are_found_where_they_are(members: dict[str, bytes], form: int, packing: str) -> None:
    plain = tar_of(members, form)
    data = PACKERS[packing](plain) if packing else plain
    scan = read_members(BytesSource(data), LIMITS, 0, 100)
    assert {m.name: plain[m.offset : m.offset + m.size] for m in scan.members} == members
    assert (scan.following, scan.packing) == (None, packing or None)
    assert looked_at(data).metadata["member_count"] == len(members)
    assert looked_at(data).ending == (f"tar.{packing}" if packing else "tar")


def test_a_plain_tar_is_read_on_from_any_member() -> None:
    source = BytesSource(tar_of({f"m{i}": b"x" * i for i in range(700, 710)}))
    names: list[str] = []
    following: int | None = 0
    while following is not None:
        scan = read_members(source, LIMITS, following, 3)
        names += [member.name for member in scan.members]
        following = scan.following
    assert names == [f"m{i}" for i in range(700, 710)]
    found, following = find_member(source, LIMITS, 0, "m702")
    assert (found and found.name, following) == ("m702", None)
    assert find_member(source, LIMITS, 0, "m7") == (None, None)


@pytest.mark.parametrize("packing", PACKERS)
def test_a_member_of_a_packed_tar_is_found_by_unpacking(packing: str) -> None:
    plain = tar_of({f"./m{i}": os.urandom(20_000) for i in range(30)})
    source = BytesSource(PACKERS[packing](plain))
    found, is_sure = find_packed(source, LIMITS, "m29", 10)
    assert found is not None
    assert (found.name, plain[found.offset - 512 :][:5], is_sure) == ("./m29", b"./m29", True)
    assert find_packed(source, LIMITS, "m30", 10) == (None, True)
    assert find_packed(source, LIMITS, "m29", -1) == (None, False)


UNSAFE = [b"../evil", b"a/../../evil", b"/etc/passwd", b"..", b"..\\evil", b"\\evil", b"C:\\evil", b"c:evil"]


@pytest.mark.parametrize("name", UNSAFE)
def test_names_that_lead_out_are_refused(name: bytes) -> None:
    refused = refusal(tar_with(b"first", end=False) + tar_with(name))
    assert (refused.code, refused.offset) == ("unsafe_content", 1024)


def test_names_that_only_look_hostile_are_taken() -> None:
    names = [b"a..b", b"..a", b"aux", b"dev-disk-by\\x2duuid", b"./a", b".", b"b//c"]
    data = b"".join(tar_with(name, b"", end=False) for name in names) + bytes(1024)
    assert looked_at(data).metadata["member_count"] == len(names)


def test_names_that_are_there_twice_are_refused_but_for_folders() -> None:
    assert "twice" in refusal(tar_with(b"a", end=False) + tar_with(b"./a")).detail
    folders = tar_with(b"d/", b"", type=b"5", end=False) + tar_with(b"./d", b"", type=b"5")
    assert looked_at(folders).metadata["member_count"] == 2


@pytest.mark.parametrize("kind", [b"3", b"4", b"6"])
def test_devices_and_pipes_are_refused(kind: bytes) -> None:
    refused = refusal(tar_with(b"dev/null", b"", type=kind))
    assert (refused.code, refused.offset) == ("unsafe_content", 0)


def test_links_are_listed_and_nothing_lies_behind_them() -> None:
    link = tar_with(b"d/l", b"", type=b"2", link=b"../../etc", end=False)
    metadata = looked_at(link + tar_with(b"x")).metadata
    assert metadata["links_outside"] == 1
    assert metadata["members"][0] == {"name": "d/l", "size": 0, "type": "link", "target": "../../etc"}
    assert "links_outside" not in looked_at(tar_with(b"d/l", b"", type=b"2", link=b"../etc")).metadata
    assert "behind the link" in refusal(link + tar_with(b"d/l/passwd")).detail
    assert looked_at(tar_with(b"x", end=False) + tar_with(b"h", b"", type=b"1", link=b"x")).metadata["files"] == 1
    for target in (b"/etc/passwd", b"../x", b"a/../../x"):
        assert "leads out" in refusal(tar_with(b"h", b"", type=b"1", link=target)).detail


def pax(*records: tuple[str, str]) -> bytes:
    """A pax header with these records."""
    data = b""
    for key, value in records:
        body = f" {key}={value}\n".encode()
        size = len(body) + 1
        while size != len(body) + len(str(size)):
            size = len(body) + len(str(size))
        data += str(size).encode() + body
    return tar_with(b"PaxHeaders/x", data, type=b"x", end=False)


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "bad_payload", "no header"),
        (b"\1" * 600, "bad_payload", "no header"),
        (b"\x89PNG\r\n\x1a\n" + bytes(600), "kind_mismatch", "image/png, not tar"),
        (zip_of({"a": b"b" * 600}), "kind_mismatch", "application/zip, not tar"),
        (gzip.compress(zip_of({"a": b"b" * 600})), "kind_mismatch", "packed as gz is application/zip, not tar"),
        (gzip.compress(b"just words\n" * 90), "kind_mismatch", "packed as gz is text/plain, not tar"),
        (gzip.compress(b""), "kind_mismatch", "not tar"),
        (b"\x1f\x8b\x08" + bytes(50), "bad_payload", "gz"),
        (b"BZh9" + bytes(50), "bad_payload", "bz2"),
        (b"\xfd7zXZ\0" + bytes(50), "bad_payload", "xz"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 50, "bad_payload", "zst"),
        (tar_with(end=False) + b"x" * 512, "bad_payload", "checksum"),
        (tar_with(end=False) + bytes(512) + b"x" * 512, "bad_payload", "follows a block of zeros"),
        (tar_with(end=False) + b"x" * 100, "bad_payload", "cut off"),
        (tar_with(size=b"%011o" % 5000), "bad_payload", "bytes are missing"),
        (tar_with(size=b"77777777777"), "bad_payload", "bytes are missing"),
        (tar_with(size=b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7), "too_large", "are allowed"),
        (tar_with(size=b"\x80" + b"\xff" * 11), "bad_payload", "is to have"),
        (tar_with(size=b"\xff" * 12), "bad_payload", "negative"),
        (tar_with(size=b"-1"), "bad_payload", "negative"),
        (tar_with(size=b"9x"), "bad_payload", "where a number"),
        (tar_with(b""), "bad_payload", "no name"),
        (tar_with(type=b"M"), "bad_payload", "of several"),
        (tar_with(b"L", b"x" * 5000, type=b"L", end=False) + tar_with(), "too_large", "5000 characters"),
        (tar_with(b"L", b"", type=b"L", size=b"%011o" % 2**30), "too_large", "header of a header"),
        (tar_with(b"x", b"", type=b"x", size=b"%011o" % 2**30), "too_large", "header of a header"),
        (tar_with(b"x", b"", type=b"x", size=b"%011o" % 5000), "bad_payload", "within a header"),
        (tar_with(b"x", b"", type=b"x", end=False) * 20 + tar_with(), "bad_payload", "more than 16"),
        (tar_with(b"x", b"9 path=a\n", type=b"x"), "bad_payload", "before nothing"),
        (tar_with(b"x", b"99999999999 path=a\n", type=b"x"), "bad_payload", "length that is none"),
        (tar_with(b"x", b"-5 path=a\n", type=b"x"), "bad_payload", "length that is none"),
        (tar_with(b"x", b"7 patha\n\n", type=b"x"), "bad_payload", "length that is none"),
        (tar_with(b"x", b"8 patha\n", type=b"x"), "bad_payload", "no key"),
        (pax(("path", "a\0b")) + tar_with(), "unsafe_content", "NUL"),
        (pax(("path", "../up")) + tar_with(), "unsafe_content", "leads out"),
        (pax(("size", "-1")) + tar_with(), "bad_payload", "the pax record size"),
        (pax(("size", "9" * 60)) + tar_with(), "bad_payload", "is to have"),
        (pax(("size", "5000")) + tar_with(), "bad_payload", "missing"),
        (pax(("GNU.sparse.map", "0,1,2"), ("GNU.sparse.size", "9")) + tar_with(), "bad_payload", "no pairs"),
        (pax(("GNU.sparse.map", "0,9"), ("GNU.sparse.size", "9")) + tar_with(), "bad_payload", "does not fit"),
        (pax(("GNU.sparse.map", "4,7"), ("GNU.sparse.size", "9")) + tar_with(), "bad_payload", "out of its file"),
        (pax(("GNU.sparse.numbytes", "4")) + tar_with(), "bad_payload", "no pairs"),
        (pax(("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")) + tar_with(), "bad_payload", "sparse map"),
        (pax(("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")) + tar_with(data=b"9999999\n".ljust(512)), "bad_payload", "count"),
    ],
    ids=lambda value: "data" if isinstance(value, bytes) else None,  # some of it is made anew in each process
)  # fmt: skip
def test_what_does_not_fit_is_refused(data: bytes, code: str, says: str) -> None:
    for packed in (data, PACKERS["gz"](data)) if data[:2] != b"\x1f\x8b" and code != "kind_mismatch" else (data,):
        refused = refusal(packed)
        if says != "no header" and says not in {"bz2", "xz", "zst"}:  # packed these are something else
            assert refused.code == code, refused.detail
            assert says in refused.detail
        assert refused.offset is not None


def test_sparse_members_have_the_size_of_their_file() -> None:
    data = pax(("GNU.sparse.map", "100,7"), ("GNU.sparse.size", "5000"), ("GNU.sparse.name", "real")) + tar_with()
    (member,) = read_members(BytesSource(data), LIMITS, 0, 9).members
    assert (member.name, member.size, member.packed, member.holes) == ("real", 5000, 7, ((100, 7),))


@pytest.mark.parametrize("packing", PACKERS)
def test_packed_and_truncated_anywhere_it_is_refused(packing: str) -> None:
    data = PACKERS[packing](tar_of({"a": os.urandom(2000), "b": b"x" * 3000}))
    for end in range(0, len(data), 97):
        assert refusal(data[:end]).code == "bad_payload", end


def test_truncated_within_a_member_it_is_refused_and_without_its_end_it_says_so() -> None:
    data = tar_with(b"a", b"x" * 700, end=False) + tar_with(b"b", b"y" * 700, end=False)
    for end in [*range(1, 512), *range(513, 1212), *range(1537, 2048), *range(2049, 2748)]:
        if end not in (512, 1536):
            assert refusal(data[:end]).code in {"bad_payload", "kind_mismatch"}, end
    assert looked_at(data).metadata["end_marker"] is False
    assert "end_marker" not in looked_at(data + bytes(1024)).metadata


@pytest.mark.parametrize("packing", PACKERS)
def test_bombs_are_refused_early(packing: str) -> None:
    bomb = PACKERS[packing](tar_of({"zeros": bytes(18_000_000)}))
    began_s = time.process_time()
    refused = refusal(bomb)
    assert (refused.code, "250 times" in refused.detail) == ("unsafe_content", True)
    assert time.process_time() - began_s < 0.5


def test_what_is_smaller_is_no_bomb() -> None:
    assert looked_at(PACKERS["gz"](tar_of({"zeros": bytes(2**24 - 10240)}))).metadata["members_complete"]


def test_streams_that_follow_on_each_other_are_one() -> None:
    plain = tar_of({"a": b"x" * 5000})
    for pack in PACKERS.values():
        assert looked_at(pack(plain[:3000]) + pack(plain[3000:])).metadata["member_count"] == 1
        assert refusal(pack(plain) + b"something else").code == "bad_payload"
    skippable = b"\x50\x2a\x4d\x18" + (100).to_bytes(4, "little") + bytes(100)
    assert looked_at(skippable + PACKERS["zst"](plain)).metadata["packing"] == "zst"


def test_each_limit_holds_to_the_byte_and_more_members_are_not_listed() -> None:
    data = tar_of({f"m{i}": b"x" * 10 for i in range(5)})
    assert looked_at(data, KindLimits(max_members=5, max_unpacked_bytes=50)).metadata["members_complete"]
    metadata = looked_at(data, KindLimits(max_members=4)).metadata
    assert (metadata["member_count"], metadata["members_complete"]) == (4, False)
    assert refusal(data, KindLimits(max_unpacked_bytes=49)).code == "too_large"


def test_of_a_large_plain_tar_little_is_read() -> None:
    size = 2**30
    read: list[int] = []

    class Huge:
        size = 3 * (512 + 2**30)

        def read(self, offset: int, size: int) -> bytes:
            read.append(size)
            within = offset % (512 + 2**30)
            name = b"huge%d" % (offset // (512 + 2**30))
            block = tar_with(name, b"", size=b"%011o" % 2**30, end=False) if within == 0 else b""
            return block[:size].ljust(min(size, self.size - offset), b"\0") if offset < self.size else b""

    metadata = examine(Huge(), Hints(), LIMITS).metadata
    assert (metadata["member_count"], metadata["unpacked_bytes"]) == (3, 3 * size)
    assert sum(read) < 100_000


def test_time_that_is_used_up_ends_a_look() -> None:
    with pytest.raises(OutOfTime):
        Budget(cpu_s=-1).check()
    with pytest.raises(OutOfTime):
        Budget(wall_s=-1).check()
    Budget().check()


@given(st.binary(max_size=1200))
def test_any_bytes_are_answered(noise: bytes) -> None:
    good = tar_with(end=False)
    for data in (noise, good + noise, gzip.compress(good + noise, 1), b"\x1f\x8b\x08" + noise):
        try:
            looked_at(data)
        except Refused:
            continue


@given(st.data())
def test_any_changed_byte_is_answered(data: st.DataObject) -> None:
    changed = bytearray((GOLDEN / data.draw(st.sampled_from(sorted(EXPECTED)))).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, min(4000, len(changed)) - 1))] = data.draw(st.integers(0, 255))
    try:
        looked_at(bytes(changed))
    except Refused:
        return


@given(
    st.binary(min_size=100, max_size=100), st.binary(min_size=165, max_size=165), st.sampled_from(b"xgLKSD0123567MNVX")
)
def test_any_header_whose_checksum_fits_is_answered(name: bytes, tail: bytes, kind: int) -> None:
    block = name + b"0000644\0" * 3 + b"00000000100\0" * 2 + b" " * 8 + bytes([kind]) + tail
    block = block.ljust(512, b"\0")
    block = block[:148] + b"%06o\0 " % sum(block) + block[156:]
    try:
        looked_at(block + bytes(512) + tar_with())
    except Refused:
        return


def test_public_samples_are_read_as_other_tools_read_them() -> None:
    if not FORMATS.is_dir():
        pytest.skip(f"the format samples are not here ({FORMATS})")
    refused = set()
    for path in FORMATS.rglob("*.tar*"):
        try:
            looked_at(path.read_bytes())
        except Refused:
            refused.add(path.name)
    assert refused == {
        "empty_filename.tar", "hdr-only.tar", "issue10968.tar", "issue11169.tar", "issue12435.tar", "neg-size.tar",
        "pax-bad-hdr-file.tar", "pax-bad-hdr-large.tar.bz2", "pax-nul-path.tar", "pax-path-hdr.tar", "writer-big-long.tar",
        "writer-big.tar",
    }  # fmt: skip


def test_a_tar_of_python_with_everything_is_listed() -> None:
    with tarfile.open(fileobj=(out := io.BytesIO()), mode="w") as archive:
        for name, kind, target in [("d", tarfile.DIRTYPE, ""), ("l", tarfile.SYMTYPE, "d"), ("f", tarfile.REGTYPE, ""), ("h", tarfile.LNKTYPE, "f")]:  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    members = read_members(BytesSource(out.getvalue()), LIMITS, 0, 9).members
    assert [(m.name, m.type, m.target) for m in members] == [
        ("d/", "directory", None), ("l", "link", "d"), ("f", "file", None), ("h", "hardlink", "f"),
    ]  # fmt: skip
