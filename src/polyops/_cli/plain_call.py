"""Which kernel a plain contiguous call of an overload goes to while gates are lifted."""

from polyops._bench.calls import BUILDERS, make
from polyops._bench.gates import lifted
from polyops._bench.measure import served_by
from polyops._bench.shapes import Spec

DTYPES = ("float32", "bfloat16", "float64", "float16")


def kernel_of(op: str, overload: str, dtype: str) -> str:
    name = overload.partition(".")[0]
    if name not in BUILDERS:
        return "?"
    product = "mm" in name
    sizes: tuple[int, ...] = (8, 64)
    if product:
        sizes = (2, 32, 32, 32)[0 if "bmm" in name else 1 :]
    elif name == "dot":
        sizes = (64,)
    elif "attention" in name:
        sizes = (1, 2, 32, 32, 32)
    elif "pool3d" in name:
        sizes = (1, 16, 8, 8, 8)
    elif any(kind in name for kind in ("convolution", "upsample", "pool", "loss2d")):
        sizes = (1, 16, 16, 16)
    layout = "nn" if product else "contiguous"
    # Memory that is one run is not copied by us.
    options = (("order", "1,0"),) if name == "copy_" else ()
    spec = Spec(op, overload, "forward", dtype, sizes, layout, options, False, "")
    try:
        case = make(spec)
    except (RuntimeError, ValueError):
        return "?"
    try:
        with lifted():
            kernel, reason = served_by(case, overload)
    except NotImplementedError:
        return "none, nor stock's"
    return kernel or f"stock ({reason})"
