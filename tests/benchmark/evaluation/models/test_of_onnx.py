"""``onnx:FILE``: graphs that are built by hand, run by onnxruntime."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.errors import DataError, UsageError
from benchmark.evaluation.models.open import open_subject
from methods.features import Signal

CLASSES, WIDTH, SIDE = 4, 5, 8


@pytest.fixture
def build(tmp_path):
    """Writes a graph: the pooled image times `a`, a ReLU, then a final layer that the test chooses."""
    onnx = pytest.importorskip("onnx", reason="oodbench[onnx] is not installed")
    pytest.importorskip("onnxruntime", reason="oodbench[onnx] is not installed")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    rng = np.random.default_rng(0)
    values = {
        "a": rng.normal(size=(3, WIDTH)).astype(np.float32),
        "w": rng.normal(size=(CLASSES, WIDTH)).astype(np.float32),
        "b": rng.normal(size=CLASSES).astype(np.float32),
    }

    def make(end="gemm", *, batch="N", layout="NCHW", side=SIDE, outputs=("logits",), dtype=kind):
        axes = [2, 3] if layout == "NCHW" else [1, 2]
        shape = [batch, 3, side, side] if layout == "NCHW" else [batch, side, side, 3]
        nodes = [
            helper.make_node("ReduceMean", ["x", "axes"], ["pooled"], keepdims=0),
            helper.make_node("MatMul", ["pooled", "a"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["h"]),
        ]
        nodes += {
            "gemm": [helper.make_node("Gemm", ["h", "w", "b"], ["logits"], name="fc", transB=1)],
            "gemm scaled": [
                helper.make_node(
                    "Gemm", ["h", "w", "b"], ["logits"], name="fc", transB=1, alpha=2.0, beta=0.5
                )
            ],
            "matmul": [
                helper.make_node("MatMul", ["h", "wt"], ["product"]),
                helper.make_node("Add", ["b", "product"], ["logits"], name="fc"),
            ],
            "softmax": [
                helper.make_node("Gemm", ["h", "w", "b"], ["z"], transB=1),
                helper.make_node("Softmax", ["z"], ["logits"], axis=1),
            ],
        }[end]
        if "penultimate" in outputs:
            nodes.append(helper.make_node("Identity", ["h"], ["penultimate"]))
        constants = {"axes": np.array(axes), "wt": values["w"].T.copy(), **values}
        used = {name for node in nodes for name in node.input}
        graph = helper.make_graph(
            nodes, "g", [helper.make_tensor_value_info("x", dtype, shape)],
            [helper.make_tensor_value_info(o, kind, None) for o in outputs],
            [onnx.numpy_helper.from_array(v, n) for n, v in constants.items() if n in used],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        return path, values

    return make


def by_hand(images, values, alpha=1.0, beta=1.0):
    h = np.maximum(images.float().numpy().mean(axis=(2, 3)) / 255 @ values["a"], 0)
    return h, alpha * h @ values["w"].T + beta * values["b"]


@pytest.fixture
def images():
    return torch.randint(
        256, (5, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize("end", ["gemm", "gemm scaled", "matmul"])
@pytest.mark.parametrize("batch", ["N", 1, 3])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_logits_head_and_penultimate_features(build, images, end, batch, layout):
    """Against the same arithmetic in NumPy; of a fixed batch size the last piece is filled up."""
    path, values = build(end, batch=batch, layout=layout)
    subject = open_subject(f"onnx:{path}")
    h, z = by_hand(images, values, *((2.0, 0.5) if end == "gemm scaled" else ()))
    found = subject.features(images, ())
    np.testing.assert_allclose(found.logits, z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.penultimate, h, rtol=1e-4, atol=1e-5)
    recomputed = found.penultimate @ subject.head.weight.T + subject.head.bias
    torch.testing.assert_close(recomputed, found.logits, rtol=1e-4, atol=1e-5)
    assert subject.classes == CLASSES
    assert json.loads(json.dumps(subject.card)) == subject.card
    assert subject.card["head"] == {"layer": "fc", "features": WIDTH}
    assert not {Signal.LOGITS, Signal.PENULTIMATE, Signal.HEAD} & subject.missing.keys()
    assert Signal.STAGES in subject.missing


def test_another_end_leaves_logits_and_a_reason(build, images):
    path, _ = build("softmax")
    subject = open_subject(f"onnx:{path}")
    assert "the graph ends in Softmax" in subject.head.reason
    assert set(subject.features(images, ()).collected()) == {"logits"}
    assert any("probabilities" in note for note in subject.notes)


def test_an_output_called_penultimate_is_taken(build, images):
    path, values = build("softmax", outputs=("logits", "penultimate"))
    subject = open_subject(f"onnx:{path}")
    found = subject.features(images, ())
    np.testing.assert_allclose(found.penultimate, by_hand(images, values)[0], rtol=1e-4, atol=1e-5)
    assert Signal.PENULTIMATE not in subject.missing
    assert Signal.HEAD in subject.missing


def test_without_the_package_onnx_there_are_logits(build, images, monkeypatch):
    path, values = build()
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "benchmark.evaluation.models.onnx_heads", raising=False)
    subject = open_subject(f"onnx:{path}")
    assert "the package onnx" in subject.head.reason
    np.testing.assert_allclose(
        subject.features(images, ()).logits, by_hand(images, values)[1], rtol=1e-4, atol=1e-5
    )


def test_it_says_that_it_has_no_gradient_and_no_normalisation(build):
    path, _ = build()
    subject = open_subject(f"onnx:{path}")
    assert "no gradients" in subject.differentiable
    assert any("--mean" in note for note in subject.notes)
    said = open_subject(f"onnx:{path}", normalise=((0.5,), (0.5,)))
    assert said.card["preprocessing"]["mean"] == [0.5]
    assert not any("--mean" in note for note in said.notes)


def test_pictures_are_scaled_to_the_files_size(build):
    path, _ = build()
    assert open_subject(f"onnx:{path}").prepare(Image.new("RGB", (20, 30))).shape == (3, SIDE, SIDE)
    path, _ = build(side="S")
    subject = open_subject(f"onnx:{path}", size=16)
    assert subject.prepare(Image.new("RGB", (20, 30))).shape == (3, 16, 16)


def test_images_of_another_size_are_an_error(build):
    path, _ = build()
    with pytest.raises(DataError, match=r"cannot take float32 images of shape \(3, 9, 9\)"):
        open_subject(f"onnx:{path}").features(torch.rand(1, 3, 9, 9), ())


def test_a_damaged_file(build, tmp_path):
    path, _ = build()
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"onnxruntime cannot open it"):
        open_subject(f"onnx:{path}")
    with pytest.raises(UsageError, match="there is no such file"):
        open_subject(f"onnx:{tmp_path / 'none.onnx'}")


def test_an_input_that_is_no_image(build):
    path, _ = build(dtype=6)  # int32
    with pytest.raises(DataError, match=r"onnxruntime cannot open it|expected one input of floats"):
        open_subject(f"onnx:{path}")


def test_without_onnxruntime_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (path := tmp_path / "m.onnx").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"pip install 'oodbench\[onnx\]'"):
        open_subject(f"onnx:{path}")
