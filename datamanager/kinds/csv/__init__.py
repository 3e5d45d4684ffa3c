"""Kind `csv`: tables as text, whatever parts their cells and whatever they are encoded in."""

import re
from dataclasses import replace
from typing import Any

import msgspec

from datamanager.errors import Refused
from datamanager.kinds.csv.dialect import Dialect, find_dialect, has_header
from datamanager.kinds.csv.encoding import Encoding, find_encoding, width_of
from datamanager.kinds.csv.rows import Layout
from datamanager.kinds.csv.scan import Scan
from datamanager.kinds.csv.series import series_of
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import Source
from datamanager.kinds.text import check_is_text

__all__ = ["examine"]

_SAMPLE_BYTES = 64 * 1024
_LONG_SAMPLE_BYTES = 512 * 1024
_JSON_BYTES = 1 << 20
_SEPARATOR = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)  # what Excel writes first
_COMMENT = re.compile(r"#+[ \t]*([^\r\n]*)(?:\r\n|\n|\r)")
_COMMENTS = re.compile(r"(?:#[^\r\n]*(?:\r\n|\n|\r))+")
_SEPARATORS = b"\x01\x02\x1c\x1d\x1e\x1f"
_MARKUP = {"<!doctype html": "HTML", "<html": "HTML", "<?xml": "XML", "<svg": "SVG"}


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:
    """Finds how a table is written, names and types its columns, and counts its rows, as far as that takes no longer than it may.

    The payload may say `delimiter`, `quote` (one character each) and `header` (a boolean) itself, and `time_column`
    with `time_unit`, which makes a stream of the rows.

    Raises:
        Refused: `kind_mismatch` for what is no text or another kind of text, `bad_payload` where it is empty or in no
            encoding, `too_large` for a row beyond every measure, `wrong_type` and `missing_field` for what the payload says.
    """
    if not source.size:
        raise Refused("bad_payload", "the csv is empty", offset=0)
    head = source.read(0, _SAMPLE_BYTES)
    if b"\n" not in head and b"\r" not in head:
        head = source.read(0, _LONG_SAMPLE_BYTES)
    marks = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
    is_wide = head.startswith(marks) or head.count(0) * 3 > len(head)
    check_is_text(head, "csv", characters=_SEPARATORS + (b"\0" if is_wide else b""))
    encoding = find_encoding(source, hints.mime_type, limits.max_scan_bytes)
    if encoding.unit == 1:
        check_is_text(head, "csv", characters=_SEPARATORS)
    sample = _whole_lines(head[encoding.start :], encoding, is_all=source.size <= len(head))
    _check_kind(sample, source)
    layout, sample = _layout(sample, encoding, hints)
    scan = _scanned(source, layout, sample, limits)
    metadata, fields = scan.metadata, scan.fields
    series = series_of(source, fields["table"], hints, scan.row_bytes)
    if series is not None:
        fields["series"] = series
        metadata |= {"time_column": hints.payload["time_column"], "time_unit": series["unit"]}
    return Found("text/csv; charset=" + encoding.name, "csv", metadata, fields)


def _scanned(source: Source, layout: Layout, sample: str, limits: KindLimits) -> Scan:
    scan = Scan(source, layout, sample)
    try:
        scan.run(limits.max_scan_bytes)
    except Refused:
        if not layout.dialect.quote:
            raise
        # A quote that is never closed is no quote.
        scan = Scan(source, replace(layout, dialect=replace(layout.dialect, quote="")), sample)
        scan.run(limits.max_scan_bytes)
    return scan


def _whole_lines(head: bytes, encoding: Encoding, *, is_all: bool) -> str:
    text = head.decode(encoding.name, "ignore")
    if is_all:
        return text
    end = max(text.rfind("\n"), text.rfind("\r", 0, -1))
    return text[: end + 1] if end > 0 else text


def _check_kind(sample: str, source: Source) -> None:
    start = sample[:64].lstrip().lower()
    for mark, name in _MARKUP.items():
        if start.startswith(mark):
            raise Refused("kind_mismatch", f"the content is {name} (kind file), no table (kind csv)", offset=0)
    if start[:1] in ("{", "[") and source.size <= _JSON_BYTES:
        try:
            msgspec.json.decode(source.read(0, source.size), type=list[Any] | dict[str, Any])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return
        raise Refused("kind_mismatch", "the content is JSON (kind json), no table (kind csv)", offset=0)


def _layout(sample: str, encoding: Encoding, hints: Hints) -> tuple[Layout, str]:
    """The layout, and the sample from the first row on."""
    delimiter, quote = _said(hints, "delimiter"), _said(hints, "quote")
    header: bool | None = hints.payload.get("header")
    if header is not None and not isinstance(header, bool):
        raise Refused("wrong_type", f"header must be a boolean, not {type(header).__name__}")
    start = encoding.start
    separator = _SEPARATOR.match(sample)
    if separator is not None:
        delimiter = delimiter or separator[1]
        start += len(separator[0].encode(encoding.name))
        sample = sample[separator.end() :]
    comments = _COMMENTS.match(sample)
    rest = sample[comments.end() :] if comments is not None else sample
    dialect = find_dialect(rest or sample, delimiter, quote)
    if comments is not None and rest:
        skipped = _header_in(comments[0], dialect, rest)
        header = True if header is None and skipped < comments.end() else header
        start += width_of(sample[:skipped], encoding)
        sample = sample[skipped:]
    if header is None:
        header = has_header(dialect.rows(sample))
    return Layout(encoding, dialect, start, header), sample


def _header_in(comments: str, dialect: Dialect, rest: str) -> int:
    """Where the table begins in comments that stand before it: with the last one, when that names the columns."""
    last = [match for match in _COMMENT.finditer(comments) if match[1]][-1:]
    widths = [len(row) for row in dialect.rows(rest)]
    for match in last:
        names = dialect.rows(match[1])
        if widths and names and len(names[0]) == widths[0] > 1 and has_header(names):
            return match.start(1)
    return len(comments)


def _said(hints: Hints, name: str) -> str | None:
    value = hints.text(name, 8)
    if value is not None and (len(value) != 1 or value in "\r\n\0"):
        raise Refused("bad_payload", f"{name} must be one character, and no end of a line")
    return value
