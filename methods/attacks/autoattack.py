"""AutoAttack, by its authors' code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from methods.attack import Classifier, cross_entropy, gradient
from methods.attacks.apgd_ce import PAPER
from methods.errors import NotApplicable
from methods.registry import register
from methods.worst_case import WorstCase

DISTRIBUTION = "pyautoattack"


@register("autoattack")
@dataclass(frozen=True)
class AutoAttack(WorstCase):
    r"""The standard suite: Auto-PGD, targeted Auto-PGD, targeted FAB, squares (Croce & Hein 2020).

    .. math:: x' = \text{the first of the attacks' points that the network errs on, else } x

    It runs in ``pyautoattack``, their code as a package, which must be installed; nothing of it is part of
    this suite. It computes in single precision, and warns in its own log, ``auto-attack``. Its seed is one
    number drawn from the generator; the global generators are put back afterwards. What is drawn for an image
    depends on which others resist. Cost: at most some 2,000 forward and backward passes and 5,000 forward
    passes, of the images that still resist.

    Parameters
    ----------
    epsilon
        ε in [0, 1], of pixels in [0, 1].

    Deviations from the paper: with fewer than ten classes all wrong ones are targets.
    """

    epsilon: float = 8 / 255

    package = DISTRIBUTION
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
        gradient(lambda x: cross_entropy(network(x), labels), images)  # says so if there is none
        with torch.no_grad():
            classes = network(images[:1]).shape[1]
        if classes < 4:
            raise NotApplicable(f"autoattack: its targeted loss needs four classes, there are {classes}")
        seed = int(torch.randint(0, 2**31 - 1, (), generator=rng))
        devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []  # it seeds them all

        def single(x: Tensor) -> Tensor:
            logits: Tensor = _ImagesOnly.apply(network, x.to(images.dtype))
            return logits.float()

        with torch.random.fork_rng(devices=devices):
            suite = package.AutoAttack(
                single, norm="Linf", eps=self.epsilon, seed=seed, version="standard", device=images.device
            )
            for part in (suite.apgd_targeted, suite.fab):
                part.n_target_classes = min(9, classes - 1)
            trace = sys.gettrace()
            try:
                found, _ = suite.run_standard_evaluation(images.float(), labels, batch_size=len(images))
            finally:
                sys.settrace(trace)  # it takes the place of a debugger or of the measuring of coverage
        yield images + (found - images.float())


class _ImagesOnly(torch.autograd.Function):
    """Logits (N, K) that no parameter gets a gradient of: the package asks by ``backward``."""

    @staticmethod
    def forward(ctx: Any, network: Classifier, images: Tensor) -> Tensor:
        if not ctx.needs_input_grad[1]:
            return network(images)
        with torch.enable_grad():
            ctx.images = images.detach().requires_grad_()
            ctx.logits = logits = network(ctx.images)
        return logits.detach()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[None, Tensor]:
        (found,) = torch.autograd.grad(ctx.logits, ctx.images, slope, retain_graph=True)
        return None, found


def _package() -> Any:
    try:
        return importlib.import_module(DISTRIBUTION)
    except ModuleNotFoundError as error:
        if error.name != DISTRIBUTION:
            raise
        raise NotApplicable(
            "autoattack: its package is not installed; `pip install pyautoattack==0.2.0` gets it, and "
            "aa_lite runs without it"
        ) from error
