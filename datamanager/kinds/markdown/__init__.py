"""Kind `markdown`: UTF-8 text; its title and headings; safe HTML of it."""

from datamanager.errors import Refused
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.markdown.outline import outline_of
from datamanager.kinds.source import Source
from datamanager.kinds.text import read_text

__all__ = ["examine"]


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:  # noqa: ARG001  # every kind is called alike
    """Checks that it is text that does not nest too deep, and lists its headings. Every such text is Markdown.

    Raises:
        Refused: `kind_mismatch` for what is no text, `bad_payload` where it is empty or no UTF-8, `too_large`, `too_deep`.
    """
    text = read_text(source, "markdown", limits.max_document_bytes)
    outline = outline_of(text, limits.max_depth)
    if outline.too_deep_at is not None:
        offset = len(text[: outline.too_deep_at].encode())
        raise Refused("too_deep", f"quotes or lists nest more than {limits.max_depth} deep", offset=offset)
    return Found("text/markdown; charset=utf-8", "md", outline.metadata)
