"""Which of a producer's numbers stand in two blocks, as a crash between two processes can leave them behind.

The block of the earlier generation keeps its samples, whoever asks and whatever else was found: rollups and reads must
agree on it.
"""

from collections.abc import Sequence

import numpy as np

from datamanager.storage.mongo import Document
from datamanager.storage.ranges import RangeSet

__all__ = ["doubled", "ranges_of"]


def ranges_of(document: Document) -> Sequence[Sequence[int]]:
    """The seq ranges of a block or of its statistics."""
    return document.get("seqs") or ((document["seq_first"], document["seq_last"]),)


def doubled(documents: Sequence[Document]) -> dict[int, list[tuple[int, int]]]:
    """Index of a block to the seq ranges that a block of an earlier generation holds already.

    Args:
        documents: statistics of different blocks of one stream, in any order, with their generation. What the server
            numbered is left out: two of its processes may give out the same number.
    """
    producers: dict[str, list[int]] = {}
    for i, document in enumerate(documents):
        if not document["auto"]:
            producers.setdefault(document["producer"], []).append(i)
    drops: dict[int, list[tuple[int, int]]] = {}
    for places in producers.values():
        if _may_overlap(documents, places):
            drops |= _common(documents, places)
    return drops


def _may_overlap(documents: Sequence[Document], places: list[int]) -> bool:
    firsts = np.array([documents[i]["seq_first"] for i in places], np.int64)
    lasts = np.array([documents[i]["seq_last"] for i in places], np.int64)
    order = np.argsort(firsts, kind="stable")
    return bool((firsts[order][1:] <= np.maximum.accumulate(lasts[order])[:-1]).any())


def _common(documents: Sequence[Document], places: list[int]) -> dict[int, list[tuple[int, int]]]:
    def age(i: int) -> tuple[int, int, int, str]:
        document = documents[i]
        return (document["m"]["generation"], document["seq_first"], document["t_ns"], document["block"])

    held = RangeSet()
    drops = {}
    for i in sorted(places, key=age):
        common = [cut for first, last in ranges_of(documents[i]) for cut in held.common(first, last)]
        if common:
            drops[i] = common
        for first, last in ranges_of(documents[i]):
            held.add(first, last)
    return drops
