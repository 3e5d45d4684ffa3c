"""What can be computed of a window, by name. There are no expressions: a rule chooses among these."""

import re
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["FUNCTIONS", "Floats", "WindowFunction", "function_named"]

Floats = npt.NDArray[np.float64]
WindowFunction = Callable[[Floats, Floats], Floats]
"""Of times in seconds [n] and values [n, channels], NaN where one is missing, one number for each channel."""

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d)?)\Z")


def _first(_: Floats, x: Floats) -> Floats:
    at = np.argmax(~np.isnan(x), axis=0)
    found: Floats = x[at, np.arange(x.shape[1])]
    return found


def _last(t: Floats, x: Floats) -> Floats:
    return _first(t, x[::-1])


def _rate(t: Floats, x: Floats) -> Floats:
    """From the first value to the last one, per second; NaN where there are no two at different times."""
    good = ~np.isnan(x)
    rows = np.arange(len(t))[:, None]
    first = np.argmax(good, axis=0)
    last = np.where(good, rows, 0).max(axis=0)
    columns = np.arange(x.shape[1])
    span = t[last] - t[first]
    rise = x[last, columns] - x[first, columns]
    slope: Floats = np.divide(rise, span, out=np.full(x.shape[1], np.nan), where=span > 0)
    return slope


def _crossings(_: Floats, x: Floats) -> Floats:
    """How often the values cross their mean; what is missing is passed over."""
    side = np.where(np.isnan(x), 0, np.where(x > np.nanmean(x, axis=0), 1, -1))
    rows = np.where(side != 0, np.arange(len(x))[:, None], 0)
    side = side[np.maximum.accumulate(rows), np.arange(x.shape[1])]
    count: Floats = (side[1:] * side[:-1] < 0).sum(axis=0).astype(np.float64)
    return count


FUNCTIONS: dict[str, WindowFunction] = {
    "count": lambda _, x: (~np.isnan(x)).sum(axis=0).astype(np.float64),
    "missing": lambda _, x: np.isnan(x).sum(axis=0).astype(np.float64),
    "mean": lambda _, x: np.nanmean(x, axis=0),
    "std": lambda _, x: np.nanstd(x, axis=0),
    "min": lambda _, x: np.nanmin(x, axis=0),
    "max": lambda _, x: np.nanmax(x, axis=0),
    "sum": lambda _, x: np.nansum(x, axis=0),
    "range": lambda _, x: np.nanmax(x, axis=0) - np.nanmin(x, axis=0),
    "median": lambda _, x: np.nanmedian(x, axis=0),
    "rms": lambda _, x: np.sqrt(np.nanmean(x * x, axis=0)),
    "first": _first,
    "last": _last,
    "rate": _rate,
    "crossings": _crossings,
}
"""By name; `pNN` besides: percentiles, `p0` to `p99.9`."""


def function_named(name: str) -> WindowFunction | None:
    """The function of a name; None when there is none."""
    match = _PERCENTILE.match(name)
    if match is None:
        return _quiet(FUNCTIONS[name]) if name in FUNCTIONS else None
    percent = float(match.group(1))
    return _quiet(lambda _, x: np.nanpercentile(x, percent, axis=0))


def _quiet(function: WindowFunction) -> WindowFunction:
    """The function; of a channel without values NaN, and nobody is warned of it."""

    def call(t: Floats, x: Floats) -> Floats:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)
            return function(t, x)

    return call
