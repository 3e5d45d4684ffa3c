"""What a payload says beside its bytes: of which format it is, and its place among a camera's frames."""

from typing import Any

from datamanager.errors import Refused
from datamanager.kinds.kind import Hints

__all__ = ["check_said"]

_FAMILIES = (
    frozenset({"mp4", "mov", "m4a", "m4v", "m4b", "fmp4", "quicktime"}),
    frozenset({"webm", "mkv", "matroska", "weba", "mka"}),
    frozenset({"ogg", "oga", "opus", "vorbis", "spx"}),
    frozenset({"wav", "wave"}),
    frozenset({"mp3"}),
    frozenset({"flac"}),
    frozenset({"avi"}),
    frozenset({"h264", "avc", "annexb"}),
)
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def check_said(hints: Hints, form: str) -> dict[str, Any]:
    """Holds what the payload says against what the content is.

    Args:
        hints: what the sender says.
        form: the format that the content has.

    Returns:
        Frame number and camera, for the metadata.

    Raises:
        Refused: `kind_mismatch` for another format, with both named; `wrong_type` or `bad_payload` for a frame number that
            is no int64.
    """
    said = (hints.text("format", 64) or "").lower()
    family = next((family for family in _FAMILIES if said in family), None)
    if family is not None and form not in family:
        raise Refused("kind_mismatch", f"the format is said to be {said}, the content is {form}")
    number = hints.payload.get("frame_number")
    if number is not None and type(number) is not int:
        raise Refused("wrong_type", f"frame_number must be an integer, not {type(number).__name__}")
    if number is not None and not _INT64_MIN <= number <= _INT64_MAX:
        raise Refused("bad_payload", "frame_number is beyond int64")
    found = {"frame_number": number, "camera_id": hints.text("camera_id")}
    return {name: value for name, value in found.items() if value is not None}
