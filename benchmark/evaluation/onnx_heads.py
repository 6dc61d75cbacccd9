"""The linear layer in which the graph of an ONNX file ends. It needs the package onnx."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

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
        return numpy_helper.to_array(constants[name]).astype(np.float32) if name in constants else None

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


def _gemm(node: Any, constant: Any) -> tuple[str, NDArray[Any], NDArray[Any] | None] | None:
    options = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    weight = constant(node.input[1])
    with_bias = len(node.input) > 2 and bool(node.input[2])
    bias = constant(node.input[2]) if with_bias else None
    if weight is None or weight.ndim != 2 or options.get("transA") or (with_bias and bias is None):
        return None
    weight = options.get("alpha", 1.0) * (weight if options.get("transB") else weight.T)
    if bias is not None:
        bias = np.broadcast_to(options.get("beta", 1.0) * bias, (1, len(weight)))[0]
    return node.input[0], np.ascontiguousarray(weight), None if bias is None else np.ascontiguousarray(bias)


def _product(node: Any, makers: Any, constant: Any) -> tuple[str, NDArray[Any], NDArray[Any] | None] | None:
    bias = None
    if node.op_type == "Add":
        values = [constant(name) for name in node.input]
        if (values[0] is None) == (values[1] is None):
            return None
        product, bias = (node.input[0], values[1]) if values[0] is None else (node.input[1], values[0])
        node = makers.get(product)
    if node is None or node.op_type != "MatMul":
        return None
    weight = constant(node.input[1])
    if weight is None or weight.ndim != 2:
        return None
    classes = weight.shape[1]
    if bias is not None:
        if bias.size not in (1, classes):
            return None
        bias = np.ascontiguousarray(np.broadcast_to(bias.reshape(-1), (classes,)))
    return node.input[0], np.ascontiguousarray(weight.T), bias
