"""Writes a challenge entry: one ONNX file, measured and compared with the network before it is kept."""

from __future__ import annotations

import io
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from micronet_resources.counting.anatomy import dissect
from micronet_resources.counting.borrowing import borrowed, random_state_kept
from micronet_resources.entries.measuring import measure, run
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.rules import rule_set

__all__ = ["export"]

OPSET = 21
KEPT = "pkg.torch.onnx.name_scopes"  # which module each node comes from; the rest quotes code and paths
CHECKED_IMAGES = 4
# How far scores may be apart, relative to their size, because sums are formed in another order.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 3e-2}
ROUNDING_TOLERANCE = 0.1  # with quantized feature maps, where a number between two steps may fall to either side


def export(
    model: nn.Module,
    path: str | os.PathLike[str],
    task: str = "patterns",
    *,
    rules: str = "course2025",
    limits: Limits | None = None,
) -> Path:
    """Write a network as a challenge entry: one ONNX file.

    The network is exported in evaluation mode with its own names; the file also says which task and rules it is meant
    for. It is measured and run before it is kept, so a file that is there is an entry that can be handed in: profile
    and scores agree with the network.

    Parameters
    ----------
    model : nn.Module
        Maps normalized images N x C x H x W to scores N x num_classes, for any N, in float32 or float16. Left exactly
        as found.
    path : path
        Such as ``"entry.onnx"``; an existing file is replaced when the new one is complete.
    task : str, optional
        Name of a task of the rules.
    rules : str, optional
        Name of a rule set.
    limits : Limits, optional
        How large an entry may be, as in :func:`~micronet_resources.entry.measure`.

    Returns
    -------
    Path
        Where the entry is.

    Raises
    ------
    EntryError
        If the network cannot be exported, measured or run by ONNX alone, or gives other scores there.
    ValueError
        If there are no such rules or no such task.

    Examples
    --------
    >>> import tempfile
    >>> from factorkit.models import small_convnet
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = export(small_convnet((4, 8)), Path(folder) / "entry.onnx")
    ...     measure(path).params
    1254
    """
    if isinstance(path, nn.Module) or str(task).endswith(".onnx"):
        raise EntryError("the arguments are in another order: write export(model, 'entry.onnx', 'patterns').")
    goal = rule_set(rules).task(task)
    path = Path(path)
    if not path.parent.is_dir():
        raise EntryError(f"{path} cannot be written: there is no folder {path.parent}.")
    dtype = _check_model(model)
    images = torch.randn(CHECKED_IMAGES, *goal.input_shape, generator=torch.Generator().manual_seed(0))
    with random_state_kept(), _lent(model), torch.no_grad():
        expected = _run_model(model, images.to(dtype), goal.num_classes)
        _run_model(model, images[:1].to(dtype), goal.num_classes)
        proto = _export(model, images[:2].to(dtype))
    _tidy(proto)
    notes = {"task": task, "rules": rules, "factorkit": _kit_version(), "torch": torch.__version__}
    onnx.helper.set_model_props(proto, {f"micronet.{name}": value for name, value in notes.items()})
    data = proto.SerializeToString()
    measure(data, rules=rules, task=task, limits=limits)
    is_quantized = any(node.op_type == "QuantizeLinear" for node in proto.graph.node)
    _compare(expected, run(data, images.numpy(), limits=limits), dtype, is_quantized)
    _write(path, data)
    return path


def _check_model(model: nn.Module) -> torch.dtype:
    if not isinstance(model, nn.Module):
        raise EntryError(f"model is a {type(model).__name__}: give an nn.Module, such as nn.Sequential(...).")
    tensors = [*model.parameters(), *model.buffers()]
    dtypes = {tensor.dtype for tensor in tensors if tensor.is_floating_point()} or {torch.float32}
    for dtype in dtypes - set(TOLERANCE):
        raise EntryError(
            f"the model has tensors of type {str(dtype).removeprefix('torch.')}: ONNX runs float32 and float16. "
            "Convert it first with model.float() or model.half()."
        )
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)


@contextmanager
def _lent(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, on the CPU, with copies of its tensors."""
    try:
        parts = dissect(model).values()
    except ValueError as error:
        raise EntryError(str(error)) from error
    with borrowed(parts, nn.Module._call_impl, copy_tensors=True):
        yield


def _run_model(model: nn.Module, images: torch.Tensor, num_classes: int) -> np.ndarray:
    try:
        scores = model(images)
    except Exception as error:
        raise EntryError(
            f"the model does not run on images of shape {tuple(images.shape)}: {type(error).__name__}: {error}"
        ) from error
    shape = tuple(getattr(scores, "shape", ()))
    if shape != (len(images), num_classes):
        raise EntryError(
            f"the model returned {shape or type(scores).__name__} for images of shape {tuple(images.shape)}: the task "
            f"needs one score per image and class, {(len(images), num_classes)}."
        )
    if not bool(torch.isfinite(scores).all()):
        raise EntryError("the model returned scores that are NaN or infinite: check its weights.")
    return scores.float().numpy()


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither prints nor warnings nor log lines of the exporter."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with ExitStack() as stack:
            stack.enter_context(redirect_stdout(io.StringIO()))
            stack.enter_context(redirect_stderr(io.StringIO()))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _export(model: nn.Module, images: torch.Tensor) -> onnx.ModelProto:
    try:
        with _quiet():
            # Not optimized: what the optimizer folds, merges and drops depends on values, and counts would too.
            program = torch.onnx.export(
                model,
                (images,),
                dynamo=True,
                optimize=False,
                opset_version=OPSET,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
            return program.model_proto
    except Exception as error:
        raise EntryError(_explain(error)) from error


def _explain(error: BaseException) -> str:
    """What stands in the way of exporting a network that runs in torch."""
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    text = " ".join(str(causes[-1]).split())
    operator = re.search(r"aten[.:]+(\w+)", text)
    kind = type(causes[-1]).__name__
    if "data-dependent" in text or kind == "GuardOnDataDependentSymNode":
        reason = (
            "forward decides something by the values of its input (an if, a loop or an index): compute both branches "
            "and choose with torch.where"
        )
    elif operator and "fake_quantize" in operator.group(1):
        reason = f"{operator.group(1)} has no ONNX form: quantize with factorkit.quantization, which has one"
    elif operator and kind in ("DispatchError", "UnsupportedOperatorException"):
        reason = f"the operator {operator.group(1)} has no ONNX form: write it with other operators"
    elif "batch" in text and "onstraint" in text:
        reason = "forward works for one number of images only: use images.shape[0], or flatten(1) in place of view"
    else:
        reason = f"{kind}: {text[:300]}"
    return f"the model cannot be exported to ONNX: {reason}."


def _tidy(proto: onnx.ModelProto) -> None:
    """Leave out what neither computes nor names: unused buffers, quotations of code, paths of this computer."""
    graph = proto.graph
    if not graph.input or not graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise EntryError(
            "the model cannot be exported to ONNX: forward works for one number of images only. Use images.shape[0], "
            "or flatten(1) in place of view."
        )
    read = {name for node in graph.node for name in node.input}
    used = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(used)
    del graph.value_info[:]
    for described in (proto, graph, *graph.input, *graph.output, *graph.initializer):
        del described.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
        kept = [entry for entry in node.metadata_props if entry.key == KEPT]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)


def _kit_version() -> str:
    try:
        return version("factorkit")
    except PackageNotFoundError:
        return "unknown"


def _compare(expected: np.ndarray, got: np.ndarray, dtype: torch.dtype, is_quantized: bool) -> None:
    size = float(np.abs(expected).max()) or 1.0
    apart = float(np.abs(expected - got).max()) / size
    allowed = max(TOLERANCE[dtype], ROUNDING_TOLERANCE if is_quantized else 0.0)
    if not apart <= allowed:
        raise EntryError(
            f"the exported network gives other scores than the model, apart by {100 * apart:.2g} % of their size (at "
            f"most {100 * allowed:g} % are allowed): forward may be random, mix the images of a batch, or keep "
            "something from one call to the next."
        )


def _write(path: Path, data: bytes) -> None:
    """All or nothing: another program sees the old file or the whole new one."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise EntryError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            part.unlink()
