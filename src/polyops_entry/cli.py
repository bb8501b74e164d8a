"""The ``polyops`` command: arguments here, commands in polyops._cli, imported when one runs."""

import argparse
import sys
from collections.abc import Sequence


def positive(text: str) -> int:
    """An argument that counts something."""
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 up")
    return count


def parser() -> argparse.ArgumentParser:
    """The arguments of every subcommand."""
    top = argparse.ArgumentParser(
        prog="polyops", description="Hand-tuned kernels for stock PyTorch models."
    )
    commands = top.add_subparsers(dest="command", required=True)

    info = commands.add_parser(
        "info",
        help="what is installed, loaded and used on this machine",
        description="Prints versions, chip, families, gates, and which kernel serves what.",
    )
    info.add_argument(
        "--markdown", action="store_true", help="only the op x device table, as in OPS.md"
    )

    demo = commands.add_parser(
        "demo",
        help="a real sentence model, stock and on polyops",
        description="Embeds sentences with the stock all-MiniLM-L6-v2, unpatched and patched; "
        "compares results and speed. Exit status 1 if results disagree or no kernel ran.",
    )
    demo.add_argument("--threads", type=positive, metavar="N", help="torch's intra-op threads")
    demo.add_argument(
        "--rounds",
        type=positive,
        metavar="N",
        default=9,
        help="of each timing at least (default: %(default)s)",
    )
    demo.add_argument(
        "--compile",
        action="store_true",
        help="also against torch.compile of the stock model, and with both (some minutes)",
    )

    bench = commands.add_parser(
        "bench",
        help="polyops against stock, interleaved",
        description="Measures the shapes of benchmarks/shapes/ with stock and polyops interleaved "
        "in one process; on a device those of benchmarks/shapes/gpu/. Losses first. Exit status 1 "
        "if a result disagrees with stock's.",
    )
    bench.add_argument("--op", nargs="+", action="extend", metavar="OP", help="only these ops")
    bench.add_argument(
        "--dtype", nargs="+", action="extend", metavar="DTYPE", help="only these: float32 bfloat16"
    )
    bench.add_argument(
        "--device", default="cpu", metavar="DEVICE", help="as torch calls it: cpu, cuda"
    )
    bench.add_argument("--suite", choices=["quick", "full"], default="quick")
    bench.add_argument("--threads", type=positive, metavar="N", help="torch's intra-op threads")
    bench.add_argument("--json", metavar="FILE", help="write machine, rows and summary there")
    bench.add_argument(
        "--compile",
        action="store_true",
        help="on a device, time torch.compile of each call, too",
    )
    bench.add_argument(
        "--brief",
        action="store_true",
        help="on a device, four rounds of a millisecond for each row, whatever they say",
    )
    bench.add_argument(
        "--lift-gates", action="store_true", help="let kernels take every call that they support"
    )
    bench.add_argument(
        "--confirm",
        action="store_true",
        help="measure rows that lose again in two fresh processes; only those that lose in all "
        "three count",
    )
    bench.add_argument(
        "--write-gates",
        action="store_true",
        help="measure each kernel with gates lifted, at 1 and at the default number of threads, "
        "and write this chip's gate file",
    )
    bench.add_argument("--rows", metavar="FILE", help=argparse.SUPPRESS)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit status (2: wrong arguments or settings)."""
    args = parser().parse_args(argv)
    try:
        from polyops import _cli
    except (ImportError, ValueError) as error:
        print(f"polyops: {error}", file=sys.stderr)
        return 2
    return _cli.run(args)


if __name__ == "__main__":
    sys.exit(main())
