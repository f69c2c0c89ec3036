"""The graph of an entry for one image: constants folded, every shape exact, the work of reading it bounded."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto

from micronet_resources.onnx_graph.constants import Constant, ConstantTable
from micronet_resources.onnx_graph.errors import AGAIN, EntryError
from micronet_resources.onnx_graph.limits import Limits
from micronet_resources.onnx_graph.operators import ALLOWED, FOLDED_ONLY
from micronet_resources.onnx_graph.records import Graph, Node, TensorType
from micronet_resources.onnx_graph.shapes import infer_outputs, shape_of

__all__ = ["Constant", "Graph", "Node", "TensorType", "read_graph"]

# Where the exporter of torch writes the path of the module and the name of the call that a node comes from.
SCOPES = "pkg.torch.onnx.name_scopes"


def _attribute(attribute: AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.type == AttributeProto.TENSOR:
        return onnx.numpy_helper.to_array(value)
    if attribute.type == AttributeProto.STRING:
        return value.decode()
    if attribute.type == AttributeProto.STRINGS:
        return tuple(text.decode() for text in value)
    if attribute.type in (AttributeProto.INTS, AttributeProto.FLOATS):
        return tuple(value)
    if attribute.type in (AttributeProto.INT, AttributeProto.FLOAT):
        return value
    raise EntryError(
        f"attribute {attribute.name!r} holds a sub-graph, sparse tensor or type: use plain operators only."
    )


def _scopes(node: onnx.NodeProto) -> tuple[list[str], str]:
    """Paths of the modules that a node comes from, outermost first, and the name of the call; empty if not said."""
    for entry in node.metadata_props:
        if entry.key == SCOPES:
            *modules, call = re.findall(r"'([^']*)'", entry.value[:2000]) or ("",)
            return [module for module in modules if module], call
    return [], ""


def _layer_name(node: onnx.NodeProto) -> str:
    """Path of the module that a node was exported from, or its own name."""
    modules, call = _scopes(node)
    return modules[-1] if modules else call or node.name or (node.output[0] if node.output else node.op_type)


def _where(node: onnx.NodeProto) -> str:
    return f"{_layer_name(node)[:100]} ({node.op_type[:40]})"


class _Reader:
    """Walks the nodes once, in order."""

    def __init__(self, model: onnx.ModelProto, limits: Limits) -> None:
        self.model, self.limits = model, limits
        self.opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
        self.constants = ConstantTable(limits)
        self.types: dict[str, onnx.TypeProto] = {}
        self.nodes: list[Node] = []
        self.splits: dict[str, tuple[str, int, list[int]]] = {}
        self.activations = 0
        for tensor in model.graph.initializer:
            self.constants.store(tensor.name, onnx.numpy_helper.to_array(tensor))
            self._type_constant(tensor.name)
        image = onnx.TypeProto()
        image.CopyFrom(model.graph.input[0].type)
        image.tensor_type.shape.dim[0].dim_value = 1
        self.types[model.graph.input[0].name] = image

    def _type_constant(self, name: str) -> None:
        value = self.constants[name].value
        self.types[name] = onnx.helper.make_tensor_type_proto(
            onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )

    def read(self, proto: onnx.NodeProto) -> None:
        op, where = proto.op_type, _where(proto)
        if op == "SplitToSequence":
            self._split(proto, where)
            return
        if op == "SequenceAt":
            proto = self._part(proto, where)
            op = proto.op_type
        if proto.domain not in ("", "ai.onnx") or op not in ALLOWED | FOLDED_ONLY:
            raise EntryError(
                f"{where}: the operator {op!r} of domain {proto.domain or 'ai.onnx'!r} is not one that entries may "
                "use. Build the network from convolutions, matrix products and the usual element-wise operators."
            )
        attributes = {attribute.name: _attribute(attribute) for attribute in proto.attribute}
        if op == "Constant":
            self._write(proto, where, attributes)
        elif op in ("Shape", "Size") and proto.input[0] in self.types:
            shape = shape_of(self.types[proto.input[0]])
            sizes = shape[attributes.get("start", 0) : attributes.get("end", len(shape))]
            self.constants.write(proto.output[0], np.array(sizes if op == "Shape" else math.prod(shape), np.int64))
            self._type_constant(proto.output[0])
        elif proto.input and all(not name or name in self.constants for name in proto.input):
            self.constants.compute(where, op, attributes, proto.input, proto.output)
            for name in proto.output:
                if name in self.constants:
                    self._type_constant(name)
        elif op == "CastLike" and proto.input[0] in self.constants and proto.input[1] in self.types:
            kind = self.types[proto.input[1]].tensor_type.elem_type
            self.constants.compute(where, "Cast", {"to": kind}, proto.input[:1], proto.output)
            self._type_constant(proto.output[0])
        elif op in FOLDED_ONLY:
            raise EntryError(f"{where}: {op} must make the same constant for every image, here it reads the image.")
        else:
            self._run(proto, where, attributes)

    def _split(self, proto: onnx.NodeProto, where: str) -> None:
        """Remember where a tensor is cut; chunk and split of torch are exported like this."""
        attributes = {attribute.name: _attribute(attribute) for attribute in proto.attribute}
        source, *given = proto.input
        if source not in self.types or len(given) != 1 or given[0] not in self.constants:
            raise EntryError(f"{where} must cut a tensor into parts of known size: write slices instead.")
        shape, sizes = shape_of(self.types[source]), self.constants[given[0]].value
        axis = attributes.get("axis", 0) % len(shape)
        parts = [int(size) for size in np.ravel(sizes)]
        if sizes.ndim == 0 and parts[0] > 0:
            parts = [min(parts[0], shape[axis] - start) for start in range(0, shape[axis], parts[0])]
        if sum(parts) != shape[axis] or min(parts) < 1:
            raise EntryError(f"{where} cuts {shape[axis]} elements into {parts[:9]}: the parts must add up.")
        self.splits[proto.output[0]] = (source, axis, [0, *accumulate(parts)])

    def _part(self, proto: onnx.NodeProto, where: str) -> onnx.NodeProto:
        """One part of a tensor that was cut, as a slice."""
        sequence, position = proto.input
        if sequence not in self.splits or position not in self.constants:
            raise EntryError(f"{where} must take a part, at a known position, of a tensor that was split.")
        source, axis, borders = self.splits[sequence]
        part = int(self.constants[position].value) % (len(borders) - 1)
        slots = []
        for slot, number in (("starts", borders[part]), ("ends", borders[part + 1]), ("axes", axis)):
            slots.append(f"{proto.output[0]}\0{slot}")  # no tensor of the file has a null character in its name
            self.constants.write(slots[-1], np.array([number], np.int64))
            self._type_constant(slots[-1])
        cut = onnx.NodeProto()
        cut.CopyFrom(proto)
        cut.op_type = "Slice"
        del cut.input[:]
        cut.input.extend([source, *slots])
        return cut

    def _write(self, proto: onnx.NodeProto, where: str, attributes: Mapping[str, Any]) -> None:
        if len(attributes) != 1 or "value_string" in attributes or "value_strings" in attributes:
            raise EntryError(f"{where}: a Constant holds one tensor of numbers, this one has {sorted(attributes)}.")
        ((name, value),) = attributes.items()
        dtype = None if name == "value" else np.float32 if "float" in name else np.int64
        self.constants.write(proto.output[0], np.asarray(value, dtype))
        self._type_constant(proto.output[0])

    def _run(self, proto: onnx.NodeProto, where: str, attributes: Mapping[str, Any]) -> None:
        if len(self.nodes) >= self.limits.operators:
            raise EntryError(
                f"more than {self.limits.operators:,} operators depend on the image: weights belong into tensors, "
                "not into the wiring. Use fewer, larger operators."
            )
        found = infer_outputs(where, proto, attributes, self.types, self.constants, self.model, self.opset, self.limits)
        self.types.update(found)
        self.activations += sum(math.prod(shape_of(proto)) for proto in found.values())
        if self.activations > self.limits.activations:
            raise EntryError(
                f"the feature maps of one image have more than {self.limits.activations:,} elements in all."
            )
        outputs = tuple(proto.output)
        while outputs and not outputs[-1]:
            outputs = outputs[:-1]
        self.nodes.append(
            Node(
                name=_layer_name(proto),
                op=proto.op_type,
                attributes=MappingProxyType(attributes),
                inputs=tuple(proto.input),
                outputs=outputs,
                function=re.sub(r"_\d+$", "", _scopes(proto)[1]),
            )
        )


def _read(model: onnx.ModelProto, limits: Limits) -> Graph:
    reader = _Reader(model, limits)
    for proto in model.graph.node:
        try:
            reader.read(proto)
        except EntryError:
            raise
        except Exception as error:  # an attribute or an input that is missing, or is not what the operator takes
            raise EntryError(
                f"{_where(proto)} makes no sense: its inputs or attributes are not those of the operator. {AGAIN}"
            ) from error
    output = model.graph.output[0].name
    if output in reader.constants or output not in reader.types:
        raise EntryError(f"the output {output!r} does not depend on the image: an entry must look at it.")
    said = model.graph.output[0].type.tensor_type
    declared, found = tuple(size.dim_value for size in said.shape.dim), shape_of(reader.types[output])
    if said.HasField("shape") and (len(declared) != len(found) or declared[1:] != found[1:]):
        raise EntryError(f"the output {output[:60]!r} is said to have shape {declared[1:]} and has {found[1:]}.")
    if said.elem_type != reader.types[output].tensor_type.elem_type:
        raise EntryError(f"the output {output[:60]!r} is not of the type that the file says.")
    types = {
        name: TensorType(onnx.helper.tensor_dtype_to_np_dtype(proto.tensor_type.elem_type), shape_of(proto))
        for name, proto in reader.types.items()
    }
    return Graph(
        nodes=tuple(reader.nodes),
        constants=MappingProxyType(reader.constants.constants),
        types=MappingProxyType(types),
        input=model.graph.input[0].name,
        output=output,
        opset=reader.opset,
        metadata=MappingProxyType({entry.key: entry.value for entry in model.metadata_props}),
        stored=frozenset(tensor.name for tensor in model.graph.initializer),
    )


def read_graph(model: onnx.ModelProto, limits: Limits | None = None) -> Graph:
    """Read the graph of an admitted entry.

    Parameters
    ----------
    model : ModelProto
        As :func:`~micronet_resources.onnx_graph.admission.admit` gives it.
    limits : Limits, optional
        Bounds on sizes and work; those of a challenge entry by default.

    Returns
    -------
    Graph
        For one image.

    Raises
    ------
    EntryError
        If the graph uses what entries may not use, exceeds a limit, or makes no sense.

    Examples
    --------
    >>> from micronet_resources.onnx_graph.admission import admit
    >>> from micronet_resources.references import reference_path
    >>> read_graph(admit(reference_path().read_bytes()))
    Graph(23 operators, (1, 3, 32, 32) -> (1, 10), operator set 21)
    """
    limits = limits or Limits()
    try:
        return _read(model, limits)
    except EntryError:
        raise
    except Exception as error:  # a damaged file can fail anywhere, and what that says helps nobody
        raise EntryError(f"the graph of the file is damaged, so that it cannot be read to its end. {AGAIN}") from error
