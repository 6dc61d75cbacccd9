"""The world in which every detector is tried: one small network in float64, its images and their features.

Its images are mixtures of fixed patterns, and its features say how much of each pattern an image holds.
In-distribution images hold the patterns of one class; outliers hold as many patterns, but any, among them
some that no class has. The network has two stages: edges, and the patterns, each at one of 16 positions. Its
head gives its logits as outputs too, or what a detector's `example_outputs` has.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.backbones.device import move, moved
from methods.base import AnyDetector, EnsembleDetector, Features, GradientDetector, Head
from methods.statistics import gram, pooled, rank_one

CLASSES, OF_A_CLASS, OF_NO_CLASS = 10, 8, 8
PATTERNS = CLASSES * OF_A_CLASS + OF_NO_CLASS
SIDE = 8
EDGES = 12  # channels of the first stage
PARTS = ("train", "val", "inliers", "outliers")
State = tuple[tuple[Any, ...], list[Tensor]]


class Network(nn.Module):
    """Convolution, norm, linear head; its weights are the patterns."""

    edges: Tensor
    places: Tensor

    def __init__(self, patterns: Tensor) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, PATTERNS, SIDE, bias=False)
        self.norm = nn.BatchNorm2d(PATTERNS)
        self.fc = nn.Linear(PATTERNS, CLASSES)
        own = torch.block_diag(*[torch.ones(1, OF_A_CLASS)] * CLASSES)  # type: ignore[no-untyped-call]
        others = (1 - own) / (CLASSES - 1)
        rng = torch.Generator().manual_seed(2)
        with torch.no_grad():
            self.conv.weight.copy_(patterns)
            self.norm.weight.fill_(2.0)
            self.fc.weight.copy_(torch.cat([own - others, torch.zeros(CLASSES, OF_NO_CLASS)], dim=1))
            self.fc.bias.copy_(torch.linspace(-0.2, 0.2, CLASSES))
        self.register_buffer("edges", torch.randn(EDGES, 3, 3, 3, generator=rng), persistent=False)
        place = nn.functional.one_hot(torch.arange(PATTERNS) % 16, 16).reshape(PATTERNS, 4, 4)
        self.register_buffer("places", 16.0 * place, persistent=False)
        self.outputs: Callable[[Tensor], Tensor] = torch.clone

    def penultimate(self, images: Tensor) -> Tensor:
        """(N, D) of images (N, 3, H, W)."""
        return torch.relu(self.norm(self.conv(images - 0.5))).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K)."""
        logits: Tensor = self.fc(self.penultimate(images))
        return logits

    def features(self, images: Tensor, labels: Tensor | None = None) -> Features:
        """Every signal that there is."""
        h = self.penultimate(images)
        edges = torch.relu(nn.functional.conv2d(images - 0.5, self.edges, padding=1))
        maps = [edges, h[:, :, None, None] * self.places]
        logits = self.fc(h)
        return Features(
            logits,
            h,
            labels,
            stages=[pooled(m) for m in maps],
            gram=[gram(m) for m in maps],
            rank_one=rank_one(maps[-1]),
            log_variances=-torch.stack([logits.logsumexp(dim=1), logits.square().mean(dim=1)], dim=1),
            outputs=self.outputs(logits),
            maps=maps,
        )


@dataclass
class Split:
    """Images (N, 3, H, W) and their features."""

    images: Tensor
    features: Features

    def __getitem__(self, rows: slice | Tensor) -> Split:
        return Split(self.images[rows], self.features[rows])

    def __len__(self) -> int:
        return len(self.images)

    def single(self) -> Split:
        """The same in float32."""
        found = {
            name: tuple(p.float() if p.is_floating_point() else p for p in parts)
            for name, parts in self.features.collected().items()
        }
        return Split(self.images.float(), of_parts(self.features, found))


class World:
    """Network, head, training and validation images with labels, inliers and outliers without."""

    train: Split
    val: Split
    inliers: Split
    outliers: Split

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=rng, dtype=torch.float64)

        flat = torch.linalg.qr(normal(3 * SIDE * SIDE, PATTERNS)).Q.T
        patterns = flat.reshape(PATTERNS, 3, SIDE, SIDE)
        self.network = Network(patterns).double().eval()
        self.network.requires_grad_(False)
        self.head = Head(self.network.fc.weight, self.network.fc.bias)

        def split(amounts: Tensor, labels: Tensor | None = None) -> Split:
            images = (0.5 + torch.einsum("np,pchw->nchw", amounts, patterns)).clamp(0, 1)
            return Split(images, self.network.features(images, labels))

        def inliers(n: int, *, labelled: bool) -> Split:
            labels = torch.arange(n) % CLASSES
            amounts = 0.1 * normal(n, PATTERNS)
            amounts += 0.6 * nn.functional.one_hot(labels, CLASSES + 1).repeat_interleave(OF_A_CLASS, dim=1)
            return split(amounts, labels if labelled else None)

        self.train, self.val = inliers(600, labelled=True), inliers(40, labelled=True)
        self.inliers = inliers(40, labelled=False)
        some = torch.rand(40, PATTERNS, generator=rng).argsort(dim=1) < OF_A_CLASS
        self.outliers = split(0.1 * normal(40, PATTERNS) + 0.6 * some)

    def give(self, outputs: Callable[[Tensor], Tensor]) -> None:
        """Change what the head gives besides the logits."""
        self.network.outputs = outputs
        for part in PARTS:
            data: Split = getattr(self, part)
            seen = data.features.including(outputs=outputs(data.features.logits))
            setattr(self, part, Split(data.images, seen))

    def fit(self, detector: AnyDetector) -> AnyDetector:
        """Fit and, where it steps, calibrate."""
        rng = torch.Generator().manual_seed(1)
        learnt = detector.fit(self.train.features, self.val.features, self.head, rng)
        if not isinstance(learnt, GradientDetector):
            return learnt
        return learnt.calibrated(learnt.calibration(self.network.features, self.val.images))

    def own(self) -> World:
        """A world of one's own; images and features, which no check may change, are shared."""
        own = copy.copy(self)
        own.network = copy.deepcopy(self.network)
        own.head = Head(own.network.fc.weight, own.network.fc.bias)
        return own

    def single(self) -> World:
        """A world of one's own in float32."""
        own = self.own()
        own.network.float()
        own.head = Head(own.network.fc.weight, own.network.fc.bias)
        for part in PARTS:
            setattr(own, part, getattr(self, part).single())
        return own

    def on(self, device: torch.device) -> World:
        """The same on a device."""
        there = self.own()
        move(there.network, device)
        there.head = there.head.on(device)
        for part in PARTS:
            data: Split = getattr(self, part)
            setattr(there, part, Split(moved(data.images, device), data.features.on(device)))
        return there

    def contents(self) -> list[Tensor]:
        """All that `fit` and `score` are shown."""
        used = (self.train, self.val, self.outliers)
        found = [t for data in used for parts in data.features.collected().values() for t in parts]
        return [*found, *(data.images for data in used), self.head.weight, self.head.bias]

    def state(self) -> State:
        """Hooks, modes and gradients of the network, and copies of its weights."""
        hooks = [
            (name, key, dict(value))
            for name, module in self.network.named_modules()
            for key, value in vars(module).items()
            if "hooks" in key
        ]
        modes = [module.training for module in self.network.modules()]
        grads = [(p.requires_grad, p.grad) for p in self.network.parameters()]
        weights = [t.clone() for t in self.network.state_dict().values()]
        return (hooks, modes, grads, torch.is_grad_enabled()), weights

    def score(self, detector: AnyDetector, data: Split) -> Tensor:
        """Scores (N,) as the harness asks for them."""
        if isinstance(detector, GradientDetector):
            return detector.score_images(self.network.features, data.images)
        if isinstance(detector, EnsembleDetector):
            return detector.score([self.another(data, seed) for seed in range(detector.members)])
        return detector.score(data.features)

    def another(self, data: Split, seed: int) -> Features:
        """What a network of another seed would give: the same, with noise in its last layer."""
        shape = (CLASSES, PATTERNS)
        noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        h = self.network.penultimate(data.images).detach()
        return Features(data.features.logits + h @ (0.1 * noise.to(h)).T)


@cache
def the_world() -> World:
    """The world, made once; take `own` of it."""
    return World()


def of_parts(features: Features, found: dict[str, tuple[Tensor, ...]]) -> Features:
    """Features like these with other tensors."""
    return features._with(found)


def same(before: list[Tensor], after: list[Tensor]) -> bool:
    """Whether tensors are equal to the bit."""
    return all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def kept(before: State, after: State) -> bool:
    """Whether a network's state is as it was."""
    return bool(before[0] == after[0]) and same(before[1], after[1])
