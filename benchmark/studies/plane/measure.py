"""Where a classifier is confident, drawn in two dimensions: outliers near the data against outliers far away.

The design is that of spec/claims.md §A.1, after Lee et al. 2018. Two Gaussian classes; r is the distance to
the nearer of their means. A small network is trained with cross-entropy alone, or with the confidence loss on
outliers that lie around the data or far from it. Its largest probability is then measured on three regions of
the plane. Whoever only reads the results imports no torch.

Random numbers come from seeds hashed from names: the arms of a seed share the data, the test points, the
first weights and the order of the batches, and differ in their outliers alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from benchmark.metrics.detection import detection_metrics
from benchmark.seeds import derive_seed
from benchmark.studies.plane.records import RegionName
from benchmark.studies.plane.settings import ARMS, STEPS

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats = NDArray[np.float64]

MEANS = np.array([[-2.0, 0.0], [2.0, 0.0]])  # of the classes; both have covariance I
CONFIDENT = 0.95  # from this probability on a point counts as confident
NEAR = 3.5, 6.0  # the annulus around the means that near outliers lie in
FAR = 12.0, 50.0  # far outliers lie this far from the origin at least, and within this square
REGIONS: dict[RegionName, tuple[float, float]] = {"band": NEAR, "mid": (6.0, 12.0), "far": (12.0, np.inf)}
FIELDS: Mapping[str, float] = {"near": 15.0, "far": FAR[1]}  # half the side of the maps
MAP_POINTS = 101  # along each side of a map

_PER_CLASS = 1000
_OUTLIERS = 2000
_BATCH = 128  # of ID points, and of outliers
_HIDDEN = 500
_LEARNING_RATE = 1e-3
_BETA = 1.0
_SPACING = {"band": 0.1, "mid": 0.2, "far": 0.5}  # of the grid on each region
_DENSITY_FIELD, _DENSITY_SPACING = 6.0, 0.1
_MANY = 8192  # points that pass the network at a time


def run_arm(arm: str, seed: int, steps: int = STEPS) -> dict[str, Any]:
    """Train one arm and measure where it is confident (spec/claims.md §A.1).

    One thread; the same arguments give the same numbers on the same machine. With the default steps it takes
    about a minute of a slow core, cross-entropy half of that, as it has no outliers in its batches.

    Parameters
    ----------
    arm : what the classifier is shown besides the data: nothing, near outliers or far outliers.
    seed : of data, first weights and order of the batches, which all arms of a seed share.
    steps : of training, 6000 in the design.

    Returns
    -------
    dict
        Its numbers as JSON (`benchmark.studies.plane.records.of_arm`), and ``maps``: the probability of the
        second class to three digits on 101 × 101 grids over [−15, 15]² (``near``) and [−50, 50]² (``far``).

    Raises
    ------
    ValueError
        If `arm` is unknown or `steps` is below 1.
    """
    if arm not in ARMS:
        raise ValueError(f"arm: expected one of {', '.join(ARMS)}, got {arm!r}")
    if steps < 1:
        raise ValueError(f"steps: expected 1 or more, got {steps}")
    with _one_thread():
        network = _train(arm, seed, steps)
        points, labels = draw_data("test", seed)
        logits = _logits(network, points)
        id_scores = _log_max_p(logits)
        limit = np.log(CONFIDENT)
        regions, maps = {}, {}
        for name in REGIONS:
            scores = _log_max_p(_logits(network, region_grid(name)))
            auroc = detection_metrics(id_scores, scores).auroc
            regions[name] = {"auroc": auroc, "confident": float(np.mean(scores >= limit)), "n": len(scores)}
        for field, half in FIELDS.items():
            on_map = _logits(network, _square(half, 2 * half / (MAP_POINTS - 1)))
            second = scipy.special.expit(on_map[:, 1] - on_map[:, 0]).reshape(MAP_POINTS, MAP_POINTS)
            maps[field] = second.round(3).tolist()
        return {
            "arm": arm,
            "seed": seed,
            "steps": steps,
            "accuracy": float(np.mean(logits.argmax(axis=1) == labels)),
            "id_confident": float(np.mean(id_scores >= limit)),
            "regions": regions,
            "density": _density(network) if arm == "cross_entropy" else None,
            "maps": maps,
        }


def radius(points: Floats) -> Floats:
    """(N,) distance of points (N, 2) to the nearer class mean."""
    nearer: Floats = np.linalg.norm(points[:, None] - MEANS, axis=2).min(axis=1)
    return nearer


def log_density(points: Floats) -> Floats:
    r"""(N,) log-density of points (N, 2) under the mixture of both classes.

    .. math:: \log p(x) = \log \textstyle\sum_c \exp(-½ \lVert x - μ_c \rVert²) - \log 4π
    """
    squares = ((points[:, None] - MEANS) ** 2).sum(axis=2)  # (N, 2)
    density: Floats = np.logaddexp(-squares[:, 0] / 2, -squares[:, 1] / 2) - np.log(4 * np.pi)
    return density


def draw_data(part: Literal["train", "test"], seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """Draw 1000 points of each class: (2000, 2) points and (2000,) labels."""
    rng = np.random.default_rng(derive_seed("boundary", part, seed))
    labels = np.repeat(np.arange(len(MEANS)), _PER_CLASS)
    return MEANS[labels] + rng.standard_normal((len(labels), 2)), labels


def draw_outliers(arm: str, seed: int) -> Floats:
    """Draw the 2000 outliers of an arm: (2000, 2).

    - ``near``: a mean chosen at random plus a point of the annulus 3.5 to 6, uniform by area, unless that is
      within 3.5 of the other mean;
    - ``far``: uniform in [−50, 50]², but more than 12 from the origin.
    """
    rng = np.random.default_rng(derive_seed("boundary", "outliers", arm, seed))
    kept = np.empty((0, 2))
    while len(kept) < _OUTLIERS:
        if arm == "near":
            distance = np.sqrt(rng.uniform(NEAR[0] ** 2, NEAR[1] ** 2, _OUTLIERS))
            angle = rng.uniform(0, 2 * np.pi, _OUTLIERS)
            offset = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
            drawn = MEANS[rng.integers(len(MEANS), size=_OUTLIERS)] + offset
            drawn = drawn[radius(drawn) >= NEAR[0]]
        else:
            drawn = rng.uniform(-FAR[1], FAR[1], (_OUTLIERS, 2))
            drawn = drawn[np.linalg.norm(drawn, axis=1) > FAR[0]]
        kept = np.concatenate([kept, drawn])
    return kept[:_OUTLIERS]


def region_grid(name: RegionName) -> Floats:
    """(N, 2) points of a regular grid on one of the `REGIONS`, within [−50, 50]²."""
    low, high = REGIONS[name]
    points = _square(min(FAR[1], np.ceil(high + MEANS.max())), _SPACING[name])
    r = radius(points)
    return points[(low <= r) & (r < high)]


def _square(half: float, spacing: float) -> Floats:
    """(N², 2) points of the regular grid on [−half, half]², row by row from below."""
    side = np.linspace(-half, half, round(2 * half / spacing) + 1)
    return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


def _train(arm: str, seed: int, steps: int) -> nn.Module:
    """Train the network of one arm. All batches are chosen beforehand."""
    import torch
    from torch.nn import functional

    from methods.objectives.confidence_loss import confidence_loss

    points, labels = draw_data("train", seed)
    x, y = torch.from_numpy(points).float(), torch.from_numpy(labels)
    network = _fresh_network(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
    chosen = _rows("batches", seed, len(x), steps)
    if arm == "cross_entropy":
        for rows in chosen:
            _step(optimizer, functional.cross_entropy(network(x[rows]), y[rows]))
        return network
    outliers = torch.from_numpy(draw_outliers(arm, seed)).float()
    for rows, outlier_rows in zip(chosen, _rows("outlier batches", seed, len(outliers), steps), strict=True):
        logits = network(torch.cat([x[rows], outliers[outlier_rows]]))
        _step(optimizer, confidence_loss(logits[:_BATCH], y[rows], logits[_BATCH:], _BETA))
    return network


def _step(optimizer: Any, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _rows(name: str, seed: int, n: int, steps: int) -> Tensor:
    """(steps, B) which of n points each step is given, drawn with replacement."""
    import torch

    generator = torch.Generator().manual_seed(derive_seed("boundary", name, seed))
    return torch.randint(n, (steps, _BATCH), generator=generator)


def _fresh_network(seed: int) -> nn.Module:
    """Make the network 2–500–500–2, with He-normal weights and zero biases, from a generator of its own."""
    from torch import Generator, nn
    from torch.nn.utils import skip_init

    generator = Generator().manual_seed(derive_seed("boundary", "weights", seed))
    sizes = ((2, _HIDDEN), (_HIDDEN, _HIDDEN), (_HIDDEN, 2))
    layers = [skip_init(nn.Linear, *size) for size in sizes]  # type: ignore[no-untyped-call]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def _logits(network: nn.Module, points: Floats) -> Floats:
    """(N, 2) logits of points (N, 2), as float64."""
    import torch

    with torch.no_grad():
        parts = [network(part) for part in torch.split(torch.from_numpy(points).float(), _MANY)]
    return torch.cat(parts).double().numpy()


def _log_max_p(logits: Floats) -> Floats:
    """(N,) log of the largest probability, without the ties that probabilities near 1 have."""
    ordered = np.sort(logits, axis=1)
    others: Floats = np.exp(ordered[:, :-1] - ordered[:, -1:]).sum(axis=1)
    return -np.log1p(others)


def _density(network: nn.Module) -> dict[str, float]:
    """How energy and softmax confidence follow the density of the data (spec/claims.md, C-B6)."""
    points = _square(_DENSITY_FIELD, _DENSITY_SPACING)
    logits, density = _logits(network, points), log_density(points)
    scores = {"energy": np.logaddexp.reduce(logits, axis=1), "msp": _log_max_p(logits)}
    return {name: float(scipy.stats.spearmanr(score, density).statistic) for name, score in scores.items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums depend on how many threads make them, and matrices this small gain nothing from more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
