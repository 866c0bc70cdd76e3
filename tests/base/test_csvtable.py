import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.base.csvtable import csv_table


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-1+1", "@SUM(A1)", "\t=1", "＝1", "-", "+1_0"])
def test_no_text_is_a_formula(text: str) -> None:
    ((cell,),) = csv.reader(io.StringIO(csv_table([], [[text]]).lstrip("\n")))
    assert cell.startswith("'")


@pytest.mark.parametrize("text", ["-1", "+2.5e-3", "-.5", "trial 3", "", "a=b"])
def test_numbers_and_plain_text_stay_as_they_are(text: str) -> None:
    assert csv_table(["a", "b"], [[text, 1]]) == f"a,b\n{text},1\n"


@given(st.floats(allow_nan=False))
def test_numbers_are_read_back_as_the_same(number: float) -> None:
    assert float(csv_table(["a"], [[number]]).splitlines()[1]) == number


def test_a_cell_is_one_line_and_a_head_is_made_inert_as_well() -> None:
    assert csv_table(["=x"], [["a\nb\x1b[31m"]]) == "'=x\na b\n"
