"""Damaged and altered entries by the thousand: each is measured and run, or refused; nothing crashes and nothing hangs.

``FACTORKIT_FUZZ_SECONDS`` sets for how long (60 by default). Every mutant can be made again from its number.
"""

import collections
import os
import random
import re
import time

import numpy as np
import onnx
import pytest
import torch
from onnx import AttributeProto, TensorProto, helper
from torch import nn
from torch.nn import functional as F

from factorkit.quantization import ActivationQuantizer
from micronet_resources.entries.guard import GuardedWorker
from micronet_resources.entry import EntryError, Limits, export

SECONDS = float(os.environ.get("FACTORKIT_FUZZ_SECONDS", 60))
SLOWEST = 20  # seconds that one mutant may take; most take a few milliseconds
IMAGES = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32)
EXTREMES = [-(2**63), -(2**31), -100, -1, 0, 1, 2, 3, 7, 1000, 65537, 2**31 - 1, 2**31, 2**62, 2**63 - 1]
OPERATORS = sorted(onnx.defs.get_all_schemas(), key=lambda schema: schema.name)
OPERATORS = [schema.name for schema in OPERATORS if schema.domain == ""]


class Mixed(nn.Module):
    """Many kinds of operators in few parameters."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.layer_norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 10)

    def forward(self, images):
        maps = F.relu6(self.stem(images))
        maps = maps + F.hardswish(self.norm(self.depthwise(maps)))
        wide = torch.cat([self.up(maps), F.interpolate(maps[:, :4], scale_factor=2.0)], 1)
        maps = F.max_pool2d(wide, 4) * torch.sigmoid(F.avg_pool2d(wide, 4))
        tokens = maps.flatten(2).transpose(1, 2)
        tokens = self.layer_norm(tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0])
        return self.head(tokens.mean(1)).log_softmax(1)


class Quantized(nn.Sequential):
    """Few operators, weights and feature maps of few bits."""

    def __init__(self):
        layers = [nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), ActivationQuantizer(4), nn.Conv2d(8, 10, 3, stride=2)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Entries that are accepted as they are."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("seeds") / "entry.onnx"
    return [export(network, path).read_bytes() for network in (Mixed(), Quantized())]


# --- Mutations of bytes -----------------------------------------------------------------------------------------------


def somewhere(rng, data):
    """A position; half of them near the ends, where structure is denser than weights."""
    if rng.random() < 0.5:
        return min(int(rng.expovariate(1 / 200)), len(data) - 1)
    return rng.randrange(len(data))


def flip(rng, data, _):
    for _ in range(rng.choice([1, 1, 2, 4, 16, 64])):
        data[somewhere(rng, data)] ^= 1 << rng.randrange(8)


def overwrite(rng, data, _):
    place = somewhere(rng, data)
    data[place : place + rng.choice([1, 2, 8])] = rng.choice(
        [b"\xff" * 8, b"\x00" * 8, b"\x7f\xff\xff\xff", b"\x80" * 10]
    )


def insert(rng, data, _):
    place = somewhere(rng, data)
    data[place:place] = rng.randbytes(rng.choice([1, 2, 5, 50]))


def remove(rng, data, _):
    place = somewhere(rng, data)
    del data[place : place + rng.choice([1, 2, 5, 50, 1000])]


def truncate(rng, data, _):
    del data[somewhere(rng, data) :]


def repeat(rng, data, _):
    place, length = somewhere(rng, data), rng.choice([1, 10, 100])
    data[place:place] = data[place : place + length] * rng.choice([1, 2, 30])


def splice(rng, data, other):
    place = somewhere(rng, other)
    data[somewhere(rng, data) :] = other[place:]


BYTES = [flip, flip, overwrite, insert, remove, truncate, repeat, splice]


# --- Mutations of the graph -------------------------------------------------------------------------------------------


def any_name(rng, graph):
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    return rng.choice([*names, *(tensor.name for tensor in graph.initializer), "", "nowhere"])


def rewire(rng, model):
    node = rng.choice(model.graph.node)
    if node.input:
        node.input[rng.randrange(len(node.input))] = any_name(rng, model.graph)


def rename_output(rng, model):
    node = rng.choice(model.graph.node)
    node.output[rng.randrange(len(node.output))] = any_name(rng, model.graph)


def swap_nodes(rng, model):
    first, second = (rng.randrange(len(model.graph.node)) for _ in range(2))
    kept = onnx.NodeProto()
    kept.CopyFrom(model.graph.node[first])
    model.graph.node[first].CopyFrom(model.graph.node[second])
    model.graph.node[second].CopyFrom(kept)


def delete_node(rng, model):
    del model.graph.node[rng.randrange(len(model.graph.node))]


def duplicate_node(rng, model):
    for _ in range(rng.choice([1, 1, 3, 30])):
        source = rng.choice(model.graph.node)
        copy = model.graph.node.add()
        copy.CopyFrom(source)
        del copy.output[:]
        copy.output.extend(f"copy{len(model.graph.node)}.{i}" for i in range(len(source.output)))
        if rng.random() < 0.5:
            rng.choice(model.graph.node).input.append(copy.output[0])


def change_operator(rng, model):
    rng.choice(model.graph.node).op_type = rng.choice([*OPERATORS, "Nothing", ""])


def change_domain(rng, model):
    rng.choice(model.graph.node).domain = rng.choice(["com.microsoft", "ai.onnx", "ai.onnx.ml", "x" * 500])


def change_attribute(rng, model):
    nodes = [node for node in model.graph.node if node.attribute]
    attribute = rng.choice(rng.choice(nodes).attribute)
    if attribute.ints and rng.random() < 0.9:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(EXTREMES)
    elif attribute.HasField("t") and rng.random() < 0.9:
        change_tensor(rng, attribute.t)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = rng.choice([0.0, -1.0, 1e30, float("inf"), float("nan")])
    else:
        attribute.i = rng.choice(EXTREMES)
        if rng.random() < 0.2:
            attribute.type = rng.randrange(15)


def drop_or_add_attribute(rng, model):
    node = rng.choice(model.graph.node)
    if node.attribute and rng.random() < 0.5:
        del node.attribute[rng.randrange(len(node.attribute))]
    else:
        names = [
            "axis",
            "axes",
            "group",
            "pads",
            "strides",
            "dilations",
            "kernel_shape",
            "to",
            "perm",
            "mode",
            "epsilon",
        ]
        values = [rng.choice(EXTREMES), [rng.choice(EXTREMES) for _ in range(rng.randrange(5))], "text", 0.5]
        value = rng.choice([value for value in values if value != []])
        node.attribute.append(helper.make_attribute(rng.choice(names), value))


def change_tensor(rng, tensor):
    choice = rng.randrange(6)
    if choice == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(EXTREMES)
    elif choice == 1:
        tensor.data_type = rng.choice([*TensorProto.DataType.values(), 99])
    elif choice == 2 and tensor.raw_data:
        raw = bytearray(tensor.raw_data)
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        tensor.raw_data = bytes(raw)
    elif choice == 3:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
    elif choice == 4 and len(tensor.dims) > 1:
        sizes = list(tensor.dims)
        rng.shuffle(sizes)
        tensor.dims[:] = sizes
    elif tensor.data_type == TensorProto.INT64:
        count = len(tensor.raw_data) // 8
        tensor.raw_data = np.array([rng.choice(EXTREMES) for _ in range(count)], np.int64).tobytes()
    else:
        tensor.dims.append(rng.choice([1, 1, *EXTREMES]))


def change_weight(rng, model):
    change_tensor(rng, rng.choice(model.graph.initializer))


def duplicate_weight(rng, model):
    copy = model.graph.initializer.add()
    copy.CopyFrom(rng.choice(model.graph.initializer))
    copy.name = rng.choice([copy.name, any_name(rng, model.graph), "copy"])


def change_interface(rng, model):
    value = rng.choice([*model.graph.input, *model.graph.output])
    kind = value.type.tensor_type
    choice = rng.randrange(4)
    if choice == 0:
        kind.elem_type = rng.choice([0, 1, 2, 7, 8, 9, 10, 11, 16, 99])
    elif choice == 1:
        rng.choice(kind.shape.dim).dim_value = rng.choice(EXTREMES)
    elif choice == 2:
        kind.shape.dim.add().dim_value = rng.choice(EXTREMES)
    else:
        value.name = any_name(rng, model.graph)


def change_versions(rng, model):
    if rng.random() < 0.5:
        model.opset_import[0].version = rng.choice([*EXTREMES, *range(1, 27)])
    else:
        model.ir_version = rng.choice([*EXTREMES, *range(1, 14)])


def insert_node(rng, model):
    """An operator with a random input, before a random node that reads its output."""
    position = rng.randrange(len(model.graph.node))
    reader = model.graph.node[position]
    if not reader.input:
        return
    place = rng.randrange(len(reader.input))
    size = helper.make_node(
        "Constant", [], ["size"], value_ints=[rng.choice(EXTREMES) for _ in range(rng.randrange(1, 4))]
    )
    inputs = [reader.input[place], "size"][: rng.choice([1, 2])]
    node = helper.make_node(
        rng.choice(["Expand", "Reshape", "Tile", "Gather", "Pad", *OPERATORS]), inputs, ["inserted"]
    )
    reader.input[place] = "inserted"
    nodes = [*model.graph.node[:position], size, node, *model.graph.node[position:]]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


GRAPHS = [
    rewire,
    rename_output,
    swap_nodes,
    delete_node,
    duplicate_node,
    change_operator,
    change_domain,
    change_attribute,
]
GRAPHS += [change_attribute, drop_or_add_attribute, change_weight, duplicate_weight, change_interface, change_versions]
GRAPHS += [insert_node]


def mutant(seeds, number):
    """Mutant of this number: the same bytes each time."""
    rng = random.Random(number)
    seed = rng.choice(seeds)
    if rng.random() < 0.4:
        data = bytearray(seed)
        for _ in range(rng.choice([1, 1, 2, 3])):
            if data:
                rng.choice(BYTES)(rng, data, rng.choice(seeds))
        return bytes(data)
    model = onnx.ModelProto.FromString(seed)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if len(model.graph.node):
            rng.choice(GRAPHS)(rng, model)
    return model.SerializeToString()


# --- The test ---------------------------------------------------------------------------------------------------------


def kind_of(error):
    """The rule behind a refusal: its words without names and numbers."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"|\([^)]*\)|\[[^\]]*\]|[\d,.]*\d", "_", str(error))
    return " ".join(text.split())[:50]


class Asker:
    """One guarded worker for all mutants, and a new one in place of one that died."""

    def __init__(self):
        self.worker = None

    def ask(self, data):
        if self.worker is None or not self.worker.is_alive:
            self.close()
            self.worker = GuardedWorker(memory=6 * 2**30, processor_seconds=int(10 * SECONDS) + 600)
        limits = vars(Limits())
        self.worker.ask({"do": "measure", "rules": None, "task": None, "limits": limits}, [data], seconds=SLOWEST)
        question = {"do": "run", "shape": IMAGES.shape, "limits": limits}
        self.worker.ask(question, [data, IMAGES.tobytes()], seconds=SLOWEST)

    def close(self):
        if self.worker is not None:
            self.worker.close()


@pytest.fixture
def asker():
    asker = Asker()
    yield asker
    asker.close()


def test_the_entries_that_are_mutated_are_accepted(seeds, asker):
    for seed in seeds:
        asker.ask(seed)


def test_a_mutant_can_be_made_again(seeds):
    assert [mutant(seeds, number) for number in range(20)] == [mutant(seeds, number) for number in range(20)]
    changed = [mutant(seeds, number) not in seeds for number in range(200)]
    assert sum(changed) > 180


@pytest.mark.slow
def test_mutants_are_accepted_or_refused_and_nothing_else(seeds, asker):
    refusals, accepted, slowest = collections.Counter(), 0, (0.0, 0)
    end = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < end:
        data, start = mutant(seeds, number), time.monotonic()
        try:
            asker.ask(data)
            accepted += 1
        except EntryError as error:
            assert asker.worker.is_alive, f"mutant {number} ended the process: {error}"
            refusals[kind_of(error)] += 1
        slowest = max(slowest, (time.monotonic() - start, number))
        number += 1
    print(f"\n{number:,} mutants in {SECONDS:g} s: {accepted:,} accepted, {sum(refusals.values()):,} refused.")
    print(f"The slowest, number {slowest[1]}, took {slowest[0]:.2f} s.")
    for kind, count in refusals.most_common():
        print(f"  {count:7,}  {kind}")
    assert number > 10 * SECONDS, f"only {number} mutants in {SECONDS:g} s"
    assert accepted > number / 100, "mutations that always break the file test nothing behind the parser"
    assert len(refusals) >= 10, f"only these refusals were seen: {sorted(refusals)}"
