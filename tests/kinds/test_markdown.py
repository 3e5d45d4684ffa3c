"""Kind `markdown`: what is taken, what is found in it, and that its HTML is safe."""

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datamanager.errors import Refused
from datamanager.kinds.kind import Hints, KindLimits
from datamanager.kinds.markdown import examine
from datamanager.kinds.markdown.html import Page, render_markdown
from datamanager.kinds.source import BytesSource

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "markdown"
LIMITS = KindLimits()


def looked_at(text: str | bytes, limits: KindLimits = LIMITS) -> dict[str, object]:
    data = text.encode() if isinstance(text, str) else text
    return examine(BytesSource(data), Hints(), limits).metadata


def refused(data: bytes, limits: KindLimits = LIMITS) -> Refused:
    with pytest.raises(Refused) as caught:
        looked_at(data, limits)
    return caught.value


def page(text: str | bytes) -> Page:
    data = text.encode() if isinstance(text, str) else text
    return render_markdown(BytesSource(data), LIMITS)


def body(text: str) -> str:
    return page(text).html.partition("<body>\n")[2].partition("</body>")[0]


def test_the_golden_file_is_found_to_be_what_it_was() -> None:
    data = (GOLDEN / "notes.md").read_bytes()
    expected = json.loads((GOLDEN / "expected.json").read_text())["notes.md"]
    assert looked_at(data) == expected["metadata"]
    assert page(data).html == expected["html"]


def test_title_and_headings_are_found_outside_of_code() -> None:
    text = "intro\n=====\n\n# A #\n```\n# no\n```\n    # code\n## B\ntext\n---\n> # quoted\n#hash\n####### seven\n"
    found = looked_at(text)
    assert found["title"] == "intro"
    headings = [(1, "intro"), (1, "A"), (2, "B"), (2, "text")]
    assert found["headings"] == [{"level": n, "text": words} for n, words in headings]
    assert looked_at("plain")["title"] is None
    assert looked_at("## two\n# one")["title"] == "one"


def test_headings_are_bounded_and_counted() -> None:
    found = looked_at("# h\n" * 5000)
    assert (len(found["headings"]), found["heading_count"], found["lines"]) == (100, 5000, 5000)  # type: ignore[arg-type]  # a list
    assert len(looked_at("# " + "x" * 5000)["title"]) == 200  # type: ignore[arg-type]  # a text


@pytest.mark.parametrize(
    ("data", "code", "offset"),
    [
        (b"", "bad_payload", 0),
        (b"good \xff", "bad_payload", 5),
        (b"\xef\xbb\xbfgood \xff", "bad_payload", 8),
        ("grün".encode("utf-16"), "bad_payload", None),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "kind_mismatch", 0),
        (b"PK\x03\x04rest", "kind_mismatch", 0),
        (bytes(range(32)) * 4, "kind_mismatch", 0),
        (b"# ok\n" + b">" * 65 + b"a", "too_deep", 5),
        (b"- " * 65 + b"a", "too_deep", 0),
    ],
)
def test_what_is_no_markdown_is_refused_with_the_place(data: bytes, code: str, offset: int | None) -> None:
    error = refused(data)
    assert error.code == code
    assert offset is None or error.offset == offset


def test_a_mismatch_names_both_kinds() -> None:
    assert "images" in refused(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").detail
    assert "markdown" in refused(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").detail


@pytest.mark.parametrize(("size", "is_taken"), [(1023, True), (1024, True), (1025, False)])
def test_the_limit_holds_to_the_byte(size: int, is_taken: bool) -> None:
    limits = KindLimits(max_document_bytes=1024)
    if is_taken:
        looked_at("x" * size, limits)
    else:
        assert refused(b"x" * size, limits).code == "too_large"


def test_nesting_at_the_limit_is_taken_and_a_rule_is_no_nesting() -> None:
    looked_at(b">" * 64 + b"a")
    looked_at(b"- " * 500)


@pytest.mark.parametrize("part", range(1, 10))
def test_a_text_cut_anywhere_is_taken_or_refused(part: int) -> None:
    data = "# Größe\n\n| ä | ö |\n|---|---|\n| € | 😀 |\n".encode()
    cut = data[: len(data) * part // 10]
    if cut.decode(errors="ignore").encode() == cut:
        looked_at(cut)
    else:
        assert refused(cut).code == "bad_payload"


HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "<svg onload=alert(1)><script>1</script></svg>",
    '<iframe src="javascript:alert(1)"></iframe>',
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](  java\tscript:alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](vbscript:x)",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "![a](data:image/svg+xml;base64,PHN2Zz4=)",
    "<javascript:alert(1)>",
    '[a](http://x "onmouseover=\\"alert(1)")',
    '![a](x"onerror="alert(1))',
    '```js" onclick="x\nalert(1)\n```',
    "[r]\n\n[r]: javascript:alert(1)",
    "<style>*{background:url(javascript:x)}</style>",
    "<a href='x' onclick='y'>z</a>",
    "<math><mtext></p><style><img src onerror=alert(1)>",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_runs_in_the_html(text: str) -> None:
    check_safe(body(text))


def check_safe(made: str) -> None:
    tags = re.findall(r"<[^>]*>", made)
    for tag in tags:
        name = re.match(r"</?([a-z0-9]+)", tag)
        assert name, tag
        assert name[1] not in {"script", "svg", "math", "style", "iframe", "object", "embed", "form", "input"}, tag
        for attribute, value in re.findall(r'\s([\w-]+)="([^"]*)"', tag):
            assert attribute in {"href", "src", "alt", "title", "class", "start", "align", "rel"}, tag
            if attribute in ("href", "src"):
                assert not re.match(r"\s*(javascript|vbscript|data:(?!image/(png|jpeg|gif|webp)))", value, re.I), tag  # noqa: FURB167  # short


@given(st.text(alphabet=st.sampled_from("<>[]()!\"'&#:;/`*_-=+|~ \n\tajsvtrcipfhoné\0")))
@example("[a](javascript:alert(1))")
def test_any_text_gives_a_safe_page(text: str) -> None:
    if text and text.count("\0") * 20 <= len(text.encode()):
        check_safe(body(text))


def test_what_is_good_comes_through() -> None:
    made = body(
        "# T\n\n*a* **b** ~~c~~ `d`\n\n| l | r |\n|:--|--:|\n| 1 | 2 |\n\n"
        "[x](https://x.y/z?a=b) ![p](data:image/png;base64,iVBORw0KGgo=)\n\n```python\n1 < 2\n```\n3. z\n"
    )
    for part in (
        "<h1>T</h1>", "<em>a</em>", "<strong>b</strong>", "<s>c</s>", '<td align="right">2</td>',
        '<a href="https://x.y/z?a=b"', '<img src="data:image/png;base64,iVBORw0KGgo="', '<code class="language-python">1 &lt; 2',
        '<ol start="3">',
    ):  # fmt: skip
        assert part in made


N = 50_000
BOMBS = {
    "brackets": "[" * N,
    "emphasis": "**x* " * N,
    "links": "[a](b" * N,
    "pictures": "![" * N,
    "lists in lists": "\n".join("  " * i + "- a" for i in range(500)),
    "table": "|" * 2000 + "\n" + "|-" * 2000 + "|\n" + "|\n" * 5000,
    "one address often": "[a]: http://x/" + "u" * 4000 + "\n\n" + "[a] " * 60_000,
    "tags": "<div>" * N,
    "paragraphs": "a\n\n" * N,
    "large": "word *a* [x](http://x.y) " * 200_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_bounded_time_and_what_is_not_rendered_is_shown_as_written(name: str) -> None:
    began_s = time.process_time()
    made = page(BOMBS[name])
    assert time.process_time() - began_s < 1.5
    assert len(made.html) < 12_000_000
    if not made.rendered:
        assert "<pre>" in made.html
    if name == "lists in lists":
        assert not made.rendered  # the parser would leave the deeper ones out


def test_a_title_is_text() -> None:
    assert "<title>&lt;b&gt;</title>" in page("# <b>\n").html
