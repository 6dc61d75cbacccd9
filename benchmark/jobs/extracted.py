"""What was extracted from one network: features by part, and its head."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from torch import Tensor

from benchmark.jobs.inputs import read_features, read_head
from benchmark.store.artifacts import Artifact
from methods.features import Features
from methods.head import Head


class Extracted:
    """The features of one network, memory-mapped.

    Parameters
    ----------
    artifacts
        By what was extracted (``base``, ``gram``, ``rank_one``), then by image set; ``id`` has ``base``.
    """

    def __init__(self, artifacts: Mapping[str, Mapping[str, Artifact]]) -> None:
        of_id = artifacts["base"]["id"]
        self.about = of_id.json("about")
        self.tensors: dict[str, Tensor] = of_id.tensors("head") if self.about["linear_head"] else {}
        for by_set in artifacts.values():
            for artifact in by_set.values():
                self.tensors |= artifact.tensors("features")
        self.parts = sorted(n.removesuffix(".logits") for n in self.tensors if n.endswith(".logits"))

    @cached_property
    def head(self) -> Head:
        """The final layer, or the reason why it is not one linear layer."""
        return read_head(self.tensors, self.about)

    def length(self, part: str) -> int:
        """How many images a part has."""
        return len(self.tensors[f"{part}.logits"])

    def features(self, part: str) -> Features:
        """The features of a part, such as ``test`` or ``shift.fog.3``."""
        return read_features(self.tensors, part)

    def to_fit(
        self, train: Features | None = None, val: Features | None = None
    ) -> tuple[Features, Features, Head]:
        """What a detector is fitted on: training and validation images, or what is given for them; head."""
        train = self.features("train") if train is None else train
        return train, self.features("val") if val is None else val, self.head
