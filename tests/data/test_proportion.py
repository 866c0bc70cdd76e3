import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.data.proportion import MOST, Proportion

rises = st.one_of(st.integers(0, 100), st.integers(0, 2**61))
runs = st.one_of(st.integers(1, 50), st.integers(1, MOST))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(rise=rises, run=runs, data=st.data())
def test_a_line_is_exact_where_its_products_need_a_hundred_bits(rise: int, run: int, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, max(0, rise - 1)))
    places = [0, run, *data.draw(st.lists(st.integers(0, run), max_size=8))]
    heights = Proportion(rise, run, offset).at(np.array(places, dtype=np.int64))
    assert heights.tolist() == [(place * rise + offset) // run for place in places]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(rise=rises.filter(bool), run=runs, data=st.data())
def test_the_first_place_of_a_height_is_exact_too(rise: int, run: int, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, rise - 1))
    heights = [0, rise, *data.draw(st.lists(st.integers(0, rise), max_size=8))]
    places = Proportion(rise, run, offset).first(np.array(heights, dtype=np.int64))
    assert places.tolist() == [min(run, max(0, -((offset - height * run) // rise))) for height in heights]
