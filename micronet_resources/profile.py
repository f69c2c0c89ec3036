"""What a network costs: parameters and multiply-accumulates, layer by layer, and its MicroNet score.

In Python::

    from micronet_resources.profile import estimate, profile_model, score
    profile = profile_model(model, (3, 32, 32))
    score(profile)  # measured from the tensors
    estimate(profile, weight_bits=16, activation_bits=16)  # what if

On the command line::

    python -m micronet_resources.profile factorkit.models:resnet18_cifar --input 3x32x32 --bits 16
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from micronet_resources.counting.anatomy import Part, dissect, leaves
from micronet_resources.counting.forward import Count, Example, UncountedOperatorError, count_forward
from micronet_resources.counting.layers import elements, layer_profiles, registered_modules
from micronet_resources.counting.roots import Root
from micronet_resources.report import Comparison, LayerProfile, ModelProfile, compare
from micronet_resources.scoring import Score, estimate, score

__all__ = [
    "Comparison",
    "LayerProfile",
    "ModelProfile",
    "Score",
    "UncountedOperatorError",
    "compare",
    "estimate",
    "profile_model",
    "score",
]

Shape = tuple[int, ...]
# A model is lent out while it is counted, and settings of torch and Python that all threads share are changed. The lock
# can be taken again by a model that profiles a part of itself while it runs.
COUNTING = threading.RLock()


def profile_model(
    model: nn.Module,
    input_shape: Sequence[int] | Sequence[Sequence[int] | Tensor] | Tensor,
    *,
    rules: str | None = None,
    task: str | None = None,
    strict: bool = False,
) -> ModelProfile:
    """Count parameters and arithmetic of any network, per example.

    The network runs once in evaluation mode, but shapes are followed and nothing is computed. What is counted are
    torch's functions and operators, so functional code and raw parameters are counted like layers. Convolutions of any
    dimension, groups, dilation and direction, linear layers, ``matmul``, ``einsum``, recurrent layers and attention
    count one multiply-accumulate (MAC) per multiplication; biases, normalization, activations, pooling, residual sums
    and element-wise arithmetic are kinds of their own. What depends on weights alone, such as ``weight * mask``, costs
    nothing, because it can be computed once.

    Parameters
    ----------
    model : nn.Module
        Left exactly as found: mode, weights, buffers, gradients, hooks, random state. Of plain attributes, numbers,
        lists, dictionaries, sets, deques, tensors and NumPy arrays are put back; what else the forward pass changes
        inside other objects stays changed.
    input_shape : sequence of int, or sequence of shapes
        Shape of one example without the batch dimension, such as ``(3, 32, 32)``; for several inputs, one shape each.
        For an input that is not floating point, such as token ids, an example tensor without the batch dimension
        stands in place of the shape; its values are not looked at.
    rules, task : str, optional
        Names of a rule set and of a task; the profile then shows the share of each layer in that score, and the score.
    strict : bool, optional
        Whether an operator that computes and has no counting rule is an error. Otherwise ``uncounted`` names it, and no
        score is given for such a profile.

    Returns
    -------
    ModelProfile

    Raises
    ------
    ValueError
        If ``input_shape`` is not made of positive integers, or the model does not run on such an example.
    UncountedOperatorError
        If ``strict`` and an operator has no rule. It is a ``ValueError`` too.

    Notes
    -----
    Where the forward pass needs values (``if x.sum() > 0``), a copy of the model runs for real on the CPU, on one
    random example, and the profile says so in its notes. Only one profile is made at a time, whatever the threads.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(3, 128, 3, bias=False), nn.ReLU())
    >>> profile = profile_model(model, (3, 7, 7))
    >>> profile.params, profile.macs
    (3456, 86400)
    >>> profile.layers[1].operations
    (Operation(name='relu', kind='activation', outputs=3200, multiplications=3200, additions=0, weight=None),)
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model is a {type(model).__name__}: give an nn.Module, such as nn.Sequential(...).")
    model = getattr(model, "_orig_mod", model)  # what torch.compile has wrapped
    examples = _examples(input_shape)
    with COUNTING, _collector_paused():
        return _count_and_profile(model, examples, rules, task, strict)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep Python from searching thousands of new records for cycles again and again; they are here to stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _count_and_profile(
    model: nn.Module, examples: Sequence[Example], rules: str | None, task: str | None, strict: bool
) -> ModelProfile:
    parts = dissect(model)
    dtype = _floating_type(parts)
    examples = [Example(example.shape, example.dtype or dtype) for example in examples]
    count = count_forward(model, parts, examples)
    uncounted = tuple(count.ledger.uncounted)
    if strict and uncounted:
        raise UncountedOperatorError(
            f"{type(model).__name__} runs {_UNCOUNTED.format(', '.join(uncounted))} Write it with convolutions, linear "
            "layers or matrix products."
        )
    return _profile(model, parts, count, examples, uncounted, rules, task)


_UNCOUNTED = "{}, for which there is no rule: its arithmetic would be missing from the count."


def _examples(input_shape: Any) -> list[Example]:
    """Read the shapes; a type of None is that of the model."""
    several = isinstance(input_shape, (tuple, list)) and any(isinstance(x, (tuple, list, Tensor)) for x in input_shape)
    given = input_shape if several else (input_shape,)
    examples = []
    for shape in given:
        if isinstance(shape, Tensor):
            examples.append(Example(tuple(shape.shape), None if shape.dtype.is_floating_point else shape.dtype))
            continue
        sizes = tuple(shape) if isinstance(shape, (tuple, list)) else None
        if not sizes or any(type(size) is not int or size < 1 for size in sizes):
            raise ValueError(
                f"input_shape={input_shape!r}: give the shape of one example as positive integers, such as (3, 32, 32) "
                "for a color image of 32 x 32 pixels; for several inputs, a list of shapes."
            )
        examples.append(Example(sizes, None))
    return examples


def _floating_type(parts: Mapping[nn.Module, Part]) -> torch.dtype:
    """Type of the first parameter or buffer that is floating point."""
    tensors = (tensor for part in parts.values() for _, tensor in part.tensors)
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.get_default_dtype())


def _profile(
    model: nn.Module,
    parts: Mapping[nn.Module, Part],
    count: Count,
    examples: Sequence[Example],
    uncounted: tuple[str, ...],
    rules: str | None,
    task: str | None,
) -> ModelProfile:
    ledger = count.ledger
    tally = ledger.tallies[model]
    registered = registered_modules(model)
    tallies = ledger.tallies
    kept = [part for module, part in parts.items() if module in registered or module in tallies]
    layers = layer_profiles(kept, ledger)
    params = sum(layer.params for layer in layers)
    notes = [count.note] if count.note else []
    visible = params
    if (
        any(part.has_others or part.module not in registered for part in kept)
        or any(tally.foreign for tally in tallies.values())
    ):  # fmt: skip
        visible = elements(p for module in registered for p in module._parameters.values())
    if params > visible:
        notes.append(
            f"{params - visible:,} of the parameters stand in plain lists or attributes, where model.parameters() and "
            "an optimizer do not see them: use nn.ModuleList or nn.ParameterList"
        )
    outputs = [leaf for leaf in leaves(tally.output) if isinstance(leaf, Tensor)]
    depends_on_input = not (outputs and all(map(ledger.is_static, outputs)))
    if not depends_on_input:
        notes.append("the output does not depend on the input, so it could be stored and costs nothing")
    if uncounted:
        notes.append("the network runs " + _UNCOUNTED.format(", ".join(uncounted)).rstrip("."))
    shapes = tuple(example.shape for example in examples)
    factors = {operation.weight for layer in layers for operation in layer.operations}
    return ModelProfile(
        model=type(model).__name__,
        input_shape=shapes if len(shapes) > 1 else shapes[0],
        params=params,
        layers=layers,
        params_used=elements(parameter for root in ledger.used.values() for parameter in root.parameters),
        buffers=elements(b for module in registered if module._buffers for b in module._buffers.values()),
        uncounted=uncounted,
        notes=tuple(notes),
        rules=rules,
        task=task,
        depends_on_input=depends_on_input,
        output_shape=tuple(tally.output.shape[1:]) if isinstance(tally.output, Tensor) else None,
        tensors={
            name: root.tensor if root.choice is None or name in factors else root.choice
            for name, root in ledger.used.items()
            if _is_stored(root)
        },
    )


def _is_stored(root: Root) -> bool:
    """Whether a tensor counts as stored: anything that the model holds, and constants that are not all one number."""
    tensor = root.tensor
    if root.is_registered:
        return True
    if tensor.numel() < 2 or tensor.is_meta or tensor.layout is not torch.strided:
        return tensor.numel() > 1
    return not bool((tensor == tensor.flatten()[0]).all())


if __name__ == "__main__":
    from micronet_resources.command import main

    raise SystemExit(main())
