"""Constants are computed as onnxruntime computes them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.folding import OTHERS, PAIRS, REDUCTIONS, SINGLES, fold
from micronet_resources.onnx_graph.workload import BROADCAST, work

RNG = np.random.default_rng(0)


def runtime(op, attributes, inputs, outputs=1):
    """What the kernels of onnxruntime compute; nothing is folded before, since all inputs are given at run time."""
    names = ["" if value is None else f"i{position}" for position, value in enumerate(inputs)]
    told = {k: onnx.numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for k, v in attributes.items()}
    results = [f"o{position}" for position in range(outputs)]
    given = {name: value for name, value in zip(names, inputs, strict=True) if name}
    graph = helper.make_graph(
        [helper.make_node(op, names, results, **told)],
        "one",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in given.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in results],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, given)


def f(*shape, of=np.float32):
    return np.asarray(RNG.standard_normal(shape) * 3).astype(of)


def i(*shape, of=np.int64):
    return RNG.integers(-9, 9, shape).astype(of)


def a(*numbers, of=np.int64):
    return np.array(numbers, of)


def one(number, of=np.float32):
    return np.array(number, of)


def _cases():
    for op in sorted({*PAIRS, "Div", "Mod"} - {"And", "Or", "Pow", "Mod", "Div", "Sum"}):
        for kind in (np.float32, np.float16, np.int64, np.int32):
            yield op, {}, [f(3, 4, of=kind), f(4, of=kind)]
    yield from (("Sum", {}, [f(3, 4), f(4), f(1)]), ("Max", {}, [f(3), f(3), f(3)]))
    yield from ((op, {}, [f(3, 4) > 0, f(4) > 0]) for op in ("And", "Or"))
    for base, exponent in ((abs(f(3, 4)), f(4)), (f(3, 4), a(2)), (i(3, 4), a(0, 1, 2, 3)), (f(3), a(-1, -2, 3))):
        yield "Pow", {}, [base, exponent]
    for kind in (np.float32, np.float16, np.int64, np.int32, np.int8):
        left, right = (10 * f(5, 6)).astype(kind), np.where((found := f(6).astype(kind)) == 0, 3, found).astype(kind)
        yield from (("Div", {}, [left, right]), ("Mod", {"fmod": 1}, [left, right]))
        if kind not in (np.float32, np.float16):
            yield "Mod", {}, [left, right]
    yield from (("Mod", {"fmod": 1}, [a(-0.3, 0.3, -2.5, of=np.float32), one(1)]), ("Not", {}, [f(5) > 0]))
    for op in sorted(set(SINGLES) - {"Not"}):
        values = np.abs(f(3, 5)) if op in ("Log", "Sqrt") else f(3, 5)
        yield from ((op, {}, [values]), (op, {}, [values.astype(np.float16)]))
    yield from ((op, {}, [i(3, 5, of=np.int32)]) for op in ("Abs", "Neg", "Sign", "Relu"))
    yield from (("Round", {}, [a(0.5, 1.5, -0.5, of=np.float32)]), ("Sigmoid", {}, [a(-200, 100, of=np.float32)]))
    for op in sorted(REDUCTIONS):
        for kind in (np.float32, np.int32):
            value = f(3, 4, 2, of=kind)
            yield from ((op, {}, [value]), (op, {"keepdims": 0}, [value, a(1)]), (op, {}, [value, a(-1, 0)]))
            yield from ((op, {"noop_with_empty_axes": 1}, [value, *axes]) for axes in ([], [a()]))
            yield op, {}, [value, a()]
    for start, end, step in ((8, 1, -3), (-1, -99, -1), (-99, 5, 1), (-99, -999, -1), (20, 0, -2), (1, 2**63 - 1, 2)):
        yield "Slice", {}, [np.arange(10), a(start), a(end), a(0), a(step)]
    yield "Slice", {}, [f(3, 4, 5), a(1, 0), a(3, 2), a(-1, 0)]
    for kind in (np.float32, np.float16, np.int32, np.int8, np.uint8, np.bool_):
        yield "Cast", {"to": helper.np_dtype_to_tensor_dtype(np.dtype(kind))}, [abs(10 * f(6))]
    for axis, channels in ((0, 3), (-1, 4)):
        yield "DequantizeLinear", {"axis": axis}, [i(3, 4, of=np.int8), abs(f(channels)), i(channels, of=np.int8)]
    yield "DequantizeLinear", {}, [i(3, 4, of=np.uint8), one(0.3), one(7, np.uint8)]
    yield "DequantizeLinear", {}, [i(3, 4, of=np.int8), one(0.3, np.float16)]
    yield from (("Concat", {"axis": -1}, [f(2, 1), f(2, 3)]), ("Identity", {}, [f(2)]), ("Size", {}, [f(2, 3)]))
    yield from (("ConstantOfShape", {}, [a(2, 2)]), ("ConstantOfShape", {"value": a(3)}, [a(2, 2)]))
    yield from (("CastLike", {}, [10 * f(3), i(1)]), ("Where", {}, [f(3, 4) > 0, f(4), f(3, 1)]))
    yield from (
        ("Expand", {}, [f(3, 1), a(2, 1, 4)]),
        ("Expand", {}, [f(3, 4), a(1)]),
        ("Tile", {}, [f(2, 2), a(2, 3)]),
    )
    yield from (("Flatten", {"axis": axis}, [f(2, 3, 4)]) for axis in (0, -1, 3))
    yield from (
        ("Gather", {"axis": -1}, [f(3, 4), np.array([[0, -1], [2, 2]])]),
        ("Gather", {}, [f(3, 4), one(-2, int)]),
    )
    for left, right in ((f(2, 3, 4), f(4, 2)), (f(4), f(4)), (f(3, 4), f(4)), (f(4), f(2, 4, 3))):
        yield "MatMul", {}, [left, right]
    yield from (("Pad", {}, [f(2, 3), a(1, 0, 0, 2), one(7)]), ("Pad", {}, [f(2, 3), a(1, 2), None, a(-1)]))
    yield from (("Pad", {}, [f(2, 3), a(-1, 1, 0, -1)]), ("Range", {}, [one(2, int), one(11, int), one(3, int)]))
    yield from (("Range", {}, [one(0), one(1), one(0.1)]), ("Range", {}, [one(5, int), one(1, int), one(1, int)]))
    yield from (("Reshape", {}, [f(2, 6), a(0, 3, -1)]), ("Squeeze", {}, [f(1, 2, 1), a(-1)]))
    yield from (("Squeeze", {}, [f(1, 2, 1)]), ("Unsqueeze", {}, [f(2, 3), a(-1, 0)]), ("Transpose", {}, [f(1, 2, 3)]))
    yield from (("Transpose", {"perm": [1, 0, 2]}, [f(1, 2, 3)]), ("Split", {"axis": 1}, [f(2, 5), a(2, 3)]))
    yield "Split", {"num_outputs": 3, "axis": -1}, [f(2, 8)]


CASES = list(_cases())


def _title(case):
    op, attributes, inputs = case
    kinds = ["-" if value is None else f"{value.dtype}{list(value.shape)}" for value in inputs]
    return " ".join([op, *(f"{name}={value}" for name, value in attributes.items()), *kinds]).replace(" ", "_")


@pytest.mark.parametrize("case", CASES, ids=_title)
def test_a_constant_is_what_the_runtime_makes_of_it(case):
    op, attributes, inputs = case
    with np.errstate(all="ignore"):
        found = fold(op, attributes, inputs)
    expected = runtime(op, attributes, inputs, len(found))
    for value, reference in zip(found, expected, strict=True):
        assert value.dtype == reference.dtype and value.shape == reference.shape
        tolerance = 2e-3 if value.dtype == np.float16 else 2e-6
        np.testing.assert_allclose(value.astype(np.float64), reference.astype(np.float64), tolerance, 1e-6)


def test_every_operator_that_works_on_constants_is_compared():
    assert {op for op, _, _ in CASES} == {*PAIRS, *SINGLES, *REDUCTIONS, *OTHERS, "Split"}


@pytest.mark.parametrize("case", CASES, ids=_title)
def test_the_work_is_known_before_it_is_done(case):
    """What is announced is not less than what is made, unless it is a view of memory that is there."""
    op, attributes, inputs = case
    with np.errstate(all="ignore"):
        made = fold(op, attributes, inputs)
    views = all(np.shares_memory(value, inputs[0]) for value in made) if inputs[0].size else True
    assert views or work(op, attributes, inputs) >= sum(value.size for value in made)


def test_operators_that_are_broadcast_are_known_to_be():
    assert {*PAIRS, "Div", "Mod", "Where"} == BROADCAST


@pytest.mark.parametrize("op", ["Div", "Mod"])
def test_constants_are_not_divided_by_zero(op):
    assert fold(op, {}, [a(7, 8), a(2, 3)])
    with pytest.raises(EntryError, match="divided by zero"):
        fold(op, {}, [a(7, 8), a(2, 0)])
