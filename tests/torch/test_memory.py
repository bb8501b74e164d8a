"""Memory of freed tensors that is kept: who gets it, its switches, and that nobody else notices."""

import os
import threading

import pytest
import torch
from fresh import output, run_python
from torch.profiler import ProfilerActivity, profile

import polyops

LARGE = 1 << 20  # float32 elements, 4 MiB


@pytest.fixture(autouse=True)
def empty_and_then_as_before():
    limit = polyops.memory_stats()["limit_bytes"]
    polyops.keep_memory(256 << 20)
    polyops.empty_cache()
    yield
    polyops.patch()
    polyops.keep_memory(limit)


def counts() -> tuple[int, int]:
    stats = polyops.memory_stats()
    return stats["fresh"], stats["reused"]


@pytest.mark.parametrize("elements", [1 << 14, 1 << 17, LARGE])
def test_the_next_tensor_gets_the_memory_of_the_last(elements):
    fresh, reused = counts()
    first = torch.empty(elements)
    place = first.data_ptr()
    assert place % 64 == 0
    assert counts() == (fresh + 1, reused)
    assert polyops.memory_stats()["in_use_bytes"] >= 4 * elements
    del first
    assert polyops.memory_stats()["kept_bytes"] >= 4 * elements
    second = torch.empty(2, elements // 2)
    assert second.data_ptr() == place
    assert counts() == (fresh + 1, reused + 1)


def test_small_tensors_are_left_to_torch():
    before = polyops.memory_stats()
    tensors = [torch.empty(size) for size in (0, 1, 1000, 16000)]
    assert polyops.memory_stats() == before
    del tensors


def test_a_limit_of_zero_leaves_all_to_torch():
    kept = torch.empty(LARGE)
    polyops.keep_memory(0)
    before = counts()
    torch.empty(LARGE).fill_(1)
    assert counts() == before
    assert not polyops.memory_stats()["keeping"]
    kept.fill_(2)
    del kept
    assert polyops.memory_stats()["kept_bytes"] == 0


def test_a_lower_limit_and_empty_cache_give_back():
    del_later = [torch.empty(LARGE) for _ in range(4)]
    del_later.clear()
    assert polyops.memory_stats()["kept_bytes"] >= 16 << 20
    polyops.keep_memory(10 << 20)
    assert 4 << 20 <= polyops.memory_stats()["kept_bytes"] <= 10 << 20
    polyops.empty_cache()
    assert polyops.memory_stats()["kept_bytes"] == 0


def test_a_negative_limit_is_an_error():
    with pytest.raises(ValueError, match="max_bytes is -1"):
        polyops.keep_memory(-1)


def test_tensors_outlive_every_switch():
    ours = torch.arange(LARGE)
    polyops.unpatch()
    assert not polyops.memory_stats()["keeping"]
    torchs = torch.arange(LARGE)
    assert torch.equal(ours, torchs)
    ours.resize_(2 * LARGE)[LARGE:] = 7
    polyops.patch()
    assert polyops.memory_stats()["keeping"]
    torchs.resize_(2 * LARGE)[LARGE:] = 7
    assert torch.equal(ours, torchs)
    polyops.unpatch()
    del ours, torchs
    polyops.patch()


def test_memory_that_torch_takes_without_a_tensor():
    """oneDNN's own layouts come by raw_allocate, and go to whichever allocator is there by then."""
    weight = torch.randn(1024, 1024)
    ours = weight.to_mkldnn()
    polyops.unpatch()
    torchs = weight.to_mkldnn()
    assert torch.equal(ours.to_dense(), weight)
    del ours
    polyops.patch()
    assert torch.equal(torchs.to_dense(), weight)
    del torchs


def test_storage_resizes_copies_and_shares():
    tensor = torch.arange(LARGE)
    tensor.untyped_storage().resize_(16 * LARGE)
    assert torch.equal(tensor, torch.arange(LARGE))
    lazy = torch._lazy_clone(tensor)
    lazy[0] = 5
    assert tensor[0] == 0
    view = tensor.numpy()
    del tensor
    torch.empty(LARGE).fill_(-1)
    assert view[-1] == LARGE - 1
    shared = lazy.share_memory_()
    assert shared.is_shared()
    assert shared[-1] == LARGE - 1


def test_no_memory_is_torchs_own_error():
    def refusal() -> str:
        with pytest.raises(RuntimeError) as error:
            torch.empty(1 << 50)
        return str(error.value)

    ours = refusal()
    polyops.keep_memory(0)
    assert ours == refusal()
    assert "can't allocate memory" in ours


def test_deterministic_mode_fills_as_stock():
    torch.full((LARGE,), 3.0)  # what an unfilled tensor would show
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(LARGE).isnan().all()
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_profiler_sees_allocations_as_stock():
    def seen() -> list[int]:
        torch.empty(LARGE)  # so that one is kept
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as of:
            kept = torch.empty(LARGE)
            other = torch.empty(1000)
            del kept, other
        return [event.self_cpu_memory_usage for event in of.key_averages()]

    ours = seen()
    polyops.keep_memory(0)
    assert ours == seen()
    assert 4 * LARGE in ours or 4 * LARGE + 4000 in ours


def test_threads_get_memory_of_their_own():
    wrong = []

    def work(value: int) -> None:
        for step in range(200):
            tensor = torch.full(((1 << 14) + 997 * step,), float(value))
            if step % 50 == 0:
                polyops.keep_memory((1 + step % 3) << 20)
            if not (tensor == value).all():
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_fork_goes_on():
    kept = torch.empty(LARGE).fill_(1)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            torch.empty(LARGE)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                # Plain allocation: parallel work after a fork hangs in torch itself.
                fresh = [torch.empty(LARGE) for _ in range(3)]
                kept[0] = 2
                os._exit(0 if len({t.data_ptr() for t in fresh}) == 3 else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()
    assert kept[0] == 1


def test_switched_by_the_environment():
    code = """
import json, torch, polyops
torch.empty(1 << 20)
print(json.dumps(polyops.memory_stats()))
"""
    off = output(code, POLYOPS_KEEP_MB="0")
    assert (off["keeping"], off["limit_bytes"], off["fresh"]) == (False, 0, 0)
    some = output(code, POLYOPS_KEEP_MB="3")
    assert (some["keeping"], some["limit_bytes"], some["fresh"]) == (True, 3 << 20, 1)
    assert some["kept_bytes"] == 0
    assert output(code)["kept_bytes"] >= 4 << 20
    unpatched = output(code, POLYOPS_AUTOPATCH="0")
    assert (unpatched["keeping"], unpatched["fresh"]) == (False, 0)


def test_another_librarys_allocator_stays():
    code = """
import json, torch, polyops
polyops.unpatch()
polyops._C.recycle_tensor_memory()  # one that is not torch's
polyops.patch()
torch.empty(1 << 20)
print(json.dumps(polyops.memory_stats()))
"""
    stats = output(code)
    assert (stats["keeping"], stats["fresh"]) == (False, 0)
    info = run_python(
        "import polyops._C as c, sys\n"
        "import polyops; polyops.unpatch(); c.recycle_tensor_memory(); polyops.patch()\n"
        "from polyops._cli import info; print(info.kept_memory())"
    )
    assert "another library's allocator" in info.stdout


def test_stats_have_the_documented_keys():
    assert set(polyops.memory_stats()) == set(polyops.MemoryStats.__annotations__)
