"""MTC: a curriculum of two tasks, with unlabelled images of which some are out of distribution."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.method import Paper
from methods.objective import NETWORK, Batch, Data, Objective, ObjectiveHead, Setup, TrainableNetwork
from methods.objectives._augment import weak_view
from methods.objectives._curriculum import Average, Curriculum, DomainHead
from methods.objectives._frozen import statistics_frozen
from methods.objectives._mixmatch import mixmatch, weight_of_unlabelled
from methods.objectives._precision import widened
from methods.registry import register


@register("mtc")
@dataclass(frozen=True)
class MTC(Objective):
    r"""First, which unlabelled images are in-distribution; then classes, with those (Yu et al. 2020).

    .. math::
        L_d &= BCE(\sigma(d), \ell), \qquad \ell = 1 \text{ of labelled images, at first } 0 \text{ else} \\
        L &= L_d + L_x + w \, L_u, \qquad w = 75 \min(1, e / 16)

    The first stage lowers :math:`L_d` alone. After each epoch ℓ of an unlabelled image becomes the mean of
    its last `history` values of :math:`\sigma(d)`, once there are as many. The second stage adds MixMatch on
    labelled images and on unlabelled ones with ℓ of at least Otsu's threshold, found exactly after each
    epoch: guessed labels are the mean prediction for two views, sharpened; all are mixed; :math:`L_x` is
    cross-entropy and :math:`L_u` the mean squared difference of probabilities; e counts epochs, and parts of
    one, from the start of the stage. Averaged weights are used in the end.

    Shapes: images (B, 3, H, W), unlabelled (U, 3, H, W), d (N, 1). Cost: in the second stage at most B + 2U
    images forward and backward, B + U for :math:`L_d`, and 2U forward; about 5 times cross-entropy for U = B.
    The history keeps the three losses and the share of unlabelled images that is kept.

    Parameters
    ----------
    stage_one
        Share of the epochs in the first stage: 100 of 1124 in the release. At least one epoch, and one is
        left for the second.
    history
        Epochs that ℓ is averaged over, at least 1. A training that is no longer than this keeps all images.
    temperature
        T > 0 of the sharpening, :math:`q_k \propto p_k^{1/T}`.
    mixing
        Concentration α > 0 of the beta distribution of the mixing share.
    weight
        w after the ramp.
    ramp
        Epochs until then.
    decay
        Of the averaged weights, in [0, 1).
    flip
        Whether views may be mirrored; wrong for what is another thing then, such as digits.

    Deviations from the paper: the harness's unlabelled images are the labelled ones and the outliers, mixed,
    so that what is tested is the curriculum and not learning from more ID images. The unlabelled images of a
    batch that are not kept are left out, so that a batch has fewer; the release draws as many others. The
    mixed images go through the network in one batch. The average starts with the second stage, as in the
    release, but its first steps weigh more, so that it suits short trainings. For σ(d) an unlabelled image is
    moved and mirrored at random, a labelled one is as the trainer gives it. Where references disagree: Otsu's
    threshold is exact; the release's histogram of 256 bins can put an image on the wrong side. Published:
    Adam at 0.002 with decoupled weight decay 0.02.
    """

    stage_one: float = 100 / 1124
    history: int = 10
    temperature: float = 0.5
    mixing: float = 0.75
    weight: float = 75.0
    ramp: float = 16.0
    decay: float = 0.999
    flip: bool = True

    paper = Paper(
        title="Multi-Task Curriculum Framework for Open-Set Semi-Supervised Learning",
        authors="Q. Yu, D. Ikami, G. Irie, K. Aizawa",
        venue="ECCV",
        year=2020,
        arxiv="2007.11330",
    )
    small = {"weight": 1.0}  # 75 is for a thousand epochs
    needs = frozenset({Data.UNLABELLED})
    detectors = ("domain", "msp")
    cost = 5.0

    def __post_init__(self) -> None:
        if not 0 <= self.stage_one <= 1:
            raise ValueError(f"stage_one: expected a share in [0, 1], got {self.stage_one}")
        if self.history < 1:
            raise ValueError(f"history: expected at least 1, got {self.history}")
        for name in ("temperature", "mixing", "weight", "ramp"):
            above = name in ("temperature", "mixing")
            value = getattr(self, name)
            if not 0 <= value < math.inf or (above and value == 0):
                least = "above 0" if above else "of at least 0"
                raise ValueError(f"{name}: expected a finite number {least}, got {value}")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay: expected a number in [0, 1), got {self.decay}")

    def head(self, dimension: int, classes: int) -> ObjectiveHead:
        """Make the two linear layers."""
        return DomainHead(dimension, classes)

    def modules(self, setup: Setup) -> Mapping[str, nn.Module]:
        """Make the labels of the unlabelled images, and the averaged weights."""
        return {
            "curriculum": Curriculum(setup.unlabelled, self.history),
            "average": Average(setup.network, self.decay),
        }

    def first_epochs(self, epochs: int) -> int:
        """Of so many epochs, how many are the first stage."""
        return min(max(1, round(self.stage_one * epochs)), epochs - 1) if self.stage_one > 0 else 0

    def steps(
        self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the loss; then, in the second stage, average the weights."""
        yield NETWORK, self.loss(network, batch, modules)
        if batch.progress >= self.first_epochs(batch.epochs):
            _average(modules).update(network)

    def loss(self, network: TrainableNetwork, batch: Batch, modules: Mapping[str, nn.Module]) -> Tensor:
        """Scalar loss of one batch, in the stage that it is in.

        Raises
        ------
        ValueError
            If the batch has no unlabelled images.
        TypeError
            If the network does not end in this objective's head.
        """
        if batch.unlabelled is None or batch.rows is None:
            raise ValueError("mtc: unlabelled images and their rows are needed, and the batch has none")
        head, curriculum = network.head, _curriculum(modules)
        if not isinstance(head, DomainHead):
            raise TypeError(f"the network ends in {type(head).__name__}, not in this objective's DomainHead")
        done = batch.progress - self.first_epochs(batch.epochs)
        rows = batch.rows.to(batch.images.device)
        # In the second stage the running statistics are those of the mixed images, which are in-distribution.
        with statistics_frozen(network.modules() if done >= 0 else []):
            images = torch.cat([batch.images, weak_view(batch.unlabelled, batch.rng, self.flip)])
            domain = widened(head.outputs(network.penultimate(images)))[:, 0]
        domain_loss = curriculum.loss(domain, rows)
        batch.note("domain_loss", domain_loss.detach())
        if done < 0:
            return domain_loss
        kept = curriculum.kept(rows)
        views = [weak_view(batch.unlabelled[kept], batch.rng, self.flip) for _ in range(2)]
        targets = functional.one_hot(batch.labels, head.classifier.out_features).to(batch.images)
        labelled, unlabelled = mixmatch(
            network, batch.images, targets, views, self.temperature, self.mixing, batch.rng
        )
        batch.note("labelled_loss", labelled.detach())
        batch.note("unlabelled_loss", unlabelled.detach())
        batch.note("kept", kept.double().mean())
        return domain_loss + labelled + weight_of_unlabelled(done, self.weight, self.ramp) * unlabelled

    def end_epoch(self, network: TrainableNetwork, modules: Mapping[str, nn.Module], epoch: int) -> None:
        """Renew the soft labels and the threshold."""
        _curriculum(modules).end_epoch()

    def finish(self, network: TrainableNetwork, modules: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Use the averaged weights; keep the unlabelled images' labels (U,) as ``domain_labels``."""
        _average(modules).give_to(network)
        return {"domain_labels": _curriculum(modules).labels.cpu().clone()}


def _curriculum(modules: Mapping[str, nn.Module]) -> Curriculum:
    found = modules["curriculum"]
    assert isinstance(found, Curriculum)
    return found


def _average(modules: Mapping[str, nn.Module]) -> Average:
    found = modules["average"]
    assert isinstance(found, Average)
    return found
