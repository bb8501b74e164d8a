"""What a thread remembers of declined calls: only calls alike are declined for it, and no longer
than what declined them stays."""

import threading
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

# Takes softmax over the last dimension of rows that are dense, and nothing else.
ROWS_ONLY = "softmax_lastdim__scalar"
X = torch.randn(6, 8)


@pytest.fixture
def rows_only() -> Iterator[None]:
    polyops._C.force("softmax", ROWS_ONLY)
    yield
    polyops._C.force("softmax", None)


def taken(fn: Callable[[], object]) -> bool:
    """And counted, either way, exactly once."""
    polyops.reset_stats()
    fn()
    ops = polyops.stats().values()
    hits, declined = (
        sum(op["hits"] for op in ops),
        sum(sum(op["declined"].values()) for op in ops),
    )
    assert hits + declined == 1
    return hits == 1


def columns() -> torch.Tensor:
    return torch.softmax(X, 0)


@pytest.mark.usefixtures("rows_only")
def test_every_decline_is_counted_under_its_reason():
    polyops.reset_stats()
    for _ in range(5):
        columns()
    (calls,) = polyops.stats()["softmax"]["declined"].values()
    assert calls == 5
    (explained,) = polyops.explain(columns).calls
    assert {explained.reason} == set(polyops.stats()["softmax"]["declined"])


@pytest.mark.usefixtures("rows_only")
@pytest.mark.parametrize(
    "declined",
    [
        pytest.param(columns, id="dim"),
        pytest.param(lambda: torch.softmax(X.t().contiguous().t(), 1), id="strides"),
        pytest.param(lambda: torch.softmax(torch.randn(6, 2, 8).transpose(1, 2), 1), id="rank"),
        pytest.param(lambda: torch.softmax(X[:0], 1), id="sizes"),
    ],
)
def test_another_call_is_asked_about(declined):
    for _ in range(2):
        assert not taken(declined)
        assert taken(lambda: torch.softmax(X, 1))


def test_forced_kernels_and_gates_count_at_once():
    assert taken(columns)
    polyops._C.force("softmax", ROWS_ONLY)
    try:
        assert not taken(columns)
        assert not taken(columns)
    finally:
        polyops._C.force("softmax", None)
    assert taken(columns)


def test_measured_gates_count_at_once():
    """A gate that opens is seen by a thread that was declined before."""
    products = torch.randn(5, 7, dtype=torch.float64)
    polyops._C.set_gate(True)
    assert not taken(lambda: products @ products.t())
    polyops._C.set_gate(False)
    assert taken(lambda: products @ products.t())
    polyops._C.set_gate(True)
    assert not taken(lambda: products @ products.t())


@pytest.mark.usefixtures("rows_only")
def test_threads_remember_for_themselves():
    assert not taken(columns)
    found = []
    thread = threading.Thread(target=lambda: found.extend(taken(columns) for _ in range(2)))
    thread.start()
    thread.join()
    assert found == [False, False]


def test_a_frozen_weight_is_read_though_one_alike_is_declined():
    """Products with weights of one shape look alike, but only one has a pack."""
    plain, frozen = (nn.Linear(20, 30, dtype=torch.float64) for _ in range(2))
    x = torch.randn(4, 20, dtype=torch.float64)
    polyops._C.force("gemm", "gemm_onednn__torch")  # bfloat16 alone
    try:
        with torch.no_grad():
            assert not taken(lambda: plain(x))
            assert not taken(lambda: frozen(x))
            with polyops.freeze(frozen):
                for _ in range(2):
                    assert not taken(lambda: plain(x))
                    assert taken(lambda: frozen(x))
            assert not taken(lambda: frozen(x))
    finally:
        polyops._C.force("gemm", None)


@pytest.mark.usefixtures("rows_only")
def test_results_are_stock_s():
    with polyops.disable():
        expected = columns()
    for _ in range(2):
        torch.testing.assert_close(columns(), expected, rtol=0, atol=0)
        torch.testing.assert_close(F.softmax(X, 0), expected, rtol=0, atol=0)


@pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no bfloat16 here"
)
def test_what_torch_can_switch_is_asked_about_each_time():
    linear, x = nn.Linear(20, 30, dtype=torch.bfloat16), torch.randn(4, 20, dtype=torch.bfloat16)
    polyops._C.force("gemm", "gemm_onednn__torch")
    try:
        with torch.no_grad():
            with torch.backends.mkldnn.flags(enabled=False):
                assert not taken(lambda: linear(x))
            assert taken(lambda: linear(x))
    finally:
        polyops._C.force("gemm", None)
