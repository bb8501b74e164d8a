"""What OPS.md claims about ops and devices is what is registered."""

from pathlib import Path

import pytest

from polyops import _C
from polyops._cli import markdown

PAGE = Path(__file__).resolve().parents[2] / "OPS.md"


@pytest.mark.skipif(
    not {"onednn", "cuda"} <= {family["name"] for family in _C.families()},
    reason="the table is that of a build with oneDNN and CUDA",
)
def test_op_table_is_current():
    text = PAGE.read_text()
    table = text.partition(markdown.BEGIN)[2].partition(markdown.END)[0].strip()
    assert table == markdown.op_table(), "write the output of `polyops info --markdown` into it"
