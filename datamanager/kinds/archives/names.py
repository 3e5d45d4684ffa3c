"""Names of members: those that would lead out of the folder that somebody unpacks into are refused.

Here nothing is unpacked by name; but whoever downloads the archive may do so with a tool that believes it. A symbolic link
is data like any other, wherever it leads, as long as nothing is to be written through it: folders of robots are full of them.
"""

import re

from datamanager.errors import Refused

__all__ = ["NameBook", "decode_name", "leads_out", "plain_name"]

_MAX_CHARS = 4096  # PATH_MAX
_MAX_PARTS = 256
_DRIVE = re.compile(r"[A-Za-z]:")
_DEVICES = frozenset({"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))})
_ODD = _DEVICES | {"", ".", ".."}  # parts of a name that it has to be looked at for


class NameBook:
    """The names of one archive.

    Args:
        windows: whether names that only Windows takes for a path out, or for a device, are refused: of a zip, whose
            names part folders by `/` alone. On Unix, where tars come from, a backslash or `aux` is a name like any other.
    """

    def __init__(self, *, windows: bool) -> None:
        self._windows = windows
        self._seen: dict[str, bool] = {}
        self._links: set[str] = set()

    def add(self, name: str, offset: int, *, is_directory: bool, is_link: bool = False) -> str:
        """Takes a name in; returns it as duplicates are told by, without `.` and doubled slashes.

        Raises:
            Refused: `unsafe_content` for a hostile name or one that is there twice; `too_large`; `bad_payload` for none.
        """
        plain = name
        if not _ODD.isdisjoint(name.upper().split("/")) or "\\" in name or "\0" in name or name[1:2] == ":":
            self._check(name, offset)
            plain = plain_name(name)
        if len(name) > _MAX_CHARS:
            raise Refused("too_large", f"a member's name has {len(name)} characters", offset=offset)
        if name.count("/") > _MAX_PARTS:
            raise Refused("too_deep", f"a member lies in more than {_MAX_PARTS} folders", offset=offset)
        before = self._seen.get(plain)
        if before is not None and not (before and is_directory):
            raise Refused("unsafe_content", f"the member {name[:200]!r} is there twice", offset=offset)
        if self._links:
            self._check_parents(plain, offset)
        self._seen[plain] = is_directory
        if is_link:
            self._links.add(plain)
        return plain

    def __contains__(self, plain: str) -> bool:
        return plain in self._seen

    def _check(self, name: str, offset: int) -> None:
        if not name:
            raise Refused("bad_payload", "a member has no name", offset=offset)
        path = name.replace("\\", "/")
        what = (
            "has a NUL" if "\0" in name
            else "is absolute" if path.startswith("/")
            else "names a drive" if _DRIVE.match(name)
            else "leads out by .." if ".." in path.split("/")
            else "has a backslash" if self._windows and path != name
            else "is a device on Windows" if self._windows and not _DEVICES.isdisjoint(name.upper().split("/"))
            else None
        )  # fmt: skip
        if what is not None:
            raise Refused("unsafe_content", f"the member {name[:200]!r} {what}", offset=offset)

    def _check_parents(self, plain: str, offset: int) -> None:
        parent = plain.rpartition("/")[0]
        while parent:
            if parent in self._links:
                raise Refused(
                    "unsafe_content", f"the member {plain[:200]!r} lies behind the link {parent[:200]!r}", offset=offset
                )
            parent = parent.rpartition("/")[0]


def leads_out(name: str, target: str, *, is_hard: bool = False) -> bool:
    """Whether a link leads out of the folder.

    Args:
        name: of the link.
        target: what it leads to: from the folder that the link is in; a hard link from the archive's top.
        is_hard: whether it is a hard link.
    """
    path = target.replace("\\", "/")
    depth = 0 if is_hard else len(plain_name(name).split("/")) - 1
    if path.startswith("/") or _DRIVE.match(path) is not None:
        return True
    for part in path.split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return True
    return False


def decode_name(raw: bytes, other: str) -> str:
    """A name of unknown encoding: UTF-8 where it is that, else the `other` one, in which any bytes are text."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode(other)


def plain_name(name: str) -> str:
    """A name without what means nothing in it: `.`, and doubled, first or last slashes."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))
