"""Whole pipelines: choose ranks, decompose, fine-tune; all layers at once or one after the other."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
from torch import nn

from factorkit.compress.methods import RESPONSE_METHODS
from factorkit.compress.network import compress
from factorkit.compress.report import CompressionReport
from factorkit.distillation import Distillation
from factorkit.training import Evaluation, evaluate, fit

if TYPE_CHECKING:
    from factorkit.data import ImageData

__all__ = ["TunedCompression", "compress_and_tune"]

RESPONSE_IMAGES = 200


@dataclass(frozen=True, repr=False)
class TunedCompression:
    """A compression, and what the network could do before, between and after.

    Parameters
    ----------
    report : CompressionReport
        With the error of each layer when it was decomposed.
    before, compressed, tuned : Evaluation
        Of the network as it was, decomposed at once without fine-tuning, and at the end.
    history : pandas.DataFrame
        One row per epoch as from :func:`factorkit.training.fit`, with the ``stage`` it belongs to.
    """

    report: CompressionReport
    before: Evaluation
    compressed: Evaluation
    tuned: Evaluation
    history: pd.DataFrame

    def __repr__(self) -> str:
        accuracies = (100 * evaluation.accuracy for evaluation in (self.before, self.compressed, self.tuned))
        steps = "accuracy {:.2f} %, decomposed {:.2f} %, fine-tuned {:.2f} %".format(*accuracies)
        return f"TunedCompression: {steps}\n{self.report!r}"


def compress_and_tune(
    model: nn.Module,
    data: ImageData,
    method: str = "tucker2",
    ranks: str | Mapping[str, int | tuple[int, ...]] = "vbmf",
    *,
    epochs: int,
    lr: float = 0.003,
    skip: Sequence[str] = (),
    layerwise: bool = False,
    distill: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    **training: Any,
) -> TunedCompression:
    """Compress a trained network and fine-tune it, in place.

    With the default method and ranks this is the one-shot compression of whole networks
    :cite:p:`kim2016compression`: ranks by variational Bayes, Tucker-2 of all layers, fine-tuning of the whole network.
    ``layerwise`` repeats for each layer what was first done to single layers with CP: decompose one, then fine-tune the
    whole network :cite:p:`lebedev2015speeding`.

    Parameters
    ----------
    model : nn.Module
        Trained; maps normalized images N x C x H x W to scores.
    data : ImageData
        As returned by :func:`factorkit.data.load`.
    method, ranks, skip
        As in :func:`compress`; methods that fit responses see the first 200 training images.
    epochs : int
        Of fine-tuning; after each layer, if ``layerwise``.
    lr : float, optional
        Largest learning rate; smaller than that of training.
    layerwise : bool, optional
        Decompose the layers one after the other, in the order of the network, and fine-tune after each. The ranks are
        those that all layers get at once.
    distill : bool, optional
        Fine-tune with the network as it was for a teacher: :class:`factorkit.distillation.Distillation` with its
        defaults. For others, give it yourself, as in ``loss=Distillation(model, temperature=2)``.
    checkpoint : path, optional
        Called again with the same trained network after an interruption, the pipeline goes on from the last epoch. With
        ``layerwise``, each stage has a file of its own, with its number appended.
    **training
        Further settings of :func:`factorkit.training.fit`, such as ``batch_size``, ``seed``, ``device``, ``progress``.

    Returns
    -------
    TunedCompression

    Raises
    ------
    ValueError
        As :func:`compress` and :func:`factorkit.training.fit`, if every layer is refused, or both ``distill`` and a
        ``loss`` are given.
    """
    if distill:
        if training.get("loss") is not None:
            raise ValueError("distill=True and a loss: give one of them, such as loss=Distillation(model, weight=0.5).")
        training["loss"] = Distillation(model)
    runs = {name: training[name] for name in ("device", "channels_last") if name in training}
    before = evaluate(model, data, **runs)
    given = {"input_shape": tuple(data.train_images.shape[1:])}
    if method in RESPONSE_METHODS:
        given["inputs"] = data.normalize(data.train_images[:RESPONSE_IMAGES])
    at_once = copy.deepcopy(model)
    report = compress(at_once, method, ranks, skip=skip, **given)
    if not report.decomposed:
        reasons = "; ".join(f"{layer.name!r} {layer.refused}" for layer in report.refused)
        raise ValueError(f"every layer was refused ({reasons}): give smaller ranks, or a network that is trained.")
    compressed = evaluate(at_once, data, **runs)
    chosen = report.ranks_by_layer
    stages = [{name: rank} for name, rank in chosen.items()] if layerwise else [chosen]
    rows, history = {}, []
    for stage, of_stage in enumerate(stages, start=1):
        done = compress(model, method, of_stage, **given)
        rows |= {layer.name: layer for layer in done.layers}
        saved = None if checkpoint is None else f"{os.fspath(checkpoint)}.{stage}" if layerwise else checkpoint
        history.append(fit(model, data, epochs=epochs, lr=lr, checkpoint=saved, **training).assign(stage=stage))
    layers = tuple(replace(rows[row.name], note=row.note) if row.name in rows else row for row in report.layers)
    return TunedCompression(
        report=replace(report, layers=layers),
        before=before,
        compressed=compressed,
        tuned=evaluate(model, data, **runs),
        history=pd.concat(history, ignore_index=True),
    )
