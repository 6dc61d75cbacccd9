"""What is measured of a network under adversarial attacks."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmark.attacks.checks import A_POINT, NO_GRADIENT, boxes, unchanged
from benchmark.attacks.detector import AttackedScores, ImageScore, attack_detector
from benchmark.attacks.evaluate import accuracy_by_epsilon, attack_accuracy
from benchmark.backbones.checkpoint import Pieces
from benchmark.backbones.device import here, in_pieces, moved, on_cpu
from benchmark.backbones.network import Network, to_pixels
from benchmark.jobs.inputs import trained_network
from benchmark.metrics.detection import detection_metrics
from benchmark.seeds import derive_seed
from benchmark.store.artifacts import Artifact
from benchmark.studies.adversarial.config import AdversarialConfig
from benchmark.studies.config import SubjectInputs
from benchmark.studies.subject import GROUPS, Measured, Subject
from methods.attack import Attack, Classifier
from methods.errors import MethodError, NotApplicable, said
from methods.objective import Objective
from methods.registry import attack, objective
from methods.tensors import at_once


def measure(config: AdversarialConfig, inputs: SubjectInputs[Artifact], pieces: Pieces) -> Measured:
    """Accuracy under attacks, over strength and steps, and OOD detection under attacks on the detectors.

    An attack or a detector that does not apply is left out, with a warning. What each attack came to is kept
    as a piece.

    Raises
    ------
    MethodError
        If the attack of the curves does not apply, or does not show a point for each of the steps.
    """
    subject = Subject(config, inputs)
    network, part = subject.network, subject.test_part(config.images_per_class)
    images, labels = to_pixels(part.images[:]), part.labels
    attacks = {name: attack(use["method"], **use["hyperparameters"]) for name, use in config.attacks.items()}
    seed = derive_seed(config.seed, "attacks")
    curves = config.curves
    found = attack_accuracy(network, images, labels, attacks, seed, every=[curves], pieces=pieces)
    if curves not in found.robust:
        raise MethodError(f"curves: {curves!r} does not apply: {'; '.join(found.warnings)}")
    numbers = {f"{name}.accuracy": value for name, value in found.robust.items()}
    numbers |= {"clean.accuracy": found.clean, "worst.accuracy": found.worst}
    chosen = attacks[curves]
    others = [epsilon for epsilon in config.epsilons if epsilon != chosen.epsilon]
    by_epsilon = accuracy_by_epsilon(network, images, labels, chosen, others, seed, curves, pieces)
    by_epsilon |= {0.0: found.clean, chosen.epsilon: found.robust[curves]}
    by_steps = found.steps[curves]
    shown = [0, *sorted(config.steps)]
    points, asked = len(by_steps.accuracy) - 1, chosen.hyperparameters()["steps"]
    if points != asked:
        raise MethodError(
            f"curves: {curves!r} shows {points} points of its search; expected one for each of {asked} "
            "steps, as pgd does"
        )
    series: dict[str, list[float]] = {
        "epsilon": sorted(by_epsilon),
        "accuracy_by_epsilon": [by_epsilon[epsilon] for epsilon in sorted(by_epsilon)],
        "steps": [float(step) for step in shown],
        "accuracy_by_steps": [by_steps.accuracy[step] for step in shown],
        "loss_by_steps": [by_steps.loss[step] for step in shown],
    }
    warnings = list(found.warnings)
    tried = {name: attacks[name] for name in found.robust}
    white, black = (list(accuracies.values()) for accuracies in boxes(tried, found.robust))
    if inputs.transfer is not None:
        transferred = partial(_transferred, subject, inputs.transfer, chosen, images, labels, seed)
        black.append(pieces.of("transfer", transferred)["right"].double().mean().item())
        numbers["transfer.accuracy"] = black[-1]
        if white and min(white) - black[-1] > A_POINT:
            warnings.append(
                f"examples made on another network leave {black[-1]:.1%}, the best attack on this one "
                f"{min(white):.1%}: the gradient may be masked"
            )
    numbers |= {
        f"{kind}.accuracy": min(of) for kind, of in (("white_box", white), ("black_box", black)) if of
    }
    for name in config.detectors:
        try:
            aurocs, signs = _attacked(subject, config, name, images, pieces)
        except NotApplicable as error:
            signs = [f"not attacked: {said(error)}"]
        else:
            numbers |= aurocs
        warnings += [f"detector {name}: {sign}" for sign in signs]
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
    about = subject.inputs.network.json("about")
    judge = objective(about["objective"], **about["hyperparameters"])
    if type(judge).examine is Objective.examine:
        return {}
    rng = torch.Generator().manual_seed(derive_seed(seed, "examined"))
    images, labels = moved(images, here()), moved(labels, here())
    kept = {name: moved(tensor, here()) for name, tensor in subject.kept.items()}
    examples = _perturbed(chosen, subject.network, images, labels, rng)
    with torch.no_grad():
        found = judge.examine(subject.network, examples, labels, kept)
    return {f"{judge.name}.{name}": on_cpu(value) for name, value in found.items()}


def _transferred(
    subject: Subject, other: Artifact, chosen: Attack, images: Tensor, labels: Tensor, seed: int
) -> dict[str, Tensor]:
    """Which images (N,) are right, themselves and as `chosen` made them of another network."""
    source = trained_network(subject.config.network, other).requires_grad_(requires_grad=False)
    rng = torch.Generator().manual_seed(derive_seed(seed, "transfer"))
    right = []
    size = at_once(images)
    for batch in zip(torch.split(images, size), torch.split(labels, size), strict=True):
        part, own = (moved(one, here()) for one in batch)
        example = _perturbed(chosen, source, part, own, rng)
        with torch.no_grad():
            clean, attacked = (subject.network(x).argmax(dim=1) == own for x in (part, example))
        right.append(on_cpu(clean & attacked))
    return {"right": torch.cat(right)}


def _perturbed(
    chosen: Attack, network: Network, images: Tensor, labels: Tensor, rng: torch.Generator
) -> Tensor:
    """Adversarial images, as far as memory reaches at once."""
    state = rng.get_state()

    def perturb(shown: Classifier) -> Tensor:
        rng.set_state(state)
        return chosen.perturb(shown, images, labels, rng)

    return in_pieces(perturb, network, len(images))


def _attacked(
    subject: Subject, config: AdversarialConfig, name: str, images: Tensor, pieces: Pieces
) -> tuple[dict[str, float], list[str]]:
    """AUROC with and without an attack on a detector, mean over the OOD sets of each group; warnings."""
    count = config.ood_images
    (chosen,) = subject.detectors([name]).values()
    sets = {item: (group, out) for group in GROUPS for item, out in subject.outside(group).items()}
    drawn = []
    for item, (_, outside) in sets.items():
        rng = torch.Generator().manual_seed(derive_seed(config.seed, "outside", item))
        drawn.append(to_pixels(outside[torch.randperm(len(outside), generator=rng)[:count]]))
    seed = derive_seed(config.seed, "detector")

    def tried() -> dict[str, Tensor]:
        with unchanged(f"on {name}", subject.network):
            score = ImageScore(chosen, subject.tap)
            scores = attack_detector(score, images, torch.cat(drawn), seed, **config.detector_attack)
        return {field: torch.as_tensor(value, dtype=torch.float64) for field, value in vars(scores).items()}

    kept = pieces.of(f"detector {name}", tried)
    without = kept.pop("without_gradient").item()
    found = AttackedScores(**kept, without_gradient=without)
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
    return {path: float(np.mean(values)) for path, values in aurocs.items()}, _weak(found)


def _weak(found: AttackedScores) -> list[str]:
    """Say so where an attack on a detector can have found little: that is no strength of the detector."""
    signs = []
    if found.without_gradient > NO_GRADIENT:
        signs.append(f"the score has no gradient for {found.without_gradient:.0%} of the images")
    if found.ood_attacked.mean() < found.ood_clean.mean() or found.id_attacked.mean() > found.id_clean.mean():
        signs.append("the attack moves the mean score the wrong way")
    return signs
