"""A YAML stream as values, for reading back. What an alias names is shared, not copied."""

from collections.abc import Iterator
from typing import Any

import yaml

from datamanager.errors import RangeTooLarge
from datamanager.kinds.documents.answer import Answer, Tagged, to_json
from datamanager.kinds.documents.yaml_events import Event, yaml_events
from datamanager.kinds.documents.yaml_scalars import scalar_of
from datamanager.kinds.documents.yaml_walk import MAX_EVENTS, MAX_EXPANDED

__all__ = ["yaml_value"]

_CORE = "tag:yaml.org,2002:"
_KEY_BYTES = 4096


def yaml_value(data: bytes, max_depth: int = 500) -> Any:
    """The value of a stream's document, of several a list, of none None.

    Maps have text keys: a key that is no text goes by its JSON. `<<` merges, as robots' settings use it, though YAML 1.2
    has no such thing.

    Args:
        data: was taken in as kind `yaml`, so that it repeats within bounds.
        max_depth: how deep it may nest.

    Raises:
        RangeTooLarge: it has too many events, or merging comes to too much.
    """
    documents = _Builder(_bounded(yaml_events(data, max_depth, strict=False))).documents()
    return None if not documents else documents[0] if len(documents) == 1 else documents


def _bounded(events: Iterator[Event]) -> Iterator[Event]:
    for number, event in enumerate(events):
        if number > MAX_EVENTS:
            raise RangeTooLarge(f"the document has more than {MAX_EVENTS} events: read the record's content")
        yield event


class _Merge:
    """Stands for the key `<<`."""


class _Builder:
    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._anchors: dict[str | None, Any] = {}
        self._left = MAX_EXPANDED

    def documents(self) -> list[Any]:
        found = []
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors.clear()
                found.append(self._value(next(self._events)))
        return found

    def _value(self, event: Event) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._anchors[event.anchor]
        if isinstance(event, yaml.MappingStartEvent):
            value: Any = self._map()
        elif isinstance(event, yaml.SequenceStartEvent):
            value = [self._value(inner) for inner in iter(self._next, None)]
        else:
            value = scalar_of(event)
        tag = event.tag
        if tag is not None and tag != "!" and not tag.startswith(_CORE):
            value = Tagged(tag, value)
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _next(self) -> Event | None:
        """The next event; None at the end of a collection."""
        event = next(self._events)
        return None if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent) else event

    def _map(self) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: list[Any] = []
        for event in iter(self._next, None):
            key = _Merge() if _is_merge(event) else _key(self._value(event))
            value = self._value(next(self._events))
            if isinstance(key, str):
                own[key] = value
            else:
                merged += value if isinstance(value, list) else [value]
        return self._merge(own, merged) if merged else own

    def _merge(self, own: dict[str, Any], merged: list[Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for source in reversed(merged):  # the first of several counts
            if not isinstance(source, dict):
                return {"<<": merged, **own}
            self._left -= len(source)
            if self._left < 0:
                raise RangeTooLarge(
                    f"its merge keys come to more than {MAX_EXPANDED} entries: read the record's content"
                )
            found.update(source)
        return found | own


def _is_merge(event: Event) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]


def _key(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return to_json(Answer(_KEY_BYTES, _KEY_BYTES).plain(value, "")).decode()
    except RangeTooLarge:
        return f"a key of more than {_KEY_BYTES} bytes"
