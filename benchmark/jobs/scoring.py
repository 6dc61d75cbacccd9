"""Scoring the images of one cell: fit a detector, perhaps choose its hyper-parameters, score every test set.

Cached features are memory-mapped and scored a few thousand rows at a time; a detector that needs the network
itself (an input gradient, or feature maps) gets batches of images. Memory does not grow with the test sets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.backbones.device import CPU, arithmetic, batches, in_batches, on_cpu
from benchmark.backbones.extract import Tap
from benchmark.backbones.images import Images
from benchmark.backbones.network import to_pixels
from benchmark.jobs.config import ScoringConfig, ScoringInputs
from benchmark.jobs.extracted import Extracted
from benchmark.jobs.inputs import image_parts, trained_network
from benchmark.jobs.shards import share
from benchmark.jobs.untouched import Untouched
from benchmark.store.artifacts import Artifact, Draft
from methods.base import (
    AnyDetector,
    EnsembleDetector,
    Features,
    GradientDetector,
    InputError,
    NotApplicable,
    ScoreError,
    Signal,
    check_scores,
)
from methods.errors import said
from methods.features import evenly
from methods.registry import detector
from methods.tensors import at_once

ROWS = 4096  # of cached features that are scored at a time

AUROC = Callable[[np.ndarray, np.ndarray], float]  # of ID and OOD scores


def score_into(tasks: Sequence[tuple[Draft, Scoring]]) -> None:
    """Keep the scores of each, or the reason why its detector does not apply to the network.

    Several must be of detectors that need the network itself, and of one network: they share its passes.
    """
    chosen: list[tuple[Draft, Scoring, AnyDetector, dict[str, Any]]] = []
    for draft, scoring in tasks:
        try:
            chosen.append((draft, scoring, *scoring.choose()))
        except NotApplicable as error:
            draft.json("about", {"status": "not_applicable", "reason": said(error)})
    found = score_together([(scoring, scorer) for _, scoring, scorer, _ in chosen])
    for (draft, _, _, about), scores in zip(chosen, found, strict=True):
        draft.tensors("scores", scores)
        draft.json("about", {"status": "measured", **about})


def score_together(chosen: Sequence[tuple[Scoring, AnyDetector]]) -> list[dict[str, Tensor]]:
    """Score every tested part by each fitted detector.

    Returns
    -------
    For each detector (N,) float64 by part: ``test``, every OOD set, ``shift.<kind>.<severity>``; besides
    ``test.correct`` (N,) bool and ``shift.rows``. Of a shard its own rows of each.

    Raises
    ------
    ScoreError
        If scores are of the wrong shape or not finite; names the part.
    """
    scores: list[dict[str, Tensor]] = [{} for _ in chosen]
    for part in dict.fromkeys(part for scoring, _ in chosen for part in scoring.own):
        of = [i for i, (scoring, _) in enumerate(chosen) if part in scoring.own]
        first = chosen[of[0]][0]
        found = first.scores([chosen[i][1] for i in of], part, first.own[part])
        for i, values in zip(of, found, strict=True):
            scores[i][part] = values
    for (scoring, _), by_part in zip(chosen, scores, strict=True):
        by_part |= scoring.beside
    return scores


class Scoring:
    """What one score job is given.

    Parameters
    ----------
    auroc
        What hyper-parameters are chosen by; None where there is one point.
    """

    def __init__(
        self, config: ScoringConfig, inputs: ScoringInputs[Artifact], auroc: AUROC | None = None
    ) -> None:
        self.config = config
        self.inputs = inputs
        self.auroc = auroc
        self.members = [Extracted(member) for member in inputs.features]

    def choose(self) -> tuple[AnyDetector, dict[str, Any]]:
        """The fitted detector, where there is a choice the one that tells the validation sets apart best.

        Returns
        -------
        detector
            Fitted.
        about
            The ``hyperparameters`` that were used and, where they were chosen, the ``tuning``.

        Raises
        ------
        NotApplicable
            With the reason.
        ScoreError
            If scores of validation images are of the wrong shape or not finite; names the part.
        """
        if self.inputs.chosen is not None:
            about = self.inputs.chosen.json("about")
            if about.pop("status") != "measured":
                raise NotApplicable(about["reason"])
            return self._fit(detector(self.config.detector, **about["hyperparameters"])), about
        points = [detector(self.config.detector, **point) for point in self.config.points]
        if Signal.RANK_ONE in points[0].needs and self.members[0].about["rank_one"]:
            raise NotApplicable(self.members[0].about["rank_one"])
        about = {}
        scorer = self._fit(points[0])
        if self.auroc is not None:
            fitted = [scorer, *(self._fit(point) for point in points[1:])]
            aurocs = self._validate(fitted, self.auroc)
            scorer = fitted[int(np.argmax(aurocs))]  # the first of equals: grids list the simplest first
            about["tuning"] = [
                {"hyperparameters": point.hyperparameters(), "auroc": value}
                for point, value in zip(points, aurocs, strict=True)
            ]
        scorer = self._with_step(scorer)
        return scorer, about | {"hyperparameters": scorer.hyperparameters()}

    @property
    def tested(self) -> list[str]:
        """The parts that are scored: all that neither fitting nor choosing sees."""
        unseen = {"train", "val", *self.config.validation}
        return [part for part in self.members[0].parts if part not in unseen]

    @cached_property
    def place(self) -> torch.device:
        """Where it is computed: what runs the network gives features on the CPU."""
        if self.config.network is not None:
            return torch.device(CPU)
        fitted = (t for of in self.members for n, t in of.tensors.items() if n.startswith(("train.", "val.")))
        return arithmetic(sum(tensor.nbytes for tensor in fitted))

    @cached_property
    def own(self) -> dict[str, slice]:
        """Which rows of these parts are scored here: all but for a shard."""
        parts = {part: range(self.members[0].length(part)) for part in self.tested}
        rows = 1 if self.config.shard is None else at_once(self.images["test"])
        return share(parts, rows, self.config.shard)

    @property
    def beside(self) -> dict[str, Tensor]:
        """What is kept with the scores: which test images the network is right on, and which were shifted."""
        kept = {}
        if "test" in self.own:
            test = self.members[0].features("test")[self.own["test"]]
            kept["test.correct"] = test.logits.argmax(dim=1) == test.labels
        if self.inputs.shift_images is not None and (self.config.shard or (0,))[0] == 0:
            kept["shift.rows"] = self.inputs.shift_images.tensors("images")["rows"]
        return kept

    def _fit(self, scorer: AnyDetector) -> AnyDetector:
        rng = torch.Generator().manual_seed(self.config.seed)
        of, limit = self.members[0], self.config.fit_limit or scorer.fit_limit
        if Signal.MAPS not in scorer.needs:
            train, val, head = (part.on(self.place) for part in of.to_fit())
            return self._calibrated(scorer.fit(train, val, head, rng, fit_limit=limit))
        train = self._with_maps(of.features("train"), "train", limit, rng)
        val = self._with_maps(of.features("val"), "val", None, rng)
        return scorer.fit(*of.to_fit(train, val), rng, fit_limit=limit)

    def _calibrated(self, scorer: AnyDetector) -> AnyDetector:
        """Shown ID validation images, if it learns from what the network makes of them."""
        if not isinstance(scorer, GradientDetector) or not scorer.calibrates or scorer.step == 0:
            return scorer
        tap, images = self.tap, self.images["val"]

        def measured(batch: range) -> Tensor:
            pixels = to_pixels(images[batch.start : batch.stop])
            with self._untouched.by(scorer.name, pixels):
                return on_cpu(scorer.calibration(tap, pixels))

        rows = batches(range(self.members[0].length("val")), at_once(images))
        return scorer.calibrated(torch.cat(list(in_batches(measured, rows))))

    def _with_step(self, scorer: AnyDetector) -> AnyDetector:
        """Where the step is None, take that of the grid which lifts the scores of ID validation most."""
        if not isinstance(scorer, GradientDetector) or not scorer.chooses_step:
            return scorer
        candidates: list[AnyDetector] = [scorer.with_step(step) for step in scorer.step_grid]
        means = [float(scores.mean()) for scores in self.scores(candidates, "val")]
        return candidates[int(np.argmax(means))]

    def _validate(self, fitted: list[AnyDetector], auroc: AUROC) -> list[float]:
        """Mean AUROC of ID validation images against each validation OOD set, for every candidate."""
        inside = self.scores(fitted, "val")
        outside = [self.scores(fitted, name) for name in self.config.validation]
        return [
            float(np.mean([auroc(inside[i].numpy(), scores[i].numpy()) for scores in outside]))
            for i in range(len(fitted))
        ]

    def _with_maps(self, features: Features, part: str, limit: int | None, rng: torch.Generator) -> Features:
        """The features of a part with the feature maps, of at most so many images: maps are large.

        They are drawn as `fit` draws them, which then finds no more to leave out.
        """
        rows = torch.arange(len(features))
        if limit is not None and len(features) > limit:
            rows = evenly(features.labels, limit, rng)
        tap = self.tap  # made outside of inference mode, to be differentiable
        images = self.images[part]

        def maps_of(batch: Tensor) -> tuple[Tensor, ...]:
            return tap(to_pixels(images[batch]), maps=True).maps

        with torch.inference_mode():
            found = list(in_batches(maps_of, batches(rows, at_once(images))))
        maps = [torch.cat(stage) for stage in zip(*found, strict=True)]
        return features[rows].including(maps=maps)

    def scores(self, candidates: list[AnyDetector], part: str, within: slice | None = None) -> list[Tensor]:
        """Scores (N,) of one part, or of its rows `within`, by each of several candidates.

        Candidates are of one detector, or of several that need the network itself, all fitted on the same
        images with the same seed.
        """
        rows = range(self.members[0].length(part))[within or slice(None)]
        of_images = self.config.network is not None
        members = [] if of_images else [member.features(part).without("labels") for member in self.members]

        def score(batch: range) -> list[Tensor]:
            of = slice(batch.start, batch.stop)
            if of_images:
                found = self._of_images(candidates, self.images[part][of])
            else:
                shown = [_widened(member[of].on(self.place)) for member in members]
                found = [_score(candidate, shown) for candidate in candidates]
            return [on_cpu(check_scores(scores, len(batch))) for scores in found]

        size = at_once(self.images[part]) if of_images else ROWS
        try:
            checked = list(in_batches(score, batches(rows, size)))
        except (ScoreError, InputError) as error:
            raise type(error)(f"{part}: {error}") from error
        return [torch.cat(scores) for scores in zip(*checked, strict=True)]

    def _of_images(self, candidates: list[AnyDetector], batch: Tensor) -> list[Tensor]:
        images, tap = to_pixels(batch), self.tap  # made outside of inference mode, to be differentiable
        directions: dict[str, Tensor] = {}  # candidates that differ in the step alone share the gradient
        found: dict[str, Tensor] = {}
        stay = [c for c in candidates if not isinstance(c, GradientDetector) or c.step == 0]
        if stay:
            with torch.inference_mode():
                features = tap(images, maps=any(Signal.MAPS in candidate.needs for candidate in stay))
            found = {_called(candidate): _score(candidate, [features]) for candidate in stay}
        for candidate in candidates:
            if _called(candidate) in found or not isinstance(candidate, GradientDetector):
                continue
            others = {k: v for k, v in candidate.hyperparameters().items() if k != candidate.step_name}
            loss = f"{candidate.name} {others}"
            with self._untouched.by(candidate.name, images):
                if loss not in directions:
                    directions[loss] = candidate.direction(tap, images)
                found[_called(candidate)] = candidate.score_images(tap, images, directions[loss])
        return [found[_called(candidate)] for candidate in candidates]

    @cached_property
    def tap(self) -> Tap:
        """The network itself, frozen."""
        assert self.config.network is not None
        assert self.inputs.network is not None
        network = trained_network(self.config.network, self.inputs.network)
        network.requires_grad_(requires_grad=False)
        return Tap(network, to_pixels(self.images["test"][:16]))

    @cached_property
    def _untouched(self) -> Untouched:
        """Made before a method is given the network."""
        return Untouched(self.tap.network)

    @cached_property
    def images(self) -> dict[str, Images]:
        """The images by part."""
        sets = (image_parts(name, a, self.config.split)[0] for name, a in self.inputs.images.items())
        return {part: images for parts in sets for part, images in parts.items()}


def _called(scorer: AnyDetector) -> str:
    """The same for detectors that score alike, given the same images to be fitted on."""
    return f"{scorer.name} {scorer.hyperparameters()}"


def _score(scorer: AnyDetector, members: list[Features]) -> Tensor:
    return scorer.score(members) if isinstance(scorer, EnsembleDetector) else scorer.score(members[0])


def _widened(features: Features) -> Features:
    """With penultimate features in float64, so that no record holds how a machine rounds float32 products."""
    if "penultimate" not in features.collected():
        return features
    return features.including(penultimate=features.penultimate.double())
