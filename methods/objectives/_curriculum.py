"""What `mtc` is made of: its head, and what is kept between steps, soft labels and averaged weights."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.objective import ObjectiveHead, TrainableNetwork


def otsu(values: Tensor) -> tuple[float, float]:
    """Divide `values` (N,) in two: the largest variance between the parts, and the threshold that gives it.

    Thresholds are the midpoints of neighbouring values that differ; the smallest of equals is taken. Values
    that are all the same cannot be divided: then it is that value, and the variance 0.
    """
    found = torch.sort(values.double()).values
    count = torch.arange(1, len(found)).to(found)  # of the lower part
    below, total = found.cumsum(dim=0)[:-1], found.sum()
    share = count / len(found)
    means = below / count, (total - below) / (len(found) - count)
    variance = torch.where(found[1:] > found[:-1], share * (1 - share) * (means[1] - means[0]).square(), -1.0)
    if not len(variance) or variance.amax() < 0:
        return 0.0, float(found[0])
    best = int(variance.argmax())
    return float(variance[best]), float((found[best] + found[best + 1]) / 2)


class DomainHead(ObjectiveHead):
    """Two linear layers of features (N, D): class logits (N, K), and as outputs domain logits (N, 1)."""

    def __init__(self, dimension: int, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(dimension, classes)
        self.domain = nn.Linear(dimension, 1)

    @property
    def linear(self) -> nn.Linear:
        """What gives the logits."""
        return self.classifier

    def forward(self, penultimate: Tensor) -> Tensor:
        """Logits (N, K)."""
        logits: Tensor = self.classifier(penultimate)
        return logits

    def outputs(self, penultimate: Tensor) -> Tensor:
        """(N, 1): the domain logit, high for in-distribution."""
        logits: Tensor = self.domain(penultimate)
        return logits


class Curriculum(nn.Module):
    """Soft domain labels of U unlabelled images: means of what the network said in the last epochs.

    They are 0 until an image was seen in `history` epochs. Nothing here is trained.
    """

    labels: Tensor  # (U,)
    ring: Tensor  # (history, U)
    counts: Tensor  # (U,) in how many epochs each was seen
    current: Tensor  # (U,) of this epoch
    seen: Tensor  # (U,) in this epoch
    threshold: Tensor  # (): images with a label of at least this are taken for in-distribution

    def __init__(self, unlabelled: int, history: int) -> None:
        super().__init__()
        self.register_buffer("labels", torch.zeros(unlabelled))
        self.register_buffer("ring", torch.zeros(history, unlabelled))
        self.register_buffer("counts", torch.zeros(unlabelled, dtype=torch.long))
        self.register_buffer("current", torch.zeros(unlabelled))
        self.register_buffer("seen", torch.zeros(unlabelled, dtype=torch.bool))
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))

    def loss(self, domain: Tensor, rows: Tensor) -> Tensor:
        """Scalar loss of domain logits (B + M,): B labelled images, then the unlabelled ones `rows` (M,).

        Labelled images have the label 1. What the network says of the others is kept for the epoch's end.
        """
        labelled = len(domain) - len(rows)
        self.store(rows, torch.sigmoid(domain[labelled:].detach()))
        soft = torch.cat([domain.new_ones(labelled), self.labels[rows].to(domain)])
        return functional.binary_cross_entropy_with_logits(domain, soft)

    @torch.no_grad()
    def store(self, rows: Tensor, said: Tensor) -> None:
        """Keep what the network said (B,) of images `rows` (B,); of several times in an epoch, the last."""
        self.current[rows] = said.to(self.current)
        self.seen[rows] = True

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Put this epoch into the ring; renew labels and threshold."""
        history = len(self.ring)
        rows = self.seen.nonzero().flatten()
        self.ring[self.counts[rows] % history, rows] = self.current[rows]
        self.counts[rows] += 1
        self.seen.zero_()
        self.labels.copy_(torch.where(self.counts >= history, self.ring.mean(dim=0), 0.0))
        if len(self.labels):
            self.threshold.fill_(otsu(self.labels)[1])

    def kept(self, rows: Tensor) -> Tensor:
        """(B,) which of the images `rows` are taken for in-distribution."""
        return self.labels[rows].double() >= self.threshold


class Average(nn.Module):
    """An exponential moving average of a network's weights and running statistics.

    The first updates weigh more, as t / (t + 9) allows: an average of few steps would be the first weights.
    """

    updates: Tensor  # ()

    def __init__(self, network: TrainableNetwork, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        for i, value in enumerate(_state(network)):
            self.register_buffer(f"value_{i}", value.detach().clone())

    @torch.no_grad()
    def update(self, network: TrainableNetwork) -> None:
        """Move towards the network; the first time, all the way."""
        t = int(self.updates)
        weight = 1 - min(self.decay, t / (t + 9))
        for i, value in enumerate(_state(network)):
            self.get_buffer(f"value_{i}").lerp_(value.detach(), weight)
        self.updates += 1

    @torch.no_grad()
    def give_to(self, network: TrainableNetwork) -> None:
        """Put the average in the place of the network's weights; leave them where there is none yet."""
        if self.updates:
            for i, value in enumerate(_state(network)):
                value.copy_(self.get_buffer(f"value_{i}"))


def _state(network: TrainableNetwork) -> Iterator[Tensor]:
    for module in network.modules():
        yield from (p for _, p in module.named_parameters(recurse=False))
        yield from (b for _, b in module.named_buffers(recurse=False) if b.is_floating_point())
