"""`evaluate` from a classifier to an answer: models and images of every form that people bring."""

import json

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmark.errors import DataError, UsageError
from oodbench import evaluate, extract, load_guard

FEW = ("msp", "energy", "knn", "mahalanobis", "mahalanobis_ensemble")
SIDE = 32


def images(n, seed, channels=3, side=SIDE):
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(seed))


def labelled(n, seed, classes=3, **shape):
    labels = torch.arange(n) % classes
    return TensorDataset(images(n, seed, **shape) + labels[:, None, None, None] / 2, labels)


class Alone(Dataset):
    """Images without labels."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __len__(self):
        return len(self.tensor)

    def __getitem__(self, i):
        return self.tensor[i]


class Dicts(Alone):
    """Dicts of images, with labels or without."""

    def __getitem__(self, i):
        return {"image": self.tensor[i], "label": i % 3}


def sets(**shape):
    return {
        "id_train": labelled(30, 0, **shape),
        "id_val": labelled(15, 1, **shape),
        "id_test": labelled(15, 2, **shape),
        "ood": {"near": Alone(images(10, 3, **shape)), "far": Alone(2 * images(10, 4, **shape))},
    }


def made(name, **how):
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=3, **how).eval()


class Conv(nn.Module):
    """A plain network on 28 × 28 grey images, with a head of a name of its own."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 6, 5, 2), nn.ReLU(), nn.Conv2d(6, 8, 5, 2), nn.ReLU())
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(128, 9), nn.ReLU(), nn.Linear(9, 3))

    def forward(self, x):
        return self.classifier(self.body(x))


class Cosine(nn.Module):
    """A head that is not linear."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 6))

    def forward(self, x):
        h = torch.cat([x.mean(dim=(2, 3)), x.std(dim=(2, 3))], dim=1)
        return 10 * nn.functional.cosine_similarity(h[:, None], self.weight, dim=2)


def resnet18():
    import torchvision

    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=3).eval()


def half():
    return made("test_resnet").to(torch.bfloat16)


MODELS = {
    "torchvision's ResNet-18": (resnet18, {}, FEW),
    "timm's ViT with a class token": (lambda: made("test_vit", img_size=32), {}, FEW),
    "timm's ConvNeXt": (lambda: made("test_convnext"), {}, FEW),
    "a head called classifier.3, on grey images": (Conv, {"channels": 1, "side": 28}, FEW),
    "another dtype": (half, {}, FEW),
    "no linear head": (Cosine, {}, ("msp", "energy")),
}


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_evaluated(model, tmp_path):
    make, shape, applies = MODELS[model]
    net = make()
    found = evaluate(net, **sets(**shape), detectors=FEW)
    outcome = found.outcome
    assert {one.name for one in outcome.detectors} == set(applies), outcome.not_applicable
    assert {one.name for one in outcome.not_applicable} == set(FEW) - set(applies)
    assert all(one.why for one in outcome.not_applicable)
    assert [one.n for one in outcome.sets] == [30, 15, 15, 10, 10]
    assert found.report(tmp_path / "report").is_file()
    guard = load_guard(tmp_path / "report" / "detector", net, shown=sets(**shape)["id_train"])
    answer = guard(images(4, 9, **shape))
    assert answer.logits.shape == (4, 3)
    assert answer.accepted.tolist() == (answer.score >= found.threshold(0.95)).tolist()


def test_a_loader_of_dicts_a_single_ood_image_and_a_gradient_detector():
    given = sets()
    given["id_test"] = DataLoader(Dicts(images(15, 2)), batch_size=4)
    given["ood"] = {"far": {"one": Alone(images(1, 5))}}
    outcome = evaluate(made("test_resnet"), **given, detectors=["msp", "odin"]).outcome
    assert [one.n for one in outcome.sets] == [30, 15, 15, 1]
    assert all(one.mean.low < one.mean.high for one in outcome.detectors)
    assert any("There are no near OOD images" in said for said in outcome.warnings)


def test_without_labels_what_can_be_done_is_done():
    given = {name: Alone(one.tensors[0]) if name.startswith("id_") else one for name, one in sets().items()}
    outcome = evaluate(made("test_resnet"), **given, detectors=["msp", "knn", "mahalanobis"]).outcome
    assert {one.name for one in outcome.detectors} == {"msp", "knn"}
    assert outcome.not_applicable[0].why == "these images carry no labels"
    assert outcome.classified is None
    assert outcome.selective is None
    assert any("no labels" in said for said in outcome.warnings)


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_features_from_numpy_alone(tmp_path, kind):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, 8))
    for name, n, shift in (
        ("id_train", 60, 1), ("id_val", 30, 1), ("id_test", 30, 1), ("near/a", 20, 0), ("far/b", 20, -1),
    ):  # fmt: skip
        labels = rng.integers(3, size=n)
        h = (rng.normal(size=(n, 8)) + shift * weight[labels]).astype(kind)
        path = tmp_path / "features" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        logits = (h.astype(np.float64) @ weight.T).astype(kind)
        np.savez(path, logits=logits, penultimate=h, labels=labels)
    np.savez(tmp_path / "features" / "head.npz", weight=weight.astype(np.float32))
    found = evaluate(f"features:{tmp_path / 'features'}")
    names = {one.name for one in found.outcome.detectors}
    assert {"msp", "vim", "knn", "mahalanobis"} <= names
    assert "gram" in {one.name for one in found.outcome.not_applicable}
    assert [one.name for one in found.outcome.sets] == ["id_train", "id_val", "id_test", "a", "b"]
    assert found.report(tmp_path / "report").is_file()


def test_an_onnx_file(tmp_path):
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    weight = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    make, tensor = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            make("GlobalAveragePool", ["x"], ["p"]),
            make("Flatten", ["p"], ["h"]),
            make("Gemm", ["h", "w"], ["z"]),
        ],
        "g",
        [tensor("x", onnx.TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [tensor("z", onnx.TensorProto.FLOAT, ["n", 3])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "m.onnx")
    found = evaluate(f"onnx:{tmp_path / 'm.onnx'}", **sets(), detectors=["msp", "odin"], size=SIDE)
    assert {one.name for one in found.outcome.detectors} == {"msp"}
    assert "gradient" in found.outcome.not_applicable[0].why


class Broken(nn.Module):
    """NaN for images that are all ones."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        z = self.head(x.mean(dim=(2, 3)))
        return torch.where((x == 1).all(dim=(1, 2, 3))[:, None], torch.nan, z)


def test_images_with_nan_logits_are_named():
    given = sets()
    bad = images(10, 3)
    bad[[4, 7]] = 1.0
    given["ood"] = {"near": {"lookalikes": Alone(bad)}}
    with pytest.raises(DataError, match=r"^lookalikes: the logits of 2 of 10 images .*: 4, 7; look at"):
        evaluate(Broken(), **given, detectors=["msp"])


def test_a_detector_that_fails_is_left_out_with_the_reason(monkeypatch):
    from methods.registry import detector_class

    def fails(self, features):
        raise RuntimeError("no")

    monkeypatch.setattr(detector_class("energy"), "score", fails)
    outcome = evaluate(made("test_resnet"), **sets(), detectors=["msp", "energy"]).outcome
    assert {one.name for one in outcome.detectors} == {"msp"}
    assert outcome.not_applicable[0].why.endswith("no")
    with pytest.raises(DataError, match="energy: failed"):
        evaluate(made("test_resnet"), **sets(), detectors=["energy"])


def test_equal_input_equal_answer_but_for_what_was_timed():
    first, second = (evaluate(made("test_resnet"), **sets(), detectors=FEW).outcome for _ in range(2))

    def said(outcome):
        told = outcome.model_dump(exclude={"made", "seconds", "recommended", "environment"})
        for one in told["detectors"]:
            del one["cost"], one["fit_seconds"]
        return {name: told[name] for name in ("model", "sets", "classified", "detectors")}

    assert json.dumps(said(first)) == json.dumps(said(second))


def test_what_extract_gives_is_what_the_model_computes():
    net = made("test_resnet")
    features, head = extract(net, labelled(10, 0), signals=["stages"])
    assert features.labels.tolist() == [0, 1, 2] * 3 + [0]
    assert torch.allclose(features.penultimate @ head.weight.T + head.bias, features.logits, atol=1e-4)
    assert len(features.stages) > 1


MISTAKES = {
    "two ID sets": ({"id": "photos"}, UsageError, "expected either id, or"),
    "no test images": ({"id_test": None, "id_val": None}, UsageError, "id_train alone|id_train"),
    "a group that there is not": ({"ood": {"middle": Alone(images(3, 0))}}, UsageError, "'middle'"),
    "a share in percent": ({"keep": 95}, UsageError, "keep: expected a share"),
    "twice the same": ({"detectors": ["msp", "msp"]}, UsageError, "listed twice"),
    "both ways": (
        {"transform": lambda x: x, "normalise": ((0.5,), (0.5,))}, UsageError, "leave out normalise",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said(mistake):
    changes, error, said = MISTAKES[mistake]
    with pytest.raises(error, match=said):
        evaluate(made("test_resnet"), **{**sets(), "detectors": ["msp"], **changes})
