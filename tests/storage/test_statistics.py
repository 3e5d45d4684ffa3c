"""Packed statistics are those of numpy, with or without gaps."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from datamanager.storage.statistics import FIELDS, Matrix, dense, is_numeric, numeric_channels, pack, unpack

NUMBERS = st.floats(-1e100, 1e100) | st.sampled_from([math.nan, math.inf, -math.inf])
MATRICES = npst.arrays(np.float64, npst.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=NUMBERS)


def by_hand(values: Matrix) -> list[list[float]]:
    found = []
    for row in values:
        there = row[~np.isnan(row)]
        if len(there):
            with np.errstate(invalid="ignore"):
                found.append([len(there), there.min(), there.max(), there.mean(), there[0], there[-1]])
        else:
            found.append([0, *[math.nan] * 5])
    return found


@pytest.mark.filterwarnings("error")
@given(MATRICES)
def test_they_are_those_of_the_values_that_are_there(values: Matrix) -> None:
    [found] = unpack([pack(values)], len(values))
    counts = found.view(np.int64)[FIELDS.index("count")]
    rows = np.vstack([counts.astype(float), found[1:]]).T
    np.testing.assert_allclose(rows, by_hand(values), rtol=1e-12, atol=1e-12)


@given(st.lists(npst.arrays(np.float64, (3, 4), elements=st.floats(-5, 5)), min_size=1, max_size=4))
def test_the_rows_of_many_blocks_decode_as_one_array(blocks: list[Matrix]) -> None:
    found = unpack([pack(block) for block in blocks], 3)
    assert found.shape == (len(blocks), len(FIELDS), 3)
    for i, block in enumerate(blocks):
        assert found[i, FIELDS.index("max")].tolist() == block.max(axis=1).tolist()


def test_only_numbers_and_booleans_have_statistics_and_never_the_columns_of_the_block_itself() -> None:
    fields = [("t_ns", pa.int64()), ("seq", pa.int64()), ("a", pa.bool_()), ("b", pa.string()), ("c", pa.float32())]
    assert numeric_channels(pa.schema([*fields, ("d", pa.null()), ("seq", pa.int64())])) == ["a", "c", "seq"]
    assert not is_numeric(pa.null())


def test_missing_values_are_nan_and_booleans_count_as_numbers() -> None:
    assert dense(pa.array([True, None, False])).tolist()[::2] == [1.0, 0.0]
    assert np.isnan(dense(pa.array([1, None], pa.int64()))[1])
    assert dense(pa.array([0.5], pa.float32())).tolist() == [0.5]
