"""What a detector may look at, and how it leaves what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from benchmark.conformance.findings import check
from benchmark.conformance.subject import Subject, fitted_fields
from benchmark.conformance.world import Split, kept, same
from methods.base import Detector, Features, GradientDetector, Head, NotApplicable, NotFitted, Signal

COPY = "work on copies: no `*_` method, no assignment into what was given"


@check("inputs", COPY)
def inputs(subject: Subject) -> Iterator[str]:
    """Features, images and head are left as they were."""
    if not subject.fit().inputs_kept:
        yield "`fit` changed the features or the head that it was given"
    world = subject.world
    subject.score(world.outliers)
    if not same(subject.contents, world.contents()):
        yield "`score` changed the features or images that it was given"
    if world.outliers.images.requires_grad:
        yield "`score` left the images with a gradient"


@check("unfitted", "return `self.with_state(...)` from `fit`")
def unfitted(subject: Subject) -> Iterator[str]:
    """`fit` leaves the detector that it is called on as it was."""
    for name in fitted_fields(subject.cls):
        if name in vars(subject.fit().unfitted):
            yield f"`fit` set {name!r} of the unfitted detector"


@check("network", "leave weights, modes, hooks and gradients alone; detach what is kept")
def network(subject: Subject) -> Iterator[str]:
    """The network is left as it was, with gradients recorded or not."""
    for gradients in (True, False):
        fit, world = subject.fit(gradients=gradients), subject.world
        world.network.conv.requires_grad_()
        with torch.set_grad_enabled(gradients):
            before = world.state()
            scores = world.score(fit.detector, world.outliers)
            left = kept(before, world.state())
        for did, well in (("`fit`", fit.network_kept), ("`score`", left)):
            if not well:
                yield f"{did} changed the network, gradients {'on' if gradients else 'off'}"
        if scores.requires_grad:
            yield "the scores carry a gradient of the network"


@check("signals", "declare in `needs` every signal that `fit` or `score` looks at")
def signals(subject: Subject) -> Iterator[str]:
    """Only declared signals are used."""
    needs, world = subject.cls.needs, subject.world
    expected = subject.score(world.inliers)

    def stripped(data: Split) -> Split:
        undeclared = {str(signal) for signal in Signal} - {str(signal) for signal in needs}
        features = data.features.without(*undeclared)
        if Signal.LOGITS not in needs:
            nothing = (torch.full_like(features.logits, torch.nan),)
            features = features._with({**features.collected(), "logits": nothing})
        return Split(data.images, features)

    world.train, world.val = stripped(world.train), stripped(world.val)
    if Signal.HEAD not in needs:
        world.head = Head.not_linear("the head is not declared as needed")
    if not torch.equal(world.score(world.fit(subject.cls()), stripped(world.inliers)), expected):
        yield "the scores are others where undeclared signals are missing"


@check("head", "use `head.weight` and `head.bias`, and catch no NotApplicable")
def head(subject: Subject) -> Iterator[str]:
    """A head that is not linear makes a detector that needs it not applicable."""
    if Signal.HEAD in subject.cls.needs:
        world = subject.world
        world.head = Head.not_linear("the head is a cosine")
        yield from _refusal(lambda: world.fit(subject.cls()), NotApplicable, "the head is a cosine")


@check("not collected", "ask `features` for the signal, and catch no NotApplicable")
def not_collected(subject: Subject) -> Iterator[str]:
    """A signal that was not collected makes the detector not applicable."""
    fitted, world = subject.fitted, subject.world
    if not isinstance(fitted, Detector):
        return
    for signal in sorted(subject.cls.needs - {Signal.LOGITS, Signal.HEAD}):

        def scored(left_out: str = str(signal)) -> object:
            def collected(images: torch.Tensor) -> Features:
                return world.network.features(images).without(left_out)

            images = world.inliers.images
            if isinstance(fitted, GradientDetector):
                return fitted.score_images(collected, images)
            return fitted.score(collected(images))

        for problem in _refusal(scored, NotApplicable, "not collected"):
            yield f"without {signal}: {problem}"


@check("unfit", "declare what `fit` learns with `fitted()`, and give it no default")
def unfit(subject: Subject) -> Iterator[str]:
    """`fit` comes before `score` where there is state; without state it changes nothing."""
    world = subject.world
    if fitted_fields(subject.cls):
        message = f"{subject.name}: call fit before score"
        yield from _refusal(lambda: world.score(subject.cls(), world.inliers), NotFitted, message)
    elif not torch.equal(world.score(subject.cls(), world.inliers), subject.score(world.inliers)):
        yield "it declares no state, and scores otherwise once it is fitted"


def _refusal(act: Callable[[], object], kind: type[Exception], message: str) -> Iterator[str]:
    """What is wrong with a refusal that must come."""
    try:
        act()
    except kind as error:
        if message not in str(error):
            yield f"expected {kind.__name__} to say {message!r}, got {str(error)!r}"
    else:
        yield f"expected {kind.__name__}, got scores"


CHECKS = (inputs, unfitted, network, signals, head, not_collected, unfit)
