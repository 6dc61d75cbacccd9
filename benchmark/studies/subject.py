"""A trained network with the images of its track: what every study measures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.backbones.batches import LabelledImages
from benchmark.backbones.extract import Tap
from benchmark.backbones.network import Network, to_pixels
from benchmark.datasets.splits import balanced_split
from benchmark.jobs.extracted import Extracted
from benchmark.jobs.id_data import id_images
from benchmark.jobs.inputs import trained_network
from benchmark.metrics.detection import detection_metrics
from benchmark.seeds import derive_seed
from benchmark.store.artifacts import Artifact
from benchmark.studies.config import SubjectConfig, SubjectInputs
from methods.base import Detector, Features, MethodError, check_scores
from methods.features import evenly
from methods.registry import detector

GROUPS = ("near", "far")
Measured = dict[str, Any]  # ``numbers`` by path, ``series`` by name, ``warnings``; JSON


class Subject:
    """A network, what was extracted from it, and its images where they are needed themselves."""

    def __init__(self, config: SubjectConfig, inputs: SubjectInputs[Artifact]) -> None:
        self.config, self.inputs = config, inputs
        self.extracted = Extracted(inputs.features)

    @cached_property
    def network(self) -> Network:
        """The network itself, frozen."""
        network = trained_network(self.config.network, self.inputs.network)
        return network.requires_grad_(requires_grad=False)

    @cached_property
    def tap(self) -> Tap:
        """Reads everything that the network can give."""
        return Tap(self.network, to_pixels(self.test.images[:16]))

    @cached_property
    def test(self) -> LabelledImages:
        """The ID test images."""
        if self.inputs.id_test is None:
            return id_images(self.config.split, self.inputs.id)["test"]
        stored = self.inputs.id_test.tensors("images")
        return LabelledImages(stored["images"], stored["labels"])

    @cached_property
    def trained_on(self) -> Features:
        """Features of the images that the network was trained on, labelled as they were then.

        A training set that was transformed is a part of the track's training split.
        """
        whole = self.extracted.features("train")
        if self.inputs.training_set is None:
            return whole
        given = self.inputs.training_set.tensors("training_set")
        labels = self.inputs.id.tensors("images")["labels"].numpy()
        rows = torch.from_numpy(balanced_split(labels, **asdict(self.config.split)).train)
        order = rows.argsort()
        places = order[torch.searchsorted(rows[order], given["rows"])]
        return whole[places].including(labels=given["labels"])

    @cached_property
    def kept(self) -> dict[str, Tensor]:
        """What the objective kept of the training."""
        trained = self.inputs.network
        return trained.tensors("kept") if "kept.safetensors" in trained.manifest["files"] else {}

    def test_part(self, per_class: int) -> LabelledImages:
        """So many test images of each class, drawn by the track's seed: the same for every network."""
        rng = torch.Generator().manual_seed(derive_seed(self.config.seed, "test part"))
        classes = int(self.test.labels.max()) + 1
        rows = evenly(self.test.labels, per_class * classes, rng)
        return LabelledImages(self.test.images[rows], self.test.labels[rows])

    def outside(self, group: str) -> dict[str, Tensor]:
        """uint8 images (N, 3, S, S) of each OOD set of a group."""
        sets = self.inputs.outside
        return {name: sets[name].tensors("images")["images"] for name in self.config.groups[group]}

    def detectors(self, names: Iterable[str]) -> dict[str, Detector]:
        """Detectors with published hyper-parameters, fitted on what the network was trained on.

        The validation images are the track's, balanced and rightly labelled, as for every other board.

        Raises
        ------
        MethodError
            If one needs several networks, or more than features of the ID images.
        """
        found = {}
        for name in names:
            chosen = detector(name)
            if not isinstance(chosen, Detector):
                raise MethodError(f"{name}: needs several networks; a study has one")
            rng = torch.Generator().manual_seed(derive_seed(self.config.seed, "fit", name))
            found[name] = chosen.fit(*self.extracted.to_fit(self.trained_on), rng)
        return found

    def score(self, chosen: Detector, features: Features) -> NDArray[np.float64]:
        """(N,) scores, higher = more ID."""
        with torch.inference_mode():
            return check_scores(chosen.score(features.without("labels")), len(features)).numpy()

    def auroc(self, chosen: Detector, inside: Features, group: str) -> float:
        """Mean AUROC of ID images against the OOD sets of a group."""
        scores = self.score(chosen, inside)
        sets = (self.extracted.features(name) for name in self.config.groups[group])
        return float(
            np.mean([detection_metrics(scores, self.score(chosen, outside)).auroc for outside in sets])
        )
