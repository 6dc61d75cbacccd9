"""What each kind of job does: a function of its configuration and input artifacts that fills a draft.

Imports stay inside the functions: they are what the content keys follow, and the command line stays light.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmark.artifacts import Artifact, Draft

if TYPE_CHECKING:
    from torch import Tensor

Config = Mapping[str, Any]
Inputs = Mapping[str, Artifact]


def data(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Build one image set: images (N, 3, S, S) uint8, labels (N,) counted from 0 over the chosen classes."""
    import torch

    from benchmark.datasets.sets import build_set

    images, names = build_set(config)
    draft.tensors(
        "images", {"images": torch.from_numpy(images.images), "labels": torch.from_numpy(images.labels)}
    )
    draft.json("card", {"fingerprint": images.fingerprint(), "classes": list(names), "n": len(images)})


def shift(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Shift a class-balanced part of the ID test images; ``rows`` says which of the test set they are."""
    import numpy as np
    import torch

    from benchmark.datasets.catalog import ImageSet
    from benchmark.datasets.shifts import SEVERITIES, shift
    from benchmark.datasets.splits import balanced_split
    from benchmark.seeds import derive_seed

    stored = inputs["id"].tensors("images")
    images, labels = stored["images"].numpy(), stored["labels"].numpy()
    split = config["split"]
    # The test set is the same for every seed of a split.
    test = balanced_split(
        labels, split["train_per_class"], split["val_per_class"], split["track_seed"], 0
    ).test
    rng = np.random.default_rng(config["seed"])
    rows = np.sort(
        np.concatenate(
            [
                rng.permutation(np.flatnonzero(labels[test] == label))[: config["images_per_class"]]
                for label in np.unique(labels)
            ]
        )
    )
    tensors = {"rows": torch.from_numpy(rows)}
    for kind in config["kinds"]:
        for severity in SEVERITIES:
            noise = np.random.default_rng(derive_seed(config["seed"], kind, severity))
            shifted = shift(images[test][rows], kind, severity, config["scale"], noise)
            tensors[f"{kind}.{severity}"] = torch.from_numpy(shifted)
    draft.tensors("images", tensors)
    shown = np.concatenate([t.numpy() for name, t in tensors.items() if name != "rows"])
    draft.json("card", {"fingerprint": ImageSet.unlabelled(shown).fingerprint(), "n": len(shown)})


def pretrain(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Make or fetch a network's first weights."""
    from benchmark.backbones.pretrain import pretrain_on_fractals, weights_from_hub

    architecture, size, init = config["architecture"], config["image_size"], config["init"]
    if init["source"] == "fractaldb":
        network, history, source = pretrain_on_fractals(architecture, size, init, config["seeds"])
        weights = network.weights()
    else:
        weights, source = weights_from_hub(architecture, size, init)
        history = []
    draft.tensors("model", weights)
    draft.json("history", history)
    draft.json("source", source)


def train(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Train one network on the ID training images; validation metrics of each epoch are kept with it."""
    import torch

    from benchmark.backbones.network import create_network, load_weights
    from benchmark.backbones.train import train
    from benchmark.inputs import id_images
    from methods.registry import objective

    sets = id_images(config, inputs["id"])
    classes = int(sets["train"].labels.max()) + 1
    torch.manual_seed(config["seeds"]["weights"])
    network = create_network(config["architecture"], classes, config["image_size"])
    if "pretrained" in inputs:
        load_weights(network, inputs["pretrained"].tensors("model"), source="the pre-trained weights")
    loss = objective(config["objective"])
    history = train(network, loss, sets["train"], sets["val"], config["training"], config["seeds"]["order"])
    draft.tensors("model", network.weights())
    draft.json("history", history)
    draft.json("about", {"classes": classes})


def extract(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Run the network once over every image of every set."""
    from benchmark.backbones.extract import extract
    from benchmark.inputs import id_images, test_images, trained_network

    network = trained_network(config, inputs["network"])
    id_sets = id_images(config, inputs["data.id"])
    tensors, head = extract(network, {**{n: s.images for n, s in id_sets.items()}, **test_images(inputs)})
    for name, part in id_sets.items():
        tensors[f"{name}.labels"] = part.labels
    tensors["shift.rows"] = inputs["shifts"].tensors("images")["rows"]
    about: dict[str, Any] = {"linear_head": head.is_linear, "reason": head.reason}
    if head.is_linear:
        tensors |= {"head.weight": head.weight, "head.bias": head.bias}
    draft.tensors("features", tensors)
    draft.json("about", about)


def classify(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Measure what holds for the network whatever detector scores it: accuracy and calibration."""
    from benchmark.metrics.cells import classification

    tensors = inputs["features"].tensors("features")
    draft.json("classification", classification({name: tensor.numpy() for name, tensor in tensors.items()}))


def score(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Fit one detector on the ID training and validation features, and score every test image.

    A detector that the network cannot serve leaves the reason instead of scores.
    """
    import torch

    from benchmark.backbones.extract import BATCH
    from benchmark.backbones.network import to_pixels
    from benchmark.inputs import id_images, read_features, read_head, test_images, trained_network
    from methods.base import GradientDetector, NotApplicable, ScoreError, check_scores
    from methods.registry import detector

    stored = inputs["features"].tensors("features")
    head = read_head(stored, inputs["features"].json("about"))
    scorer = detector(config["detector"], **config["hyperparameters"])
    rng = torch.Generator().manual_seed(config["seed"])
    scores: dict[str, Tensor] = {}
    try:
        scorer = scorer.fit(read_features(stored, "train"), read_features(stored, "val"), head, rng)
        if isinstance(scorer, GradientDetector):
            network = trained_network(config["network"], inputs["network"]).requires_grad_(
                requires_grad=False
            )
            images = test_images(inputs)
            images["test"] = id_images(config["network"], inputs["data.id"])["test"].images
        for name in sorted(n.removesuffix(".logits") for n in stored if n.endswith(".logits")):
            if name in {"train", "val"}:
                continue
            if isinstance(scorer, GradientDetector):
                parts = [scorer.score(network, to_pixels(p)) for p in torch.split(images[name], BATCH)]
                found = torch.cat(parts)
            else:
                found = scorer.score(read_features(stored, name))
            try:
                scores[name] = check_scores(found, len(stored[f"{name}.logits"]))
            except ScoreError as error:
                raise ScoreError(f"{name}: {error}") from error
    except NotApplicable as error:
        draft.json("about", {"status": "not_applicable", "reason": str(error)})
        return
    scores["test.correct"] = stored["test.logits"].argmax(dim=1) == stored["test.labels"]
    scores["shift.rows"] = stored["shift.rows"]
    draft.tensors("scores", scores)
    draft.json("about", {"status": "measured"})


def measure(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Measure one cell from its scores."""
    from benchmark.metrics.cells import detection

    about = inputs["scores"].json("about")
    if about["status"] == "measured":
        scores = {name: tensor.numpy() for name, tensor in inputs["scores"].tensors("scores").items()}
        network = inputs["classification"].json("classification")
        about["measurement"] = detection(scores, network, config["groups"], config["seed"])
    draft.json("cell", about)
