"""The table of formats: every one that kind `images` takes, and no other."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from datamanager.kinds.images.format import ImageFormat
from datamanager.kinds.images.formats import avif, draco, jpeg, pcd, ply, png, tiff, webp
from datamanager.kinds.images.info import FormatName

__all__ = ["FORMATS", "build_table", "recognise"]


def build_table(formats: Iterable[ImageFormat]) -> Mapping[FormatName, ImageFormat]:
    """The formats by name, in the order in which they are tried.

    Raises:
        ValueError: two have the same name or extension.
    """
    table: dict[FormatName, ImageFormat] = {}
    extensions: set[str] = set()
    for entry in formats:
        if entry.name in table or entry.extension in extensions:
            raise ValueError(f"format {entry.name} ({entry.extension}) is in the table twice")
        table[entry.name] = entry
        extensions.add(entry.extension)
    return MappingProxyType(table)


# A camera's formats come first: they are what mostly arrives.
FORMATS = build_table(
    (jpeg.FORMAT, png.FORMAT, ply.FORMAT, pcd.FORMAT, draco.FORMAT, webp.FORMAT, tiff.FORMAT, avif.FORMAT)
)


def recognise(data: bytes) -> ImageFormat | None:
    """The format that the bytes start as, whatever they are called; None when it is none of the table."""
    for entry in FORMATS.values():
        if entry.recognise(data):
            return entry
    return None
