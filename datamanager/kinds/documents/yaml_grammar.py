"""YAML by the letter: the productions of the specification (yaml.org/spec/1.2.2), tried in their order.

Slow (about half a megabyte a second), and so only for short documents, where libyaml refuses a tenth of what the
specification's own tests call valid, and takes a tenth of what they call an error. Methods are named as the productions are,
without their prefixes; each says whether it matched, and has then moved on and left its events.
"""

from collections.abc import Callable
from typing import Any

from datamanager.kinds.documents.yaml_texts import Texts

__all__ = ["Grammar"]

_IN_FLOW = {"flow-out": "flow-in", "flow-in": "flow-in", "block-key": "flow-key", "flow-key": "flow-key"}
_KEYS = frozenset({"block-key", "flow-key"})
_MAX_KEY_CHARS = 1024


class Grammar(Texts):
    """Parses one text; `events` has then what was found.

    Args:
        text: without a byte order mark, its characters known to be printable.
        max_depth: how deep collections may nest.
    """

    def __init__(self, text: str, max_depth: int) -> None:
        super().__init__(text)
        self._memo: dict[tuple[Any, ...], tuple[int, tuple[Any, ...]] | None] = {}
        self._levels_left = max_depth

    def stream(self) -> bool:
        """Production 211: the whole text."""
        self.document_prefix()
        self.any_document()
        while self.at < len(self.text):
            before = self.at
            if self.document_suffix():
                while self.document_suffix():
                    pass
                self.document_prefix()
                self.any_document()
            elif not (self.comment_line() or self.explicit_document()):
                return False
            if self.at == before:
                return False
        return True

    def document_prefix(self) -> bool:
        while self.comment_line():
            pass
        return True

    def document_suffix(self) -> bool:
        return self._is_line_start() and self.tried(lambda: self.word("...") and self.comments())

    def any_document(self) -> bool:
        if self.at >= len(self.text):
            return False
        return self.directive_document() or self.explicit_document() or self.tried(self._bare)

    def _bare(self) -> bool:
        self.begin_document(explicit=False)
        return self.bare_document() and self.end_document()

    def directive_document(self) -> bool:
        def match() -> bool:
            self.begin_directives()
            seen = 0
            while self._is_line_start() and self.directive():
                seen += 1
            return seen > 0 and self.explicit_document(keep_handles=True)

        return self.tried(match)

    def explicit_document(self, *, keep_handles: bool = False) -> bool:
        def match() -> bool:
            if not self._is_line_start() or not self.word("---") or self._is_content_next():
                return False
            if not keep_handles:
                self.begin_directives()
            self.begin_document(explicit=True)
            if not self.tried(self.bare_document) and not (self.empty() and self.comments()):
                return False
            return self.end_document()

        return self.tried(match)

    def bare_document(self) -> bool:
        return self.block_node(-1, "block-in")

    # Blocks: chapter 8.

    def block_node(self, n: int, c: str) -> bool:
        return self.block_in_block(n, c) or self.flow_in_block(n)

    def flow_in_block(self, n: int) -> bool:
        return self.tried(
            lambda: self.separate(n + 1, "flow-out") and self.flow_node(n + 1, "flow-out") and self.comments()
        )

    def block_in_block(self, n: int, c: str) -> bool:
        return self.tried(lambda: self._block_scalar(n, c)) or self.tried(lambda: self._block_collection(n, c))

    def _block_scalar(self, n: int, c: str) -> bool:
        if not self.separate(n + 1, c):
            return False
        self.tried(lambda: self.properties(n + 1, c) and self.separate(n + 1, c))
        return self.block_text(n)

    def _block_collection(self, n: int, c: str) -> bool:
        def with_properties(some: Callable[[], bool]) -> bool:
            return self.separate(n + 1, c) and some() and self.comments() and inner()

        def inner() -> bool:
            return self.block_sequence(n - 1 if c == "block-out" else n) or self.block_mapping(n)

        # Of two properties over two lines the second may be of the first key.
        return (
            self.tried(lambda: with_properties(lambda: self.properties(n + 1, c)))
            or self.tried(lambda: with_properties(self.tag_property))
            or self.tried(lambda: with_properties(self.anchor_property))
            or self.tried(lambda: self.comments() and inner())
        )

    def block_sequence(self, n: int) -> bool:
        wide = self.indent_here()
        if wide <= n:
            return False
        return self._collection("sequence", lambda: self._entries(wide, self.block_sequence_entry))

    def block_mapping(self, n: int) -> bool:
        wide = self.indent_here()
        if wide <= n:
            return False
        return self._collection("mapping", lambda: self._entries(wide, self.block_map_entry))

    def _entries(self, n: int, entry: Callable[[int], bool]) -> bool:
        """One entry or more, each at an indent of `n`."""
        if not self.tried(lambda: self.indent(n) and entry(n)):
            return False
        while self.tried(lambda: self.indent(n) and entry(n)):
            pass
        return True

    def _compact(self, n: int, entry: Callable[[int], bool]) -> bool:
        """Entries of which the first stands where we are."""
        if not entry(n):
            return False
        while self.tried(lambda: self.indent(n) and entry(n)):
            pass
        return True

    def block_sequence_entry(self, n: int) -> bool:
        return self.word("-") and not self._is_content_next() and self.block_indented(n, "block-in")

    def block_indented(self, n: int, c: str) -> bool:
        def compact() -> bool:
            m = self.spaces_here()
            inner = n + 1 + m
            return self.indent(m) and (
                self._collection("sequence", lambda: self._compact(inner, self.block_sequence_entry))
                or self._collection("mapping", lambda: self._compact(inner, self.block_map_entry))
            )

        return self.tried(compact) or self.block_node(n, c) or self.tried(lambda: self.empty() and self.comments())

    def block_map_entry(self, n: int) -> bool:
        return self.tried(lambda: self._explicit_entry(n)) or self.tried(lambda: self._implicit_entry(n))

    def _explicit_entry(self, n: int) -> bool:
        if not self.word("?") or self._is_content_next() or not self.block_indented(n, "block-out"):
            return False
        value = self.tried(
            lambda: (
                self.indent(n)
                and self.word(":")
                and not self._is_content_next()
                and self.block_indented(n, "block-out")
            )
        )
        return value or self.empty()

    def _implicit_entry(self, n: int) -> bool:
        key = self.implicit_json_key("block-key") or self.implicit_yaml_key("block-key")
        if not key:
            self.empty()
        if not self.word(":") or self._is_content_next():
            return False
        return self.block_node(n, "block-out") or self.tried(lambda: self.empty() and self.comments())

    # Flow: chapter 7.

    def implicit_yaml_key(self, c: str) -> bool:
        return self._key(lambda: self.flow_yaml_node(0, c))

    def implicit_json_key(self, c: str) -> bool:
        return self._key(lambda: self.flow_json_node(0, c))

    def _key(self, node: Callable[[], bool]) -> bool:
        start = self.at

        def match() -> bool:
            return node() and (self.separate_in_line() or True) and self.at - start <= _MAX_KEY_CHARS

        return self.tried(match)

    def flow_yaml_node(self, n: int, c: str) -> bool:
        return self._node(n, c, self.plain)

    def flow_node(self, n: int, c: str) -> bool:
        return self._known("node", n, c, lambda: self._node(n, c, self._flow_content))

    def _node(self, n: int, c: str, content: Callable[[int, str], bool]) -> bool:
        def with_properties() -> bool:
            return self.properties(n, c) and (self.tried(lambda: self.separate(n, c) and content(n, c)) or self.empty())

        return self.alias() or content(n, c) or self.tried(with_properties)

    def _flow_content(self, n: int, c: str) -> bool:
        return self.plain(n, c) or self._json_content(n, c)

    def flow_json_node(self, n: int, c: str) -> bool:
        def match() -> bool:
            self.tried(lambda: self.properties(n, c) and self.separate(n, c))
            return self._json_content(n, c)

        return self._known("json", n, c, lambda: self.tried(match))

    def _json_content(self, n: int, c: str) -> bool:
        return (
            self.quoted(n, is_one_line=c in _KEYS)
            or self._flow_collection("sequence", "[", "]", n, c, self.flow_sequence_entry)
            or self._flow_collection("mapping", "{", "}", n, c, self.flow_map_entry)
        )

    def _flow_collection(
        self, kind: str, open_: str, close: str, n: int, c: str, entry: Callable[[int, str], bool]
    ) -> bool:
        inner = _IN_FLOW[c]

        def match() -> bool:
            if not self.word(open_):
                return False
            self.separate(n, c)
            while entry(n, inner):
                self.separate(n, c)
                if not self.word(","):
                    break
                self.separate(n, c)
            return self.word(close)

        return self._collection(kind, match)

    def flow_sequence_entry(self, n: int, c: str) -> bool:
        return self.tried(lambda: self._pair(n, c)) or self.flow_node(n, c)

    def _pair(self, n: int, c: str) -> bool:
        def entry() -> bool:
            if self.tried(lambda: self.word("?") and self.separate(n, c) and self.explicit_map_entry(n, c)):
                return True
            return (
                self.tried(lambda: self.implicit_yaml_key("flow-key") and self.separate_value(n, c))
                or self.tried(lambda: self.empty() and self.separate_value(n, c))
                or self.tried(lambda: self.implicit_json_key("flow-key") and self.adjacent_value(n, c))
            )

        return self._collection("mapping", entry)

    def flow_map_entry(self, n: int, c: str) -> bool:
        explicit = self.tried(lambda: self.word("?") and self.separate(n, c) and self.explicit_map_entry(n, c))
        return explicit or self.implicit_map_entry(n, c)

    def explicit_map_entry(self, n: int, c: str) -> bool:
        return self.implicit_map_entry(n, c) or (self.empty() and self.empty())

    def implicit_map_entry(self, n: int, c: str) -> bool:
        def yaml_key() -> bool:
            return self.flow_yaml_node(n, c) and (
                self.tried(lambda: self._maybe_separate(n, c) and self.separate_value(n, c)) or self.empty()
            )

        def json_key() -> bool:
            return self.flow_json_node(n, c) and (
                self.tried(lambda: self._maybe_separate(n, c) and self.adjacent_value(n, c)) or self.empty()
            )

        # JSON-like keys first: properties and nothing else are a key of YAML too, and would be taken from before them.
        return (
            self.tried(json_key)
            or self.tried(yaml_key)
            or self.tried(lambda: self.empty() and self.separate_value(n, c))
        )

    def separate_value(self, n: int, c: str) -> bool:
        if not self.word(":") or self.is_plain_safe_next(c):
            return False
        return self.tried(lambda: self.separate(n, c) and self.flow_node(n, c)) or self.empty()

    def adjacent_value(self, n: int, c: str) -> bool:
        if not self.word(":"):
            return False
        return self.tried(lambda: self._maybe_separate(n, c) and self.flow_node(n, c)) or self.empty()

    def _maybe_separate(self, n: int, c: str) -> bool:
        return self.separate(n, c) or True

    def properties(self, n: int, c: str) -> bool:
        if self.tag_property():
            self.tried(lambda: self.separate(n, c) and self.anchor_property())
            return True
        if self.anchor_property():
            self.tried(lambda: self.separate(n, c) and self.tag_property())
            return True
        return False

    def separate(self, n: int, c: str) -> bool:
        """White space, in flow and block also over lines and comments."""
        if c in _KEYS:
            return self.separate_in_line()
        return self.tried(lambda: self.comments() and self.flow_line_prefix(n)) or self.separate_in_line()

    def _collection(self, kind: str, match: Callable[[], bool]) -> bool:
        if self._levels_left <= 0:
            raise RecursionError("too many levels")
        self._levels_left -= 1
        try:
            return self.tried(lambda: self.begin(kind) and match() and self.end(kind))
        finally:
            self._levels_left += 1

    def _known(self, name: str, n: int, c: str, match: Callable[[], bool]) -> bool:
        """Matches, or says again what was said here before: without it, nesting would double the work at each level."""
        key = (name, self.at, n, c)
        if key in self._memo:
            found = self._memo[key]
            if found is not None:
                self.at = found[0]
                self.events += found[1]
            return found is not None
        start = len(self.events)
        is_match = self.tried(match)
        self._memo[key] = (self.at, tuple(self.events[start:])) if is_match else None
        return is_match

    def _is_line_start(self) -> bool:
        return self.at == 0 or self.text[self.at - 1] in "\r\n"

    def _is_content_next(self) -> bool:
        return self.at < len(self.text) and self.text[self.at] not in " \t\r\n"
