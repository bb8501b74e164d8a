"""Runs other libraries' calls once, in processes of their own, before anything is timed.

torch.compile and Triton keep what they compile on disk, where the measuring process finds it. And a
library that ends its process, or that process's use of the device by an illegal access, ends here
none but that, and is not asked again.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from multiprocessing import get_context
from multiprocessing.connection import Connection
from tempfile import TemporaryDirectory

import torch

from polyops._bench import contestants
from polyops._bench.calls import make
from polyops._bench.rotation import Rotation
from polyops._bench.shapes import Spec

Task = tuple[Spec, str]
"""A row and the name of a library."""

ROWS_OF_A_PROCESS = 8
SPAWN = get_context("spawn")


def able(
    specs: Sequence[Spec], names: Sequence[str], done: Callable[[], None]
) -> dict[str, list[str]]:
    """Which of these can compute each row, by its name. Calls done() after each row, in threads."""
    parts = [specs[i : i + ROWS_OF_A_PROCESS] for i in range(0, len(specs), ROWS_OF_A_PROCESS)]
    found: dict[str, list[str]] = {spec.name(): [] for spec in specs}

    def run(part: Sequence[Spec], folder: str) -> None:
        """In as many processes, one after the other, as it takes."""
        tasks = deque(product(part, names))
        while tasks:
            ours, theirs = SPAWN.Pipe(duplex=False)
            process = SPAWN.Process(target=_work, args=(theirs, list(tasks), folder))
            process.start()
            theirs.close()
            alive = True
            while alive and tasks:
                try:
                    works = ours.recv()
                except EOFError:  # it has ended, by this task
                    works = alive = False
                spec, name = tasks.popleft()
                if works:
                    found[spec.name()].append(name)
                if name == names[-1]:
                    done()
            process.join()

    with TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as threads:
        for future in [threads.submit(run, part, folder) for part in parts]:
            future.result()
    return found


def _work(connection: Connection, tasks: Sequence[Task], folder: str) -> None:
    """Says of each task whether it works."""
    # FlagGems keeps what it finds fastest, which beside other processes means nothing.
    os.environ["FLAGGEMS_CACHE_DIR"] = folder
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    for spec, name in tasks:
        works = name in contestants.others(spec, Rotation([make(spec).fn]), [name])
        try:
            torch.get_device_module(spec.device).synchronize()
        except RuntimeError:  # the device is lost to this process
            return
        connection.send(works)
