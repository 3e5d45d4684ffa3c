"""Where a picture lies in a model's input, and the way back."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datamanager.inference.manifest import FrameFit

__all__ = ["Fitted", "Placement", "place"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the upright picture lies in the input: x_in = x * scale_x + left, y_in = y * scale_y + top.

    Attributes:
        width, height: of the upright picture, pixels.
        scale_x, scale_y: pixels of the input for one of the picture.
        left, top: the picture's corner in the input; negative where it is cut off.
    """

    width: int
    height: int
    scale_x: float
    scale_y: float
    left: float
    top: float

    def to_picture(self, boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Boxes of the input as boxes of the upright picture, cut off at its edges.

        Args:
            boxes: shape (n, 4): x1, y1, x2, y2, in pixels of the input.
        """
        scales = (self.scale_x, self.scale_y) * 2
        mapped = (boxes - (self.left, self.top) * 2) / scales
        return np.clip(mapped, 0.0, (self.width, self.height) * 2)


@dataclass(frozen=True, slots=True)
class Fitted:
    """How an upright picture is fitted into an input.

    Attributes:
        placement: where it then lies.
        area: the part of the picture that is seen: left, top, width, height, in its pixels.
        size: width and height that this part gets, in pixels of the input.
        at: where its left upper corner comes to, in pixels of the input.
    """

    placement: Placement
    area: tuple[float, float, float, float]
    size: tuple[int, int]
    at: tuple[int, int]


def place(size: tuple[int, int], target: tuple[int, int], fit: FrameFit) -> Fitted:
    """How an upright picture of `size` (width, height) comes into an input of `target` (width, height)."""
    width, height = size
    factor_x, factor_y = target[0] / width, target[1] / height
    whole = (0.0, 0.0, float(width), float(height))
    if fit == "stretch":
        return Fitted(Placement(width, height, factor_x, factor_y, 0.0, 0.0), whole, target, (0, 0))
    if fit == "crop":
        factor = max(factor_x, factor_y)
        seen = target[0] / factor, target[1] / factor
        left, top = (width - seen[0]) / 2, (height - seen[1]) / 2
        placement = Placement(width, height, factor, factor, -left * factor, -top * factor)
        return Fitted(placement, (left, top, *seen), target, (0, 0))
    factor = min(factor_x, factor_y)
    # Never 0 pixels; and as Ultralytics rounds, so that an odd pixel goes to the right and to the bottom.
    new = max(1, round(width * factor)), max(1, round(height * factor))
    at = round((target[0] - new[0]) / 2 - 0.1), round((target[1] - new[1]) / 2 - 0.1)
    return Fitted(Placement(width, height, new[0] / width, new[1] / height, *at), whole, new, at)
