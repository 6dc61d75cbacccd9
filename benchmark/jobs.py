"""What each kind of job does: a function of its configuration and input artifacts that fills a draft.

Imports stay inside the functions: they are what the content keys follow, and the command line stays light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark.artifacts import Artifact, Draft

if TYPE_CHECKING:
    import numpy as np

Config = Mapping[str, Any]
Inputs = Mapping[str, Artifact]


def data(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Build one image set: images (N, 3, S, S) uint8, labels (N,) counted from 0 over the chosen classes."""
    import torch

    from benchmark.datasets.catalog import ImageSet
    from benchmark.datasets.sets import open_set

    count, batches, names = open_set(config)
    size = config["image_size"]
    layout = {"images": (torch.uint8, (count, 3, size, size)), "labels": (torch.int64, (count,))}
    with draft.rows("images", layout) as file:
        for batch in batches:
            file.append("images", torch.from_numpy(batch.images))
            file.append("labels", torch.from_numpy(batch.labels))
    written = draft.read("images")
    images = ImageSet(written["images"].numpy(), written["labels"].numpy())
    draft.json("card", {"fingerprint": images.fingerprint(), "classes": list(names), "n": count})


def shift(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Shift a class-balanced part of the ID test images; ``rows`` says which of the test set they are."""
    import numpy as np
    import torch

    from benchmark.datasets.catalog import ImageSet
    from benchmark.datasets.shifts import SEVERITIES, shift
    from benchmark.datasets.splits import balanced_split
    from benchmark.seeds import derive_seed

    stored = inputs["id_test" if "id_test" in inputs else "id"].tensors("images")
    images, labels = stored["images"].numpy(), stored["labels"].numpy()
    # The test set is the same for every seed of a split.
    test = (
        np.arange(len(labels))
        if "id_test" in inputs
        else balanced_split(labels, **config["split"], seed=0).test
    )
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
            shifted = shift(images[test[rows]], kind, severity, config["scale"], noise)
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
    """Train one network on the ID training images; validation metrics of each epoch are kept with it.

    Without a recipe it takes published weights as they are.
    """
    import torch

    from benchmark.backbones.network import create_network, load_weights
    from benchmark.backbones.train import train
    from benchmark.id_data import id_images
    from methods.registry import objective

    sets = id_images(config["split"], inputs["id"])
    classes = int(sets["train"].labels.max()) + 1
    torch.manual_seed(config["seeds"]["weights"])
    network = create_network(config["architecture"], classes, config["image_size"])
    if "pretrained" in inputs:
        load_weights(
            network,
            inputs["pretrained"].tensors("model"),
            source="the pre-trained weights",
            with_classifier=config["training"] is None,
        )
    history = []
    if config["training"] is not None:
        loss, order = objective(config["objective"]), config["seeds"]["order"]
        history = train(network, loss, sets["train"], sets["val"], config["training"], order)
    draft.tensors("model", network.weights())
    draft.json("history", history)
    draft.json("about", {"classes": classes})


class Task(NamedTuple):
    """A job of a group: what it is given."""

    config: Config
    inputs: Inputs
    draft: Draft


def extract(tasks: Sequence[Task]) -> None:
    """Run one network once over every image of several image sets; the tasks share the network."""
    from benchmark.backbones.extract import Tap, extract
    from benchmark.backbones.network import to_pixels
    from benchmark.inputs import image_parts, label_parts, trained_network

    network = trained_network(tasks[0].config, tasks[0].inputs["network"])
    tap = None
    for name in dict.fromkeys(task.config["set"] for task in tasks):
        of_set = {task.config["what"]: task for task in tasks if task.config["set"] == name}
        task = next(iter(of_set.values()))
        stored, split = task.inputs["images"], task.config.get("split")
        parts, labels = image_parts(name, stored, split), label_parts(name, stored, split)
        tap = tap or Tap(network, to_pixels(next(iter(parts.values()))[:16]))
        extract(tap, parts, labels, {what: task.draft for what, task in of_set.items()})
        head = tap.head
        for task in of_set.values():
            about = {"linear_head": head.is_linear, "reason": head.reason, "rank_one": tap.why_no_rank_one}
            task.draft.json("about", about)
            if head.is_linear and (name, task.config["what"]) == ("id", "base"):
                task.draft.tensors("head", {"head.weight": head.weight, "head.bias": head.bias})


def classify(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Measure what holds for the network whatever detector scores it: accuracy and calibration.

    The inputs are the features of ``id`` and, if they are sets of their own, ``id_test`` and ``shifts``.
    """
    from benchmark.metrics.cells import classification

    tensors: dict[str, Any] = {}
    for role, stored in inputs.items():
        tensors |= stored.tensors("images" if role == "shift_images" else "features")
    if "shift_images" in inputs:
        tensors["shift.rows"] = tensors.pop("rows")
    draft.json("classification", classification({name: t.numpy() for name, t in tensors.items()}))


def score(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Fit one detector on the ID training and validation features, and score every test image."""
    from benchmark.scoring import Scoring, score_into

    score_into(draft, Scoring(config, inputs))


def tune(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Like `score`, with the hyper-parameters that tell the validation sets apart best, by AUROC."""
    from benchmark.metrics.detection import detection_metrics
    from benchmark.scoring import Scoring, score_into

    def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
        return detection_metrics(inside, outside).auroc

    score_into(draft, Scoring(config, inputs, auroc))


def measure(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Measure one cell from its scores."""
    from benchmark.metrics.cells import detection

    about = inputs["scores"].json("about")
    if about["status"] == "measured":
        scores = {name: tensor.numpy() for name, tensor in inputs["scores"].tensors("scores").items()}
        network = inputs["classification"].json("classification")
        about["measurement"] = detection(scores, network, config["groups"], config["seed"])
    draft.json("cell", about)
