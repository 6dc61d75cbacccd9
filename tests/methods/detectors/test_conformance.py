"""What holds for every registered detector. Nothing is written for one: a new file is tested by being there.

The world of these tests is one small network in float64. Its images are mixtures of fixed patterns, and its
features say how much of each pattern an image holds. In-distribution images hold the patterns of one class;
outliers hold as many patterns, but any, among them some that no class has. The network has two stages: edges,
and the patterns, each at one of 16 positions. Its head gives its logits as outputs too, or what `OUTPUTS` has
for the detector at hand.
"""

import inspect
import itertools
import json
import re
from dataclasses import dataclass, fields
from functools import cache
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from detector_world import Split, World
from pretended_device import pretended
from sklearn.metrics import roc_auc_score
from torch.testing import assert_close

from methods.base import (
    AnyDetector,
    ClosedForm,
    Detector,
    GradientDetector,
    Head,
    NotApplicable,
    NotFitted,
    Paper,
    Signal,
)
from methods.registry import broken, detectors

# The same row in another batch may be summed in another order: some 1e-16 a sum, times the condition number
# of what is computed from it, below 1e3 in this world.
ROUNDING = {"rtol": 1e-12, "atol": 1e-12}

DETECTORS = detectors()
CLOSED_FORMS = {name: cls for name, cls in DETECTORS.items() if issubclass(cls, ClosedForm)}
every_detector = pytest.mark.parametrize("cls", DETECTORS.values(), ids=DETECTORS)


@cache
def world_of(name: str | None = None) -> World:
    """The world; with the head that the detector of that name is made for."""
    if name is None:
        return World()
    own = world_of().own()
    own.give(DETECTORS[name].example_outputs)
    return own


def with_head(cls: type[AnyDetector]) -> str | None:
    """The name of a detector that is made for a head of its own."""
    return cls.name if Signal.OUTPUTS in cls.needs else None


@pytest.fixture
def world(request):
    return world_of(with_head(request.node.callspec.params["cls"])).own()


@cache
def contents_of(name: str | None) -> list[torch.Tensor]:
    """What detectors are shown of a world, copied before any has seen it."""
    return [t.detach().clone() for t in world_of(name).contents()]


@dataclass(frozen=True)
class Fit:
    """A fitted detector, the one that it was made from, and whether the fit left all else as it was."""

    detector: AnyDetector
    unfitted: AnyDetector
    inputs_kept: bool
    network_kept: bool


@cache
def fit_of(cls: type[AnyDetector], gradients: bool = True) -> Fit:
    """A detector fitted in float64: once with gradients and once without, under another global seed."""
    name = with_head(cls)
    original, own = contents_of(name), world_of(name).own()
    own.network.conv.requires_grad_()  # frozen in part: a detector must neither freeze, thaw nor fill `grad`
    torch.manual_seed(1 if gradients else 2)
    unfitted = cls()
    with torch.set_grad_enabled(gradients):
        before = own.state()
        detector = own.fit(unfitted)
        return Fit(detector, unfitted, same(original, own.contents()), kept(before, own.state()))


@pytest.fixture
def fitted(cls):
    """The detector at its published defaults, fitted once for all tests."""
    return fit_of(cls).detector


def same(before, after):
    return all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def kept(before, after):
    return before[0] == after[0] and same(before[1], after[1])


def fitted_fields(cls):
    return [f.name for f in fields(cls) if not f.init]


def test_every_file_loads():
    assert broken() == {}
    assert DETECTORS


@every_detector
def test_scores_are_finite_float64_one_an_image(cls, world, fitted):
    for data in (world.inliers, world.inliers[:1], world.inliers[:0]):
        scores = world.score(fitted, data)
        assert scores.shape == (len(data),)
        assert scores.dtype == torch.float64
        assert torch.isfinite(scores).all()
        assert not scores.requires_grad


@every_detector
def test_scores_of_float32_inputs_are_float64(cls, world, fitted):
    def single(data):
        found = {
            name: tuple(p.float() if p.is_floating_point() else p for p in parts)
            for name, parts in data.features._found.items()
        }
        return Split(data.images.float(), data.features._with(found))

    expected = world.score(fitted, world.inliers)
    world.train, world.val = single(world.train), single(world.val)
    world.network.float()
    world.head = Head(world.network.fc.weight, world.network.fc.bias)
    scores = world.score(world.fit(cls()), single(world.inliers))
    assert scores.dtype == torch.float64
    assert_close(scores, expected, rtol=1e-5, atol=1e-5)  # float32 rounds inputs to 6e-8


@every_detector
def test_higher_means_more_in_distribution(cls, world, fitted):
    scores = torch.cat([world.score(fitted, world.inliers), world.score(fitted, world.outliers)])
    truth = [1] * len(world.inliers) + [0] * len(world.outliers)
    assert roc_auc_score(truth, scores) > 0.9


@every_detector
def test_the_same_inputs_give_the_same_bits(cls, world, fitted):
    torch.manual_seed(1)
    first = world.score(fitted, world.inliers)
    torch.manual_seed(2)  # only the generator handed to `fit` may be drawn from
    assert torch.equal(world.score(fit_of(cls, gradients=False).detector, world.inliers), first)


@every_detector
@pytest.mark.parametrize("batch", [1, 7])
def test_a_score_does_not_depend_on_the_batch(cls, world, fitted, batch):
    whole = world.score(fitted, world.outliers)
    parts = [
        world.score(fitted, world.outliers[start : start + batch])
        for start in range(0, len(world.outliers), batch)
    ]
    assert_close(torch.cat(parts), whole, **ROUNDING)


@every_detector
def test_a_score_does_not_depend_on_the_order(cls, world, fitted):
    order = torch.randperm(len(world.outliers), generator=torch.Generator().manual_seed(3))
    scores = world.score(fitted, world.outliers)
    assert_close(world.score(fitted, world.outliers[order]), scores[order], **ROUNDING)


@every_detector
def test_inputs_are_left_unmodified(cls, world, fitted):
    assert fit_of(cls).inputs_kept
    original = contents_of(with_head(cls))
    world.score(fitted, world.outliers)
    assert same(original, world.contents())
    assert not world.outliers.images.requires_grad


@every_detector
def test_fit_leaves_the_unfitted_detector_as_it_was(cls):
    assert not [name for name in fitted_fields(cls) if name in vars(fit_of(cls).unfitted)]


@every_detector
@pytest.mark.parametrize("gradients", [True, False], ids=["gradients on", "gradients off"])
def test_the_network_is_left_as_it_was(cls, world, gradients):
    fit = fit_of(cls, gradients)
    assert fit.network_kept
    world.network.conv.requires_grad_()
    with torch.set_grad_enabled(gradients):
        before = world.state()
        scores = world.score(fit.detector, world.outliers)
        assert kept(before, world.state())
    assert not scores.requires_grad


@every_detector
def test_only_declared_signals_are_used(cls, world, fitted):
    expected = world.score(fitted, world.inliers)

    def strip(data):
        undeclared = {str(signal) for signal in Signal} - {str(signal) for signal in cls.needs}
        features = data.features.without(*undeclared)
        if Signal.LOGITS not in cls.needs:
            nothing = (torch.full_like(features.logits, torch.nan),)
            features = features._with({**features._found, "logits": nothing})
        return Split(data.images, features)

    world.train, world.val = strip(world.train), strip(world.val)
    if Signal.HEAD not in cls.needs:
        world.head = Head.not_linear("the head is not declared as needed")
    assert torch.equal(world.score(world.fit(cls()), strip(world.inliers)), expected)


@pytest.mark.parametrize(
    "cls", [pytest.param(cls, id=name) for name, cls in DETECTORS.items() if Signal.HEAD in cls.needs]
)
def test_a_head_that_is_not_linear_is_not_applicable(cls, world):
    world.head = Head.not_linear("the head is a cosine")
    with pytest.raises(NotApplicable, match="the head is a cosine"):
        world.fit(cls())


@pytest.mark.parametrize(
    ("cls", "signal"),
    [
        pytest.param(cls, signal, id=f"{name}-{signal}")
        for name, cls in DETECTORS.items()
        for signal in sorted(cls.needs - {Signal.LOGITS, Signal.HEAD})
        if issubclass(cls, Detector)
    ],
)
def test_a_signal_that_was_not_collected_is_not_applicable(cls, signal, world, fitted):
    def collected(images):
        return world.network.features(images).without(str(signal))

    steps, images = isinstance(fitted, GradientDetector), world.inliers.images
    with pytest.raises(NotApplicable, match="not collected"):
        fitted.score_images(collected, images) if steps else fitted.score(collected(images))


@every_detector
def test_fit_comes_before_score_where_there_is_state(cls, world, fitted):
    if fitted_fields(cls):
        with pytest.raises(NotFitted, match=f"{cls.name}: call fit before score"):
            world.score(cls(), world.inliers)
    else:
        assert torch.equal(world.score(cls(), world.inliers), world.score(fitted, world.inliers))


def choices(cls):
    """Every combination of the hyper-parameters that are a choice of names."""
    hints = {key: hint for key, hint in get_type_hints(cls).items() if get_origin(hint) is Literal}
    combinations = itertools.product(*map(get_args, hints.values()))
    return [dict(zip(hints, values, strict=True)) for values in combinations]


def every_choice(classes):
    ways = [(name, cls, chosen) for name, cls in classes.items() for chosen in choices(cls)]
    named = [pytest.param(cls, way, id="-".join([name, *map(str, way.values())])) for name, cls, way in ways]
    return pytest.mark.parametrize(("cls", "chosen"), named)


@every_choice(DETECTORS)
def test_l20_it_computes_on_the_device_of_its_inputs(cls, chosen, world):
    detector = cls.configure(chosen)
    if isinstance(detector, GradientDetector) and detector.step == 0:
        detector = detector.with_step(0.01)
    expected = world.score(world.fit(detector), world.outliers)
    with pretended() as device:
        there = world.on(device)
        scores = there.score(there.fit(detector), there.outliers)
        assert scores.device == device
    assert_close(scores.here, expected, **ROUNDING)


@every_choice(CLOSED_FORMS)
def test_a_closed_form_is_what_autograd_gives(cls, chosen, world):
    detector = world.fit(cls.configure(chosen))
    for data in (world.inliers, world.outliers):
        assert_close(detector.score(data.features), detector.by_autograd(data.features), **ROUNDING)


@pytest.mark.parametrize(
    "cls", [pytest.param(c, id=n) for n, c in DETECTORS.items() if issubclass(c, GradientDetector)]
)
def test_the_gradient_loss_is_that_of_each_image_alone(cls, world, fitted):
    features = world.outliers.features
    whole = fitted.loss(features)
    assert whole.shape == (len(world.outliers),)
    for row in range(0, len(world.outliers), 13):
        assert_close(fitted.loss(features[row : row + 1]), whole[row : row + 1], **ROUNDING)


@every_detector
def test_the_paper_is_named(cls):
    paper = cls.paper
    assert isinstance(paper, Paper)
    assert all([paper.title, paper.authors, paper.venue])
    assert 1900 < paper.year < 2100
    assert paper.arxiv is None or re.fullmatch(r"\d{4}\.\d{4,5}", paper.arxiv)


@every_detector
def test_the_docstring_gives_the_formula_and_every_hyperparameter(cls):
    doc = inspect.cleandoc(cls.__doc__)
    assert ".. math::" in doc
    assert "Shapes:" in doc
    assert [f.name for f in fields(cls) if f.init and f"\n{f.name}\n" not in doc] == []


@every_detector
def test_hyperparameters_survive_a_record(cls: type[AnyDetector]):
    hyperparameters = cls().hyperparameters()
    assert list(hyperparameters) == [f.name for f in fields(cls) if f.init]
    assert cls.configure(json.loads(json.dumps(hyperparameters))) == cls()


@every_detector
def test_the_name_is_that_of_the_file(cls):
    assert cls.__module__.rpartition(".")[2] == cls.name
    assert DETECTORS[cls.name] is cls


@every_detector
def test_a_detector_is_a_frozen_dataclass(cls):
    assert cls.__dataclass_params__.frozen
    assert isinstance(cls.needs, frozenset)
    assert all(isinstance(signal, Signal) for signal in cls.needs)
