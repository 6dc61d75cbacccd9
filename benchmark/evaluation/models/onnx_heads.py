"""The linear layer in which the graph of an ONNX file ends. It needs the package onnx."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

_Constant = Callable[[str], NDArray[Any] | None]
_Linear = tuple[str, NDArray[Any], NDArray[Any] | None]  # the input's name, weight (K, D), bias (K,)
LARGEST = 2**31 - 1  # bytes that a graph with its weights may have, to be handed on


@dataclass(frozen=True)
class LinearEnd:
    """The last layer: ``logits = input @ weight.T + bias``, and the graph that gives `input` as well."""

    graph: Any
    name: str
    input: str
    weight: NDArray[Any]
    bias: NDArray[Any] | None


def linear_end(path: Path, logits: str) -> LinearEnd | str:
    """Find the layer whose output is called `logits`: a ``Gemm``, or ``MatMul`` and ``Add``, of constants.

    Returns
    -------
    LinearEnd
        Or why there is none.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # of protobuf and of onnx, which have kinds of their own
        return f"onnx cannot read the graph: {type(error).__name__}"
    if model.ByteSize() > LARGEST:
        return "the graph is larger than 2 GB, and its last layer is not looked for"
    graph = model.graph
    constants = {one.name: one for one in graph.initializer}
    constants |= {
        node.output[0]: attribute.t
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    makers = {output: node for node in graph.node for output in node.output}

    def constant(name: str) -> NDArray[Any] | None:
        return np.array(numpy_helper.to_array(constants[name]), np.float32) if name in constants else None

    node = makers.get(logits)
    while node is not None and node.op_type == "Identity":
        node = makers.get(node.input[0])
    if node is None:
        return "the logits are made by no layer of the graph"
    found = _gemm(node, constant) if node.op_type == "Gemm" else _product(node, makers, constant)
    if found is None:
        return f"the graph ends in {node.op_type}, and not in one linear layer with constant weights"
    given, weight, bias = found
    if given not in {output.name for output in graph.output}:
        graph.output.append(onnx.ValueInfoProto(name=given))
    return LinearEnd(model, node.name or node.op_type, given, weight, bias)


def _gemm(node: Any, constant: _Constant) -> _Linear | None:
    options = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    weight = constant(node.input[1])
    if weight is None or weight.ndim != 2 or options.get("transA"):
        return None
    weight = options.get("alpha", 1.0) * (weight if options.get("transB") else weight.T)
    if len(node.input) < 3 or not node.input[2]:
        return node.input[0], weight, None
    bias = _of_every_class(constant(node.input[2]), len(weight))
    return None if bias is None else (node.input[0], weight, options.get("beta", 1.0) * bias)


def _product(node: Any, makers: Mapping[str, Any], constant: _Constant) -> _Linear | None:
    added = None
    if node.op_type == "Add":
        values = [constant(name) for name in node.input]
        if (values[0] is None) == (values[1] is None):
            return None
        product, added = (node.input[0], values[1]) if values[0] is None else (node.input[1], values[0])
        node = makers.get(product)
    weight = None if node is None or node.op_type != "MatMul" else constant(node.input[1])
    if weight is None or weight.ndim != 2:
        return None
    if added is None:
        return node.input[0], weight.T.copy(), None
    bias = _of_every_class(added, weight.shape[1])
    return None if bias is None else (node.input[0], weight.T.copy(), bias)


def _of_every_class(bias: NDArray[Any] | None, classes: int) -> NDArray[Any] | None:
    """A bias (K,) of what is added to each row; None if it is not the same for all."""
    if bias is None or bias.size not in (1, classes):
        return None
    return np.full(classes, bias.reshape(-1))
