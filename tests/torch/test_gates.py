"""Gate files: read, written, checked, and what of them the registry is given."""

import json
from pathlib import Path

import pytest

from polyops import _C, _gates

POINT = {
    "kernel": "softmax_lastdim__scalar",
    "threads": 1,
    "dtype": "float32",
    "layout": "contiguous",
    "sizes": {"outer": 4, "len": 8, "inner": 1},
    "ratio": 1.5,
}


def gate_file(folder: Path, *points: dict, **changes) -> Path:
    path = folder / "toy_chip.json"
    head = {"chip": "toy_chip", "torch": "2", "polyops": "0", "points": list(points)}
    path.write_text(json.dumps({**head, **changes}))
    return path


def test_gate_file_survives_writing_and_reading(tmp_path):
    file = _gates.read(gate_file(tmp_path, POINT))
    faster = _gates.Point(**{**POINT, "ratio": 2.0})
    other = _gates.Point(**{**POINT, "threads": 2})
    merged = _gates.merged(file.points, [faster, other])
    assert [(point.threads, point.ratio) for point in merged] == [(1, 2.0), (2, 1.5)]
    _gates.write(_gates.GateFile(file.chip, file.torch, file.polyops, merged, file.path, "other"))
    again = _gates.read(file.path)
    assert (again.points, again.like) == (merged, "other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratio": -1}, "ratio -1 is no positive number"),
        ({"ratio": "1"}, "ratio is '1'"),
        ({"threads": 0}, "threads is 0"),
        ({"sizes": {"outer": 4, "len": 0, "inner": 1}}, "size len is 0"),
        ({"extra": 1}, "has unknown extra"),
        ({"sizes": {"rows": 4}}, "has sizes outer, len, inner, not rows"),
    ],
)
def test_wrong_gate_point_names_the_file(tmp_path, change, message):
    path = gate_file(tmp_path, {**POINT, **change})
    with pytest.raises(ValueError, match=message) as error:
        _gates.load(_gates.read(path), {kernel["name"]: kernel["op"] for kernel in _C.kernels()})
    assert str(path) in str(error.value)


def test_wrong_gate_file_names_the_file(tmp_path):
    for text in ("{", "[]", '{"chip": "a"}'):
        path = tmp_path / "broken.json"
        path.write_text(text)
        with pytest.raises(ValueError, match=r"broken\.json"):
            _gates.read(path)


def test_gate_of_an_unknown_kernel_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setattr(_gates._C, "add_gate", pytest.fail)
    file = _gates.read(gate_file(tmp_path, {**POINT, "kernel": "of_the_future"}))
    _gates.load(file, {"softmax_lastdim__scalar": "softmax"})


def test_shipped_gate_files_are_valid():
    files = {path.stem: _gates.read(path) for path in _gates.files()}
    for name, file in files.items():
        assert file.chip == name
        assert not file.like or file.like in files


def test_what_was_not_measured_opens_where_it_clearly_won_on_a_chip_like_it():
    def point(kernel, dtype, ratio, layout="contiguous"):
        changes = {"kernel": kernel, "dtype": dtype, "ratio": ratio, "layout": layout}
        return _gates.Point(**{**POINT, **changes})

    ops = {"a": "softmax", "b": "softmax", "c": "relu"}
    own = [point("a", "float32", 1.1)]
    other = [
        point("a", "float32", 3.0),  # measured here,
        point("b", "float32", 3.0),  # as this op was.
        point("b", "float32", 3.5, "rows"),
        point("a", "float16", 1.3),
        point("b", "float16", 1.29),
        point("c", "float32", 0.5),
        point("of_the_future", "float32", 2.0),
    ]
    found = [(p.kernel, p.dtype, p.ratio) for p in _gates.borrowed(own, other, ops)]
    assert found == [
        ("b", "float32", 3.5),
        ("a", "float16", 1.3),
        ("b", "float16", 1.0),
        ("c", "float32", 0.5),
    ]


def test_a_kernel_does_not_take_what_another_is_clearly_faster_at():
    def point(kernel, ratio, **changes):
        return _gates.Point(**{**POINT, "kernel": kernel, "ratio": ratio, **changes})

    ops = dict.fromkeys(["a__avx2", "b__avx2", "a__avx512"], "softmax")
    ops |= {"c__avx2": "gemm", "d__avx2": "softmax_prepacked"}
    points = [
        point("a__avx2", 1.2),
        point("b__avx2", 2.4),  # which shuts the first one's gate,
        point("c__avx2", 1.1),  # but not that of another op,
        point("a__avx512", 1.1),  # or of another instruction set,
        point("a__avx2", 1.2, threads=2),  # with other threads,
        point("a__avx2", 1.2, dtype="bfloat16"),  # or by a little more speed.
        point("b__avx2", 1.25, dtype="bfloat16"),
        point("d__avx2", 2.0),  # Without a packed weight it was faster,
        point("d__avx2", 3.0, threads=2),  # and here with it.
    ]
    ratios = _gates.against_rivals(points, ops)
    assert ratios == [0.5, 2.4, 1.1, 1.1, 1.2, 1.2, 1.25, 2.0 / 2.4, 3.0]
