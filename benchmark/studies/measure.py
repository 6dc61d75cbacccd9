"""What the studies measure of a network: numbers by path, series by name, and warnings, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.artifacts import Artifact
from benchmark.attacks.detector import ImageScore, attack_detector
from benchmark.attacks.evaluate import BATCH, accuracy_by_epsilon, accuracy_by_steps, attack_accuracy
from benchmark.backbones.batches import LabelledImages
from benchmark.backbones.network import to_pixels
from benchmark.datasets.shifts import SEVERITIES
from benchmark.inputs import trained_network
from benchmark.metrics.calibration import calibration_metrics, ece, softmax
from benchmark.metrics.detection import detection_metrics
from benchmark.metrics.imbalance import macro_f1, minority_error, total_error
from benchmark.seeds import derive_seed
from benchmark.studies.subject import GROUPS, Subject
from methods.attack import Attack
from methods.errors import NotApplicable
from methods.features import Features
from methods.objective import Objective
from methods.registry import attack, objective

Config = Mapping[str, Any]
Inputs = Mapping[str, Artifact]
Measured = dict[str, Any]  # ``numbers``, ``series``, ``warnings``


def adversarial(config: Config, inputs: Inputs) -> Measured:
    """Accuracy under attacks, over strength and steps, and OOD detection under attacks on the detectors.

    `config` has, besides what `Subject` takes, ``images_per_class``; ``attacks``, by name; ``curves``, the
    name of the attack that ``epsilons`` and ``steps`` vary; ``detectors`` and ``detector_attack``. The input
    ``transfer`` is another network, whose adversarial examples are tried as well.
    """
    subject = Subject(config, inputs)
    network, part = subject.network, subject.test_part(config["images_per_class"])
    images, labels = to_pixels(part.images), part.labels
    attacks = {
        name: attack(use["method"], **use["hyperparameters"]) for name, use in config["attacks"].items()
    }
    seed = derive_seed(config["seed"], "attacks")
    found = attack_accuracy(network, images, labels, attacks, seed)
    numbers = {f"{name}.accuracy": value for name, value in found.robust.items()}
    numbers |= {"clean.accuracy": found.clean, "worst.accuracy": found.worst}
    curves = config["curves"]  # the attack's seed: on the curves it is the same attack
    chosen = attacks[curves]
    others = [epsilon for epsilon in config["epsilons"] if epsilon != chosen.epsilon]
    by_epsilon = accuracy_by_epsilon(network, images, labels, chosen, others, seed, curves)
    by_epsilon |= {0.0: found.clean, chosen.epsilon: found.robust[curves]}
    longest = attack(chosen.name, **{**chosen.hyperparameters(), "steps": max(config["steps"])})
    by_steps = accuracy_by_steps(network, images, labels, longest, seed, curves)
    shown = [0, *sorted(config["steps"])]
    series: dict[str, list[float]] = {
        "epsilon": sorted(by_epsilon),
        "accuracy_by_epsilon": [by_epsilon[epsilon] for epsilon in sorted(by_epsilon)],
        "steps": [float(step) for step in shown],
        "accuracy_by_steps": [by_steps.accuracy[step] for step in shown],
        "loss_by_steps": [by_steps.loss[step] for step in shown],
    }
    if "transfer" in inputs:
        numbers["transfer.accuracy"] = _transferred(subject, inputs["transfer"], chosen, images, labels, seed)
    warnings = list(found.warnings)
    for name in config["detectors"]:
        try:
            numbers |= _attacked(subject, name, images, config["detector_attack"])
        except NotApplicable as error:
            warnings.append(f"{name}: not attacked: {error}")
    for path, value in _examined(subject, chosen, images, labels, seed).items():
        if value.ndim:
            series[path] = value.tolist()
        else:
            numbers[path] = value.item()
    return {"numbers": numbers, "series": series, "warnings": warnings}


def _examined(
    subject: Subject, chosen: Attack, images: Tensor, labels: Tensor, seed: int
) -> dict[str, Tensor]:
    """What the objective has to say of its network under attack, by path."""
    trained = subject.inputs["network"]
    about = trained.json("about")
    judge = objective(about["objective"], **about["hyperparameters"])
    if type(judge).examine is Objective.examine:
        return {}
    rng = torch.Generator().manual_seed(derive_seed(seed, "examined"))
    moved = chosen.perturb(subject.network, images, labels, rng)
    with torch.no_grad():
        found = judge.examine(subject.network, moved, labels, _kept(trained))
    return {f"{judge.name}.{name}": value for name, value in found.items()}


def _transferred(
    subject: Subject, other: Artifact, chosen: Attack, images: Tensor, labels: Tensor, seed: int
) -> float:
    """Accuracy on what `chosen` made of another network."""
    source = trained_network(subject.config["network"], other).requires_grad_(requires_grad=False)
    rng = torch.Generator().manual_seed(derive_seed(seed, "transfer"))
    right = []
    for part, own in zip(torch.split(images, BATCH), torch.split(labels, BATCH), strict=True):
        moved = chosen.perturb(source, part, own, rng)
        with torch.no_grad():
            clean, attacked = (subject.network(x).argmax(dim=1) == own for x in (part, moved))
        right.append(clean & attacked)
    return torch.cat(right).double().mean().item()


def _attacked(subject: Subject, name: str, images: Tensor, how: Mapping[str, Any]) -> dict[str, float]:
    """AUROC with and without an attack on a detector, mean over the OOD sets of each group.

    Of each OOD set as many images are drawn as there are ID `images`.
    """
    (chosen,) = subject.detectors([name]).values()
    sets = {item: (group, out) for group in GROUPS for item, out in subject.outside(group).items()}
    drawn = []
    for item, (_, outside) in sets.items():
        rng = torch.Generator().manual_seed(derive_seed(subject.config["seed"], "outside", item))
        drawn.append(to_pixels(outside[torch.randperm(len(outside), generator=rng)[: len(images)]]))
    seed = derive_seed(subject.config["seed"], "detector")
    found = attack_detector(ImageScore(chosen, subject.tap), images, torch.cat(drawn), seed, **how)
    sizes = [len(part) for part in drawn]
    aurocs: dict[str, list[float]] = {}
    parts = zip(torch.split(found.ood_clean, sizes), torch.split(found.ood_attacked, sizes), strict=True)
    for (group, _), (clean, attacked) in zip(sets.values(), parts, strict=True):
        for kind, inside, outside in (
            ("auroc", found.id_clean, clean),
            ("auroc_id_attacked", found.id_attacked, clean),
            ("auroc_ood_attacked", found.id_clean, attacked),
            ("auroc_attacked", found.id_attacked, attacked),
        ):
            auroc = detection_metrics(inside.numpy(), outside.numpy()).auroc
            aurocs.setdefault(f"detector.{name}.{group}.{kind}", []).append(auroc)
    return {path: float(np.mean(values)) for path, values in aurocs.items()}


def corruptions(config: Config, inputs: Inputs) -> Measured:
    """Accuracy, calibration and near-OOD detection on corrupted test images.

    `config` has ``detectors`` besides what `Subject` takes, and the inputs ``shifts``: every network of a
    track sees the same corrupted images.
    """
    subject = Subject(config, inputs)
    images = inputs["shifts"].tensors("images")
    rows, test = images.pop("rows"), subject.parts["test"]
    part = LabelledImages(test.images[rows], test.labels[rows])
    chosen = subject.detectors(config["detectors"])
    labels = part.labels.numpy()

    def of(features: Features) -> dict[str, float]:
        probabilities = softmax(features.logits.numpy())
        correct = probabilities.argmax(axis=1) == labels
        found = {"accuracy": float(correct.mean()), "ece": ece(probabilities.max(axis=1), correct)}
        aurocs = {f"{name}.near_auroc": subject.auroc(d, features, "near") for name, d in chosen.items()}
        return found | aurocs

    clean = of(subject.features(part.images))
    kinds = list(dict.fromkeys(name.partition(".")[0] for name in images))
    series: dict[str, list[float]] = {}
    for kind in kinds:
        levels = [clean, *(of(subject.features(images[f"{kind}.{severity}"])) for severity in SEVERITIES)]
        series |= {f"{kind}.{name}": [level[name] for level in levels] for name in clean}
    corrupted = {
        name: {kind: float(np.mean(series[f"{kind}.{name}"][1:])) for kind in kinds} for name in clean
    }
    numbers = {f"clean.{name}": value for name, value in clean.items()}
    numbers |= {f"mean.{name}": float(np.mean(list(values.values()))) for name, values in corrupted.items()}
    numbers |= {f"{kind}.error": 1 - value for kind, value in corrupted["accuracy"].items()}
    numbers |= {"mean.error": 1 - numbers["mean.accuracy"], "types": len(kinds)}
    return {"numbers": numbers, "series": series, "warnings": []}


def label_noise(config: Config, inputs: Inputs) -> Measured:
    """Error and calibration on the clean test images of a network that was trained on noisy labels."""
    subject = Subject(config, inputs)
    test = subject.parts["test"]
    found = calibration_metrics(subject.features(test.images).logits.numpy(), test.labels.numpy(), 1.0)
    card, trained = inputs["training_set"].json("card"), inputs["network"]
    numbers = {
        "test.error": 1 - found.accuracy,
        "test.ece": found.ece,
        "test.rms_calibration": found.rms_calibration,
        "flipped": card["flipped"],
    }
    kept = _kept(trained)
    if "matrix" in kept and card["matrix"] is not None:
        numbers["estimate.error"] = float(np.abs(kept["matrix"].numpy() - np.array(card["matrix"])).mean())
    watched = [epoch["watched_accuracy"] for epoch in trained.json("history") if "watched_accuracy" in epoch]
    series = {"test_error": [1 - accuracy for accuracy in watched]} if watched else {}
    return {"numbers": numbers, "series": series, "warnings": []}


def imbalance(config: Config, inputs: Inputs) -> Measured:
    """Errors on the balanced test images, and OOD detection, of a network that was trained on a long tail.

    `config` has ``detectors`` besides what `Subject` takes.
    """
    subject = Subject(config, inputs)
    test = subject.parts["test"]
    inside = subject.features(test.images)
    predicted, labels = inside.logits.argmax(dim=1).numpy(), test.labels.numpy()
    counts = np.array(inputs["training_set"].json("card")["counts"])
    numbers = {
        "total.error": total_error(predicted, labels),
        "minority.error": minority_error(predicted, labels, counts),
        "macro_f1": macro_f1(predicted, labels),
    }
    for name, chosen in subject.detectors(config["detectors"]).items():
        for group in GROUPS:
            numbers[f"{name}.{group}.auroc"] = subject.auroc(chosen, inside, group)
    return {"numbers": numbers, "series": {}, "warnings": []}


def _kept(trained: Artifact) -> dict[str, Tensor]:
    """What the objective kept of its training."""
    return trained.tensors("kept") if "kept.safetensors" in trained.manifest["files"] else {}
