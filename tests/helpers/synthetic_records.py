"""Invented records for the tests of the reports: valid by the schema, measured by nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from scipy.stats import norm

from benchmark.records.record import DETECTION, Record, RecordFile
from benchmark.spec.images import Training
from benchmark.spec.leaderboard import Spec
from benchmark.studies.detection.measurement import GROUPS as BOTH
from benchmark.studies.detection.measurement import Measurement, group_means
from benchmark.studies.detection.records import Scored, of_measurement

NOW = datetime(2025, 7, 1, 9, 30, tzinfo=UTC)
BACKBONES = ("tiny_cnn", "tiny_vit")
INITS = ("scratch", "fractaldb")
ENTRIES = ("msp", "energy", "knn")
SEEDS = tuple(range(8))
SHIFTS = ("gaussian_noise", "defocus_blur", "contrast")
GROUPS = {"near": ["digits_6_to_9"], "far": ["glyphs", "uniform_noise"]}
TRAINED = Training(epochs=1, batch_size=2, lr=0.1, weight_decay=0.0)
COLUMNS = [
    {"metric": "near.auroc", "title": "Near AUROC", "better": "higher"},
    {"metric": "far.auroc", "title": "Far AUROC", "better": "higher"},
    {"metric": "near.fpr95", "title": "Near FPR@95", "better": "lower"},
    {"metric": "classification.calibration.nll", "title": "NLL", "better": "lower", "percent": False},
]


def weights_that_saw_glyphs(spec: dict[str, Any]) -> None:
    """Train the first weights of fractaldb on an OOD set that the track `toy` also says to overlap."""
    images, training = {"dataset": "glyphs"}, TRAINED.model_dump()
    spec["inits"]["fractaldb"] = {"source": "dataset", "images": images, "training": training}
    spec["tracks"]["toy"]["overlaps"] = {"glyphs": "the letter O"}


def board(**changes: Any) -> dict[str, Any]:
    return {
        "title": "OOD detection",
        "track": "toy",
        "rows": ["entry", "init"],
        "columns": COLUMNS,
        "rank_by": "near.auroc",
        **changes,
    }


def make_spec(
    entries: Sequence[str] = ENTRIES,
    inits: Sequence[str] = INITS,
    backbones: Sequence[str] = BACKBONES,
    boards: dict[str, dict[str, Any]] | None = None,
) -> Spec:
    track = {
        "title": "Toy digits (synthetic)",
        "image_size": 32,
        "id": {"dataset": "digits"},
        "split": {"train_per_class": 20, "val_per_class": 20},
        "near": {"digits_6_to_9": {"dataset": "digits"}},
        "far": {"glyphs": {"dataset": "glyphs"}, "uniform_noise": {"dataset": "uniform_noise"}},
        "shifts": {"kinds": list(SHIFTS), "scale": "imagenet_c", "images_per_class": 5},
        "training": TRAINED.model_dump(),
        "backbones": list(backbones),
        "inits": list(inits),
        "seeds": list(SEEDS),
        "entries": list(entries),
    }
    fractals = {"source": "fractaldb", "preset": "fractaldb_tiny", "training": TRAINED.model_dump()}
    return Spec.model_validate(
        {
            "version": 1,
            "tracks": {"toy": track},
            "backbones": {name: {"architecture": "test_resnet"} for name in backbones},
            "inits": {
                "scratch": {"source": "scratch"},
                **{init: fractals for init in inits if init != "scratch"},
            },
            "entries": {name: {"detector": name} for name in entries},
            "boards": {"detection": board()} if boards is None else boards,
        }
    )


def make_measurement(rng: np.random.Generator, near: float, far: float, miscalibration: float) -> Measurement:
    """`near` and `far` are the distances of two unit normals: AUROC = Φ(distance / √2)."""
    accuracy = 0.95 + 0.005 * rng.standard_normal()
    calibration = {
        "nll": 0.2 + miscalibration,
        "brier": 0.1 + miscalibration / 2,
        "ece": miscalibration,
        "rms_calibration": 1.2 * miscalibration,
        "mad_calibration": miscalibration,
    }
    scaled = {name: value / 2 for name, value in calibration.items()}
    severities = [
        {
            "severity": s,
            "accuracy": accuracy - 0.08 * s * (1 + miscalibration),
            "ece": miscalibration * (1 + s),
            "auroc_near": float(norm.cdf(near / 2**0.5)) - 0.05 * s,
        }
        for s in range(6)
    ]
    edges = np.linspace(-6, 10, 41)
    fpr = np.linspace(0, 1, 51)
    sets = {
        "digits_6_to_9": ("near", near),
        "glyphs": ("far", far),
        "uniform_noise": ("far", far),
    }
    return Measurement.model_validate(
        {
            "classification": {
                "accuracy": accuracy,
                "n": 400,
                "calibration": calibration,
                "calibration_scaled": scaled,
                "temperature": 1.4,
                "temperature_at_bound": False,
                "reliability": _reliability(rng, 2 * miscalibration, accuracy),
                "reliability_scaled": _reliability(rng, miscalibration / 2, accuracy),
            },
            "detection": {
                name: {"group": group, **_detection(distance), "n_in": 400, "n_out": 400}
                for name, (group, distance) in sets.items()
            },
            "near": _detection(near),
            "far": _detection(far),
            "selective": {"aurc": 0.01, "eaurc": 0.005, "aurra": 0.99},
            "robustness": dict.fromkeys(SHIFTS, severities),
            "curves": {
                "fpr": fpr.tolist(),
                "tpr_near": _roc(fpr, near),
                "tpr_far": _roc(fpr, far),
                "score_low": edges[0],
                "score_high": edges[-1],
                "histogram_id": np.diff(norm.cdf(edges - 3)).tolist(),
                "histogram_near": np.diff(norm.cdf(edges - 3 + near)).tolist(),
                "histogram_far": np.diff(norm.cdf(edges - 3 + far)).tolist(),
            },
        }
    )


def altered(
    plain: Measurement, sets: Mapping[str, Mapping[str, float]], accuracy: float | None = None
) -> Measurement:
    """One with other numbers, and what must go with them: means, ROC curves, bins.

    `sets` has numbers of an OOD set, or of every set of a group.
    """
    detection = {
        name: found.model_copy(update={**sets.get(found.group, {}), **sets.get(name, {})})
        for name, found in plain.detection.items()
    }
    means = {group: group_means(detection.values(), group) for group in BOTH}
    fpr = np.asarray(plain.curves.fpr)
    roc = {f"tpr_{group}": _roc(fpr, 2**0.5 * norm.ppf(means[group]["auroc"])) for group in BOTH}
    tree = plain.model_dump() | {"detection": {name: one.model_dump() for name, one in detection.items()}}
    if accuracy is not None:
        bins = dict.fromkeys(
            ("reliability", "reliability_scaled"), _reliability(np.random.default_rng(0), 0.0, accuracy)
        )
        tree["classification"] |= {"accuracy": accuracy, **bins}
    return Measurement.model_validate({**tree, **means, "curves": tree["curves"] | roc})


def make_record(
    backbone: str, init: str, seed: int, measurement: Measurement | None, **changes: Any
) -> Record:
    """A record of a cell; `changes` may be of its settings."""
    settings = {
        "objective": "cross_entropy",
        "detector": "msp",
        "hyperparameters": {},
        "hp_mode": "published",
        "networks": 1,
    }
    settings |= {name: changes.pop(name) for name in Scored.model_fields if name in changes}
    failed = {"status": "failed", "reason": "scores are not finite"}
    record = Record.model_validate(
        {
            "backbone": backbone,
            "init": init,
            "seed": seed,
            **({} if measurement else failed),
            "key": f"{backbone}-{init}-{seed}",
            "settings": {"groups": GROUPS, **settings},
            "training": {"objective": "cross_entropy", "recipe": {**TRAINED.model_dump(), "tune": "all"}},
            "provenance": {
                "date": f"2025-06-{seed + 1:02d}T12:00:00Z",
                "measured_in": "e1",
                "trained_in": "e1",
                "checkpoint": "c" * 64,
                "method_source": "m" * 64,
                "data": {"digits": "d" * 64},
                "seeds": {"init": seed},
            },
            **changes,
        }
    )
    return record if measurement is None else measured(record, measurement)


def measured(record: Record, measurement: Measurement) -> Record:
    """A record with the numbers of a measurement, which may contradict each other."""
    found = {"status": "measured", "reason": None, **of_measurement(measurement)}
    return Record.model_validate({**dict(record), **found})


def set_up(record: Record, **settings: Any) -> Record:
    """A record with other settings."""
    return record.model_copy(update={"settings": {**record.settings, **settings}})


def make_file(
    entry: str,
    records: Sequence[Record],
    track: str = "toy",
    objective: str = "cross_entropy",
    detector: str = "",
    **changes: Any,
) -> RecordFile:
    """The file of an entry, with the records as of its objective and detector."""
    environment = {
        "oodbench": "0.1.0",
        "commit": "0123abc",
        "python": "3.11.9",
        "platform": "Linux-6.1-x86_64",
        "processor": "Invented CPU",
        "cores": 2,
        "accelerator": None,
        "libraries": {"torch": "2.4.0", "timm": "1.0.9"},
    }
    file = RecordFile.model_validate(
        {
            "track": track,
            "study": DETECTION,
            "row": entry,
            "environments": {"e1": environment},
            "records": [],
            **changes,
        }
    )
    made = {"objective": objective, "detector": detector or entry}
    keyed = [set_up(r.model_copy(update={"key": f"{entry}-{r.key}"}), **made) for r in records]
    return file.model_copy(update={"records": keyed})


def make_results(
    spec: Spec | None = None,
    keep: Callable[[str, str, str, int], bool] = lambda entry, backbone, init, seed: True,
    seeds: Sequence[int] = SEEDS,
) -> list[RecordFile]:
    """Records of every cell of `spec`; a cell that `keep` refuses has failed."""
    track = (spec or make_spec()).tracks["toy"]
    files = []
    for e, entry in enumerate(track.entries):
        records = []
        for b, backbone in enumerate(track.backbones):
            for i, init in enumerate(track.inits):
                for seed in seeds:
                    rng = np.random.default_rng([e, b, i, seed])
                    near = 1.2 + 0.35 * e + 0.4 * (i > 0) - 0.2 * b + 0.1 * rng.standard_normal()
                    far = 2.5 - 0.8 * (e % 2) + 0.02 * i + 0.2 * rng.standard_normal()
                    network = np.random.default_rng([b, i, seed])  # the same network for every entry
                    gap = 0.06 - 0.03 * (i > 0) + 0.004 * network.random()
                    kept = keep(entry, backbone, init, seed)
                    measurement = make_measurement(network, near, far, gap) if kept else None
                    records.append(make_record(backbone, init, seed, measurement))
        files.append(make_file(entry, records))
    return files


def _detection(distance: float) -> dict[str, float]:
    auroc = float(norm.cdf(distance / 2**0.5))
    return {
        "auroc": auroc,
        "aupr_in": auroc,
        "aupr_out": auroc,
        "aupr_out_b": auroc,
        "fpr95": float(norm.cdf(1.645 - distance)),
        "fpr95_ood_pos": float(norm.cdf(1.645 - distance)),
        "detection_error": 1 - auroc,
    }


def _roc(fpr: np.ndarray, distance: float) -> list[float]:
    return norm.cdf(norm.ppf(np.clip(fpr, 1e-9, 1 - 1e-9)) + distance).tolist()


def _reliability(rng: np.random.Generator, gap: float, accuracy: float) -> dict[str, list[Any]]:
    """Bins of 400 images whose accuracy is `accuracy` over all."""
    upper = np.arange(5, 16) / 15
    middle = upper - 1 / 30
    count = [3, 4, 5, 6, 8, 10, 14, 20, 30, 60, 240]
    right = np.clip(middle - gap + 0.1 * rng.standard_normal(11) * (1 - middle), 0, 1)
    mean = np.average(right, weights=count)
    right += (
        (accuracy - mean) / (1 - mean) * (1 - right) if mean < accuracy else (accuracy / mean - 1) * right
    )
    return {
        "lower": (upper - 1 / 15).tolist(),
        "upper": upper.tolist(),
        "count": count,
        "confidence": middle.tolist(),
        "accuracy": right.tolist(),
    }
