"""Random calls of what moves elements, or adds them up, by their places."""

import samples_scatter_add
from draws import Choose, any_of, layout_of, shape_of
from samples import Args, Make, Sample, args
from samples_cat import parts
from samples_index import KINDS, gradient, indices
from samples_index_add import addition


def cats(choose: Choose) -> Sample:
    shape = shape_of(choose, 1, 4)
    dim = choose.randrange(len(shape))
    sizes = tuple(choose.choice([1, 2, 3, 8, 16]) for _ in range(choose.randint(1, 4)))
    layouts = (layout_of(choose, shape), layout_of(choose, shape))
    return any_of(
        "cat",
        f"{shape} of {sizes} along {dim} {layouts}",
        lambda m: args(parts(m, shape, dim, sizes, layouts), dim),
    )


def copies(choose: Choose) -> Sample:
    shape = shape_of(choose, 2, 5)
    order = choose.sample(range(len(shape)), len(shape))
    layout = layout_of(choose, shape)

    def make(m: Make) -> Args:
        src = m(*shape, layout=layout).permute(order)
        return args(m(*src.shape), src)

    return any_of("copy_", f"{shape} {order} {layout}", make)


def embeddings(choose: Choose) -> Sample:
    lookups, rows = shape_of(choose, 0, 2), choose.choice([1, 7, 50, 300])
    width = choose.choice([1, 4, 5, 16, 33])
    padding, by_freq = choose.choice([-1, 0]), choose.random() < 0.3
    skew, kind = choose.choice([1, 3]), choose.choice(KINDS)
    return any_of(
        "embedding_dense_backward",
        f"{lookups} of {rows}x{width} padding {padding} by_freq {by_freq} skew {skew} {kind}",
        lambda m: gradient(m, lookups, rows, width, padding, by_freq, kind, skew),
    )


def gathers(choose: Choose) -> Sample:
    shape = shape_of(choose, 1, 3)
    dim, kind = choose.randrange(len(shape)), choose.choice(KINDS)
    taken = tuple(choose.choice([1, 5, 20]) if d == dim else n for d, n in enumerate(shape))
    layout = layout_of(choose, shape)
    return any_of(
        "gather",
        f"{taken} of {shape} {layout} along {dim} {kind}",
        lambda m: args(m(*shape, layout=layout), dim, indices(m, shape[dim], *taken, kind=kind)),
    )


def lookups(choose: Choose) -> Sample:
    shape, where = shape_of(choose, 1, 3), shape_of(choose, 0, 2)[:2]
    where = tuple(min(n, 20) for n in where)
    kind = choose.choice(KINDS)
    return any_of(
        "index.Tensor",
        f"{where} of {shape} {kind}",
        lambda m: args(m(*shape), [indices(m, shape[0], *where, kind=kind)]),
    )


def additions(choose: Choose) -> Sample:
    shape, kind = shape_of(choose, 1, 3), choose.choice(KINDS)
    dim, count = choose.randrange(len(shape)), choose.choice([1, 5, 30, 90])
    alpha, skew = choose.choice([1, -2.5, 0]), choose.choice([1, 3])
    layout = layout_of(choose, shape)
    return any_of(
        choose.choice(["index_add", "index_add_"]),
        f"{count} into {shape} {layout} along {dim} {kind} alpha {alpha} skew {skew}",
        lambda m: addition(m, shape, dim, count, kind, skew, layout, alpha=alpha),
    )


def puts(choose: Choose) -> Sample:
    shape, kind = shape_of(choose, 1, 3), choose.choice(KINDS)
    where = tuple(min(n, 20) for n in shape_of(choose, 1, 2))
    layout = layout_of(choose, shape)
    return any_of(
        samples_scatter_add.PUT,
        f"{where} into {shape} {layout} {kind}",
        lambda m: samples_scatter_add.addition(m, shape, *where, kind=kind, layout=layout),
    )


def scatters(choose: Choose) -> Sample:
    shape, kind = shape_of(choose, 1, 3), choose.choice(KINDS)
    dim, rows = choose.randrange(len(shape)), choose.random() < 0.5
    taken = tuple(choose.choice([1, 5, 90]) if d == dim else n for d, n in enumerate(shape))
    layout = layout_of(choose, shape)

    def make(m: Make) -> Args:
        """rows: one place for all of a row, as of messages between nodes."""
        of = tuple(n if d == dim or not rows else 1 for d, n in enumerate(taken))
        index = indices(m, shape[dim], *of, kind=kind).expand(taken)
        return args(m(*shape, layout=layout), dim, index, m(*taken))

    name = choose.choice(["scatter_add", "scatter_add_"])
    return any_of(name, f"{taken} into {shape} {layout} along {dim} {kind} rows {rows}", make)


def selections(choose: Choose) -> Sample:
    shape, kind = shape_of(choose, 1, 4), choose.choice(KINDS)
    dim, count = choose.randrange(len(shape)), choose.choice([1, 5, 30])
    layout = layout_of(choose, shape)
    return any_of(
        "index_select",
        f"{count} of {shape} {layout} along {dim} {kind}",
        lambda m: args(m(*shape, layout=layout), dim, indices(m, shape[dim], count, kind=kind)),
    )
