"""The plan of the warp: its weights are laid, unchecked, into room whose size is told beforehand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from focalsim.render.resample import _TOGETHER, AxisMap, _weights
from focalsim.separable import place_lanes
from focalsim.simd import LANES

slopes = st.one_of(
    st.just(1.0), st.floats(0.05, 20.0), st.floats(1 - 1e-9, 1 + 1e-9), st.integers(1, 64).map(lambda n: n / 16)
)
offsets = st.one_of(
    st.just(0.0), st.floats(-1e6, 1e6), st.floats(-1e-6, 1e-6), st.integers(-64, 64).map(lambda n: n / 2)
)


@settings(max_examples=400, deadline=None)
@given(slopes, offsets, st.integers(1, 400), st.integers(1, 1000))
def test_neighbours_are_made_of_no_pixels_farther_apart_than_there_is_room_for(slope, offset, n_out, n_in):
    axis = AxisMap(slope, offset, n_out, n_in)
    first, weights = _weights(slope, offset, n_out, n_in, axis.taps)
    assert np.isfinite(weights).all()
    late = place_lanes(first, 1, np.empty(-(-n_out // LANES), np.int64))
    assert late <= axis.farthest_ahead(LANES - 1, beside=1)
    starts = np.arange(0, n_out, _TOGETHER)
    ends = np.minimum(starts + _TOGETHER - 1, n_out - 1)
    assert (first[ends] - first[starts]).max() <= axis.farthest_ahead(_TOGETHER - 1)
