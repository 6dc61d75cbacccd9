"""`oodbench.evaluate`: which detector to use on a classifier, at which threshold, and how far to trust it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from benchmark.errors import DataError, UsageError
from benchmark.evaluation.ask import Answer, ask
from benchmark.evaluation.asked import check_device, check_not_given, check_numbers, check_size
from benchmark.evaluation.guard import Guard, save_guard
from benchmark.evaluation.guard import load_guard as loaded
from benchmark.evaluation.images import ImageSource
from benchmark.evaluation.measure import Progress
from benchmark.evaluation.models.intake import Normalise
from benchmark.evaluation.models.open import open_subject
from benchmark.evaluation.models.stored import open_features
from benchmark.evaluation.outcome import Outcome, ScoredImage
from benchmark.evaluation.pictures.sources import open_source
from benchmark.evaluation.questions import Given, question_of, stored_question
from benchmark.evaluation.scored import scored
from benchmark.evaluation.shown import ShownImages, joined
from benchmark.evaluation.subject import Subject
from benchmark.metrics.shares import keeping
from methods.base import AnyDetector, Detector
from methods.features import Features, Signal
from methods.head import Head

PROBED = 8  # images of a loader that the model is tried on


class Evaluation:
    """What `evaluate` answers.

    Attributes
    ----------
    outcome : Outcome
        All of it, as `report.json` has it.
    detectors : mapping of str to Detector
        Fitted, by name.
    answer : Answer
        With the scores of every image.
    subject : Subject
        The classifier.
    pictures : mapping of str to ImageSource
        By OOD set, where its images can be seen.
    """

    def __init__(self, answer: Answer, subject: Subject, pictures: Mapping[str, ImageSource]) -> None:
        self.outcome: Outcome = answer.outcome
        self.detectors: Mapping[str, Detector] = answer.detectors
        self.answer, self.subject, self.pictures = answer, subject, pictures

    @property
    def best(self) -> str:
        """The recommended detector, by the rule of `outcome.recommended`."""
        return self.outcome.recommended.name

    @property
    def table(self) -> Any:
        """A row a detector, the best mean first: a pandas frame if pandas is there, else a list of dicts."""
        rows = [
            {
                "detector": one.name,
                "mean": one.mean.value,
                "mean_low": one.mean.low,
                "mean_high": one.mean.high,
                "near": None if one.near is None else one.near.value,
                "far": None if one.far is None else one.far.value,
                **{f"auroc.{name}": found.auroc.value for name, found in one.sets.items()},
                **{f"fpr95.{name}": found.fpr95.value for name, found in one.sets.items()},
                "cost": one.cost,
                "against_best": one.against_best.verdict,
            }
            for one in self.outcome.detectors
        ]
        try:
            import pandas as pd  # type: ignore[import-untyped]
        except ImportError:
            return rows
        return pd.DataFrame(rows)

    def threshold(self, keep: float = 0.95, detector: str | None = None) -> float:
        """The score from which on images are accepted, so that a share of ID images is kept.

        It is of ID validation images.

        Raises
        ------
        UsageError
            If there is no such detector here.
        ValueError
            If `keep` is not above 0 and at most 1.
        """
        name = self._known(detector)
        return keeping(self.answer.val.scores[name], keep)

    def guard(self, keep: float | None = None, detector: str | None = None) -> Guard:
        """The classifier with a detector before it; the recommended one and its threshold if absent."""
        name = self._known(detector)
        share = self.outcome.thresholds[0].keep if keep is None else keep
        return Guard(self.subject, self.detectors[name], self.threshold(share, name))

    def save(self, folder: str | Path) -> None:
        """Save the recommended detector with its threshold, for `load_guard`.

        Raises
        ------
        StorageError
            If the folder cannot be written.
        """
        found = self.outcome
        extra = {"evaluation": {"title": found.title, "made": found.made, "rule": found.recommended.rule}}
        save_guard(self.guard(), folder, extra)

    def _known(self, detector: str | None) -> str:
        name = self.best if detector is None else detector
        if name not in self.detectors:
            raise UsageError(f"detector {name!r} is not here; there are {', '.join(self.detectors)}")
        return name

    def scored(self) -> Iterator[ScoredImage]:
        """Every ID test and OOD image, with the score of the recommended detector."""
        cut = self.outcome.thresholds[0].threshold
        sets = {self.answer.test.title: self.answer.test, **self.answer.ood}
        for title, seen in sets.items():
            yield from scored(title, seen, self.best, cut, self.subject.class_names)

    def picture(self, set: str, image: str) -> Image.Image | None:
        """One OOD image, RGB; None where it is no picture any more."""
        source = self.pictures.get(set)
        return None if source is None else source.picture(image)


def evaluate(
    model: nn.Module | Subject | str,
    id: str | Path | None = None,
    *,
    id_train: Any = None,
    id_val: Any = None,
    id_test: Any = None,
    ood: Mapping[str, Any] | None = None,
    detectors: Sequence[str | AnyDetector] | None = None,
    transform: Callable[[Image.Image], Tensor] | None = None,
    normalise: Normalise | None = None,
    class_names: Sequence[str] | None = None,
    weights: str | Path | None = None,
    layers: Sequence[str] | None = None,
    size: int | None = None,
    device: torch.device | str | None = None,
    batch_size: int | None = None,
    fit_images: int | None = None,
    budget: float = 1.1,
    keep: float = 0.95,
    corruptions: bool = False,
    keep_overlap: bool = False,
    seed: int = 0,
    title: str | None = None,
    progress: Progress = lambda title, images: None,
) -> Evaluation:
    """Say which detector to use on a classifier, at which threshold, and how far to trust it.

    Every image goes through the classifier once. Detectors are fitted on ID training images; thresholds and
    temperature are of ID validation images; all numbers are of ID test and OOD images.

    Parameters
    ----------
    model : nn.Module, Subject or str
        A classifier that takes (N, 3, H, W) and gives logits (N, K), or what `oodbench evaluate --model`
        calls it, such as ``timm:resnet18`` or ``features:FOLDER``.
    id : path, optional
        ID images: a folder of class folders, perhaps below ``train``, ``val`` and ``test``; a Parquet file, a
        CSV of paths and labels, or ``hub:OWNER/NAME``. What is one set is divided.
    id_train, id_val, id_test : path, torch Dataset or DataLoader, optional
        In its place; datasets and loaders yield ``(image, label)``, images, or dicts of them.
    ood : mapping, optional
        ``near`` and ``far``: each a set, a list of sets, or a mapping of titles to sets. Without it, sets
        that are drawn by formula or made of ID images stand in, with a warning.
    detectors : sequence of str or Detector, optional
        Names, or detectors with hyper-parameters of your own; all that one forward pass serves if absent.
    transform : callable, optional
        From a PIL image to what the model takes.
    normalise : ((mean, …), (std, …)), optional
        Of pixels in [0, 1], in place of a transform: images are then resized to the model's size.
    class_names : sequence of str, optional
        Of the model's classes, by which folders are matched to them.
    weights, layers, size
        See `oodbench evaluate --help`.
    device : where the model runs; where it is if absent.
    batch_size : images that the model is shown at once.
    fit_images : most ID images to fit on, as many of each class as can be; all if absent.
    budget : forward passes that the recommended detector may cost.
    keep : share of ID images that the threshold is to keep.
    corruptions : whether to measure 14 corruptions of the ID test images too.
    keep_overlap : whether OOD images that are ID test images too, exactly or nearly, are kept.
    seed : of what is divided or drawn.
    progress : is told the title of a set and how many of its images are done.

    Raises
    ------
    UsageError
        If an argument is wrong or something is not there.
    DataError
        If images, weights or features are damaged or do not fit.
    """
    asked = {"detectors": detectors, "budget": budget, "keep": keep, "title": title}
    asked["keep_overlap"] = keep_overlap
    check_numbers(budget=budget, keep=keep, seed=seed, batch_size=batch_size, fit_images=fit_images)
    if isinstance(model, str) and model.startswith("features:"):
        check_not_given("features", {
            "id": id, "id_train": id_train, "id_val": id_val, "id_test": id_test, "ood": ood,
            "transform": transform, "normalise": normalise, "class_names": class_names, "weights": weights,
            "layers": layers, "size": size, "device": device, "batch_size": batch_size,
            "fit_images": fit_images, "corruptions": corruptions, "keep_overlap": keep_overlap,
        })  # fmt: skip
        stored = open_features(Path(model.partition(":")[2]))
        return Evaluation(ask(stored_question(stored, seed, **asked), progress), stored.subject, {})
    subject = subject_from(
        model, transform=transform, normalise=normalise, class_names=class_names, weights=weights,
        layers=layers, size=size, device=device, shown=id_train,
    )  # fmt: skip
    split = {"train": id_train, "val": id_val, "test": id_test}
    if (id is None) == all(one is None for one in split.values()):
        raise UsageError("ID images: expected either id, or id_train and id_test")
    given = Given(
        split if id is None else id,
        ood,
        fit_images=fit_images,
        corruptions=corruptions,
        seed=seed,
        batch=batch_size,
    )
    question, pictures = question_of(subject, given, **asked)
    return Evaluation(ask(question, progress), subject, pictures)


def subject_from(
    model: nn.Module | Subject | str,
    *,
    transform: Callable[[Image.Image], Tensor] | None = None,
    normalise: Normalise | None = None,
    class_names: Sequence[str] | None = None,
    weights: str | Path | None = None,
    layers: Sequence[str] | None = None,
    size: int | None = None,
    device: torch.device | str | None = None,
    shown: Any = None,
) -> Subject:
    """The classifier as an evaluation sees it; parameters and errors as for `evaluate`.

    `shown` are images that it will be given: of tensors the size is that of the model's input.
    """
    from benchmark.evaluation.models.classifier import subject_of
    from benchmark.evaluation.models.geometry import Checked, Geometry, tried

    check_device(device)
    check_size(size)
    if isinstance(model, str):
        if transform is not None or class_names is not None:
            raise UsageError("transform, class_names: are of a module; a model by its name knows its own")
        path = None if weights is None else Path(weights)
        return open_subject(model, weights=path, layers=layers, device=device, size=size, normalise=normalise)
    if not isinstance(model, nn.Module):
        if not hasattr(model, "card"):
            raise UsageError(f"model: expected an nn.Module, or such as 'timm:resnet18', got {model!r:.100}")
        return model
    if transform is not None and (normalise is not None or size is not None):
        raise UsageError("transform: it resizes and normalises; leave out normalise and size")
    probe = None
    prepare: Callable[[Image.Image], Tensor] | None = None
    if transform is not None:
        prepare = Checked(transform, type(model).__name__)
        probe = tried(prepare, type(model).__name__)
    elif size is not None:
        prepare = Geometry((size, size))
    else:
        probe = _tensors(shown)
    return subject_of(
        model,
        probe=probe,
        prepare=prepare,
        normalise=normalise,
        class_names=class_names,
        layers=layers,
        device=device,
    )


def _tensors(data: Any) -> Tensor | None:
    """A few images of a dataset or loader that yields tensors, as numbers; None of any other."""
    if data is None or isinstance(data, str | Path):
        return None
    try:
        source = open_source(data, title="images", prepare=None, classes=None, role="far")
        images = next(source.batches(PROBED)).images
    except (UsageError, DataError):  # pictures, or nothing that can be read: whoever opens them says so
        return None
    return images.float() / 255 if images.dtype == torch.uint8 else images


def load_guard(
    folder: str | Path, model: nn.Module | Subject | str, *, allow_other_model: bool = False, **how: Any
) -> Guard:
    """Load what `Evaluation.save` or `oodbench evaluate` left, for the classifier that it was made for.

    `how` are the parameters of `evaluate` that say how the classifier is opened.

    Raises
    ------
    UsageError
        If the folder holds none, or one of another classifier.
    DataError
        If a file is damaged.
    """
    return loaded(folder, subject_from(model, **how), allow_other_model=allow_other_model)


def extract(
    model: nn.Module | Subject | str, loader: Any, *, signals: Sequence[str] = (), **how: Any
) -> tuple[Features, Head]:
    """What one forward pass gives for images: features, with labels if there are any, and the final layer.

    Parameters
    ----------
    loader : as `id_train` of `evaluate`; all of its features are held in memory.
    signals : more than logits and penultimate features: ``stages``, ``gram``, ``rank_one``.
    how : the parameters of `evaluate` that say how the classifier is opened.

    Raises
    ------
    UsageError, DataError
        As for `evaluate`.
    """
    from benchmark.evaluation.pictures.classes import numbered

    subject = subject_from(model, shown=loader, **how)
    if unknown := sorted({*signals} - {*Signal}):
        raise UsageError(f"signals: got {', '.join(unknown)}; expected some of {', '.join(sorted(Signal))}")
    wanted = {Signal(name) for name in signals}
    classes = numbered(subject.classes, subject.class_names)
    source = open_source(loader, title="images", prepare=subject.prepare, classes=classes, role="id_test")
    shown = ShownImages(subject, source, 64)
    (chunk,) = joined(shown.chunks(wanted), rows=2**62, size=2**62)
    features = chunk.features
    return features if chunk.labels is None else features.including(labels=chunk.labels), subject.head
