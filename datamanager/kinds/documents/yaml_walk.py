"""Walks a YAML stream: its shape, and what its aliases would come to if they were written out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from datamanager.errors import Refused
from datamanager.kinds.documents.shape import MAX_KEYS, clipped
from datamanager.kinds.documents.yaml_events import Event, check_yaml, offset_in_yaml, yaml_events
from datamanager.kinds.documents.yaml_scalars import type_of_scalar

__all__ = ["MAX_EVENTS", "MAX_EXPANDED", "YamlWalk", "walk_yaml"]

MAX_EXPANDED = 1_000_000
MAX_EVENTS = 150_000  # two microseconds each
_MAX_TAGS = 100
_CORE = "tag:yaml.org,2002:"


@dataclass(slots=True)
class YamlWalk:
    """What a walk found.

    Attributes:
        documents: how many the stream has.
        depth: how deep collections nest.
        aliases: how many there are.
        expanded: values there would be with every alias written out.
        tags: of its own, not YAML's; how often each.
        type: of the first document: `object`, `array`, `string`, `number`, `boolean` or `null`.
        entries: of its top level; None of a scalar.
        keys: of its top level, the first few.
        is_whole: whether the walk came to the end; the rest was checked without looking at what is in it.
    """

    documents: int = 0
    depth: int = 0
    aliases: int = 0
    expanded: int = 0
    tags: dict[str, int] = field(default_factory=dict)
    type: str = "null"
    entries: int | None = None
    keys: list[str] = field(default_factory=list)
    is_whole: bool = True


@dataclass(slots=True)
class _Frame:
    """A collection that is being walked: `size` counts itself and what is in it, aliases written out."""

    is_map: bool
    anchor: str | None
    size: int = 1
    children: int = 0


def walk_yaml(data: bytes, max_depth: int) -> YamlWalk:
    """Walks a stream of documents.

    Raises:
        Refused: `bad_payload`, `too_deep`, `too_large` for more than 150,000 events behind which there are aliases,
            `unsafe_content` for aliases that come to more than `MAX_EXPANDED` values, or to themselves; each with the offset.
    """
    return _Walker(data, max_depth).run()


class _Walker:
    def __init__(self, data: bytes, max_depth: int) -> None:
        self._data = data
        self._max_depth = max_depth
        self._found = YamlWalk()
        self._frames: list[_Frame] = []
        self._anchors: dict[str, int] = {}  # of what is anchored, its size; 0 while that is not whole

    def run(self) -> YamlWalk:
        takes: dict[type[Any], Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._begin,
        }
        for number, event in enumerate(yaml_events(self._data, self._max_depth, strict=True)):
            if number > MAX_EVENTS:
                self._hurry(event)
                break
            take = takes.get(type(event))
            if take is not None:
                take(event)
        return self._found

    def _hurry(self, event: Event) -> None:
        """Checks the rest, of which there is much, by its grammar alone."""
        self._found.is_whole = False
        offset = self._offset(event)
        if b"*" in self._data[offset or 0 :]:
            said = f"it has more than {MAX_EVENTS} events, so that what its aliases come to is not counted"
            raise Refused("too_large", said, offset=offset)
        check_yaml(self._data)

    def _begin(self, _: Event) -> None:
        self._found.documents += 1
        self._anchors.clear()

    def _scalar(self, event: Event) -> None:
        self._tag(event.tag)
        if not self._frames and self._found.documents == 1:
            self._found.type = type_of_scalar(event)
        self._child(event.value if isinstance(event.value, str) else "")
        if event.anchor:
            self._anchors[event.anchor] = 1
        self._grow(1, event)

    def _open(self, event: Event) -> None:
        self._tag(event.tag)
        is_map = isinstance(event, yaml.MappingStartEvent)
        if not self._frames and self._found.documents == 1:
            self._found.type = "object" if is_map else "array"
        self._child("{…}" if is_map else "[…]")
        if event.anchor:
            self._anchors[event.anchor] = 0
        self._frames.append(_Frame(is_map, event.anchor))
        self._found.depth = max(self._found.depth, len(self._frames))
        if len(self._frames) > self._max_depth:
            raise Refused("too_deep", f"it nests deeper than {self._max_depth} levels", offset=self._offset(event))

    def _close(self, event: Event) -> None:
        frame = self._frames.pop()
        if frame.anchor:
            self._anchors[frame.anchor] = frame.size
        if not self._frames and self._found.documents == 1:
            self._found.entries = frame.children // 2 if frame.is_map else frame.children
        self._grow(frame.size, event)

    def _alias(self, event: Event) -> None:
        self._found.aliases += 1
        size = self._anchors.get(event.anchor)
        if size is None:
            raise Refused("bad_payload", f"alias {event.anchor[:80]!r} has no anchor", offset=self._offset(event))
        if size == 0:
            said = f"alias {event.anchor[:80]!r} stands within what it stands for, and so has no end"
            raise Refused("unsafe_content", said, offset=self._offset(event))
        self._child("*" + event.anchor)
        self._grow(size, event)

    def _child(self, text: str) -> None:
        """A value begins in the collection that is open."""
        if not self._frames:
            return
        frame = self._frames[-1]
        frame.children += 1
        is_top_key = len(self._frames) == 1 and frame.is_map and frame.children % 2 and self._found.documents == 1
        if is_top_key and len(self._found.keys) < MAX_KEYS:
            self._found.keys.append(clipped(text))

    def _grow(self, size: int, event: Event) -> None:
        if self._frames:
            self._frames[-1].size += size
            whole = self._found.expanded + self._frames[-1].size
        else:
            self._found.expanded += size
            whole = self._found.expanded
        if whole > MAX_EXPANDED:
            said = f"its aliases come to more than {MAX_EXPANDED} values"
            raise Refused("unsafe_content", said, offset=self._offset(event))

    def _tag(self, tag: str | None) -> None:
        if tag is None or tag == "!" or tag.startswith(_CORE):
            return
        if tag in self._found.tags or len(self._found.tags) < _MAX_TAGS:
            self._found.tags[tag] = self._found.tags.get(tag, 0) + 1

    def _offset(self, event: Event) -> int | None:
        return offset_in_yaml(self._data, event.start_mark) if event.start_mark else None
