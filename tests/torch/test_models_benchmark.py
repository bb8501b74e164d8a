"""benchmarks/models.py, on the CPU behind a module like torch.cuda."""

import json
from functools import partial

import agreement
import models
import pytest
import torch
from agreement import Errors, Results
from fake_device import FakeModule
from networks import GPT2
from tasks import MODES, Task, next_token, texts

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

SMALL = Task(partial(GPT2, 61, 16, 32, 2, 1), partial(texts, 2, 12, 61), next_token)


class MemoryModule(FakeModule):
    """Which counts memory, too."""

    def reset_peak_memory_stats(self) -> None: ...

    def memory_allocated(self) -> int:
        return 1_000_000

    def max_memory_allocated(self) -> int:
        return 4_000_000


@pytest.fixture
def run(monkeypatch, tmp_path, target):
    """Runs it on a small network, gives the exit status and the rows."""
    monkeypatch.setattr(models, "find", lambda name: MemoryModule())
    monkeypatch.setattr(models, "Device", lambda name, module: target)
    monkeypatch.setitem(models.TASKS, "gpt2", SMALL)
    found = tmp_path / "found.json"

    def run(*args):
        command = ["models.py", "--model", "gpt2", "--device", "cpu", "--rounds", "3"]
        monkeypatch.setattr("sys.argv", [*command, "--json", str(found), *args])
        status = models.main()
        return status, json.loads(found.read_text())["rows"]

    return run


def test_rows(run, capsys):
    status, rows = run("--lift-gates")
    assert status == 0
    assert [row["mode"] for row in rows] == list(MODES)
    for row in rows:
        assert row["p20"] <= row["ratio"] <= row["p80"]
        assert min(row[f"{kind}stock_ms"] for kind in ("", "host_")) > 0
        assert row["polyops_peak_mb"] == 3
        assert row["taken"]["aten::native_layer_norm"] == 3
        assert 0 < row["polyops_error"]["output"] < 0.02
        assert (row["polyops_error"]["gradients"] > 0) == (row["mode"] != "inference")
    printed = capsys.readouterr().out
    assert "gpt2 inference contiguous: " in printed
    assert "native_layer_norm 3" in printed
    assert polyops.is_patched()


def test_a_row_that_disagrees_is_an_error(run, monkeypatch, capsys):
    monkeypatch.setattr(models, "FACTOR", 0.01)
    status, rows = run("--mode", "inference")
    assert status == 1
    assert rows[0]["error"].startswith("disagrees: ")
    assert "FAILED: gpt2 inference contiguous: disagrees" in capsys.readouterr().out


def test_a_wrong_gradient_disagrees(run, monkeypatch):
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return -grad if polyops.is_patched() else grad

    def make():
        model = SMALL.make()
        norm = [m for m in model.modules() if isinstance(m, torch.nn.LayerNorm)][-1]
        torch.nn.utils.parametrize.register_parametrization(norm, "bias", Module())
        return model

    class Module(torch.nn.Module):
        def forward(self, x):
            return Wrong.apply(x)

    monkeypatch.setitem(models.TASKS, "gpt2", Task(make, SMALL.draw, SMALL.loss))
    status, rows = run("--mode", "bfloat16", "inference")
    assert status == 1
    assert rows[0]["error"].startswith("disagrees: ")
    assert "error" not in rows[1]


def test_a_row_that_does_not_run_is_an_error(run, monkeypatch):
    def out_of_memory(x, target):
        if x.dtype == torch.float32:
            raise torch.OutOfMemoryError("no memory is left")
        return next_token(x, target)

    task = Task(SMALL.make, SMALL.draw, out_of_memory)
    monkeypatch.setitem(models.TASKS, "gpt2", task)
    status, rows = run()
    assert status == 1
    assert [row.get("error") for row in rows] == ["no memory is left"] * 2 + [None]


def test_device_that_is_not_there(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["models.py", "--device", "nonsense"])
    assert models.main() == 2
    assert "models.py: no such device: 'nonsense'; torch " in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--model", "vgg"], ["--rounds", "0"], ["--mode", "x"]])
def test_wrong_arguments(monkeypatch, capsys, arguments):
    monkeypatch.setattr("sys.argv", ["models.py", *arguments])
    with pytest.raises(SystemExit) as stopped:
        models.main()
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_each_gradient_counts_alike():
    exact = Results(torch.ones(4), [torch.full((8,), 100.0), torch.ones(2), torch.zeros(3)])
    assert agreement.errors(exact, exact) == Errors(0, 0, [0, 0, 0])
    wrong = Results(exact.output * 1.25, [exact.gradients[0], -exact.gradients[1], torch.zeros(3)])
    found = agreement.errors(wrong, exact)
    assert found.output == 0.25
    assert found.gradients == pytest.approx((1 / 3) ** 0.5)


def test_errors_that_are_not_numbers_disagree():
    stock = Errors(0.1, 0.2)
    assert Errors(0.15, 0.3).within(stock, 1.5, 1e-9)
    assert not Errors(0.16, 0.2).within(stock, 1.5, 0)
    assert not Errors(0.1, 0.31).within(stock, 1.5, 0)
    several = Errors(0.1, 0.2, [0.01, 0.4])
    assert Errors(0.1, 0.2, [0.03, 1.0]).within(several, 1.5, 1e-9)
    assert not Errors(0.1, 0.2, [0.031, 0.0]).within(several, 1.5, 0)
    for value in (float("nan"), float("inf")):
        assert not Errors(value, 0.2).within(stock, 1.5, 0)
        assert not Errors(0.1, value).within(stock, 1.5, 0)
        exact = Results(torch.ones(4), [torch.ones(2)] * 9)
        holes = [*exact.gradients[1:], torch.tensor([1.0, value])]
        assert not agreement.errors(Results(exact.output, holes), exact).within(Errors(1, 1), 1, 1)
