"""What a child process does with one frame. It imports no driver, so that a child stays small."""

from collections.abc import Sequence

from datamanager.errors import Refused
from datamanager.kinds.images.info import ImageLimits
from datamanager.kinds.images.inspect import inspect_image
from datamanager.worker.tier import Tier, TierName
from datamanager.worker.tiers import make_tiers

__all__ = ["tiers_of"]


def tiers_of(
    data: bytes, declared_format: str | None, role: str | None, limits: ImageLimits, which: Sequence[TierName]
) -> dict[TierName, Tier] | str:
    """The tiers of one frame by name; or, where its bytes are broken inside, what is wrong with them.

    The original is inspected again, which takes microseconds, rather than believed what a document says of it.
    """
    try:
        info = inspect_image(data, declared_format=declared_format, role=role, limits=limits)
        return make_tiers(data, info, which)
    except Refused as exc:
        return f"{exc.code}: {exc.detail}"
