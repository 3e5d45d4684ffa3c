"""What a format is: a name and two functions."""

from collections.abc import Callable
from dataclasses import dataclass

from datamanager.kinds.images.info import Content, FormatName, ImageLimits

__all__ = ["ImageFormat"]


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """One format of kind `images`.

    Attributes:
        name: its word in metadata.
        mime_type: what its bytes are served as.
        extension: the ending of its keys in S3, without a dot.
        is_cloud: whether it holds points and not pixels.
        recognise: whether bytes start as this format does; reads the first few bytes only.
        inspect: checks the bytes by structure and says what is in them; raises `Refused`, and nothing else.
    """

    name: FormatName
    mime_type: str
    extension: str
    is_cloud: bool
    recognise: Callable[[bytes], bool]
    inspect: Callable[[bytes, ImageLimits], Content]
