"""What attacks on a network come to."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmark.attacks.checks import A_POINT, NO_GRADIENT, boxes
from benchmark.attacks.detector import AttackedScores
from benchmark.attacks.evaluate import judged
from benchmark.backbones.device import here, moved, on_cpu
from benchmark.backbones.network import to_pixels
from benchmark.metrics.detection import detection_metrics
from benchmark.seeds import derive_seed
from benchmark.studies.adversarial.attack import Attacked, perturbed
from benchmark.studies.adversarial.tried import Tried
from benchmark.studies.subject import Measured
from methods.errors import MethodError, NotApplicable, said
from methods.objective import Objective
from methods.registry import objective


def measure(attacked: Attacked, tried: Tried) -> Measured:
    """Accuracy under attacks, over strength and steps, and OOD detection under attacks on the detectors.

    An attack or a detector that does not apply is left out, with a warning.

    Raises
    ------
    MethodError
        If the attack of the curves does not apply, or does not show a point for each of the steps.
    """
    config, attacks, curves = attacked.config, attacked.attacks, attacked.config.curves
    found = judged(attacks, tried.on_network)
    if curves not in found.robust:
        raise MethodError(f"curves: {curves!r} does not apply: {'; '.join(found.warnings)}")
    numbers = {f"{name}.accuracy": value for name, value in found.robust.items()}
    numbers |= {"clean.accuracy": found.clean, "worst.accuracy": found.worst}
    by_epsilon = {epsilon: tried.accuracy(f"epsilon {epsilon}") for epsilon in attacked.strengths}
    by_epsilon |= {0.0: found.clean, attacked.curve.epsilon: found.robust[curves]}
    by_steps = found.steps[curves]
    shown = [0, *sorted(config.steps)]
    points, asked = len(by_steps.accuracy) - 1, attacked.curve.hyperparameters()["steps"]
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
    applied = {name: attacks[name] for name in found.robust}
    white, black = (list(accuracies.values()) for accuracies in boxes(applied, found.robust))
    if "transfer" in tried.rows:
        black.append(tried.accuracy("transfer"))
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
            aurocs, signs = _detected(attacked, name, tried)
        except NotApplicable as error:
            signs = [f"not attacked: {said(error)}"]
        else:
            numbers |= aurocs
        warnings += [f"detector {name}: {sign}" for sign in signs]
    for path, value in _examined(attacked).items():
        if value.ndim:
            series[path] = value.tolist()
        else:
            numbers[path] = value.item()
    return {"numbers": numbers, "series": series, "warnings": warnings}


def _examined(attacked: Attacked) -> dict[str, Tensor]:
    """What the objective has to say of its network under attack, by path."""
    subject = attacked.subject
    about = subject.inputs.network.json("about")
    judge = objective(about["objective"], **about["hyperparameters"])
    if type(judge).examine is Objective.examine:
        return {}
    rng = torch.Generator().manual_seed(derive_seed(attacked.seed, "examined"))
    images, labels = moved(to_pixels(attacked.images), here()), moved(attacked.labels, here())
    kept = {name: moved(tensor, here()) for name, tensor in subject.kept.items()}
    examples = perturbed(attacked.curve, subject.network, images, labels, rng)
    with torch.no_grad():
        found = judge.examine(subject.network, examples, labels, kept)
    return {f"{judge.name}.{name}": on_cpu(value) for name, value in found.items()}


def _detected(attacked: Attacked, name: str, tried: Tried) -> tuple[dict[str, float], list[str]]:
    """AUROC with and without an attack on a detector, mean over the OOD sets of each group; warnings."""
    if f"detector {name}" in tried.left_out:
        raise NotApplicable(tried.left_out[f"detector {name}"])
    found = AttackedScores.of(*(tried.rows[f"detector {name} {part}"] for part in ("id", "ood")))
    sets = attacked.outside
    sizes = [len(images) for images in sets.values()]
    aurocs: dict[str, list[float]] = {}
    parts = zip(torch.split(found.ood_clean, sizes), torch.split(found.ood_attacked, sizes), strict=True)
    for (group, _), (clean, moved_to) in zip(sets, parts, strict=True):
        for kind, inside, outside in (
            ("auroc", found.id_clean, clean),
            ("auroc_id_attacked", found.id_attacked, clean),
            ("auroc_ood_attacked", found.id_clean, moved_to),
            ("auroc_attacked", found.id_attacked, moved_to),
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
