"""The colour map Turbo, from blue over green to red.

Source: the polynomial approximation by Ruofei Du in Anton Mikhailov, "Turbo, An Improved Rainbow Colormap for
Visualization" (Google, 2019).
"""

import numpy as np
import numpy.typing as npt

__all__ = ["TURBO"]

_RED = (0.13572138, 4.61539260, -42.66032258, 132.13108234, -152.94239396, 59.28637943)
_GREEN = (0.09140261, 2.19418839, 4.84296658, -14.18503333, 4.27729857, 2.82956604)
_BLUE = (0.10667330, 12.64194608, -60.58204836, 110.36276771, -89.90310912, 27.34824973)


def _build() -> npt.NDArray[np.uint8]:
    x = np.linspace(0.0, 1.0, 256)
    channels = [np.polynomial.polynomial.polyval(x, c) for c in (_RED, _GREEN, _BLUE)]
    return np.round(np.clip(np.stack(channels, axis=1), 0.0, 1.0) * 255).astype(np.uint8)


# Shape (256, 3), dtype uint8: RGB.
TURBO = _build()
TURBO.setflags(write=False)
