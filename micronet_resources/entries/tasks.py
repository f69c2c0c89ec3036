"""What the guarded process does with an entry: measure it, or run it on images."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from micronet_resources.entries.records import pack
from micronet_resources.onnx_graph.admission import admit
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.graph import Graph, read_graph
from micronet_resources.onnx_graph.hidden import refuse_hidden_work
from micronet_resources.onnx_graph.inventory import take_inventory
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.onnx_graph.rewriting import INPUT, OUTPUT, rewrite_graph
from micronet_resources.rulebook.records import Task
from micronet_resources.rules import RULES, rule_set

__all__ = ["TASKS"]

REPORTING = 0.5  # seconds between two reports of progress
Report = Callable[[int, int], None]


def measure(
    data: bytes, *, rules: str | None, task: str | None, limits: dict[str, int], report: Report
) -> dict[str, Any]:
    """Profile an entry, as plain data."""
    graph = _read(data, limits)
    notes = []
    named = graph.metadata.get("micronet.task")
    if rules is None:
        rules, task = graph.metadata.get("micronet.rules"), named
        if rules not in RULES or task not in RULES[rules].tasks:
            rules = task = None
            notes.append("the file names no task that is known here; give rules and task to see its score")
    elif task is None and named in rule_set(rules).tasks:
        task = named
    if rules is not None:
        _check_task(graph, rule_set(rules).task(task))
    return {
        **pack(*take_inventory(graph, Limits(**limits))),
        "input_shape": graph.types[graph.input].shape[1:],
        "rules": rules,
        "task": task,
        "notes": notes,
    }


def _read(data: bytes, limits: dict[str, int]) -> Graph:
    bounds = Limits(**limits)
    graph = read_graph(admit(data, limits=bounds), bounds)
    refuse_hidden_work(graph, bounds)
    return graph


def _check_task(graph: Graph, task: Task) -> None:
    image, scores = graph.types[graph.input].shape[1:], graph.types[graph.output].shape
    fits = image[:1] == task.input_shape[:1] and len(image) == 3 if task.sizes_vary else image == task.input_shape
    if not fits:
        raise EntryError(f"the entry takes images of shape {image}; those of {task.data} have {task.input_shape}.")
    if scores != (1, task.num_classes):
        raise EntryError(
            f"the entry gives scores of shape {scores} for one image; {task.data} needs one score for each of its "
            f"{task.num_classes} classes, {(1, task.num_classes)}."
        )


def predict(data: bytes, pixels: bytes, *, shape: Sequence[int], limits: dict[str, int], report: Report) -> list[int]:
    """Class of each image; -1 where the largest score is not the largest of one class alone."""
    predictions = []
    told = time.monotonic()
    for scores in _scores(data, pixels, shape, limits):
        best = int(scores.argmax())
        predictions.append(best if int((scores == scores[best]).sum()) == 1 else -1)
        if time.monotonic() - told > REPORTING:
            report(len(predictions), shape[0])
            told = time.monotonic()
    return predictions


def run(
    data: bytes, pixels: bytes, *, shape: Sequence[int], limits: dict[str, int], report: Report
) -> list[list[float]]:
    """Scores of each image."""
    return [scores.astype(float).tolist() for scores in _scores(data, pixels, shape, limits)]


def _scores(data: bytes, pixels: bytes, shape: Sequence[int], limits: dict[str, int]):
    graph = _read(data, limits)
    images = np.frombuffer(pixels, np.float32).reshape(shape)
    expected, answer = graph.types[graph.input], graph.types[graph.output].shape
    if expected.shape[1:] != images.shape[1:]:
        raise EntryError(f"the entry takes images of shape {expected.shape[1:]}, these have {images.shape[1:]}.")
    if len(answer) != 2 or answer[0] != 1:
        raise EntryError(f"the entry gives scores of shape {answer} for one image: one for each class is needed.")
    session = _start_session(rewrite_graph(graph))
    images = images.astype(expected.dtype)
    for index in range(len(images)):
        scores = _call(session, images[index : index + 1])
        if scores.shape != answer:
            raise EntryError(f"the entry gave scores of shape {scores.shape} for one image; its graph says {answer}.")
        if not np.isfinite(scores).all():
            raise EntryError(f"the entry gave scores that are NaN or infinite for image {index}: check its weights.")
        yield scores[0]


def _start_session(data: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Higher levels rearrange sums differently on different processors; this one keeps their order.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise EntryError(f"onnxruntime cannot load the entry: {_short(error)}") from None


def _call(session: Any, image: np.ndarray) -> np.ndarray:
    try:
        return session.run([OUTPUT], {INPUT: image})[0]
    except Exception as error:
        raise EntryError(f"onnxruntime cannot run the entry on one image: {_short(error)}") from None


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "bad_alloc" in text or "Failed to allocate" in text:
        return "it needs more memory than it may use."
    return text[:300]


TASKS = {"measure": measure, "predict": predict, "run": run}
