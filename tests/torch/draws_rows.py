"""Random calls of activations, reductions, norms of rows and losses."""

import math

import samples_activations
import samples_losses
import samples_rms_norm
from draws import Choose, any_of, image_of, layout_of, pair, shape_of
from samples import Args, Make, Sample, args, lay_out
from samples_cross_entropy import loss_args
from samples_extremes import ties
from samples_rows import softmax_backward_args


def activations(choose: Choose, op: str) -> Sample:
    shape = shape_of(choose, 1, 5)
    a, b = layout_of(choose, shape), layout_of(choose, shape)
    if choose.random() < 0.5:
        forward = [f for f in samples_activations.FORWARD if f[0].startswith(op)]
        name, named = choose.choice(forward)
        return any_of(
            name, f"{shape} {a} {named}", lambda m: args(m(*shape, layout=a, scale=3), **named)
        )
    backward = [f for f in samples_activations.BACKWARD if f[0].startswith(op)]
    name, what, arrange = choose.choice(backward)
    return any_of(
        name,
        f"{shape} {a} {b} {what}",
        lambda m: args(*arrange(m(*shape, layout=a), m(*shape, layout=b, scale=3))),
    )


def glu(choose: Choose) -> Sample:
    half = shape_of(choose, 1, 4)
    dim = choose.randrange(len(half))
    shape = tuple(n * 2 if d == dim else n for d, n in enumerate(half))
    layout = layout_of(choose, shape)
    title = f"{shape} dim {dim} {layout}"
    if choose.random() < 0.5:
        return any_of("glu", title, lambda m: args(m(*shape, layout=layout, scale=3), dim))
    return any_of(
        "glu_backward", title, lambda m: args(m(*half), m(*shape, layout=layout, scale=3), dim)
    )


def reductions(choose: Choose, overload: str) -> Sample:
    shape = shape_of(choose, 1, 4)
    dims = choose.sample(range(len(shape)), choose.randint(1, len(shape)))
    layout, keep = layout_of(choose, shape), choose.random() < 0.5
    named = {"correction": choose.choice([0, 1, 0.5])} if ".correction" in overload else {}
    return any_of(
        overload,
        f"{shape} over {dims} {layout} {keep} {named}",
        lambda m: args(m(*shape, layout=layout), dims, keepdim=keep, **named),
    )


def truths(choose: Choose) -> Sample:
    """Of which a few decide."""
    overload = choose.choice(["all.dims", "any.dims"])
    shape = shape_of(choose, 1, 4)
    dims = choose.sample(range(len(shape)), choose.randint(1, len(shape)))
    layout, keep, as_bool = layout_of(choose, shape), choose.random() < 0.5, choose.random() < 0.5

    def make(m: Make) -> Args:
        values = m(*shape)
        answers = values < 2 if overload.startswith("all") else values > 2
        return args(lay_out(answers if as_bool else answers.to(m.dtype), layout), dims, keep)

    return any_of(overload, f"{shape} over {dims} {layout} {keep} bool {as_bool}", make)


def vector_norms(choose: Choose) -> Sample:
    shape, order = shape_of(choose, 1, 4), choose.choice([2, 2, 1, 0, 3, 0.5, math.inf, -math.inf])
    dims = choose.sample(range(len(shape)), choose.randint(1, len(shape)))
    layout, keep = layout_of(choose, shape), choose.random() < 0.5
    return any_of(
        "linalg_vector_norm",
        f"{order} of {shape} over {dims} {layout} {keep}",
        lambda m: args(m(*shape, layout=layout), order, dims, keep),
    )


def extremes(choose: Choose, overload: str) -> Sample:
    shape = shape_of(choose, 1, 4)
    dim, keep = choose.randrange(len(shape)), choose.random() < 0.5
    layout = layout_of(choose, shape)
    return any_of(
        overload,
        f"{shape} over {dim} {layout} {keep}",
        lambda m: args(ties(m, *shape, layout=layout), dim, keep),
    )


def cumsum(choose: Choose) -> Sample:
    shape = shape_of(choose, 1, 4)
    dim, layout = choose.randrange(len(shape)), layout_of(choose, shape)
    return any_of(
        "cumsum", f"{shape} dim {dim} {layout}", lambda m: args(m(*shape, layout=layout), dim)
    )


def rms_norms(choose: Choose) -> Sample:
    shape = shape_of(choose, 1, 4)
    count, layout = choose.randint(1, min(2, len(shape))), layout_of(choose, shape)
    weight = choose.random() < 0.7
    return pair(
        choose,
        ("_fused_rms_norm", "_fused_rms_norm_backward"),
        f"{shape} over {count} {layout} weight {weight}",
        lambda m: samples_rms_norm.norm_args(m, shape, count, weight, layout),
        samples_rms_norm.backward_args,
    )


def log_softmaxes(choose: Choose) -> Sample:
    shape = shape_of(choose, 1, 4)
    dim, a, b = choose.randrange(len(shape)), layout_of(choose, shape), layout_of(choose, shape)
    title, op = f"{shape} dim {dim} {a} {b}", "_log_softmax"
    if choose.random() < 0.5:
        return any_of(
            op, title, lambda m: args(m(*shape, layout=a, scale=3), dim, False), dims=(dim,)
        )
    return any_of(
        f"{op}_backward_data",
        title,
        lambda m: softmax_backward_args(m, shape, dim, a, b, op=op),
        dims=(dim,),
    )


def scores_of(choose: Choose) -> tuple[int, ...]:
    """Samples by classes, or images of them."""
    shape: tuple[int, ...] = (choose.choice([1, 3, 40, 65]), choose.choice([1, 2, 5, 33]))
    return (
        shape if choose.random() < 0.5 else (min(shape[0], 3), shape[1], *image_of(choose, 2)[2:])
    )


def nll_losses(choose: Choose) -> Sample:
    shape, reduction, weight = scores_of(choose), choose.randint(0, 2), choose.random() < 0.5
    pixels = "2d" if len(shape) == 4 else ""
    return pair(
        choose,
        (f"nll_loss{pixels}_forward", f"nll_loss{pixels}_backward"),
        f"{shape} reduction {reduction} weight {weight}",
        lambda m: samples_losses.loss_args(m, shape, reduction, weight, ignored=0),
        samples_losses.backward_args,
    )


def cross_entropies(choose: Choose) -> Sample:
    shape, reduction, weight = scores_of(choose), choose.randint(0, 2), choose.random() < 0.5
    smoothing = choose.choice([0.0, 0.1])
    return any_of(
        "cross_entropy_loss",
        f"{shape} reduction {reduction} weight {weight} smoothing {smoothing}",
        lambda m: loss_args(m, shape, reduction, weight, 0, smoothing),
    )
