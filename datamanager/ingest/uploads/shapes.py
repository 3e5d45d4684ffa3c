"""What is asked of uploads, and what is told of them."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

__all__ = ["NewUpload", "UploadItem", "UploadPart", "UploadState"]

UploadState = Literal["open", "completing", "done", "refused", "aborted", "expired"]
_Text = Annotated[str, Meta(max_length=4096)]


class NewUpload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be uploaded: a message of the wire protocol, but for its bytes.

    Attributes:
        robot_id: who recorded; as in a message, as are the next four and `metadata`.
        kind: one of the kinds.
        t_ns: Unix nanoseconds; or `timestamp`, in seconds.
        size_bytes: how many bytes it has, exactly.
        checksum: `sha256:` and 64 hex digits; it may also be given when the upload is completed.
        payload: the kind's own fields: `format` and `role` of images, say.
        upload_key: a name for this upload, of the sender's choice and its own within the session: who asks again with the same
            one gets the same upload, with the time that was first given, and never two records.
    """

    robot_id: str
    session_id: str
    stream: str
    kind: str
    size_bytes: Annotated[int, Meta(ge=0)]
    t_ns: int | None = None
    timestamp: int | float | None = None
    name: _Text | None = None
    mime_type: _Text | None = None
    checksum: _Text | None = None
    metadata: dict[str, Any] = {}
    payload: dict[str, Any] = {}
    upload_key: Annotated[str, Meta(min_length=1, max_length=512)] | None = None


class UploadPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part: bytes [offset, offset + size), to be PUT to `url`; no `url` where S3 has it."""

    number: int
    offset: int
    size: int
    url: str | None = None


class UploadItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One upload.

    Attributes:
        status: `open` while bytes are awaited, `completing` while they are looked at, and what became of it then.
        t_ns: Unix nanoseconds, as text.
        url: where all of it is to be PUT at once; not where S3 has it, or where it goes in parts.
        received: whether S3 has all of it, of one without parts.
        part_size: of each part but the last.
        part_count: how many parts there are.
        parts: a page of them.
        next_part: `after` of the next page; none when this is the last.
        expires: when the addresses end, Unix seconds; ask again for fresh ones.
        verified_bytes: how many have been looked at by now.
        record_id: the record that it has become.
        code: why it was refused; `detail` says it in words.
    """

    upload_id: str
    status: UploadState
    robot_id: str
    session_id: str
    stream: str
    kind: str
    t_ns: str
    timestamp: float
    size_bytes: int
    name: str | None = None
    url: str | None = None
    received: bool | None = None
    part_size: int | None = None
    part_count: int | None = None
    parts: list[UploadPart] | None = None
    next_part: int | None = None
    expires: float | None = None
    verified_bytes: int | None = None
    record_id: str | None = None
    code: str | None = None
    detail: str | None = None
