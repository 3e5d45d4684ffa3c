"""Nested samples to dotted channels, by a function made for each shape of payload that comes by.

Walking a nested map generically costs three times what reading its leaves by name does, and robots send the same
shape hundreds of times a second. So the first payload of a shape is walked, and leaves behind a function of straight
code that checks the shape and returns the leaves.
"""

from collections.abc import Callable, Sequence

from datamanager.errors import Refused

__all__ = ["Flattener"]

_CONTAINERS = frozenset({dict, list})  # where one stands for a value, the shape is another one
_SCALARS = frozenset({bool, int, float, str, type(None)})
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_MAX_NAME = 512
_MAX_SHAPES = 16
_MAX_COMPILED_LEAVES = 2048  # beyond this, compiling costs more than it saves
_MAX_COMPILED = 256  # a stream whose shape never stays is walked

Leaves = tuple[object, ...]
_Path = tuple[object, ...]


class Flattener:
    """Flattens the samples of one stream. Remembers the last shapes; a bounded number of them."""

    def __init__(self, *, max_channels: int, max_depth: int) -> None:
        self._max_channels = max_channels
        self._max_depth = max_depth
        self._compiled = 0
        self._shapes: list[tuple[Callable[[dict[object, object]], Leaves | None], tuple[str, ...]]] = []

    def flatten(self, payload: dict[object, object]) -> tuple[tuple[str, ...], Leaves]:
        """The channels of one nested sample: their names, sorted, and their values.

        Raises:
            Refused: `bad_payload` for a value that is no scalar, an integer beyond int64, two keys that flatten to one
                channel, or no value at all; `too_deep`; `too_large` for too many channels.
        """
        for at, (extract, names) in enumerate(self._shapes):
            leaves = extract(payload)
            if leaves is not None and _CONTAINERS.isdisjoint(map(type, leaves)):
                if at:
                    self._shapes.insert(0, self._shapes.pop(at))
                _check_leaves(leaves, names)
                return names, leaves
        return self._first_of_shape(payload)

    def rows(self, payloads: Sequence[object]) -> tuple[tuple[str, ...], list[Leaves]] | None:
        """The channels of samples that all have the shape of the first, their values unchecked; None if not alike.

        Raises:
            Refused: the first sample is bad.
        """
        first = payloads[0]
        if type(first) is not dict:
            return None
        names, _ = self.flatten(first)
        extract, known = self._shapes[0] if self._shapes else (None, ())
        if extract is None or known is not names:
            return None
        rows = [extract(payload) if type(payload) is dict else None for payload in payloads]
        return None if None in rows else (names, rows)  # type: ignore[return-value]  # no None is left

    def _first_of_shape(self, payload: dict[object, object]) -> tuple[tuple[str, ...], Leaves]:
        found: dict[str, tuple[_Path, object]] = {}
        self._walk(payload, "", (), found, 1)
        if not found:
            raise Refused("bad_payload", "the sample holds no value")
        names = tuple(sorted(found))
        leaves = tuple(found[name][1] for name in names)
        _check_leaves(leaves, names)
        if len(names) <= _MAX_COMPILED_LEAVES and self._compiled < _MAX_COMPILED:
            self._compiled += 1
            extract = _compile(payload, [found[name][0] for name in names])
            self._shapes.insert(0, (extract, names))
            del self._shapes[_MAX_SHAPES:]
        return names, leaves

    def _walk(self, node: object, prefix: str, path: _Path, found: dict[str, tuple[_Path, object]], depth: int) -> None:
        if depth > self._max_depth:
            raise Refused("too_deep", f"the payload nests deeper than {self._max_depth} levels")
        items = node.items() if isinstance(node, dict) else enumerate(node)  # type: ignore[arg-type]  # only maps and lists come here
        for key, value in items:
            if type(key) is not str and type(key) is not int:
                raise Refused("bad_payload", f"a key of the payload is a {type(key).__name__}, not a string")
            name = f"{prefix}.{key}" if path else str(key)
            if isinstance(value, dict | list):
                self._walk(value, name, (*path, key), found, depth + 1)
                continue
            if name in found:
                raise Refused("bad_payload", f"two keys of the payload flatten to the channel {name[:80]!r}")
            if len(name) > _MAX_NAME or not name:
                raise Refused("bad_payload", f"a channel's name has 1 to {_MAX_NAME} characters: {name[:80]!r}")
            found[name] = ((*path, key), value)
            if len(found) > self._max_channels:
                raise Refused("too_large", f"the sample has more than {self._max_channels} channels")


def _check_leaves(leaves: Leaves, names: tuple[str, ...]) -> None:
    types = set(map(type, leaves))
    if not types <= _SCALARS:
        name, value = next((n, v) for n, v in zip(names, leaves, strict=True) if type(v) not in _SCALARS)
        raise Refused(
            "bad_payload", f"channel {name[:80]!r} holds a {type(value).__name__}, not a number, boolean or string"
        )
    if int in types:
        for name, value in zip(names, leaves, strict=True):
            if type(value) is int and not _INT64_MIN <= value <= _INT64_MAX:
                raise Refused("bad_payload", f"channel {name[:80]!r}: the integer {str(value)[:40]} is beyond int64")
    if str in types:
        for name, value in zip(names, leaves, strict=True):
            if type(value) is str and not value.isascii():
                _check_text(name, value)


def _check_text(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise Refused(
            "bad_payload", f"channel {name[:80]!r} holds half a surrogate pair, which is no Unicode text"
        ) from exc


def _compile(payload: dict[object, object], paths: list[_Path]) -> Callable[[dict[object, object]], Leaves | None]:
    """A function that returns the leaves at `paths`, or None when a payload has another shape.

    Only the shape, never a value, goes into the code; every key goes in through `repr` of a str or int.
    """
    lines: list[str] = []
    names: dict[_Path, str] = {}

    def visit(node: object, path: _Path, variable: str) -> None:
        kind = "dict" if isinstance(node, dict) else "list"
        lines.append(f"if type({variable}) is not {kind} or len({variable}) != {len(node)}: return None")  # type: ignore[arg-type]  # a map or list
        children = list(node.items()) if isinstance(node, dict) else list(enumerate(node))  # type: ignore[arg-type]  # as above
        fresh = [f"v{len(names) + i}" for i in range(len(children))]
        for (key, _), name in zip(children, fresh, strict=True):
            names[(*path, key)] = name
        if isinstance(node, dict):
            lines.extend(f"{name} = {variable}[{key!r}]" for (key, _), name in zip(children, fresh, strict=True))
        elif fresh:
            lines.append(f"{', '.join(fresh)}, = {variable}")
        for (key, child), name in zip(children, fresh, strict=True):
            if isinstance(child, dict | list):
                visit(child, (*path, key), name)

    visit(payload, (), "p")
    body = "\n        ".join(lines)
    leaves = ", ".join(names[path] for path in paths)
    source = f"def extract(p):\n    try:\n        {body}\n        return ({leaves},)\n    except KeyError:\n        return None\n"
    scope: dict[str, Callable[[dict[object, object]], Leaves | None]] = {}
    exec(source, {"__builtins__": {"type": type, "len": len, "dict": dict, "list": list, "KeyError": KeyError}}, scope)  # noqa: S102  # made of reprs only
    return scope["extract"]
