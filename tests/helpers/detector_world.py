"""The world of the tests of every detector: one small network in float64, its images and their features."""

import copy
from dataclasses import dataclass

import torch
from torch import nn

from methods.base import EnsembleDetector, Features, GradientDetector, Head
from methods.statistics import gram, pooled, rank_one

CLASSES, OF_A_CLASS, OF_NO_CLASS = 10, 8, 8
PATTERNS = CLASSES * OF_A_CLASS + OF_NO_CLASS
SIDE = 8
EDGES = 12  # channels of the first stage


def tensors(*all_features):
    for features in all_features:
        for parts in features._found.values():
            yield from parts


class Network(nn.Module):
    def __init__(self, patterns):
        super().__init__()
        self.conv = nn.Conv2d(3, PATTERNS, SIDE, bias=False)
        self.norm = nn.BatchNorm2d(PATTERNS)
        self.fc = nn.Linear(PATTERNS, CLASSES)
        own = torch.block_diag(*[torch.ones(1, OF_A_CLASS)] * CLASSES)
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
        self.outputs = torch.clone

    def penultimate(self, images):
        return torch.relu(self.norm(self.conv(images - 0.5))).flatten(1)

    def forward(self, images):
        return self.fc(self.penultimate(images))

    def features(self, images, labels=None):
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
    images: torch.Tensor
    features: Features

    def __getitem__(self, rows):
        return Split(self.images[rows], self.features[rows])

    def __len__(self):
        return len(self.images)


class World:
    def __init__(self):
        rng = torch.Generator().manual_seed(0)

        def normal(*shape):
            return torch.randn(*shape, generator=rng, dtype=torch.float64)

        flat = torch.linalg.qr(normal(3 * SIDE * SIDE, PATTERNS)).Q.T
        patterns = flat.reshape(PATTERNS, 3, SIDE, SIDE)
        self.network = Network(patterns).double().eval()
        self.network.requires_grad_(False)
        self.head = Head(self.network.fc.weight, self.network.fc.bias)

        def split(amounts, labels=None):
            images = (0.5 + torch.einsum("np,pchw->nchw", amounts, patterns)).clamp(0, 1)
            return Split(images, self.network.features(images, labels))

        def inliers(n, labelled):
            labels = torch.arange(n) % CLASSES
            amounts = 0.1 * normal(n, PATTERNS)
            amounts += 0.6 * nn.functional.one_hot(labels, CLASSES + 1).repeat_interleave(OF_A_CLASS, dim=1)
            return split(amounts, labels if labelled else None)

        self.train, self.val = inliers(600, labelled=True), inliers(40, labelled=True)
        self.inliers = inliers(40, labelled=False)
        some = torch.rand(40, PATTERNS, generator=rng).argsort(dim=1) < OF_A_CLASS
        self.outliers = split(0.1 * normal(40, PATTERNS) + 0.6 * some)

    def give(self, outputs):
        """Change what the head gives besides the logits."""
        self.network.outputs = outputs
        for part in ("train", "val", "inliers", "outliers"):
            data = getattr(self, part)
            seen = data.features.including(outputs=outputs(data.features.logits))
            setattr(self, part, Split(data.images, seen))

    def fit(self, detector):
        rng = torch.Generator().manual_seed(1)
        learnt = detector.fit(self.train.features, self.val.features, self.head, rng)
        steps = isinstance(learnt, GradientDetector)
        shown = learnt.calibration(self.network.features, self.val.images) if steps else None
        return learnt.calibrated(shown) if steps else learnt

    def own(self):
        """A world of one's own; images and features, which no test may change, are shared."""
        own = copy.copy(self)
        own.network = copy.deepcopy(self.network)
        own.head = Head(own.network.fc.weight, own.network.fc.bias)
        return own

    def on(self, device):
        """The same on a device."""
        there = self.own()
        there.network.to(device)
        there.head = there.head.on(device)
        for part in ("train", "val", "inliers", "outliers"):
            data = getattr(self, part)
            setattr(there, part, Split(data.images.to(device), data.features.on(device)))
        return there

    def contents(self):
        """All that `fit` and `score` are shown."""
        used = (self.train, self.val, self.outliers)
        found = [*tensors(*(data.features for data in used)), *(data.images for data in used)]
        return [*found, self.head.weight, self.head.bias]

    def state(self):
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

    def score(self, detector, data):
        if isinstance(detector, GradientDetector):
            return detector.score_images(self.network.features, data.images)
        if isinstance(detector, EnsembleDetector):
            return detector.score([self.another(data, seed) for seed in range(detector.members)])
        return detector.score(data.features)

    def another(self, data, seed):
        """What a network of another seed would give: the same, with noise in its last layer."""
        shape = (CLASSES, PATTERNS)
        noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        h = self.network.penultimate(data.images).detach()
        return Features(data.features.logits + h @ (0.1 * noise.to(h)).T)
