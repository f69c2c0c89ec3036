"""Values: each type of the closed set crosses as it is; nothing else does, whatever the other side writes."""

from __future__ import annotations

import datetime
import decimal
import fractions
import json
import math
import pathlib
import random
import time
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autograder.two_process.kinds import DECODERS
from autograder.two_process.values import MAX_DEPTH, Codec
from autograder.two_process.wire import Fault


def crossed(value: Any) -> Any:
    """The value after a way over the wire."""
    codec = Codec()
    message = json.loads(json.dumps(codec.encode(value)))
    return Codec().read(message, [bytearray(blob) for blob in codec.blobs])


def same(one: Any, other: Any) -> bool:
    """Equal and of the same types all the way down; NaN is itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one.isnan(), other.isnan()) and same(one.numpy(), other.numpy())
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return same(list(one.keys()), list(other.keys())) and same(list(one.values()), list(other.values()))
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return (
            math.isnan(one) and math.isnan(other) or (one == other and math.copysign(1, one) == math.copysign(1, other))
        )
    return one == other


hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
arrays = hnp.arrays(
    st.one_of(
        hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.floating_dtypes(sizes=(16, 32, 64)), hnp.complex_number_dtypes()
    ),
    hnp.array_shapes(min_dims=0, min_side=0, max_side=4),
)
tensors = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
    hnp.array_shapes(min_dims=0, min_side=0, max_side=4),
).map(torch.from_numpy)
plain = st.recursive(
    hashable | st.floats() | st.complex_numbers(allow_nan=False) | arrays | tensors,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(hashable, inner, max_size=3),
        st.dictionaries(st.text(), inner, max_size=3).map(OrderedDict),
        st.lists(inner, max_size=3).map(deque),
    ),
    max_leaves=8,
)


@given(plain | st.sets(hashable, max_size=4))
@settings(max_examples=150, deadline=None)
def test_plain_values_cross_as_they_are(value):
    assert same(crossed(value), value)


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**200),
        Counter("abracadabra"),
        slice(1, None, 2),
        range(5, -1, -2),
        ...,
        NotImplemented,
        bytearray(b"ab"),
        datetime.datetime(2024, 2, 29, 12, 30, 1, 5),
        datetime.date(2024, 2, 29),
        datetime.timedelta(-1, 5),
        decimal.Decimal("-1.50E+3"),
        fractions.Fraction(-3, 7),
        pathlib.Path("a/b.txt"),
        np.float32(0.1),
        np.datetime64("2024-02-29"),
        np.str_("ä"),
        np.dtype("float16"),
        torch.Size([1, 2]),
        torch.bfloat16,
        torch.device("cpu"),
    ],
    ids=repr,
)
def test_single_values_cross_as_they_are(value):
    assert type(crossed(value)) is type(value) and crossed(value) == value


def test_a_default_dictionary_keeps_a_plain_factory():
    got = crossed(defaultdict(list, {"a": [1]}))
    got["b"].append(2)
    assert type(got) is defaultdict and got == {"a": [1], "b": [2]}


def test_named_results_of_torch_keep_their_class():
    got = crossed(torch.topk(torch.tensor([1.0, 3.0, 2.0]), 2))
    assert isinstance(got, torch.return_types.topk) and got.indices.tolist() == [1, 2]


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"name": ["a", "b"], "rank": [1, 2], "error": [0.5, None]}, index=["x", "y"]),
        pd.DataFrame({"kind": pd.Categorical(["u", "v"])}),
        pd.DataFrame({("a", 1): [1], ("a", 2): [2]}),
        pd.DataFrame(),
    ],
    ids=["columns", "categories", "levels", "empty"],
)
def test_tables_cross(table):
    pd.testing.assert_frame_equal(crossed(table), table, check_column_type=bool(table.size))


def test_a_series_keeps_its_name_and_index():
    series = pd.Series([1.0, 2.0], index=pd.Index(["a", "b"], name="layer"), name="error")
    pd.testing.assert_series_equal(crossed(series), series)


class Text(str):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


class Number(float):
    pass


class Items(list):
    pass


class Array(np.ndarray):
    pass


@pytest.mark.parametrize("value", [Text("a"), Number(1), Items(), np.zeros(2).view(Array), object(), print])
def test_what_is_of_another_class_is_not_plain(value):
    for whole in (value, [value], {"key": value}):
        with pytest.raises(TypeError, match="is no plain value"):
            Codec().encode(whole)


def test_values_that_are_nested_too_deeply_are_not_plain():
    value: list[Any] = []
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(TypeError, match="is no plain value"):
        Codec().encode(value)


@pytest.mark.parametrize(
    ("message", "blobs"),
    [
        ({"array": ["|O", [1], 0]}, [bytes(8)]),
        ({"array": ["<f8", [2], 0]}, [bytes(8)]),
        ({"array": ["<f8", [-1], 0]}, [bytes(8)]),
        ({"array": ["<f8", [1 << 47, 1 << 47], 0]}, [b""]),
        ({"array": ["i4,i4", [1], 0]}, [bytes(8)]),
        ({"array": ["|b1", [2], 0]}, [b"\x01\x02"]),
        ({"array": ["<U1", [1], 0]}, [b"\xff\xff\xff\xff"]),
        ({"tensor": ["torch.float32", [1], 0, {}]}, [bytes(8)]),
        ({"tensor": ["torch.bool", [1], 0, {}]}, [b"\x07"]),
        ({"tensor": ["torch.quint8", [1], 0, {}]}, [bytes(1)]),
        ({"bytes": -1}, [b"a"]),
        ({"bytes": 7}, [b"a"]),
        ({"torch.returned": ["os", []]}, []),
        ({"set": [{"list": []}]}, []),
        ({"dict": [["a"], []]}, []),
        ({"fraction": "1e999999999"}, []),
        ({"fraction": "1/0"}, []),
        ({"decimal": "1e999999999"}, []),
        ({"int": "f" * 200_000}, []),
        ({"pickle": [0, 1]}, [b"cos\nsystem\n(S'true'\ntR."]),
        ({"unknown": 1}, []),
        ({}, []),
        ([], []),
    ],
    ids=str,
)
def test_what_no_codec_writes_is_a_fault(message, blobs):
    with pytest.raises(Fault) as fault:
        Codec().read(message, [bytearray(blob) for blob in blobs])
    assert fault.value.kind == "protocol"


TAGS = sorted(DECODERS)
LEAVES = [None, True, -1, 0, 1, 2, 1 << 40, 0.5, math.nan, "", "a", "torch.float32", "<f8", "|S3", "topk", "1", "-0x1"]


def forged(chance: random.Random, depth: int = 0) -> Any:
    """Something that looks like a message."""
    kind = chance.random()
    if depth > 5 or kind < 0.35:
        return chance.choice(LEAVES)
    if kind < 0.6:
        return [forged(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice(TAGS): forged(chance, depth + 1)}


def test_forged_messages_give_values_or_faults_and_nothing_else():
    chance = random.Random(0)
    blobs = [bytearray(), bytearray(8), bytearray(b"\x01" * 24)]
    end, read, refused = time.monotonic() + 5, 0, 0
    while time.monotonic() < end:
        try:
            Codec().read(forged(chance), [bytearray(blob) for blob in blobs])
            read += 1
        except Fault:
            refused += 1
    assert read > 100 and refused > 100
