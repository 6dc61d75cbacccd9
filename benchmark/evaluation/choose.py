"""Which detectors can be used on a classifier, and why the others cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmark.errors import UsageError
from methods.base import AnyDetector, Detector, EnsembleDetector, GradientDetector
from methods.features import Signal
from methods.registry import UnknownMethod, detector, detectors

PASSES = "it needs more than one pass; ask for it by name"
OF_TRAINING = {
    Signal.OUTPUTS: "it needs the head of an objective of its own, which this network was not trained with",
    Signal.LOG_VARIANCES: "it needs variance heads, which this network was not trained with",
}
MAPS = "it keeps feature maps of the training images, which are not kept here"


def chosen(
    asked: Sequence[str | AnyDetector] | None, missing: Mapping[Signal, str], differentiable: str
) -> tuple[list[Detector], dict[str, str]]:
    """The detectors that apply, and why each other one does not.

    Parameters
    ----------
    asked : names, or detectors with hyper-parameters of one's own; None for all that one pass serves.
    missing, differentiable : see `benchmark.evaluation.subject.Subject`.

    Raises
    ------
    UsageError
        If there is no such detector.
    """
    if isinstance(asked, str) or (asked is not None and not len(asked)):
        raise UsageError(f"detectors: got {asked!r}, expected a list of names, such as ['msp', 'knn']")
    found: list[Detector] = []
    refused: dict[str, str] = {}
    for each in detectors() if asked is None else asked:
        try:
            one = detector(each) if isinstance(each, str) else each
        except UnknownMethod as error:
            raise UsageError(str(error)) from error
        if not isinstance(one, AnyDetector):
            raise UsageError(f"detectors: expected names or detectors, got {each!r:.100}")
        name = one.name
        if name in refused or any(name == other.name for other in found):
            raise UsageError(f"detectors: {name} is listed twice")
        why = _why_not(one, missing, differentiable)
        if not why and asked is None and _steps(one):
            why = PASSES
        if why:
            refused[name] = why
        else:
            assert isinstance(one, Detector)
            found.append(one)
    return found, refused


def _why_not(one: AnyDetector, missing: Mapping[Signal, str], differentiable: str) -> str:
    if isinstance(one, EnsembleDetector):
        return f"it scores by {one.members} networks, and here is one"
    if Signal.MAPS in one.needs:
        return MAPS
    for signal in sorted(one.needs):
        if signal in OF_TRAINING:
            return OF_TRAINING[signal]
        if signal in missing:
            return missing[signal]
    return differentiable if _steps(one) else ""


def _steps(one: AnyDetector) -> bool:
    """Whether it needs the network itself."""
    return isinstance(one, GradientDetector) and (one.step > 0 or one.chooses_step)
