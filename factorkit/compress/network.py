"""Every convolution and linear layer of a network, decomposed in place."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from tqdm import tqdm

from factorkit.arguments import one_of
from factorkit.compress.candidates import Candidate
from factorkit.compress.methods import METHODS, RESPONSE_METHODS
from factorkit.compress.policies import Choice, choose, parse_policy
from factorkit.compress.report import CompressionReport, LayerCompression
from factorkit.compress.responses import check_data, reads, response_candidate, with_errors_passed_on
from factorkit.compress.sizes import Survey, compressible_layers, survey
from factorkit.compress.speed import Speed, choose_for_speed, speed_of_one_example
from factorkit.decompositions.low_rank_sparse import LowRankSparse
from factorkit.decompositions.response import ResponseLowRank
from factorkit.exchange import WeightLayer, exchange_layers

__all__ = ["compress"]

Rank = int | tuple[int, ...]


def compress(
    model: nn.Module,
    method: str,
    ranks: str | Mapping[str, Rank] = "vbmf",
    *,
    skip: Sequence[str] = (),
    input_shape: Sequence[int] = (3, 32, 32),
    inputs: torch.Tensor | None = None,
    speed: Speed | None = None,
    progress: bool = False,
) -> CompressionReport:
    r"""Replace layers of a network by their low-rank decompositions, in place.

    Every ``nn.Conv2d`` and ``nn.Linear`` is looked at. A layer stays as it is where the decomposition would not have
    fewer parameters and fewer multiply-accumulates; the report says so. Linear layers and 1 x 1 convolutions are
    matrices, of which the singular value decomposition is the best approximation of each rank, whatever the method.

    Parameters
    ----------
    model : nn.Module
        Its layers are exchanged inside it. Fine-tune it afterwards, for example with :func:`factorkit.training.fit`.
    method : {"svd", "tai", "tucker2", "cp", "tensor_train", "response", "low_rank_sparse"}
        :func:`~factorkit.decompositions.svd.channel_svd`, :func:`~factorkit.decompositions.separable.tai`,
        :func:`~factorkit.decompositions.tucker.tucker2` by HOOI, :func:`~factorkit.decompositions.cp.cp` or
        :func:`~factorkit.decompositions.tensor_train.tensor_train`; or, fitted to what the layers answer to ``inputs``,
        :func:`~factorkit.decompositions.response.zhang`, where each layer also mends the errors of those before it
        :cite:p:`zhang2015efficient`, or :func:`~factorkit.decompositions.low_rank_sparse.low_rank_sparse`. Both look at
        the responses in front of a ReLU.
    ranks : str or mapping of str to int or tuple of int, optional
        - ``"vbmf"``: what variational Bayes tells from noise in the matrices that the method truncates
          :cite:p:`kim2016compression`. For ``"cp"``, the larger of the two ranks of the channel modes, below which no
          CP decomposition of the signal is exact.
        - ``"energy:0.9"``: the smallest ranks that keep 90 % of the squared norm of each matrix; for ``"cp"``, about
          that much of the weight.
        - ``"macs:0.5"``: at most half of the network's multiply-accumulates, with one relative error for all layers,
          found by bisection, where ``"energy:0.9"`` stands for the error :math:`\sqrt{1 - 0.9}`.
        - ``"latency:2x"``: the network runs twice as fast, on this machine, with one relative error for all layers. The
          whole network is measured at each step of the search; ``report.measured`` says what was measured at the end.
        - a mapping: ranks of the layers that are named, while the others stay.
    skip : sequence of str, optional
        Names of layers that keep their weights.
    input_shape : sequence of int, optional
        Of one example, without the batch. One is run to find the sizes of all maps.
    inputs : Tensor, shape (N, C, H, W), optional
        Normalized training images for ``"response"``, whose energies are those of the responses, and
        ``"low_rank_sparse"``, whose ranks are a mapping to pairs: the rank and the number of columns.
    speed : callable, optional
        How ``"latency:2x"`` measures: takes the network and a compressed one and returns an
        :class:`~factorkit.latency.OptimizedModel`. Default: :func:`~factorkit.inference.optimize_for_inference` of one
        example. For a batch of images: ``lambda original, small: optimize_for_inference(small, images,
        original=original)``.
    progress : bool, optional
        Show a progress bar.

    Returns
    -------
    CompressionReport
        Shape, rank, error, parameters and multiply-accumulates of each layer before and after, or why it stayed.

    Raises
    ------
    ValueError
        If the method or the policy is unknown, a name is no layer, the network does not take the example, no ranks
        leave so few multiply-accumulates or make it so fast, or a weight cannot be decomposed. The model is then as it
        was.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3))
    >>> report = compress(model, "tucker2", {"2": (8, 4)})
    >>> report.layers[0].rank, round(report.macs_ratio, 2)
    ((8, 4), 4.58)
    >>> model[2][1]
    Conv2d(4, 8, kernel_size=(3, 3), stride=(1, 1), bias=False)
    """
    one_of("method", method, (*METHODS, *RESPONSE_METHODS))
    check_data(method, ranks, inputs)
    layers = compressible_layers(model, skip)
    found = survey(model, layers, input_shape)
    candidates = _candidates(model, layers, method, found, inputs)
    measured = ""
    if isinstance(ranks, Mapping) or (policy := parse_policy(ranks)).name != "latency":
        choices = choose(candidates, ranks, found.macs)
    else:
        speed = speed_of_one_example(tuple(input_shape)) if speed is None else speed
        choices, measured = choose_for_speed(model, candidates, policy.number, speed)
    if method == "response":
        with_errors_passed_on(model, candidates, choices, inputs)
    exchanged: dict[nn.Module, nn.Module] = {}
    rows = []
    for name, choice in tqdm(choices.items(), disable=not progress, file=sys.stdout, unit="layer", desc=method):
        layer = candidates[name]
        if not choice.refused:
            exchanged[layer.layer] = layer.decompose(choice.rank).to_layers(layer.layer)
        rows.append(_row(layer, choice))
    params_before = _params(model)
    exchange_layers(model, exchanged)
    saved = sum(row.macs_before - row.macs_after for row in rows)
    return CompressionReport(
        method=method,
        ranks="as given" if isinstance(ranks, Mapping) else ranks,
        layers=tuple(rows),
        params_before=params_before,
        params_after=_params(model),
        macs_before=found.macs,
        macs_after=found.macs - saved,
        measured=measured,
    )


def _candidates(
    model: nn.Module, layers: dict[str, WeightLayer], method: str, found: Survey, inputs: torch.Tensor | None
) -> dict[str, Candidate]:
    """One candidate for each layer; with images in the order in which the network runs them."""
    holders = Counter(id(weight) for module in model.modules() for weight in module._parameters.values())
    tied = {name: holders[id(layer.weight)] > 1 for name, layer in layers.items()}
    if inputs is None:
        return {
            name: Candidate(name, layer, method, found.calls[name], tied=tied[name]) for name, layer in layers.items()
        }
    seen = reads(model, layers, inputs)
    order = [*seen, *(name for name in layers if name not in seen)]
    return {
        name: response_candidate(seen.get(name, []), name, layers[name], method, found.calls[name], tied=tied[name])
        for name in order
    }


def _row(layer: Candidate, choice: Choice) -> LayerCompression:
    """The row of a layer, which has been decomposed unless it was refused."""
    rank, error, params, macs, note = choice.rank, 0.0, layer.params, layer.macs, choice.note
    if not choice.refused:
        made = layer.decompose(choice.rank)
        rank, error, params = layer.rank_of(layer.ranks_of(made)), made.relative_error, made.params
        macs = sum(made.macs(after, input_size=before) for before, after in layer.calls)
        if isinstance(made, ResponseLowRank | LowRankSparse):
            note = f"relative error of the responses {made.response_error:.3g}"
    return LayerCompression(
        name=layer.name,
        shape=layer.shape,
        rank=rank,
        relative_error=error,
        params_before=layer.params,
        params_after=params,
        macs_before=layer.macs,
        macs_after=macs,
        refused=choice.refused,
        note=note,
    )


def _params(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
