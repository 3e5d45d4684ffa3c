"""Markdown as HTML that is safe to show: no script, no handler, no raw HTML, no address but of pages and small pictures."""

import html
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

from datamanager.kinds.kind import KindLimits
from datamanager.kinds.markdown.outline import outline_of
from datamanager.kinds.source import Source
from datamanager.kinds.text import read_text

__all__ = ["Page", "render_markdown"]

_RENDERED_BYTES = 512 * 1024  # a book of 100,000 words; more is shown as it is written
_CPU_S = 0.6
_MOST_URL = 4096
_MOST_PICTURE_URL = 256 * 1024
_MOST_URLS = 4 * 1024 * 1024
_MOST_NESTING = 100  # tags: the parser leaves out what is deeper
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*\Z")  # no SVG: it may hold scripts
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_SCHEMES = frozenset({"http", "https", "mailto"})
_TAGS = {
    *"h1 h2 h3 h4 h5 h6 p br hr em strong s a img code pre blockquote ul ol li".split(),
    *"table thead tbody tr th td".split(),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title"},
    "ol": {"start"},
    "th": {"align"},
    "td": {"align"},
    "code": {"class"},
}
_LANGUAGE = re.compile(r"language-[\w+#.-]{1,40}\Z")
_HEAD = '<!doctype html>\n<html lang="und">\n<head>\n<meta charset="utf-8">\n<title>{}</title>\n</head>\n<body>\n{}</body>\n</html>\n'


class _TooMuch(Exception):
    """Rendering would take too long, or too much memory."""


@dataclass(frozen=True, slots=True)
class Page:
    """A whole HTML document.

    Attributes:
        rendered: False where the text stands in it as it was written, for rendering it would have taken too much.
    """

    html: str
    rendered: bool


def render_markdown(source: Source, limits: KindLimits) -> Page:
    """A record's content as a page. Text that is too large, or built so that it would take long, is shown as written.

    CommonMark with tables and strikethrough. Raw HTML in it is shown as text.

    Raises:
        Refused: it is no Markdown.
    """
    text = read_text(source, "markdown", limits.max_document_bytes)
    outline = outline_of(text, limits.max_depth)
    body: str | None = None
    if source.size <= _RENDERED_BYTES and outline.too_deep_at is None:
        try:
            body = _render(text)
        except (_TooMuch, MemoryError, RecursionError):  # a page that shows the text beats none
            body = None
    page = body if body is not None else f"<pre>{html.escape(text)}</pre>\n"
    return Page(_HEAD.format(html.escape(outline.title or ""), page), body is not None)


def _render(text: str) -> str:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _MOST_NESTING}).enable(["table", "strikethrough"])
    in_time = _computing_at_most(_CPU_S)
    parser.block.ruler.before("table", "in_time", in_time, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    parser.inline.ruler.before("text", "in_time", in_time)
    parser.inline.ruler2.before("balance_pairs", "in_time", in_time)
    parser.validateLink = _is_good  # type: ignore[method-assign]  # the documented way to say which links are links
    env: dict[str, Any] = {}
    tokens = parser.parse(text, env)
    urls = 0
    for token in _all(tokens):
        in_time()
        if token.type in ("th_open", "td_open") and (style := token.attrs.pop("style", None)):
            token.attrs["align"] = str(style).removeprefix("text-align:")
        urls += sum(len(str(token.attrs.get(name, ""))) for name in ("href", "src"))
        if urls > _MOST_URLS or token.level >= _MOST_NESTING - 1:  # one long address may be referred to very often
            raise _TooMuch
    made = parser.renderer.render(tokens, parser.options, env)
    return nh3.clean(
        made, tags=_TAGS, attributes=_ATTRIBUTES, attribute_filter=_filtered, url_schemes={*_SCHEMES, "data"}
    )


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def _is_good(url: str) -> bool:
    """Whether a link or picture may lead there."""
    if url.startswith("data:"):
        return len(url) <= _MOST_PICTURE_URL and _PICTURE.match(url) is not None
    scheme = _SCHEME.match(url.strip())
    return len(url) <= _MOST_URL and (scheme is None or scheme[0][:-1].lower() in _SCHEMES)


def _filtered(tag: str, attribute: str, value: str) -> str | None:
    if attribute in ("href", "src"):
        return value if _is_good(value) and (tag == "img" or not value.startswith("data:")) else None
    if attribute == "class":
        return value if _LANGUAGE.match(value) else None
    return value


def _computing_at_most(seconds: float) -> Callable[..., Any]:
    """A rule for the parser that matches nothing, and raises `_TooMuch` once the process has computed for so long.

    What no rule is asked in ends by the limit on the process that it runs in.
    """
    end_s = time.process_time() + seconds

    def look(*_of_the_parser: object) -> bool:
        if time.process_time() > end_s:
            raise _TooMuch
        return False

    return look
