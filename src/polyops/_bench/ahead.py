"""Runs other libraries' calls once, in processes of their own, before anything is timed.

torch.compile and Triton keep what they compile on disk, where the measuring process finds it. And a
library that ends a process's use of the device, by an illegal access, ends here none but its own.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from tempfile import TemporaryDirectory

from polyops._bench import contestants
from polyops._bench.calls import make
from polyops._bench.rotation import Rotation
from polyops._bench.shapes import Spec

ROWS_OF_A_PROCESS = 16


def able(
    specs: Sequence[Spec], names: Sequence[str], done: Callable[[], None]
) -> dict[str, list[str]]:
    """Which of these can compute each row, by its name. Calls done() as each becomes known."""
    found = _in_processes(specs, names, ROWS_OF_A_PROCESS, done)
    # A row that failed may have done so because of the one before it: once more, alone.
    failed = [spec for spec in specs if spec.name() not in found]
    return found | _in_processes(failed, names, 1, done)


def _in_processes(
    specs: Sequence[Spec], names: Sequence[str], each: int, done: Callable[[], None]
) -> dict[str, list[str]]:
    """Of the rows that did not fail."""
    found = {}
    with (
        TemporaryDirectory() as folder,
        ProcessPoolExecutor(
            mp_context=get_context("spawn"),
            initializer=_start,
            initargs=(folder,),
            max_tasks_per_child=each,
        ) as pool,
    ):
        futures = {pool.submit(_able, spec, names): spec for spec in specs}
        for future in as_completed(futures):
            if future.exception() is None:
                found[futures[future].name()] = future.result()
                done()
    return found


def _start(folder: str) -> None:
    # FlagGems keeps what it finds fastest, which beside other processes means nothing.
    os.environ["FLAGGEMS_CACHE_DIR"] = folder
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"


def _able(spec: Spec, names: Sequence[str]) -> list[str]:
    return list(contestants.others(spec, Rotation([make(spec).fn]), names))
