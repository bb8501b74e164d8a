"""Switching ops from Python while C++ threads dispatch through torch without the GIL."""

import time

import pytest
import torch
from torch.utils import cpp_extension

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

SECONDS = 1.5
THREADS = 3

# Calls on matrices of small integers: sums and maxima are exact in float32 by any kernel, so every
# result must be equal to the first, whoever computed it.
SOURCE = r"""
#include <torch/extension.h>

#include <atomic>
#include <thread>
#include <vector>

struct Hammer {
  std::atomic<bool> stop{false};
  std::atomic<int64_t> calls{0}, wrong{0};
  std::vector<std::thread> threads;

  void start(int count, const at::Tensor& a, const at::Tensor& b) {
    const at::Tensor product = at::mm(a, b), positive = at::relu(a);
    const at::Tensor soft = at::softmax(a, 1);
    for (int i = 0; i < count; ++i) {
      threads.emplace_back([=, this] {
        while (!stop.load()) {
          if (!at::equal(at::mm(a, b), product)) ++wrong;
          if (!at::equal(at::relu(a), positive)) ++wrong;
          if (!at::allclose(at::softmax(a, 1), soft, 1e-5, 1e-7)) ++wrong;
          ++calls;
        }
      });
    }
  }

  std::pair<int64_t, int64_t> join() {
    stop = true;
    for (std::thread& thread : threads) thread.join();
    return {calls.load(), wrong.load()};
  }
};

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  pybind11::class_<Hammer>(m, "Hammer")
      .def(pybind11::init())
      .def("start", &Hammer::start, pybind11::call_guard<pybind11::gil_scoped_release>())
      .def("join", &Hammer::join, pybind11::call_guard<pybind11::gil_scoped_release>());
}
"""


@pytest.fixture(scope="module")
def hammer_module(tmp_path_factory):  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("hammer")
    return cpp_extension.load_inline(
        "polyops_test_hammer", SOURCE, build_directory=str(folder), extra_cflags=["-O1"]
    )


def counts() -> tuple[int, int]:
    """Hits and declined calls of mm, relu and softmax."""
    stats = [polyops.stats()[op] for op in ("mm", "relu", "softmax")]
    return sum(s["hits"] for s in stats), sum(sum(s["declined"].values()) for s in stats)


def run(module, flip) -> tuple[int, int, int]:  # type: ignore[no-untyped-def]
    """Calls made, wrong results, and flips while THREADS threads of C++ were at it."""
    torch.manual_seed(0)
    a, b = torch.randint(-8, 9, (2, 48, 48)).float()
    hammer = module.Hammer()
    hammer.start(THREADS, a, b)
    flips, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        flip()
        flips += 1
    calls, wrong = hammer.join()
    return calls, wrong, flips


def test_counters_add_up_over_cpp_threads(hammer_module) -> None:  # type: ignore[no-untyped-def]
    polyops.reset_stats()
    calls, wrong, _ = run(hammer_module, lambda: time.sleep(0.01))
    assert wrong == 0
    assert calls > 100
    # Three calls in each round, and three for the expected results; the threads are gone by now.
    assert counts() == (3 * calls + 3, 0)


def test_switches_while_cpp_threads_dispatch(hammer_module) -> None:  # type: ignore[no-untyped-def]
    polyops.reset_stats()

    def flip() -> None:
        polyops.disable("mm")
        with polyops.only("relu"):
            time.sleep(0.0005)
        with polyops.disable():
            polyops.stats()
        polyops.enable()
        time.sleep(0.0005)

    calls, wrong, flips = run(hammer_module, flip)
    assert wrong == 0
    assert flips > 50
    hits, declined = counts()
    assert declined == 0
    assert 0 < hits < 3 * calls + 3, "both polyops and stock must have had calls"
    assert all(polyops.is_enabled(op) for op in polyops.ops())


def test_counters_reset_and_read_while_cpp_threads_dispatch(hammer_module) -> None:  # type: ignore[no-untyped-def]
    seen: list[int] = []

    def flip() -> None:
        polyops.reset_stats()
        seen.append(counts()[0])
        time.sleep(0.001)

    calls, wrong, _ = run(hammer_module, flip)
    assert wrong == 0
    assert max(seen) <= 3 * calls + 3
    assert min(seen) >= 0
