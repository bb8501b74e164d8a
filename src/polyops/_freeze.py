"""freeze(): weights packed once, for inference."""

import weakref
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.weak import WeakTensorKeyDictionary

from polyops import _C

_packs: MutableMapping[Tensor, list[int]] = WeakTensorKeyDictionary()
"""Of each weight that was ever frozen: the id of its last pack, or nothing."""
_watched = False


def _drop(pack: list[int]) -> None:
    while pack:
        _C.drop_pack(pack.pop())


def _remember(weight: Tensor, pack: int) -> None:
    last = _packs.get(weight)
    if last is None:
        last = _packs[weight] = []
        # Or it would be held until the next freeze(). Calls under way keep what they use.
        weakref.finalize(weight, _drop, last).atexit = False
    last[:] = [pack]


def _after_step(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A step counts as a change, whatever it did: torch counts none of fused optimizers."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            _drop(_packs.get(parameter, []))


def _watch_optimizers() -> None:
    global _watched
    if not _watched:
        _watched = True
        register_optimizer_step_post_hook(_after_step)


class Frozen:
    """What ``freeze`` packed. As a context manager it is undone at the end.

    ``print()`` shows a summary. Dropping this object undoes nothing: packs live as long as their
    weights, unless ``unfreeze()`` ends them.
    """

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self.left: dict[str, str] = {}
        """Weights of Linear and convolution modules that were not packed, by name, and why."""

    @property
    def packed(self) -> dict[str, int]:
        """Names of the packed weights, and bytes of each pack.

        A weight that was changed, moved or deleted since is not among them: its pack is gone.
        """
        sizes = {name: _C.pack_bytes(id) for name, id in self._ids.items()}
        return {name: size for name, size in sizes.items() if size is not None}

    @property
    def nbytes(self) -> int:
        """Bytes that the packs take now, beside the weights themselves."""
        return sum(self.packed.values())

    def unfreeze(self) -> None:
        """Drops the packs; products go on with the weights as they lie. May be called twice."""
        for id in self._ids.values():
            _C.drop_pack(id)
        self._ids.clear()

    def __enter__(self) -> "Frozen":
        return self

    def __exit__(self, *error: object) -> None:
        self.unfreeze()

    def __repr__(self) -> str:
        reasons = sorted(set(self.left.values()))
        left = f", {len(self.left)} left as they are ({'; '.join(reasons)})" if reasons else ""
        return f"<polyops.Frozen: {len(self.packed)} weights, {self.nbytes / 1e6:.1f} MB{left}>"


def _modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Linear and convolution modules under the name of their weight; each weight once."""
    seen: set[int] = set()
    for path, module in model.named_modules():
        if not isinstance(module, (nn.Linear, _ConvNd)):
            continue
        weight = module._parameters.get("weight")
        if weight is None or id(weight) not in seen:
            seen.add(id(weight))
            yield f"{path}.weight" if path else "weight", module


def _pack(module: nn.Module, max_bytes: int | None) -> tuple[int, str | None]:
    """The pack of the module's weight, or why there is none."""
    weight = module._parameters.get("weight")
    # Computed at each call (parametrizations), quantized, sharded, or not there yet (LazyLinear).
    if type(weight) is not nn.Parameter:
        return 0, "not a plain parameter"
    spatial = len(module.kernel_size) if isinstance(module, _ConvNd) else 0
    if weight.dim() != 2 + spatial:
        return 0, f"rank {weight.dim()}"
    if isinstance(module, nn.Linear):
        return _C.pack_matrix(weight, gated=True, max_bytes=max_bytes)
    assert isinstance(module, _ConvNd)
    if module.transposed:
        return 0, "transposed"
    return _C.pack_convolution(
        weight,
        stride=_each(module, module.stride),
        padding=_each(module, _padding(module)),
        dilation=_each(module, module.dilation),
        groups=module.groups,
        gated=True,
        max_bytes=max_bytes,
    )


def _each(module: _ConvNd, values: int | Sequence[int]) -> list[int]:
    """One value per spatial dimension. A module's attribute may be set to one for all of them."""
    values = [values] if isinstance(values, int) else list(values)
    return values * (module.weight.dim() - 2) if len(values) == 1 else values


def _padding(module: _ConvNd) -> int | Sequence[int]:
    if module.padding_mode != "zeros" or module.padding == "valid":
        return 0
    if module.padding == "same":
        spans = zip(_each(module, module.dilation), module.weight.shape[2:], strict=True)
        return [dilation * (taps - 1) // 2 for dilation, taps in spans]
    return cast(int | Sequence[int], module.padding)


def freeze(model: nn.Module, *, max_bytes: int | None = None) -> Frozen:
    """Packs the weights of the model's linear and convolution modules for inference.

    Products with these weights, from ``nn.Linear`` or any other call of ``addmm`` and ``mm`` with
    ``weight.t()``, and convolutions with them then read a second copy that lies as the kernels want
    it, where that was measured to be faster; convolutions in bfloat16 on AMX, and in float32 where
    oneDNN's kernels are built in. The model itself stays as it is: modules, parameters,
    ``state_dict``, copies and pickles know nothing of it, and results are those of the same sums in
    another order.

    A pack counts only as long as its weight is what was packed. A step of a ``torch.optim``
    optimizer, any other in-place change (``load_state_dict``), another dtype or device, and
    ``weight.data = ...`` drop it, and the next product goes on with the weight as it then is. Call
    ``freeze`` again to pack that. NOT noticed is what torch does not count: writes into
    ``weight.data`` in place (``weight.data.add_(1)``), through ``weight.detach().numpy()`` or a raw
    pointer, or by ``torch._fused_adam_`` and its kin called by hand. Call ``unfreeze()`` before, or
    ``freeze`` after such a write.

    Args:
        model: any module. Freeze it in the dtype that it computes in: under autocast the products
            see a copy of the weight, which is not packed. Move it to ``channels_last`` before.
        max_bytes: at most so many bytes of packs, beside the weights; weights that no longer fit
            are left as they are, those of earlier modules come first. None: no bound; all of them
            take about what the weights themselves do.

    Returns:
        What was packed, with names and bytes, and what was not and why.

    Raises:
        TypeError: ``model`` is no ``nn.Module``.
        ValueError: ``max_bytes`` is negative.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"freeze() takes an nn.Module, not {type(model).__name__}")
    if max_bytes is not None and max_bytes < 0:
        raise ValueError(f"max_bytes is {max_bytes}; expected None or a number from 0 up")
    _watch_optimizers()
    frozen = Frozen()
    try:
        for name, module in _modules(model):
            pack, reason = _pack(module, max_bytes)
            if reason is not None:
                frozen.left[name] = reason
                continue
            frozen._ids[name] = pack
            _remember(module.get_parameter("weight"), pack)
            if max_bytes is not None:
                max_bytes -= _C.pack_bytes(pack) or 0
    except BaseException:  # out of memory, say: nobody would have what undoes the others
        frozen.unfreeze()
        raise
    return frozen
