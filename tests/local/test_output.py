import asyncio
from pathlib import Path

from datamanager.local.lines import LineFilter, no_lines
from datamanager.local.output import BoundedLog, ChildOutput


async def _pumped(chunks: list[bytes], log: BoundedLog, lines: LineFilter = str) -> tuple[ChildOutput, list[str]]:
    said: list[str] = []
    reader = asyncio.StreamReader()
    for chunk in chunks:
        reader.feed_data(chunk)
    reader.feed_eof()
    output = ChildOutput("one", log, lines, lambda _name, text: said.append(text))
    await output.pump(reader)
    return output, said


def test_a_log_never_takes_more_than_twice_its_limit(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "a.log", most_bytes=1000)
    for _ in range(100):
        log.write(b"x" * 99 + b"\n")
    log.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes.keys() == {"a.log", "a.log.1"}
    assert 0 < max(sizes.values()) <= 1000


def test_a_log_goes_on_where_the_last_start_left_it(tmp_path: Path) -> None:
    for word in (b"one\n", b"two\n"):
        log = BoundedLog(tmp_path / "a.log")
        log.write(word)
        log.close()
    assert (tmp_path / "a.log").read_bytes() == b"one\ntwo\n"


async def test_lines_are_found_across_chunks_and_a_last_one_without_an_end_counts(tmp_path: Path) -> None:
    _, said = await _pumped([b"on", b"e\ntwo\n\nth", b"ree"], BoundedLog(tmp_path / "a.log"))
    assert said == ["one", "two", "three"]
    assert (tmp_path / "a.log").read_bytes() == b"one\ntwo\n\nthree"


async def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    output, said = await _pumped([b"x" * 1_000_000], BoundedLog(tmp_path / "a.log"))
    assert max(map(len, output.last_lines)) <= 600
    assert max(map(len, said)) <= 600


async def test_what_is_not_text_is_kept_as_it_came(tmp_path: Path) -> None:
    _, said = await _pumped([b"\xff\xfe\n"], BoundedLog(tmp_path / "a.log"))
    assert said == ["\ufffd\ufffd"]
    assert (tmp_path / "a.log").read_bytes() == b"\xff\xfe\n"


async def test_only_the_last_lines_stay_in_memory(tmp_path: Path) -> None:
    output, said = await _pumped([b"line\n" * 1000 + b"last\n"], BoundedLog(tmp_path / "a.log"), no_lines)
    assert (output.last_lines, said) == ([*["line"] * 7, "last"], [])


async def test_the_last_words_are_the_loud_ones_where_there_are_any(tmp_path: Path) -> None:
    output, _ = await _pumped(
        [b"good\nbad\n" + b"good\n" * 100], BoundedLog(tmp_path / "a.log"), lambda line: line if line == "bad" else None
    )
    assert output.last_lines == ["bad"]


async def test_a_full_disk_is_said_once_and_the_child_goes_on() -> None:
    output, said = await _pumped([b"one\n" * 20_000, b"two\n" * 20_000], BoundedLog(Path("/dev/full")), no_lines)
    assert said == ["cannot write /dev/full: No space left on device"]
    assert output.last_lines[-1] == "two"
