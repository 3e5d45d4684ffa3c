"""JSON Pointer (RFC 6901): a path into a document."""

import re
from collections.abc import Sequence

from datamanager.errors import NotFound, Refused

__all__ = ["array_index", "missing", "parse_pointer", "pointer_of"]

_MAX_CHARS = 4096
_INDEX = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


def parse_pointer(text: str) -> list[str]:
    r"""The reference tokens of a pointer: `/a~1b/0` is `["a/b", "0"]`, the empty pointer the whole document.

    Raises:
        Refused: `malformed`, or `too_large` for more than 4096 characters.
    """
    if len(text) > _MAX_CHARS:
        raise Refused("too_large", f"the path has {len(text)} characters; at most {_MAX_CHARS} are taken")
    if not text:
        return []
    if not text.startswith("/"):
        raise Refused("malformed", f"path={text[:80]!r} is no JSON Pointer (RFC 6901): it is empty or begins with /")
    tokens = text[1:].split("/")
    for token in tokens:
        if "~" in token.replace("~0", "").replace("~1", ""):
            raise Refused("malformed", f"path={text[:80]!r} is no JSON Pointer: ~ stands for itself only as ~0")
    return [token.replace("~1", "/").replace("~0", "~") for token in tokens]


def pointer_of(tokens: Sequence[str]) -> str:
    """The pointer that has these tokens."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)


def array_index(token: str) -> int | None:
    """The index that a token means in an array: digits without leading zeros; None for any other."""
    return int(token) if _INDEX.fullmatch(token) else None


def missing(tokens: Sequence[str], depth: int, what: str) -> NotFound:
    """The error of a path that leads nowhere.

    Args:
        tokens: of the whole path.
        depth: how many of them were found.
        what: what stands there, and so has no such member: `an array of 3 entries`.
    """
    whole, found = pointer_of(tokens)[:200], pointer_of(tokens[:depth])[:200]
    return NotFound(f"there is no {whole!r} in the document: {found or 'the top'!r} is {what}")
