"""Kind `yaml`: a stream of YAML documents, kept as it is.

Up to 16 KiB what YAML 1.2.2 allows is taken, and nothing else; beyond, what libyaml parses, which is nearly the same. So are
several documents, tags of any name, which are data and nothing else, and OpenCV's first line. Aliases are counted as if
they were written out, and never are.
"""

from typing import Any

from datamanager.errors import Refused
from datamanager.kinds.documents.mismatch import naming_others
from datamanager.kinds.documents.shape import clipped, shape
from datamanager.kinds.documents.whole import read_document
from datamanager.kinds.documents.yaml_walk import YamlWalk, walk_yaml
from datamanager.kinds.images.table import recognise
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import Source

__all__ = ["examine"]

_MAX_BYTES = 8 << 20  # libyaml takes a second for as much as 27 MB of the smallest values


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:
    """Checks a YAML stream.

    Raises:
        Refused: `bad_payload` with the offset, `unsafe_content` for aliases that come to too much, `too_deep`, `too_large`,
            `kind_mismatch`.
    """
    data = read_document(source, hints, min(limits.max_document_bytes, _MAX_BYTES), may_be_empty=True)
    image = recognise(data)
    if image is not None:  # the headers of some are text, and any line of text is YAML
        raise Refused("kind_mismatch", f"the content is a picture or point cloud ({image.name})", offset=0)
    with naming_others(data):
        walk = walk_yaml(data, limits.max_depth)
    return Found("application/yaml", "yaml", _metadata(walk))


def _metadata(walk: YamlWalk) -> dict[str, Any]:
    keys = walk.keys if walk.type == "object" else None
    if not walk.is_whole:
        return {"shape": shape(walk.type, keys=keys)}
    found: dict[str, Any] = {
        "shape": shape(walk.type, entries=walk.entries, keys=keys, depth=walk.depth),
        "documents": walk.documents,
    }
    if walk.aliases:
        found |= {"aliases": walk.aliases, "expanded_values": walk.expanded}
    if walk.tags:
        found["tags"] = [{"tag": clipped(tag), "count": count} for tag, count in walk.tags.items()]
    return found
