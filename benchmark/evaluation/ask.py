"""One evaluation from beginning to end: fit, score, compare, recommend."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.engines.environment import environment
from benchmark.errors import DataError
from benchmark.evaluation.choose import chosen
from benchmark.evaluation.classify import Classifying
from benchmark.evaluation.compared import Compared
from benchmark.evaluation.measure import Clock, Fitted, Progress, Seen, fit, score
from benchmark.evaluation.outcome import (
    Classified,
    Corrupted,
    Fooling,
    Interval,
    NotApplied,
    Outcome,
    SetCard,
)
from benchmark.evaluation.pictures.classes import BY_ORDER
from benchmark.evaluation.pictures.duplicates import DISTANCE, overlapping, usable_distance
from benchmark.evaluation.shown import Shown
from benchmark.evaluation.subject import Subject
from benchmark.metrics.bounds import clopper_pearson
from benchmark.studies.detection.measurement import Group
from methods.base import AnyDetector, Detector

FOOLING = 24  # OOD images with the highest scores that a report shows
FEW = 200  # images of a set below which intervals are told to be wide
WRONG = 3.0  # an accuracy below so many times chance looks as if preprocessing or classes were wrong


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes
    ----------
    ood
        By title: near or far, and the images.
    detectors
        Names, or detectors with hyper-parameters of one's own; None for all that one pass serves.
    budget
        Forward passes that a recommended detector may cost.
    keep
        Share of ID images that the threshold is to keep.
    notes
        Warnings that are known before.
    """

    title: str
    subject: Subject
    train: Shown
    val: Shown
    test: Shown
    ood: Mapping[str, tuple[Group, Shown]]
    detectors: Sequence[str | AnyDetector] | None = None
    budget: float = 1.1
    keep: float = 0.95
    seed: int = 0
    keep_overlap: bool = False
    shifted: Mapping[tuple[str, int], Shown] = field(default_factory=dict)  # ID test, corrupted
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What came of it."""

    outcome: Outcome
    detectors: Mapping[str, Detector]  # fitted
    test: Seen
    ood: Mapping[str, Seen]
    val: Seen


def ask(question: Question, progress: Progress = lambda title, images: None) -> Answer:
    """Answer a question.

    Raises
    ------
    DataError
        If a set has no images, or no detector applies.
    UsageError
        If there is no such detector.
    """
    began = time.perf_counter()
    q = question
    clock = Clock()
    wanted, refused = chosen(q.detectors, q.subject.missing, q.subject.differentiable)
    fitted = fit(q.subject, wanted, q.train, q.val, seed=q.seed, clock=clock, progress=progress)
    refused |= fitted.refused
    if not fitted.detectors:
        raise DataError(f"no detector applies: {'; '.join(f'{n}: {why}' for n, why in refused.items())}")
    at = fitted.detectors
    test = score(
        q.subject, at, q.test, clock=clock, progress=progress, refused=refused,
        classifying=fitted.classifying,
    )  # fmt: skip
    ood, excluded = {}, {}
    for title, (_, shown) in q.ood.items():
        seen = score(q.subject, at, shown, clock=clock, progress=progress, refused=refused)
        twice = _twice(test, seen)
        excluded[title] = 0 if q.keep_overlap else int(twice.sum())
        if excluded[title] == len(seen):
            raise DataError(f"{title}: all {len(seen)} images are ID test images too; nothing is left of it")
        ood[title] = seen if q.keep_overlap else seen.without(twice)
    if not at:
        raise DataError(f"every detector failed: {'; '.join(f'{n}: {why}' for n, why in refused.items())}")
    labelled = bool((test.labels >= 0).all())
    errors = test.predicted != test.labels if labelled else None
    compared = Compared(
        at,
        test.scores,
        {title: (q.ood[title][0], seen.scores) for title, seen in ood.items()},
        errors,
        {name: clock.cost(name) for name in at},
        fitted.seconds,
        q.seed,
    )
    detected = compared.detected()
    recommended = compared.recommended(detected, q.budget)
    name = recommended.name
    thresholds = compared.thresholds(name, fitted.val.scores[name], q.keep)
    threshold = thresholds[0].threshold
    corrupted = _corrupted(q, at[name], threshold, ood, clock, progress)
    sets = _cards(q, fitted, test, ood, excluded)
    classified = _classified(fitted.classifying, errors)
    outcome = Outcome(
        title=q.title,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment().model_dump(),
        model=_model_card(q),
        sets=sets,
        warnings=(*q.subject.notes, *q.notes, *_warnings(q, sets, classified, test)),
        classified=classified,
        detectors=detected,
        not_applicable=tuple(NotApplied(name=n, why=why) for n, why in sorted(refused.items())),
        recommended=recommended,
        thresholds=thresholds,
        selective=compared.selective(name),
        corrupted=corrupted,
        drawn=compared.drawn(name),
        fooling=_fooling(name, ood, q.subject.class_names),
        seconds={
            "forward": clock.forward,
            "fit": sum(fitted.seconds.values()),
            "score": sum(clock.scoring.values()),
            "all": time.perf_counter() - began,
        },
    )
    return Answer(outcome, at, test, ood, fitted.val)


def _twice(test: Seen, seen: Seen) -> NDArray[np.bool_]:
    """Which images of an OOD set are ID test images too."""
    if test.exact is None or test.near is None or seen.exact is None or seen.near is None:
        return np.zeros(len(seen), dtype=bool)
    known = test.exact, test.near
    return overlapping(known, (seen.exact, seen.near), usable_distance(known))


def _corrupted(
    q: Question,
    detector: Detector,
    threshold: float,
    ood: Mapping[str, Seen],
    clock: Clock,
    progress: Progress,
) -> tuple[Corrupted, ...]:
    from benchmark.metrics.detection import detection_metrics

    group = "near" if any(one == "near" for one, _ in q.ood.values()) else "far"
    against = [seen.scores[detector.name] for title, seen in ood.items() if q.ood[title][0] == group]
    made = []
    for (kind, severity), shown in q.shifted.items():
        refused: dict[str, str] = {}
        seen = score(
            q.subject, {detector.name: detector}, shown, clock=Clock(), progress=progress, refused=refused
        )
        if refused:
            continue
        scores = seen.scores[detector.name]
        labelled = bool((seen.labels >= 0).all())
        made.append(
            Corrupted(
                kind=kind,
                severity=severity,
                accuracy=float((seen.predicted == seen.labels).mean()) if labelled else None,
                auroc=float(np.mean([detection_metrics(scores, other).auroc for other in against])),
                kept=float((scores >= threshold).mean()),
            )
        )
    return tuple(made)


def _cards(
    q: Question, fitted: Fitted, test: Seen, ood: Mapping[str, Seen], excluded: Mapping[str, int]
) -> tuple[SetCard, ...]:
    train, card = fitted.train
    return (
        SetCard(name=q.train.title, role="id_train", n=train, card=card),
        SetCard(name=q.val.title, role="id_val", n=len(fitted.val), card=fitted.val.card),
        SetCard(name=q.test.title, role="id_test", n=len(test), card=test.card),
        *(
            SetCard(name=title, role=q.ood[title][0], n=len(seen), excluded=excluded[title], card=seen.card)
            for title, seen in ood.items()
        ),
    )


def _classified(classifying: Classifying | None, errors: NDArray[np.bool_] | None) -> Classified | None:
    if classifying is None or errors is None:
        return None
    right = clopper_pearson(int((~errors).sum()), len(errors))
    plain, scaled = classifying.plain, classifying.scaled
    return Classified(
        accuracy=Interval(value=right.value, low=right.low, high=right.high),
        temperature=classifying.temperature,
        calibration=plain[0],
        calibration_scaled=scaled[0],
        reliability=plain[1],
        reliability_scaled=scaled[1],
    )


def _warnings(q: Question, sets: Sequence[SetCard], classified: Classified | None, test: Seen) -> list[str]:
    """What a reader must know before any number."""
    found = []
    if classified is None:
        part = "test" if (test.labels < 0).any() else "validation"
        found.append(
            f"The ID {part} images have no labels: accuracy and calibration are left out; so are detectors "
            "that learn from labels, where the training images have none."
        )
    elif classified.accuracy.high < min(WRONG / q.subject.classes, 0.5):
        found.append(
            f"ID accuracy is {100 * classified.accuracy.value:.1f} %, little above chance "
            f"({100 / q.subject.classes:.1f} %): are preprocessing, classes and weights right?"
        )
    found += dict.fromkeys(
        note for one in sets for note in one.card.get("notes") or () if note.startswith(BY_ORDER)
    )
    for one in sets:
        if broken := (one.card.get("broken") or {}).get("count"):
            found.append(f"{one.name}: {broken} images cannot be read and are left out.")
        if one.excluded:
            found.append(
                f"{one.name}: {one.excluded} images are ID test images too, exactly or nearly; left out."
            )
        if one.n < FEW and one.role != "id_train":
            found.append(f"{one.name} has {one.n} images: intervals are wide.")
    if test.exact is not None and test.near is not None:
        bits = usable_distance((test.exact, test.near))
        if bits < DISTANCE:
            found.append(
                "Many ID test images look alike, so that near-duplicates between ID and OOD images are "
                f"{'looked for less widely' if bits >= 0 else 'not looked for: only exact ones are'}."
            )
    if not any(group == "near" for group, _ in q.ood.values()):
        found.append("There are no near OOD images: what resembles the ID images is the harder case.")
    return found


def _model_card(q: Question) -> dict[str, Any]:
    subject = q.subject
    return {
        **subject.card,
        "title": subject.title,
        "classes": subject.classes,
        "fingerprint": subject.fingerprint,
    }


def _fooling(name: str, ood: Mapping[str, Seen], classes: tuple[str, ...] | None) -> tuple[Fooling, ...]:
    """OOD images with the highest scores, of all sets together."""
    titles = [title for title, seen in ood.items() for _ in range(len(seen))]
    names = [one for seen in ood.values() for one in seen.names]
    scores = np.concatenate([seen.scores[name] for seen in ood.values()])
    predicted = np.concatenate([seen.predicted for seen in ood.values()])
    return tuple(
        Fooling(
            set=titles[i],
            image=names[i],
            score=float(scores[i]),
            predicted=str(predicted[i]) if classes is None else classes[predicted[i]],
        )
        for i in np.argsort(-scores, kind="stable")[:FOOLING].tolist()
    )
