"""The contracts of label noise: a model of the noise, and a correction for it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from methods.method import Method
from methods.objective import Objective, Setup, TrainableNetwork

ROUNDING = 1e-9  # of the sum of a row of float64
ROUNDING_OF_FIRST = 1e-3  # of the sum of a row of probabilities, which may come from a softmax in float32


class NoiseModel(Method):
    """Which wrong labels annotators give: a matrix of what is observed for each true class.

    The tests of all models ask for 10 classes: what its hyper-parameters must be for them is in `small`.
    """

    @abstractmethod
    def matrix(self, classes: int, strength: float, rng: torch.Generator) -> Tensor:
        """(K, K) float64, rows sum to 1: row i is the distribution of the observed labels of true class i.

        `strength` p is in [0, 1]; p = 0 gives the identity. What the model draws comes from `rng` and does
        not depend on p.

        Raises
        ------
        ValueError
            If p is outside [0, 1], or there are too few classes.
        """

    def _check(self, classes: int, strength: float) -> None:
        if not 0 <= strength <= 1:
            raise ValueError(f"strength: {self.name} expected a number in [0, 1], got {strength}")
        if classes < 2:
            raise ValueError(f"classes: {self.name} expected at least 2, got {classes}")

    def draw(
        self, labels: Tensor, classes: int, strength: float, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Observed labels (N,) of true class indices (N,), and the matrix (K, K) that they were drawn from.

        One uniform number is drawn for each label and turned into a class by the inverse of its row's
        distribution function, so that two strengths with equal seeds err on nested sets of labels wherever
        the model only moves probability off the diagonal.

        Raises
        ------
        ValueError
            As `matrix`, or if a label is no class index.
        """
        matrix = self.matrix(classes, strength, rng)  # first: its draws do not depend on how many labels
        _check_stochastic(matrix, classes, f"{self.name}.matrix")
        _check_labels(labels, classes)
        u = torch.rand(len(labels), dtype=torch.float64, generator=rng)
        true = labels.cpu().long()
        # The true class comes first, so that a label stays unless u reaches C[i, i]; then the next ones.
        order = (torch.arange(classes)[:, None] + torch.arange(classes)) % classes  # (K, K)
        reached = matrix.gather(1, order).cumsum(dim=1)
        reached /= reached[:, -1:].clone()  # ends at exactly 1, above every u, where the probability ends
        place = torch.searchsorted(reached[true], u[:, None], right=True)  # (N, 1)
        observed = order[true].gather(1, place).squeeze(1)
        return observed.to(labels.device, labels.dtype), matrix


class Correction(Objective):
    """An objective for noisy labels that first looks at what a plainly trained network says of them.

    The harness trains a network with `first_phase` on the noisy labels (of the untrusted images only where
    `trusted` is set), and hands its probabilities for the training images to `modules`, as `Setup.first`.
    The second network starts afresh; what was estimated lies in a buffer of a module.
    """

    first_phase = "cross_entropy"

    @abstractmethod
    def estimate(self, setup: Setup) -> Tensor:
        """(K, K) float64: row i is the estimated distribution of the observed labels of true class i.

        The setup is not modified.

        Raises
        ------
        ValueError
            If the setup lacks what the estimate needs.
        """

    def modules(self, setup: Setup) -> Mapping[str, nn.Module]:
        """Keep the estimated matrix with the training's state.

        Raises
        ------
        ValueError
            As `estimate`, or if its rows are no distributions.
        """
        matrix = self.estimate(setup)
        _check_stochastic(matrix, setup.classes, f"{self.name}.estimate")
        return {"noise": EstimatedNoise(matrix)}

    def finish(self, network: TrainableNetwork, modules: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Keep the estimate as ``matrix`` (K, K)."""
        return {"matrix": modules["noise"]().detach().clone()}

    def probabilities(self, setup: Setup) -> Tensor:
        """Return a copy of the first phase's probabilities (N, K), float64 on the CPU.

        Raises
        ------
        ValueError
            If there are none, or they are no distributions over the classes; where `trusted` is set, also
            if the setup does not say which labels are right, or none is.
        """
        if setup.first is None:
            raise ValueError(f"setup.first: {self.name} expected probabilities of training images, got none")
        found = setup.first.detach().to("cpu", torch.float64, copy=True)
        if found.ndim != 2 or found.shape[1] != setup.classes or len(found) == 0:
            raise ValueError(
                f"setup.first: {self.name} expected shape (N, {setup.classes}) with N of at least 1, "
                f"got {tuple(found.shape)}"
            )
        if not _distributions(found, ROUNDING_OF_FIRST):
            raise ValueError(f"setup.first: {self.name} expected rows that are probabilities and sum to 1")
        if self.trusted:
            self._check_trusted(setup, len(found))
        return found

    def _check_trusted(self, setup: Setup, images: int) -> None:
        trusted = setup.trusted
        if trusted is None:
            raise ValueError(f"setup.trusted: {self.name} expected which labels are right, got none")
        if trusted.dtype != torch.bool or trusted.shape != (images,):
            raise ValueError(
                f"setup.trusted: {self.name} expected bool ({images},), as `first` has {images} rows, "
                f"got {trusted.dtype} {tuple(trusted.shape)}"
            )
        if not trusted.any():
            raise ValueError(f"setup.trusted: {self.name} expected at least one trusted label, got none")
        if setup.labels.shape != (images,):
            raise ValueError(
                f"setup.labels: {self.name} expected shape ({images},), got {tuple(setup.labels.shape)}"
            )
        _check_labels(setup.labels, setup.classes)


class EstimatedNoise(nn.Module):
    """The matrix that a correction estimated, kept with the training's state."""

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self) -> Tensor:
        """(K, K) float64."""
        return self.matrix


def _distributions(rows: Tensor, rounding: float) -> bool:
    """Whether the rows of (N, K) are distributions."""
    fits = (rows >= 0) & torch.isfinite(rows)
    return bool(fits.all() and ((rows.sum(dim=1) - 1).abs() <= rounding).all())


def _check_stochastic(matrix: Tensor, classes: int, what: str) -> None:
    if matrix.shape != (classes, classes) or matrix.dtype != torch.float64:
        raise ValueError(
            f"{what}: expected float64 ({classes}, {classes}), got {matrix.dtype} {tuple(matrix.shape)}"
        )
    if not _distributions(matrix, ROUNDING):
        raise ValueError(f"{what}: expected rows that are probabilities and sum to 1, got {matrix.tolist()}")


def _check_labels(labels: Tensor, classes: int) -> None:
    if labels.ndim != 1 or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(f"labels: expected integers (N,), got {labels.dtype} {tuple(labels.shape)}")
    if labels.numel() and not (labels.min() >= 0 and labels.max() < classes):
        low, high = labels.min().item(), labels.max().item()
        raise ValueError(f"labels: expected class indices in [0, {classes}), got some from {low} to {high}")
