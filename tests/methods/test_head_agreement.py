"""A head must give the logits that come with it (spec §0.3), and is taken from a live layer as it is."""

import re

import pytest
import torch
from plain_features import BIAS, CLASSES, DETECTORS, HEAD, WEIGHT, WIDTH, drawn, features, fitted, made
from torch import nn

from methods.base import Features, GradientDetector, Head, InputError, NotApplicable, Signal
from methods.contract import HEAD_TOLERANCE, LOOKED_AT, check_head

WITH_HEAD = [name for name, cls in DETECTORS.items() if Signal.HEAD in cls.needs]


def head_of(change):
    return Head(*change(WEIGHT.clone(), BIAS.clone()))


@pytest.mark.parametrize("name", WITH_HEAD)
@pytest.mark.parametrize(
    "wrong",
    [
        head_of(lambda w, b: (w.roll(1, dims=0), b.roll(1))),
        head_of(lambda w, b: (w.roll(1, dims=0), b)),
        head_of(lambda w, b: (drawn(*w.shape, seed=9), b)),
        head_of(lambda w, b: (w, b + 1.0)),
        head_of(lambda w, b: (w, torch.zeros_like(b))),
    ],
    ids=["permuted", "weights permuted", "random", "shifted", "without bias"],
)
def test_l5_another_head_is_refused_with_the_difference(name, wrong):
    train = features(200, name=name)
    logits = train.penultimate @ wrong.weight.T + wrong.bias
    largest = (train.logits - logits).abs().max().item()
    with pytest.raises(ValueError, match=r"^head: the logits of train are not .* differ by up to ") as caught:
        made(DETECTORS[name]).fit(train, train, wrong)
    said = float(re.search(r"differ by up to ([\d.e+-]+)\.", str(caught.value))[1])
    assert said == pytest.approx(largest, rel=5e-3)  # three digits are shown


@pytest.mark.parametrize("name", WITH_HEAD)
def test_l5_validation_features_of_another_network_are_refused(name):
    train = features(200, name=name)
    other = train.including(logits=train.logits.roll(1, dims=1))
    with pytest.raises(ValueError, match=r"^head: the logits of val are not"):
        made(DETECTORS[name]).fit(train, other, HEAD)


@pytest.mark.parametrize(("share", "refused"), [(0.5, False), (2.0, True)])
def test_l5_the_tolerance_is_that_of_the_specification(share, refused):
    train = features(200)
    largest = train.logits.abs().max()
    moved = train.including(logits=train.logits + share * HEAD_TOLERANCE * largest)
    if refused:
        with pytest.raises(InputError):
            check_head(HEAD, moved, "train")
    else:
        check_head(HEAD, moved, "train")
    assert HEAD_TOLERANCE == 1e-3


def test_l5_logits_below_one_are_held_to_one():
    head = Head(1e-6 * WEIGHT)
    h = features(200).penultimate
    check_head(head, Features(h @ head.weight.T + 9e-4, h), "train")
    with pytest.raises(InputError, match=r"differ by up to 0\.0011"):
        check_head(head, Features(h @ head.weight.T + 1.1e-3, h), "train")


def test_l5_rows_are_looked_at_all_over():
    rows = 40 * LOOKED_AT
    h = drawn(rows, WIDTH)
    logits = h @ WEIGHT.T + BIAS
    check_head(HEAD, Features(logits, h), "train")
    logits[rows // 2 :] = logits[rows // 2 :].roll(1, dims=1)  # a file of another network joined on
    with pytest.raises(InputError):
        check_head(HEAD, Features(logits, h), "train")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_l5_the_rounding_of_the_features_own_type_is_no_difference(dtype):
    h = drawn(400, WIDTH).to(dtype)
    logits = (h.double() @ WEIGHT.T + BIAS).to(dtype)
    check_head(HEAD, Features(logits, h), "train")
    with pytest.raises(InputError):
        check_head(HEAD, Features(logits.roll(1, dims=1), h), "train")


@pytest.mark.parametrize("name", WITH_HEAD)
def test_l5_a_head_of_another_shape_is_refused(name):
    train = features(200, name=name)
    wide = Head(drawn(CLASSES, WIDTH + 1))
    message = (
        rf"head: expected a weight of shape \({CLASSES}, {WIDTH}\), as train has {CLASSES} logits and "
        rf"{WIDTH} penultimate features, got \({CLASSES}, {WIDTH + 1}\)"
    )
    with pytest.raises(ValueError, match=message):
        made(DETECTORS[name]).fit(train, train, wide)


def test_l5_a_layer_in_place_of_a_head_is_told_how_to_become_one():
    with pytest.raises(
        ValueError, match=r"head: expected a Head: Head\(layer.weight, layer.bias\), got Linear"
    ):
        DETECTORS["react"]().fit(features(200), features(60), nn.Linear(WIDTH, CLASSES))


def test_l5_a_head_that_is_not_linear_is_not_held_to_anything():
    with pytest.raises(NotApplicable, match="a cosine"):
        DETECTORS["react"]().fit(features(200), features(60), Head.not_linear("a cosine"))


def live_layer():
    layer = nn.Linear(WIDTH, CLASSES).double()
    with torch.no_grad():
        layer.weight.copy_(WEIGHT)
        layer.bias.copy_(BIAS)
    return layer


def test_l4_a_head_drops_the_gradients_of_a_live_layer():
    layer = live_layer()
    head = Head(layer.weight, layer.bias)
    assert not head.weight.requires_grad
    assert not head.bias.requires_grad
    assert head.weight.data_ptr() == layer.weight.data_ptr()  # no copy
    assert layer.weight.requires_grad


@pytest.mark.parametrize("name", DETECTORS)
def test_l4_features_and_head_of_a_live_network(name):
    cls, layer = DETECTORS[name], live_layer()

    def live(n, seed, labelled):
        plain = features(n, seed, labelled, name)
        signals = {
            key: tuple(p.clone().requires_grad_() if p.is_floating_point() else p for p in parts)
            for key, parts in plain.collected().items()
        }
        return Features(**{k: p if k in ("stages", "gram", "maps") else p[0] for k, p in signals.items()})

    rng = torch.Generator().manual_seed(0)
    head = Head(layer.weight, layer.bias)
    learnt = made(cls).fit(live(200, 0, True), live(60, 1, True), head, rng)
    scores = learnt.score(live(20, 5, False))
    assert not scores.requires_grad
    assert torch.equal(scores, fitted(cls, name).score(features(20, 5, False, name)))


def test_l4_features_stay_differentiable_for_a_step_and_for_a_raw_score():
    images = torch.rand(4, 3, 2, 2, dtype=torch.float64)
    weight = drawn(CLASSES, 12)

    def network(x):
        return Features(x.flatten(1) @ weight.T)

    for name in ("odin", "iodin"):
        detector = DETECTORS[name](epsilon=0.01)
        assert isinstance(detector, GradientDetector)
        assert not torch.equal(
            detector.score_images(network, images), made(DETECTORS[name]).score_images(network, images)
        )
    x = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(DETECTORS["energy"]().raw_score(network(x)).sum(), x)
    expected = torch.softmax(network(images).logits, dim=1) @ weight  # the slope of log Σ exp
    torch.testing.assert_close(slope.flatten(1), expected)
