"""What every evaluation looks at: failures that make its numbers wrong, and signs that they flatter.

A failure is an error that names the attack. A sign of a masked gradient is a sentence, for the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmark.errors import OodbenchError
from benchmark.jobs.untouched import Untouched
from methods.attack import Attack, bounds
from methods.worst_case import WorstCase

TOLERANCE = 1e-6  # by which a point may lie outside, for rounding
A_POINT = 0.01  # of accuracy: by more than this a black box must not beat the best white box
MUCH_STRONGER = 0.03  # of accuracy: what more steps may gain before few are called too few
FEW_STEPS = 10  # fewer than these are not expected to do as well as more
FALL = 0.1  # of the mean loss's whole rise: by more than this it must not have fallen in the end
NO_GRADIENT = 0.5  # share of the images that are classified rightly


class BrokenAttack(OodbenchError):  # noqa: N818 - as the harness's others
    """An attack left the ball, changed the network or gave numbers that are not finite."""


def check_points(name: str, points: Tensor, images: Tensor, reach: float) -> None:
    """Raise `BrokenAttack` for points that are not finite, or outside the ball or [0, 1]."""
    if points.shape != images.shape:
        expected, seen = tuple(images.shape), tuple(points.shape)
        raise BrokenAttack(f"attack {name}: expected points of shape {expected}, got {seen}")
    low, high = bounds(images, reach)
    outside = torch.maximum(low - points, points - high).amax()  # NaN if a point is
    if not torch.isfinite(outside):
        raise BrokenAttack(f"attack {name}: points that are not finite")
    if outside > TOLERANCE:
        raise BrokenAttack(
            f"attack {name}: a point lies {outside.item():.3g} outside the ball of radius {reach:.4g}, "
            f"cut to [0, 1]"
        )


def check_finite(where: str, numbers: Tensor, what: str) -> None:
    """Raise `BrokenAttack` for NaN or infinite logits or scores."""
    bad = int((~torch.isfinite(numbers)).sum())
    if bad:
        raise BrokenAttack(f"{where}: {bad} of {numbers.numel()} {what} are NaN or infinite")


def no_gradient(slope: Tensor) -> Tensor:
    """Which images (N,) a gradient (N, 3, H, W) leads nowhere: zero in all pixels, or not finite.

    The sign of NaN is 0 in torch: without this look the attack would be weak and say nothing.
    """
    flat = slope.flatten(1)
    return (flat == 0).all(dim=1) | ~torch.isfinite(flat).all(dim=1)


@contextmanager
def unchanged(name: str, network: object) -> Iterator[None]:
    """Raise `BrokenAttack` if a network's parameters, buffers, modes or hooks differ afterwards.

    Of a callable that is no module nothing can be seen.
    """
    if not isinstance(network, nn.Module):
        yield
        return
    before = Untouched(network)
    yield
    if changed := before.differences():
        raise BrokenAttack(f"attack {name}: the network was changed: {', '.join(changed)}")


def loss_warnings(name: str, losses: Sequence[float]) -> list[str]:
    """Say so where the mean loss by steps, from the clean images on, does not rise, or falls in the end."""
    first, top, end = losses[0], max(losses), losses[-1]
    if end <= first:
        return [f"{name}: the mean loss does not rise over the steps ({first:.4g} before, {end:.4g} after)"]
    if top - end > FALL * (top - first):
        return [f"{name}: the mean loss falls again over the steps (to {end:.4g} from {top:.4g})"]
    return []


def boxes(
    attacks: Mapping[str, Attack], accuracy: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Accuracy under the white boxes and under the black ones, by name; worst cases of both are neither."""
    single = [name for name, attack in attacks.items() if not isinstance(attack, WorstCase)]
    white = {name: accuracy[name] for name in single if attacks[name].needs_gradient}
    return white, {name: accuracy[name] for name in single if name not in white}


def masking_warnings(
    attacks: Mapping[str, Attack], accuracy: Mapping[str, float], zero_gradients: float
) -> list[str]:
    """Say which results look as if the gradient did not lead to the nearest errors.

    Parameters
    ----------
    attacks, accuracy
        By name; accuracy in [0, 1] under each.
    zero_gradients
        Share of the images classified rightly that have no gradient, of those looked at.
    """
    found = []
    white, black = boxes(attacks, accuracy)
    if white and black:
        by_white, by_black = min(white, key=white.__getitem__), min(black, key=black.__getitem__)
        if white[by_white] - black[by_black] > A_POINT:
            found.append(
                f"{by_black} leaves {black[by_black]:.1%} without gradients, the best attack with them, "
                f"{by_white}, {white[by_white]:.1%}: the gradient may be masked"
            )
    for few, attack in attacks.items():
        for many, other in attacks.items():
            steps, more = _steps(attack), _steps(other)
            if FEW_STEPS <= steps < more and _but_steps(attack) == _but_steps(other):
                gain = accuracy[few] - accuracy[many]
                if gain > MUCH_STRONGER:
                    found.append(
                        f"{many} of {more} steps is much stronger than {few} of {steps} "
                        f"({accuracy[many]:.1%} against {accuracy[few]:.1%}): more steps are needed"
                    )
    if zero_gradients > NO_GRADIENT:
        found.append(
            f"the gradient is zero or not finite for {zero_gradients:.0%} of the images that are classified "
            "rightly: it may be masked"
        )
    return found


def _steps(attack: Attack) -> int:
    return int(attack.hyperparameters().get("steps", 0))


def _but_steps(attack: Attack) -> tuple[type[Attack], dict[str, object]]:
    return type(attack), {k: v for k, v in attack.hyperparameters().items() if k != "steps"}
