"""AutoAttack, by the package of its authors."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from methods.attack import Attack, Classifier
from methods.attacks.apgd_ce import PAPER
from methods.errors import NotApplicable
from methods.registry import register

_FROM = "git+https://github.com/fra31/auto-attack"


@register("autoattack")
@dataclass(frozen=True)
class AutoAttack(Attack):
    r"""The standard suite: Auto-PGD, targeted Auto-PGD, targeted FAB, squares (Croce & Hein 2020).

    .. math:: x' = \text{the first of the attacks' points that the network errs on, else } x

    It runs in the package ``autoattack``, which must be installed; nothing of it is part of this suite. Its
    seed is one number drawn from the generator; the global generators are put back afterwards. What is drawn
    for an image depends on which others resist. Cost: at most some 2,000 forward and backward passes and
    5,000 forward passes, of the images that still resist.

    Parameters
    ----------
    epsilon
        ε in [0, 1], of pixels in [0, 1].

    Deviations from the paper: with fewer than ten classes all wrong ones are targets.
    """

    epsilon: float = 8 / 255

    paper = PAPER

    def __post_init__(self) -> None:
        self._check()

    def _search(
        self, network: Classifier, images: Tensor, labels: Tensor, rng: torch.Generator
    ) -> Iterator[Tensor]:
        """Run the package on the whole batch.

        Raises
        ------
        NotApplicable
            If the package is not installed, or there are fewer than four classes.
        """
        package = _package()
        with torch.no_grad():
            classes = network(images[:1]).shape[1]
        if classes < 4:
            raise NotApplicable(f"autoattack: its targeted loss needs four classes, there are {classes}")
        seed = int(torch.randint(0, 2**31 - 1, (), generator=rng))
        devices = [images.device] if images.is_cuda else []
        with torch.random.fork_rng(devices=devices):
            suite = package.AutoAttack(
                network,
                norm="Linf",
                eps=self.epsilon,
                seed=seed,
                verbose=False,
                version="standard",
                device=images.device,
            )
            for part in (suite.apgd_targeted, suite.fab):
                part.n_target_classes = min(9, classes - 1)
            found: Tensor = suite.run_standard_evaluation(images.clone(), labels, bs=len(images))
        yield found


def _package() -> Any:
    try:
        return importlib.import_module("autoattack")
    except ModuleNotFoundError as error:
        if error.name != "autoattack":
            raise
        raise NotApplicable(
            f"autoattack: the package of that name is not installed; `pip install {_FROM}` gets it, "
            "and aa_lite runs without it"
        ) from error
