"""The spool, over the deaths of its process and its machine."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from datamanager.client import spool_state
from datamanager.client.errors import ClientError, SpoolLocked
from datamanager.client.folders import leftovers, open_spool
from datamanager.client.numbering import Numbering
from datamanager.client.outbox import Entry
from datamanager.client.spool import Draft, Spool

SEGMENT_BYTES = 1000


def open_at(folder: Path, segment_bytes: int = SEGMENT_BYTES) -> Spool:
    return Spool(folder, "p", Numbering(), segment_bytes)


def write(spool: Spool, bodies: Iterable[str], stream: str = "s", *, in_memory: bool = False) -> list[Entry]:
    written = spool.number([Draft(stream, body.encode(), 1) for body in bodies])
    spool.store(written)
    spool.commit(written, in_memory=in_memory)
    return written.entries


def kill(spool: Spool) -> None:
    """What the process's death does: its files are closed, and nothing else is done."""
    os.close(spool._fd)
    for fd in spool._retired:
        os.close(fd)
    spool._lock.release()


def bodies(entries: Iterable[Entry]) -> list[str]:
    return [entry.body.decode() for entry in entries]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.seg"))


def test_what_was_written_is_read_in_order_with_its_places(tmp_path: Path) -> None:
    spool = open_at(tmp_path)
    write(spool, ["a0", "a1"], "a")
    write(spool, ["b0"], "b")
    write(spool, ["a2"], "a")
    read = spool.read(10_000)
    assert [(e.order, e.stream, e.place, e.body) for e in read] == [
        (0, "a", 0, b"a0"),
        (1, "a", 1, b"a1"),
        (2, "b", 0, b"b0"),
        (3, "a", 2, b"a2"),
    ]
    assert spool.behind == 0
    assert spool.read(10_000) == []


def test_reading_stops_at_its_size_and_goes_on_behind_it(tmp_path: Path) -> None:
    spool = open_at(tmp_path)
    write(spool, [f"{n:04d}" for n in range(10)])
    assert bodies(spool.read(8)) == ["0000", "0001"]
    write(spool, ["later"])
    assert bodies(spool.read(1)) == ["0002"]
    assert bodies(spool.read(1000))[-1] == "later"


def test_what_is_in_memory_is_not_read_again(tmp_path: Path) -> None:
    spool = open_at(tmp_path)
    write(spool, ["m0", "m1"], in_memory=True)
    write(spool, ["d0"])
    write(spool, ["d1"])
    read = spool.read(1000)
    assert bodies(read) == ["d0", "d1"]
    assert [entry.order for entry in read] == [2, 3]
    write(spool, ["m2"], in_memory=True)
    write(spool, ["d2"])
    assert [(entry.order, entry.place) for entry in spool.read(1000)] == [(5, 5)]


def test_files_are_bounded_and_go_when_all_in_them_is_released(tmp_path: Path) -> None:
    spool = open_at(tmp_path)
    entries = [entry for n in range(30) for entry in write(spool, [f"{n}" * 100], in_memory=True)]
    before = files(tmp_path)
    assert len(before) > 2
    assert spool.nbytes == sum((tmp_path / name).stat().st_size for name in before)
    spool.release(entries[:-1], acked=True)
    assert len(files(tmp_path)) <= 2
    spool.release(entries[-1:], acked=True)
    assert files(tmp_path) == [before[-1]]
    assert spool.nbytes == (tmp_path / before[-1]).stat().st_size


def test_a_killed_process_finds_what_was_not_acked_under_the_same_producer_and_places(tmp_path: Path) -> None:
    spool = open_at(tmp_path)
    write(spool, ["0", "1", "2"])
    kill(spool)
    again = Spool(tmp_path, "other", Numbering(), SEGMENT_BYTES)
    assert again.state.producer == "p"
    assert again.behind == 3
    write(again, ["3"])
    assert [(entry.place, entry.body) for entry in again.read(1000)] == [(0, b"0"), (1, b"1"), (2, b"2"), (3, b"3")]


def test_what_was_saved_as_acked_does_not_come_again(tmp_path: Path) -> None:
    spool = open_at(tmp_path)
    entries = write(spool, ["0", "1", "2"], in_memory=True)
    spool.release(entries[:2], acked=True)
    spool.close()
    again = open_at(tmp_path)
    assert bodies(again.read(1000)) == ["2"]


def test_places_go_on_after_all_was_acked_and_removed(tmp_path: Path) -> None:
    for start in (0, 2, 4):
        spool = open_at(tmp_path)
        entries = write(spool, ["x", "y"])
        assert [entry.place for entry in entries] == [start, start + 1]
        spool.release(spool.read(1000), acked=True)
        spool.close()
    assert len(files(tmp_path)) == 1


def test_after_a_welcome_what_is_found_may_have_been_sent(tmp_path: Path) -> None:
    for settled in (False, True):
        folder = tmp_path / str(settled)
        spool = open_at(folder)
        write(spool, ["0"])
        spool.state.settled = settled
        spool.save(spool.snapshot())
        kill(spool)
        assert open_at(folder).read(1000)[0].maybe_sent is settled


def test_shifted_numbers_outlive_the_process(tmp_path: Path) -> None:
    spool = open_at(tmp_path)
    write(spool, ["0"])
    spool._numbering.follow("s", 99)
    spool.close()
    numbering = Numbering()
    Spool(tmp_path, "p", numbering, SEGMENT_BYTES)
    assert numbering.seq("s", 0) == 100
    assert numbering.seq("s", 1) == 101


def test_a_record_torn_by_a_crash_is_passed_over(tmp_path: Path) -> None:
    spool = open_at(tmp_path, 100_000)
    write(spool, ["0", "1", "2"])
    kill(spool)
    path = tmp_path / files(tmp_path)[-1]
    whole = path.read_bytes()
    for cut in range(1, 12):
        path.write_bytes(whole[:-cut])
        again = open_at(tmp_path)
        assert bodies(again.read(1000)) == ["0", "1"]
        kill(again)
        for name in files(tmp_path)[1:]:
            (tmp_path / name).unlink()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, 100_000), bits=st.integers(1, 255))
def test_a_spoilt_byte_costs_one_record_at_most(tmp_path: Path, at: int, bits: int) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    spool = open_at(folder, 100_000)
    written = [f"dm{n:03d}" * 3 for n in range(20)]
    write(spool, written)
    kill(spool)
    path = folder / files(folder)[-1]
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= bits
    path.write_bytes(data)
    again = open_at(folder)
    read = bodies(again.read(100_000))
    assert len(read) >= len(written) - 1
    assert read == [body for body in written if body in set(read)]
    kill(again)


def test_a_restart_of_the_machine_leaves_numbers_out_so_that_none_is_given_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_at(tmp_path)
    write(spool, ["0"])
    kill(spool)
    monkeypatch.setattr(spool_state, "_BOOT_ID", tmp_path / "no such file")
    assert write(open_at(tmp_path), ["1"])[0].place > 1_000_000


def test_a_closed_spool_goes_on_without_a_gap_after_a_restart_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_at(tmp_path)
    write(spool, ["0"])
    spool.close()
    monkeypatch.setattr(spool_state, "_BOOT_ID", tmp_path / "no such file")
    assert write(open_at(tmp_path), ["1"])[0].place == 1


def test_two_processes_cannot_use_one_spool(tmp_path: Path) -> None:
    spool = open_at(tmp_path)
    code = "import sys; from pathlib import Path; from datamanager.client.spool import *; from datamanager.client.numbering import *\n"
    code += "Spool(Path(sys.argv[1]), 'p', Numbering(), 1000)"
    other = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code, str(tmp_path)], check=False, capture_output=True, text=True
    )
    assert "SpoolLocked" in other.stderr
    with pytest.raises(SpoolLocked):
        open_at(tmp_path)
    spool.close()
    open_at(tmp_path).close()


def test_what_the_disk_does_not_take_takes_no_number(tmp_path: Path) -> None:
    spool = open_at(tmp_path)
    write(spool, ["0"])
    written = spool.number([Draft("s", b"1", 1), Draft("t", b"1", 1)])
    fd, spool._fd = spool._fd, os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space"):
        spool.store(written)
    os.close(spool._fd)
    spool._fd = fd
    spool.forget(written)
    assert [entry.place for entry in write(spool, ["1"])] == [1]
    assert [entry.place for entry in write(spool, ["0"], "t")] == [0]
    assert [entry.order for entry in spool.read(1000)] == [0, 1, 2]


def test_a_spoilt_state_is_named_and_nothing_is_touched(tmp_path: Path) -> None:
    open_at(tmp_path).close()
    (tmp_path / "state.json").write_bytes(b"{")
    with pytest.raises(ClientError, match=r"state\.json is spoilt"):
        open_at(tmp_path)


def test_without_a_producer_a_former_process_s_spool_is_taken_up_if_no_one_uses_it(tmp_path: Path) -> None:
    first, _ = open_spool(tmp_path, "r", "s", None, 1000)
    second, _ = open_spool(tmp_path, "r", "s", None, 1000)
    assert first.state.producer != second.state.producer
    first.close()
    third, _ = open_spool(tmp_path, "r", "s", None, 1000)
    assert third.state.producer == first.state.producer
    named, _ = open_spool(tmp_path, "r", "s", "arm", 1000)
    assert named.state.producer == "arm"
    second.close()
    assert list(leftovers(tmp_path, "s")) == []
    assert ("r", "s", "arm") in leftovers(tmp_path, "t")


def test_removing_a_spool_leaves_those_of_other_producers(tmp_path: Path) -> None:
    one, _ = open_spool(tmp_path, "r", "s", "one", 1000)
    two, _ = open_spool(tmp_path, "r", "s", "two", 1000)
    one.close(remove=True)
    assert [path.name for path in (tmp_path / "r" / "s").iterdir()] == ["two"]
    two.close(remove=True)
    assert not (tmp_path / "r" / "s").exists()


STEPS = st.lists(st.sampled_from(["write", "write in memory", "read", "ack", "save", "kill", "close"]), max_size=60)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=STEPS)
def test_whatever_happens_all_that_is_not_acked_is_given_once_in_each_life(tmp_path: Path, steps: list[str]) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    spool = open_at(folder, 200)
    written: list[str] = []
    given: list[Entry] = []
    acked = here = saved = 0  # places acked: ever, in this life, and as the state on disk says
    for step in [*steps, "kill", "read all"]:
        if step == "write in memory" and spool.behind == 0:
            body = f"body {len(written)}"
            written.append(body)
            given += write(spool, [body], in_memory=True)
        elif step.startswith("write"):
            body = f"body {len(written)}"
            written.append(body)
            write(spool, [body])
        elif step.startswith("read"):
            given += spool.read(30 if step == "read" else 10**9)
        elif step == "ack" and given:
            spool.release(given[:1], acked=True)
            here = given.pop(0).place + 1
            acked = max(acked, here)
        elif step == "save":
            spool.save(spool.snapshot())
            saved = max(saved, here)
        elif step in ("kill", "close"):
            if step == "close":
                spool.close()
                saved = max(saved, here)
            else:
                kill(spool)
            spool = open_at(folder, 200)
            given, here = [], saved
    places = [entry.place for entry in given]
    assert places == sorted(set(places))
    assert set(range(acked, len(written))) <= set(places) <= set(range(saved, len(written)))
    assert bodies(given) == [written[place] for place in places]
    kill(spool)


def test_a_snapshot_does_not_change_with_the_state(tmp_path: Path) -> None:
    spool = open_at(tmp_path)
    snapshot = spool.snapshot()
    spool.release([replace(entry, segment=None) for entry in write(spool, ["0"])], acked=True)
    assert snapshot.acked == {}
    assert msgspec.json.decode(msgspec.json.encode(spool.snapshot()))["acked"] == {"s": 0}
