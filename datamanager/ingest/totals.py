"""Totals of one producer in one stream."""

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Totals"]


@dataclass(slots=True)
class Totals:
    """What is durable of one producer in one stream."""

    records: int = 0
    samples: int = 0
    size_bytes: int = 0
    first_t_ns: int | None = None
    last_t_ns: int | None = None

    def add(self, records: int, samples: int, size_bytes: int, first_ns: int, last_ns: int) -> None:
        """Counts what became durable."""
        self.records += records
        self.samples += samples
        self.size_bytes += size_bytes
        self.first_t_ns = first_ns if self.first_t_ns is None else min(first_ns, self.first_t_ns)
        self.last_t_ns = last_ns if self.last_t_ns is None else max(last_ns, self.last_t_ns)

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Totals":
        """The totals as they were kept."""
        return cls(**{name: document[name] for name in cls.__slots__})

    def fields(self) -> dict[str, Any]:
        """The totals as they are kept."""
        return asdict(self)
