"""Use as a library, as the README has it: arrays of any model in, scores and metrics out."""

import importlib
import re

import numpy as np
import pytest
import torch
from places import ROOT
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

import oodbench
from methods.base import Detector, GradientDetector, NotApplicable, Signal
from oodbench import Features, Head, detection_metrics, detector, detectors


def test_every_export_is_what_its_home_has():
    for name in set(oodbench.__all__) - oodbench._MODULES.keys():
        home = oodbench._HOME.get(name, "methods.base")
        assert getattr(oodbench, name) is getattr(importlib.import_module(home), name)
    assert set(oodbench.__all__) <= set(dir(oodbench))
    assert sorted(oodbench.__all__) == oodbench.__all__
    assert oodbench._HOME.keys() | oodbench._MODULES.keys() <= set(oodbench.__all__)
    for name, module in oodbench._MODULES.items():
        assert getattr(oodbench, name) is importlib.import_module(module)


def test_what_is_not_exported_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'oodbench' has no attribute 'detecter'"):
        oodbench.detecter  # noqa: B018


def test_the_library_works_on_arrays():
    """Class means at the corners of a triangle; the far images lie beyond none of them."""
    from oodbench import Features, Head, detection_metrics, detector

    rng = np.random.default_rng(0)
    weight = np.array([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]], dtype=np.float32)
    labels = np.arange(90) % 3
    near = (weight[labels] + 0.1 * rng.standard_normal((90, 2))).astype(np.float32)
    far = (0.1 * rng.standard_normal((60, 2))).astype(np.float32)
    known = Features(near @ weight.T, near, labels)
    foreign = Features(far @ weight.T, far)
    for name in ("msp", "energy", "knn", "mahalanobis"):
        scorer = detector(name).fit(known, known, Head(weight), torch.Generator().manual_seed(0))
        scores = [np.asarray(scorer.score(part)) for part in (known, foreign)]
        assert detection_metrics(*scores).auroc > 0.99, name


README = ROOT / "README.md"


@pytest.fixture(scope="module")
def outputs():
    """Outputs of a scikit-learn network, in NumPy: digits 0 to 5 in distribution, 6 to 9 out of it."""
    images, labels = load_digits(return_X_y=True)
    images = images / 16
    inside = labels < 6
    model = MLPClassifier((64, 24), max_iter=60, random_state=0, tol=0.01, n_iter_no_change=3)
    x, y = images[inside], labels[inside]
    model.fit(x[:600], y[:600])

    def forward(x):
        for weight, bias in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
            x = np.maximum(x @ weight + bias, 0)
        return x @ model.coefs_[-1] + model.intercepts_[-1], x

    parts = {"train": x[:600], "val": x[600:750], "id": x[750:], "ood": images[~inside]}
    found = {}
    for name, part in parts.items():
        found[f"{name}_logits"], found[f"{name}_features"] = forward(part)
    found |= {"train_labels": y[:600], "val_labels": y[600:750]}
    return found | {"weight": model.coefs_[-1].T, "bias": model.intercepts_[-1]}


@pytest.mark.skipif(not README.is_file(), reason=f"no checkout: {README} is not there")
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_the_readmes_example_runs_as_it_stands(outputs, kind, capsys):
    section = README.read_text().partition("## As a library")[2]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    names = outputs if kind == "numpy" else {n: torch.as_tensor(a) for n, a in outputs.items()}
    given = dict(names)
    exec(code, given)
    printed = float(capsys.readouterr().out)
    scores = np.concatenate([given["id_scores"], given["ood_scores"]])
    inside = np.arange(len(scores)) < len(given["id_scores"])
    assert printed == pytest.approx(roc_auc_score(inside, scores), abs=1e-12)
    assert printed > 0.5  # higher is more in-distribution; .79 to .89 over eight first weights


def features(outputs, part):
    return Features(outputs[f"{part}_logits"], outputs[f"{part}_features"], outputs.get(f"{part}_labels"))


@pytest.mark.parametrize(
    "name",
    [
        n
        for n, c in detectors().items()
        if issubclass(c, Detector) and not c.needs & {Signal.MAPS, Signal.GRAM}
    ],
)
def test_every_detector_of_the_last_layer_takes_plain_arrays(outputs, name):
    head = Head(outputs["weight"], outputs["bias"])
    rng = torch.Generator().manual_seed(0)
    cls = detectors()[name]
    needs, unstepped = cls.needs, {cls.step_name: 0.0} if issubclass(cls, GradientDetector) else {}
    if needs & {Signal.STAGES, Signal.GRAM, Signal.RANK_ONE, Signal.LOG_VARIANCES, Signal.OUTPUTS}:
        with pytest.raises(NotApplicable, match="not collected"):
            detector(name, **unstepped).fit(
                features(outputs, "train"), features(outputs, "val"), head, rng
            ).score(features(outputs, "id"))
        return
    fitted = detector(name, **unstepped).fit(features(outputs, "train"), features(outputs, "val"), head, rng)
    scores = [fitted.score(features(outputs, part)) for part in ("id", "ood")]
    metrics = detection_metrics(*scores)
    assert metrics.n_in == len(outputs["id_logits"])


def test_a_gradient_detector_takes_any_model_that_gives_logits():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 5)).eval()
    images = torch.rand(4, 3, 8, 8)
    odin = detector("odin", epsilon=0.01)
    assert isinstance(odin, GradientDetector)
    stepped = odin.score_images(lambda x: Features(model(x)), images)
    plain = detector("odin", epsilon=0.0).score(Features(model(images)))
    assert stepped.shape == (4,)
    assert (stepped > plain).all()  # the step is towards a surer prediction
