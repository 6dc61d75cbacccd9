"""What each kind of job does: a function of its configuration and input artifacts that fills a draft.

Imports stay inside the functions: they are what the content keys follow, and the command line stays light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmark.store.artifacts import Artifact, Draft

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


def training_set(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Give the training split of a track other labels, or a long tail; the images are not copied."""
    from benchmark.jobs.training_sets import transformed

    tensors, card = transformed(config, inputs["id"].tensors("images")["labels"])
    draft.tensors("training_set", tensors)
    draft.json("card", card)


def pretrain(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Make, fetch or read a network's first weights; ``images`` is the set of the source ``dataset``."""
    from benchmark.backbones.checkpoint import Checkpoint
    from benchmark.backbones.pretrain import (
        fractals,
        labelled,
        pretrain_on,
        weights_from_file,
        weights_from_hub,
    )

    init = config["init"]
    history: list[dict[str, Any]] = []
    of = init.get("of", init)  # adversarial pre-training is on another source's images
    if of["source"] in ("fractaldb", "dataset"):
        if of["source"] == "fractaldb":
            data, source = fractals(config["image_size"], of["preset"], config["seeds"]["images"])
        else:
            data, source = labelled(inputs["images"], of["exclude_classes"] or [])
        how = {
            "device": config["device"],
            "checkpoint": Checkpoint(draft.partial),
            "report": draft.report,
        }
        network, history = pretrain_on(data, config, of["training"], **how)
        weights = network.weights()
    else:
        weights, source = weights_from_hub(config) if init["source"] == "hub" else weights_from_file(config)
    draft.tensors("model", weights)
    draft.json("history", history)
    draft.json("source", source)


def train(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Train one network on the ID training images; validation metrics of each epoch are kept with it.

    It starts from fresh weights, from those of ``pretrained``, or from the network of ``start``, which
    another objective trained. Without a recipe it takes published weights as they are. ``training_set`` takes
    the place of the track's own; the network of ``first`` is asked for its predictions of it.
    """
    import torch

    from benchmark.backbones.batches import LabelledImages
    from benchmark.backbones.checkpoint import Checkpoint
    from benchmark.backbones.network import create_network, load_weights
    from benchmark.backbones.train import Trained, train
    from benchmark.jobs.id_data import id_images, outlier_images
    from benchmark.jobs.inputs import predictions, trained_network
    from methods.registry import objective, sampler

    recipe, seeds = config["training"], config["seeds"]
    sets = id_images(config["split"], inputs["id"])
    classes = int(sets["train"].labels.max()) + 1
    if "training_set" in inputs:
        images = inputs["id"].tensors("images")["images"]
        chosen_rows = inputs["training_set"].tensors("training_set")
        sets["train"] = LabelledImages(
            images[chosen_rows["rows"]], chosen_rows["labels"], chosen_rows.get("trusted")
        )
    torch.manual_seed(seeds["weights"])
    network = create_network(config["architecture"], classes, config["image_size"], config["stem"])
    chosen = objective(config["objective"], **config["hyperparameters"])
    network.adapt(chosen, classes)
    loaded = None
    if "start" in inputs:
        weights, source = inputs["start"].tensors("model"), "the network to start from"
        has_own_head = chosen.head(network.dimension, classes) is not None
        loaded = load_weights(network, weights, source=source, with_classifier=not has_own_head)
    elif "pretrained" in inputs:
        loaded = load_weights(
            network,
            inputs["pretrained"].tensors("model"),
            source=f"the weights of the init {config['init']['source']}",
            with_classifier=recipe is None,
            partly=config["init"]["source"] == "checkpoint",
        )
    trained = Trained([])
    if recipe is not None:
        first = None
        if "first" in inputs:
            first = predictions(trained_network(config, inputs["first"]), sets["train"].images)
        watched = None
        if config["watched"]:
            stored = inputs["id_test"].tensors("images") if "id_test" in inputs else None
            watched = sets["test"] if stored is None else LabelledImages(stored["images"], stored["labels"])
        trained = train(
            network,
            chosen,
            sets["train"],
            None if "training_set" in inputs else sets["val"],  # of those nobody reads it epoch by epoch
            recipe,
            seeds["order"],
            outliers=outlier_images(config["blend"], inputs, sets["val"].images, seeds["order"]),
            first=first,
            sampler=None if config["sampler"] is None else sampler(**config["sampler"]),
            watched=watched,
            device=config["device"],
            checkpoint=Checkpoint(draft.partial),
            report=draft.report,
        )
    draft.tensors("model", network.weights())
    if trained.kept:
        draft.tensors("kept", trained.kept)
    draft.json("history", trained.history)
    about = {"classes": classes, "loaded": loaded}
    draft.json("about", about | {"objective": chosen.name, "hyperparameters": chosen.hyperparameters()})


def boundary(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Train and measure one arm of the experiment in two dimensions."""
    from benchmark.studies.boundary import run_arm

    draft.json("arm", run_arm(config["arm"], config["seed"], config["steps"]))


class Task(NamedTuple):
    """A job of a group: what it is given."""

    config: Config
    inputs: Inputs
    draft: Draft


def extract(tasks: Sequence[Task]) -> None:
    """Run one network once over every image of several image sets; the tasks share the network."""
    from benchmark.backbones.extract import Tap, extract
    from benchmark.backbones.network import to_pixels
    from benchmark.jobs.inputs import image_parts, trained_network

    network = trained_network(tasks[0].config, tasks[0].inputs["network"])
    tap = None
    for name in dict.fromkeys(task.config["set"] for task in tasks):
        of_set = {task.config["what"]: task for task in tasks if task.config["set"] == name}
        task = next(iter(of_set.values()))
        stored, split = task.inputs["images"], task.config.get("split")
        parts, labels = image_parts(name, stored, split)
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
    from benchmark.records.schema import refuse_odd

    tensors: dict[str, Any] = {}
    for role, stored in inputs.items():
        tensors |= stored.tensors("images" if role == "shift_images" else "features")
    if "shift_images" in inputs:
        tensors["shift.rows"] = tensors.pop("rows")
    found = classification({name: t.numpy() for name, t in tensors.items()})
    refuse_odd("classification", found["network"])
    draft.json("classification", found)


def score(tasks: Sequence[Task]) -> None:
    """Fit detectors on the ID training and validation features, and score every test image."""
    from benchmark.jobs.scoring import Scoring, score_into

    score_into([(task.draft, Scoring(task.config, task.inputs)) for task in tasks])


def tune(tasks: Sequence[Task]) -> None:
    """Like `score`, with the hyper-parameters that tell the validation sets apart best, by AUROC.

    Tasks without validation sets are those of `score`, which share the network's passes with the others.
    """
    from benchmark.jobs.scoring import Scoring, score_into
    from benchmark.metrics.detection import detection_metrics

    def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
        return detection_metrics(inside, outside).auroc

    score_into(
        [
            (task.draft, Scoring(task.config, task.inputs, auroc if task.config["validation"] else None))
            for task in tasks
        ]
    )


def measure(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Measure one cell from its scores."""
    from benchmark.metrics.cells import detection
    from benchmark.records.schema import refuse_odd

    about = inputs["scores"].json("about")
    if about["status"] == "measured":
        scores = {name: tensor.numpy() for name, tensor in inputs["scores"].tensors("scores").items()}
        network = inputs["classification"].json("classification")
        about["measurement"] = detection(scores, network, config["groups"], config["seed"])
        refuse_odd("measurement", about["measurement"])
    draft.json("cell", about)


def attack(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Measure one network, and detectors on it, under adversarial attacks."""
    from benchmark.studies import adversarial

    draft.json("measured", adversarial.measure(config, inputs))


def corrupt(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Measure one network on corrupted test images."""
    from benchmark.studies import corruptions

    draft.json("measured", corruptions.measure(config, inputs))


def assess(config: Config, inputs: Inputs, draft: Draft) -> None:
    """Measure one network that was trained on a transformed training set."""
    from benchmark.studies import imbalance, label_noise

    study = {"label_noise": label_noise, "imbalance": imbalance}[config["study"]]
    draft.json("measured", study.measure(config, inputs))
