"""What adversarial attacks make of a network, and of the detectors on it.

`evaluate` measures accuracy under attacks, `detector` moves images so that a detector errs; `checks` is what
both look at while they do. Pure functions of a callable and of images: this room must not know plans, jobs,
artifacts or files. The attacks themselves are in `methods.attacks`.
"""

from benchmark.attacks.checks import BrokenAttack
from benchmark.attacks.detector import AttackedScores, ImageScore, attack_detector
from benchmark.attacks.evaluate import Robustness, Steps, attack_accuracy

__all__ = [
    "AttackedScores",
    "BrokenAttack",
    "ImageScore",
    "Robustness",
    "Steps",
    "attack_accuracy",
    "attack_detector",
]
