"""A guard gives logits, score and decision; saved, it belongs to one classifier."""

import json
import pickle

import pytest
import torch
from fake_subject import FakeSubject, floats_of
from torch import nn

from benchmark.conformance.pretended import pretended
from benchmark.errors import DataError, UsageError
from benchmark.evaluation.guard import Guard, Guarded, load_guard, save_guard
from benchmark.evaluation.saved import CARD, load_saved, save_detector
from methods.base import EnsembleDetector, InputError, NotApplicable, Signal
from methods.registry import detector, detectors

BY_GRADIENT = ("odin", "mahalanobis")
OF_SIGNALS = ("gram", "ncd", "rankfeat", "mahalanobis_ensemble", "knn", "msp", "she")
SINGLE = [
    name
    for name, cls in detectors().items()
    if not issubclass(cls, EnsembleDetector) and not cls.needs & {Signal.OUTPUTS, Signal.LOG_VARIANCES}
]


@pytest.fixture
def subject():
    return FakeSubject()


def stepping(learnt, step=0.01):
    return learnt.with_step(step)


def guard_of(subject, name="knn", threshold=0.0, step=None):
    learnt = subject.fit(detector(name))
    return Guard(subject, learnt if step is None else stepping(learnt, step), threshold)


def test_it_says_logits_score_and_decision(subject):
    guard = guard_of(subject, "msp", 0.9)
    images = subject.images()
    found = guard(images)
    assert isinstance(guard, nn.Module)
    assert isinstance(found, Guarded)
    expected = subject.features(images, ()).logits
    assert torch.equal(found.logits, expected)
    assert torch.allclose(found.score, expected.double().softmax(dim=1).amax(dim=1))
    assert (found.score.dtype, found.accepted.dtype) == (torch.float64, torch.bool)
    assert torch.equal(found.accepted, found.score >= 0.9)
    assert not found.logits.requires_grad


@pytest.mark.parametrize("name", SINGLE)
def test_every_detector_guards_as_it_scores(subject, name):
    learnt = subject.fit(detector(name))
    images = subject.images()
    found = Guard(subject, learnt, 0.0)(images)
    if getattr(learnt, "step", 0) > 0:
        expected = learnt.score_images(subject.pixels, images.float() / 255)
    else:
        expected = learnt.score(subject.features(images, learnt.needs))
    assert torch.equal(found.score, expected.double())


@pytest.mark.parametrize("name", OF_SIGNALS)
def test_it_asks_for_the_signals_of_its_detector_in_one_pass(subject, name):
    guard = guard_of(subject, name)
    guard(subject.images())
    assert subject.asked == [tuple(sorted(guard.detector.needs - {Signal.HEAD}))]


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_a_detector_that_steps_is_given_pixels(subject, name):
    guard = guard_of(subject, name, step=0.01)
    images = subject.images()
    found = guard(images)
    assert "pixels" in subject.asked
    assert torch.equal(found.logits, subject.features(images, ()).logits)  # of the images as they are
    assert torch.equal(found.score, guard.detector.score_images(subject.pixels, images.float() / 255))
    unstepped = guard_of(subject, name, step=0.0)(images)
    assert not torch.equal(found.score, unstepped.score)


def test_floats_are_taken_as_they_are_where_nobody_knows_the_normalisation():
    subject = FakeSubject(prepare=floats_of)
    guard = guard_of(subject, "odin", step=0.01)
    images = subject.images().float() / 255
    assert torch.equal(guard(images).score, guard.detector.score_images(subject.pixels, images))


def test_floats_for_a_step_in_pixels_are_refused(subject):
    guard = guard_of(subject, "odin", step=0.01)
    with pytest.raises(
        InputError, match=r"expected uint8 pixels, as `prepare` makes them, got torch.float32"
    ):
        guard(subject.images().float())
    assert len(guard_of(subject, "msp")(subject.images().float() / 255).score)


def test_a_model_without_gradients_cannot_step():
    subject = FakeSubject(differentiable="onnxruntime gives no gradients")
    with pytest.raises(NotApplicable, match="odin: needs a gradient in the image: onnxruntime gives no"):
        guard_of(subject, "odin", step=0.01)
    assert guard_of(subject, "odin", step=0.0)(subject.images()).score.isfinite().all()


def test_a_signal_that_is_missing_is_told_at_once():
    learnt = FakeSubject().fit(detector("gram"))
    subject = FakeSubject(missing={Signal.GRAM: "no stages were found"})
    with pytest.raises(NotApplicable, match="gram: needs gram: no stages were found"):
        Guard(subject, learnt, 0.0)


def test_an_ensemble_is_refused(subject):
    name = next(name for name, cls in detectors().items() if issubclass(cls, EnsembleDetector))
    with pytest.raises(UsageError, match="several networks; a guard has one"):
        Guard(subject, detector(name), 0.0)


@pytest.mark.parametrize("threshold", [float("nan"), float("inf")])
def test_a_threshold_that_is_none_is_refused(subject, threshold):
    with pytest.raises(UsageError, match="threshold: expected a finite number"):
        guard_of(subject, "msp", threshold)


def test_a_score_at_the_threshold_is_accepted(subject):
    images = subject.images()
    score = float(guard_of(subject)(images).score[3])
    assert guard_of(subject, threshold=score)(images).accepted[3]


def test_no_images_give_nothing(subject):
    found = guard_of(subject)(subject.images()[:0])
    assert [tuple(part.shape) for part in found] == [(0, 10), (0,), (0,)]
    assert (found.score.dtype, found.accepted.dtype) == (torch.float64, torch.bool)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 8, 8), r"got \(3, 8, 8\); of one image give images\[None\]"),
        ([1, 2], "got list"),
        (torch.zeros(2), r"got \(2,\)"),
    ],
)
def test_what_are_no_images_is_refused(subject, images, message):
    with pytest.raises(InputError, match=f"images: expected shape .N, 3, H, W., {message}"):
        guard_of(subject)(images)


def test_features_that_are_not_finite_are_told(subject):
    guard = guard_of(subject, "msp")
    with pytest.raises(InputError, match="logits"):
        guard(torch.full((2, 3, 8, 8), torch.nan))


def test_a_detector_computes_elsewhere_if_asked(subject):
    for name, step in (("knn", None), ("mahalanobis", 0.01)):
        here = guard_of(subject, name, step=step)
        images = subject.images()
        expected = here(images)
        with pretended() as device:
            there = Guard(subject, here.detector, 0.0, device)
            found = there(images)
        assert torch.equal(found.logits, expected.logits)
        assert torch.allclose(found.score, expected.score, rtol=1e-6)


@pytest.mark.parametrize("name", ["knn", "mahalanobis", "gram", "msp"])
def test_saved_and_loaded_it_says_the_same_to_the_last_bit(subject, name, tmp_path):
    step = 0.01 if name == "mahalanobis" else None
    guard = guard_of(subject, name, threshold=-0.1 - 0.2, step=step)
    save_guard(guard, tmp_path, {"keep": 0.95})
    again = load_guard(tmp_path, FakeSubject())
    before, after = guard(subject.images()), again(subject.images())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert again.threshold == guard.threshold
    assert load_saved(tmp_path).card.extra["keep"] == 0.95


def test_another_model_is_refused_naming_both(subject, tmp_path):
    save_guard(guard_of(subject), tmp_path)
    other = FakeSubject(title="fake:other", fingerprint="cd" * 32)
    with pytest.raises(UsageError) as error:
        load_guard(tmp_path, other)
    for word in ("fake:world", "ab" * 8, "fake:other", "cd" * 8, "allow_other_model=True"):
        assert word in str(error.value)
    assert load_guard(tmp_path, other, allow_other_model=True).subject is other


def test_other_preprocessing_is_refused_naming_both(subject, tmp_path):
    save_guard(guard_of(subject), tmp_path)
    other = FakeSubject(card={"preprocessing": {"size": [16, 16]}})
    with pytest.raises(UsageError, match=r"preprocessing .*8, 8.*16, 16.*allow_other_model=True"):
        load_guard(tmp_path, other)
    load_guard(tmp_path, other, allow_other_model=True)


def test_another_number_of_classes_is_refused_whatever_is_allowed(subject, tmp_path):
    save_guard(guard_of(subject), tmp_path)
    with pytest.raises(UsageError, match="made for 10 classes, fake:world has 100"):
        load_guard(tmp_path, FakeSubject(classes=100), allow_other_model=True)


def test_a_changed_method_is_refused_unless_allowed(subject, tmp_path):
    save_guard(guard_of(subject), tmp_path)
    card = json.loads((tmp_path / CARD).read_text())
    (tmp_path / CARD).write_text(json.dumps({**card, "source": "0" * 32}))
    with pytest.raises(UsageError, match="allow_changed=True"):
        load_guard(tmp_path, subject)
    load_guard(tmp_path, subject, allow_changed=True)


def test_a_detector_without_a_threshold_is_no_guard(subject, tmp_path):
    save_detector(subject.fit(detector("knn")), tmp_path)
    with pytest.raises(UsageError, match="holds a detector without a threshold"):
        load_guard(tmp_path, subject)


@pytest.mark.parametrize(
    "edit",
    [
        {"threshold": "0"},
        {"threshold": True},
        {"classes": None},
        {"fingerprint": 3},
        {"more": 1},
        {"model": []},
        {"threshold": 1e999},
    ],
)
def test_a_guard_that_is_damaged_is_refused(subject, edit, tmp_path):
    save_guard(guard_of(subject), tmp_path)
    card = json.loads((tmp_path / CARD).read_text())
    card["extra"]["guard"].update(edit)
    (tmp_path / CARD).write_text(json.dumps(card).replace("Infinity", "1e999"))
    with pytest.raises(DataError, match=r"save it again with save_guard|extra"):
        load_guard(tmp_path, subject)


def test_the_key_of_the_guard_is_taken(subject, tmp_path):
    with pytest.raises(UsageError, match="'guard' is taken"):
        save_guard(guard_of(subject), tmp_path, {"guard": 1})


def test_a_pickle_is_refused(subject, tmp_path):
    (tmp_path / "guard.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(UsageError, match="pickles are never opened"):
        load_guard(tmp_path, subject)


def test_it_does_not_touch_the_model(subject):
    guard = guard_of(subject)
    assert guard.state_dict() == {}
    guard.train()
    assert not subject.network.training
    assert "fake:world" in repr(guard)
