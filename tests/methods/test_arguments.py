"""What a detector takes from a library user, in which form, and what it says where something is missing."""

import inspect
import re
from contextlib import suppress

import numpy as np
import pytest
import torch
from plain_features import BIAS, CLASSES, DETECTORS, HEAD, WEIGHT, WIDTH, drawn, features, fitted, made

from benchmark.metrics import detection_metrics
from methods.base import (
    Detector,
    EnsembleDetector,
    Features,
    GradientDetector,
    Head,
    InputError,
    MethodError,
    NotApplicable,
    Signal,
)
from methods.detectors.ensemble import Ensemble
from methods.detectors.klm import KLM
from methods.detectors.mahalanobis import Mahalanobis
from methods.registry import detector, detectors

WITHOUT_WIDTH = {Signal.HEAD, Signal.LOGITS, Signal.OUTPUTS}  # no signal, or as many as there are classes


# --------------------------------------------------------------------------------------------- half precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", DETECTORS)
def test_l8_half_precision_is_scored_as_the_same_numbers_in_float32(name, dtype):
    cls = DETECTORS[name]

    def given(n, seed, widen):
        whole = features(n, seed, name=name)
        parts = {
            key: [
                (p.to(dtype).float() if widen else p.to(dtype)) if p.is_floating_point() else p for p in part
            ]
            for key, part in whole.collected().items()
        }
        return Features(**{k: p if k in ("stages", "gram", "maps") else p[0] for k, p in parts.items()})

    def scores(widen):
        # No linear head: what half precision makes of the logits is more than the head would allow.
        head = HEAD if Signal.HEAD in cls.needs else None
        rng = torch.Generator().manual_seed(0)
        train, val = given(200, 0, widen), given(60, 1, widen)
        if head is not None:
            agreeing = [p.including(logits=p.penultimate.double() @ WEIGHT.T + BIAS) for p in (train, val)]
            train, val = agreeing
        return made(cls).fit(train, val, head, rng).score(given(20, 5, widen))

    found = scores(widen=False)
    assert found.dtype == torch.float64
    assert torch.equal(found, scores(widen=True))


def test_l8_metrics_take_scores_of_any_precision_and_live_ones():
    inside, outside = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([2.0, 0.5])
    expected = detection_metrics(inside.numpy(), outside.numpy())  # AUROC (1 + 0.75) / 2 - 1 / 6, on paper
    assert expected.auroc == pytest.approx(4.5 / 6)
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        assert detection_metrics(inside.to(dtype), outside.to(dtype)) == expected
    assert detection_metrics(inside.requires_grad_(), outside) == expected


# ------------------------------------------------------------------------------------------ labels and widths


@pytest.mark.parametrize(
    ("labels", "seen"),
    [(range(1, 11), "from 1 to 10"), ([-1] * 10, "from -1 to -1"), ([0] * 9 + [12], "0 to 12")],
)
def test_l9_labels_are_class_indices(labels, seen):
    message = rf"labels: expected class indices from 0 to 9, as the logits have 10 columns, got .*{seen}"
    with pytest.raises(ValueError, match=message):
        Features(np.zeros((10, 10)), labels=list(labels))


def test_l9_labels_are_whole_numbers():
    with pytest.raises(ValueError, match=r"labels: expected whole numbers, got type torch.float64"):
        Features(np.zeros((2, 3)), labels=np.array([0.0, 1.0]))
    assert Features(np.zeros((2, 3)), labels=np.array([0, 2], dtype=np.uint8)).labels.tolist() == [0, 2]


def test_l9_what_is_no_array_of_numbers_names_the_argument():
    with pytest.raises(ValueError, match=r"penultimate: expected an array of numbers, got list"):
        Features(np.zeros((2, 3)), [[1.0, 2.0], [3.0]])
    with pytest.raises(ValueError, match=r"stages\[1\]: expected an array of numbers, got list"):
        Features(np.zeros((2, 3)), stages=[np.zeros((2, 3)), ["a", "b"]])
    with pytest.raises(ValueError, match=r"bias: expected an array of numbers, got str"):
        Head(np.zeros((2, 3)), "zeros")


def narrower(signal):
    given = features(20, 5).collected()[signal]
    if signal in ("stages", "gram"):
        return {signal: [part[..., :-1] for part in given]}
    return {signal: [part[:, :-1] for part in given] if signal == "maps" else given[0][:, :-1]}


@pytest.mark.parametrize(
    ("name", "signal"),
    [(n, str(s)) for n, cls in DETECTORS.items() for s in sorted(cls.needs - WITHOUT_WIDTH)],
)
def test_l9_widths_of_training_and_test_features_are_one(name, signal):
    with pytest.raises(
        ValueError, match=rf"^features\.{signal}: expected .* as the training features have, got"
    ):
        fitted(DETECTORS[name], name).score(features(20, 5).including(**narrower(signal)))


@pytest.mark.parametrize("name", DETECTORS)
def test_l9_as_many_classes_at_test_as_in_training(name):
    wider = torch.cat([features(20, 5, False, name).logits] * 2, dim=1)
    shape = rf"expected shape \(N, {CLASSES}\), as the training features have, got shape \(N, {2 * CLASSES}\)"
    with pytest.raises(ValueError, match=rf"^features\.logits: {shape}"):
        fitted(DETECTORS[name], name).score(features(20, 5, False, name).including(logits=wider))


def test_l9_validation_features_are_as_wide_as_those_of_training():
    train, val = features(200), Features(drawn(60, CLASSES + 1))
    with pytest.raises(ValueError, match=r"^val\.logits: expected shape \(N, 5\), .* got shape \(N, 6\)"):
        KLM().fit(train, val)


def test_l9_arrays_in_place_of_features_are_named():
    with pytest.raises(ValueError, match=r"^train: expected Features, got ndarray"):
        detector("knn").fit(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"^features: expected Features, got Tensor"):
        detector("msp").score(torch.zeros(4, 3))


# ----------------------------------------------------------------------------------------- what is left out


def of_val(name):
    return f"val: {name} learns from validation images; pass Features of them to `fit`"


@pytest.mark.parametrize("name", DETECTORS)
def test_l12_validation_features_may_be_left_out_where_they_are_not_used(name):
    cls, rng = DETECTORS[name], torch.Generator().manual_seed(0)
    train, queries = features(200, name=name), features(20, 5, False, name)
    with suppress(InputError):
        learnt = made(cls).fit(train, head=HEAD, rng=rng)
        assert torch.equal(learnt.score(queries), fitted(cls, name).score(queries))
        return
    with pytest.raises(InputError, match=f"^{re.escape(of_val(name))}$"):
        made(cls).fit(train, head=HEAD, rng=rng)


@pytest.mark.parametrize(
    "name", ["gram", "klm", "layerwise_uncertainty", "mahalanobis_ensemble", "temperature_scaling"]
)
def test_l12_who_learns_from_validation_features_by_its_formula_says_that_it_needs_them(name):
    with pytest.raises(InputError, match=f"^{re.escape(of_val(name))}$"):
        made(DETECTORS[name]).fit(features(200, name=name), head=HEAD)


@pytest.mark.parametrize("name", DETECTORS)
def test_l12_a_head_may_be_left_out_where_it_is_not_used(name):
    cls, rng = DETECTORS[name], torch.Generator().manual_seed(0)
    train, val, queries = features(200, name=name), features(60, 1, name=name), features(20, 5, False, name)
    if Signal.HEAD in cls.needs:
        message = f"head: {name} needs the final layer; pass Head(weight, bias) to `fit`"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            made(cls).fit(train, val, rng=rng)
    else:
        learnt = made(cls).fit(train, val, rng=rng)
        assert torch.equal(learnt.score(queries), fitted(cls, name).score(queries))


def test_l12_a_detector_that_learns_nothing_needs_nothing():
    plain = detector("msp").fit(Features([[1.0, 0.0]]))
    assert plain.score(Features([[0.0, 0.0]])).tolist() == [0.5]


def test_l12_the_signature_says_what_may_be_left_out():
    parameters = inspect.signature(detector("vim").fit).parameters
    assert list(parameters) == ["train", "val", "head", "rng", "fit_limit"]
    assert [name for name, p in parameters.items() if p.default is p.empty] == ["train"]


def test_l12_a_fit_that_returns_nothing_is_named():
    class Forgetful(Detector):
        name, needs = "forgetful", frozenset()

        def fit(self, train, val, head, rng=None):
            self.with_state(mean=train.logits.mean())

        def score(self, features):
            return features.logits[:, 0]

    with pytest.raises(MethodError, match=r"forgetful: expected `fit` to return a fitted copy, got NoneType"):
        Forgetful().fit(features(20))


# ------------------------------------------------------------------------------------------ steps and images


@pytest.mark.parametrize(
    ("name", "step"), [("odin", None), ("iodin", None), ("mahalanobis", 0.01), ("mahalanobis_ensemble", 0.01)]
)
def test_l18_features_cannot_be_stepped(name, step):
    cls = DETECTORS[name]
    stepping = cls.configure({} if step is None else {cls.step_name: step})
    learnt = stepping.fit(features(200), features(60, 1))
    with pytest.raises(ValueError, match=rf"{name} moves each image by {cls.step_name} = .*use score_images"):
        learnt.score(features(20, 5))
    assert torch.isfinite(fitted(cls).score(features(20, 5))).all()  # a step of 0 is none


def test_l18_every_detector_that_steps_is_held_to_it():
    stepping = {name for name, cls in DETECTORS.items() if issubclass(cls, GradientDetector)}
    assert stepping == {
        "odin",
        "iodin",
        "mahalanobis",
        "mahalanobis_ensemble",
        "godin",
        "adascale_a",
        "adascale_l",
    }
    with pytest.raises(ValueError, match="use score_images"):
        DETECTORS["godin"](epsilon=0.01).score(features(20, 5, False, "godin"))


def model(x):
    weight = drawn(CLASSES, 12)
    return Features(x.flatten(1) @ weight.to(x).T)


def test_l23_bytes_are_told_to_become_floats():
    pixels = torch.randint(256, (4, 3, 2, 2), dtype=torch.uint8)
    with pytest.raises(
        ValueError, match=r"images: expected floats .* got torch.uint8 .*; bytes are divided by 255"
    ):
        detector("odin").score_images(model, pixels)
    assert detector("odin").score_images(model, pixels / 255).shape == (4,)


def test_l23_images_are_a_batch_of_finite_floats():
    images = torch.rand(4, 3, 2, 2)
    with pytest.raises(
        ValueError, match=r"images: expected floats of shape \(N, 3, H, W\), got .* \(3, 2, 2\)"
    ):
        detector("odin").score_images(model, images[0])
    images[2, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"images: 1 of 48 values are NaN or infinite, the first in row 2"):
        detector("odin").score_images(model, images)


@pytest.mark.parametrize("name", ["odin", "iodin", "mahalanobis", "godin"])
def test_l23_a_step_in_inference_mode_is_the_same_step(name):
    layer = drawn(WIDTH, 12)

    def network(x):
        h = torch.relu(x.flatten(1) @ layer.T)
        logits = h @ WEIGHT.T + BIAS
        return Features(logits, h, outputs=torch.cat([logits, logits[:, :1]], dim=1))

    cls = DETECTORS[name]
    images = torch.rand(60, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def scores():
        train = network(images).including(labels=torch.arange(60) % CLASSES)
        return cls.configure({cls.step_name: 0.01}).fit(train, train).score_images(network, images)

    expected = scores()
    with torch.inference_mode():
        assert torch.equal(scores(), expected)


# -------------------------------------------------------------------------------------- what it says it needs


def test_l19_features_of_one_network_are_no_ensemble():
    with pytest.raises(
        ValueError, match=r"members: expected 5 networks, got one Features; ensemble scores by a list"
    ):
        detector("ensemble").score(features(2000))
    with pytest.raises(ValueError, match=r"members: expected 5 networks, got 2; ensemble"):
        detector("ensemble").score([features(20)] * 2)


def test_l19_what_a_detector_needs_is_at_hand():
    assert detector("ensemble").needs == {Signal.LOGITS}
    assert detector("ensemble", members=3).requires == ("logits", "3 networks")
    assert detector("odin").requires == ("logits", "the network itself", "images")
    assert Mahalanobis().requires == ("penultimate",)
    assert detector("mc_dropout").requires == ("head", "penultimate")
    for name, cls in detectors().items():
        assert set(cls.needs) <= set(detector(name).requires)
    assert issubclass(Ensemble, EnsembleDetector)


def test_l19_mc_dropout_says_one_by_one_what_is_missing():
    train = features(200)
    with pytest.raises(ValueError, match="head: mc_dropout needs the final layer"):
        detector("mc_dropout").fit(train)
    with pytest.raises(ValueError, match=r"rng: 30 masks are drawn; pass a torch.Generator"):
        detector("mc_dropout").fit(train, head=HEAD)
    learnt = detector("mc_dropout").fit(train, head=HEAD, rng=torch.Generator().manual_seed(0))
    with pytest.raises(NotApplicable, match="penultimate features were not collected"):
        learnt.score(Features(train.logits))
