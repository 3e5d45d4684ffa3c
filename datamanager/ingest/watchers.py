"""What ingest tells the parts that watch it."""

from typing import Any, Protocol

from datamanager.ingest.session import SessionState
from datamanager.ingest.wire import Message
from datamanager.storage.blocks import Block

__all__ = ["Watchers"]


class Watchers(Protocol):
    """Who wants to know at once what came in."""

    def watches(self, session: SessionState) -> bool:
        """Whether anybody wants this session's messages."""

    def message(self, session: SessionState, stream: str, kind: str, message: Message) -> None:
        """A good message arrived; it is not durable yet."""

    def wants_tiers(self, session: SessionState, stream: str) -> bool:
        """Whether a frame that arrives now gets its tiers ahead of time."""

    def must_enrich(self, document: dict[str, Any]) -> list[str]:
        """The enrichments that must look at a frame or record that is about to be written."""

    def stored(self, document: dict[str, Any]) -> None:
        """A frame or record became durable."""

    def block_stored(self, block: Block) -> None:
        """A block of samples became durable."""
