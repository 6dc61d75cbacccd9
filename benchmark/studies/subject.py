"""A trained network with the images of its track: what every study measures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.backbones.batches import LabelledImages
from benchmark.backbones.extract import Tap
from benchmark.backbones.network import BATCH, Network, to_pixels
from benchmark.jobs.id_data import id_images
from benchmark.jobs.inputs import trained_network
from benchmark.metrics.detection import detection_metrics
from benchmark.seeds import derive_seed
from benchmark.store.artifacts import Artifact
from methods.base import Detector, Features, MethodError, check_scores
from methods.features import evenly
from methods.registry import detector

GROUPS = ("near", "far")
Measured = dict[str, Any]  # ``numbers`` by path, ``series`` by name, ``warnings``; JSON


class Subject:
    """A network, its ID images and its OOD images.

    Parameters
    ----------
    config
        ``network``, what `trained_network` takes; ``split`` of the ID images; ``groups``, the OOD sets that
        are near and far; ``seed``.
    inputs
        ``network``; ``id`` and perhaps ``id_test``; each OOD set by its name; ``training_set`` where the
        network was trained on something else than the track's training split.
    """

    def __init__(self, config: Mapping[str, Any], inputs: Mapping[str, Artifact]) -> None:
        self.config, self.inputs = config, inputs
        self.network: Network = trained_network(config["network"], inputs["network"])
        self.network.requires_grad_(requires_grad=False)
        self.tap = Tap(self.network, to_pixels(self.parts["test"].images[:16]))

    @cached_property
    def parts(self) -> dict[str, LabelledImages]:
        """``train`` and ``val`` as the track has them, with their true labels, and ``test``."""
        found = id_images(self.config["split"], self.inputs["id"])
        if "id_test" in self.inputs:
            stored = self.inputs["id_test"].tensors("images")
            found["test"] = LabelledImages(stored["images"], stored["labels"])
        return found

    @cached_property
    def trained_on(self) -> LabelledImages:
        """The training images as the network was given them: perhaps a long tail, or with wrong labels."""
        if "training_set" not in self.inputs:
            return self.parts["train"]
        images = self.inputs["id"].tensors("images")["images"]
        given = self.inputs["training_set"].tensors("training_set")
        return LabelledImages(images[given["rows"]], given["labels"])

    @cached_property
    def kept(self) -> dict[str, Tensor]:
        """What the objective kept of the training."""
        trained = self.inputs["network"]
        return trained.tensors("kept") if "kept.safetensors" in trained.manifest["files"] else {}

    def test_part(self, per_class: int) -> LabelledImages:
        """So many test images of each class, drawn by the track's seed: the same for every network."""
        test = self.parts["test"]
        rng = torch.Generator().manual_seed(derive_seed(self.config["seed"], "test part"))
        classes = int(test.labels.max()) + 1
        rows = evenly(test.labels, per_class * classes, rng)
        return LabelledImages(test.images[rows], test.labels[rows])

    def outside(self, group: str) -> dict[str, Tensor]:
        """uint8 images (N, 3, S, S) of each OOD set of a group."""
        return {name: self.inputs[name].tensors("images")["images"] for name in self.config["groups"][group]}

    def features(self, images: Tensor, labels: Tensor | None = None) -> Features:
        """What the network gives for uint8 images (N, 3, S, S)."""
        with torch.inference_mode():
            batches = [self.tap(to_pixels(part)).collected() for part in torch.split(images, BATCH)]
        joined: dict[str, Any] = {
            name: [torch.cat(parts) for parts in zip(*(b[name] for b in batches), strict=True)]
            for name in batches[0]
        }
        by_stage = {"stages"}
        given = {name: parts if name in by_stage else parts[0] for name, parts in joined.items()}
        return Features(**given, labels=labels)

    def detectors(self, names: Iterable[str]) -> dict[str, Detector]:
        """Detectors with published hyper-parameters, fitted on what the network was trained on.

        The validation images are the track's, balanced and rightly labelled, as for every other board.

        Raises
        ------
        MethodError
            If one needs several networks, or more than features of the ID images.
        """
        found = {}
        train, val = (self.features(p.images, p.labels) for p in (self.trained_on, self.parts["val"]))
        for name in names:
            chosen = detector(name)
            if not isinstance(chosen, Detector):
                raise MethodError(f"{name}: needs several networks; a study has one")
            rng = torch.Generator().manual_seed(derive_seed(self.config["seed"], "fit", name))
            found[name] = chosen.fit(train, val, self.tap.head, rng)
        return found

    def score(self, chosen: Detector, features: Features) -> NDArray[np.float64]:
        """(N,) scores, higher = more ID."""
        with torch.inference_mode():
            return check_scores(chosen.score(features), len(features)).numpy()

    def auroc(self, chosen: Detector, inside: Features, group: str) -> float:
        """Mean AUROC of ID images against the OOD sets of a group."""
        scores = self.score(chosen, inside)
        return float(
            np.mean(
                [
                    detection_metrics(scores, self.score(chosen, outside)).auroc
                    for outside in self._outside_features[group]
                ]
            )
        )

    @cached_property
    def _outside_features(self) -> dict[str, list[Features]]:
        return {group: [self.features(i) for i in self.outside(group).values()] for group in GROUPS}
