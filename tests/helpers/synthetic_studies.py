"""Invented records of studies for the tests of the reports: valid by the schema, measured by nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import synthetic_records as synthetic

from benchmark.records.record import Record, RecordFile
from benchmark.spec.leaderboard import Spec
from benchmark.spec.studies import CORRUPTIONS

BACKBONE = "tiny_cnn"
SEEDS = tuple(range(8))
KINDS = CORRUPTIONS[:3]
INITS = ("scratch", "fractaldb", "adversarial")
RECIPE = {
    "epochs": 1,
    "batch_size": 2,
    "optimizer": "adamw",
    "lr": 0.1,
    "weight_decay": 0.0,
    "scheduler": "cosine",
    "warmup_epochs": 0,
    "augment": "none",
    "tune": "all",
}
STUDIES: dict[str, Any] = {
    "adversarial": {
        "networks": {
            "cross_entropy": ["scratch", "fractaldb"],
            "pgd_at": ["scratch", "fractaldb", "adversarial"],
            "pgd_at_fsr": ["scratch"],
        },
        "images_per_class": 5,
        "attacks": {
            "fgsm": {"method": "fgsm"},
            "pgd": {"method": "pgd", "hyperparameters": {"steps": 20}},
            "apgd_ce": {"method": "apgd_ce"},
            "square": {"method": "square"},
        },
        "curves": "pgd",
        "epsilons": [4 / 255, 8 / 255, 16 / 255],
        "steps": [1, 5, 10, 20],
        "transfer": {"source": "pgd_at", "to": ["pgd_at"]},
        "detectors": ["msp", "energy"],
    },
    "corruptions": {
        "networks": {"cross_entropy": ["scratch", "fractaldb"], "pgd_at": ["scratch"]},
        "kinds": list(KINDS),
        "scale": "cifar_c",
        "images_per_class": 5,
        "detectors": ["msp"],
    },
    "label_noise": {
        "inits": ["scratch", "fractaldb"],
        "strengths": [0.0, 0.5, 1.0],
        "noises": {"uniform": {"method": "uniform"}},
        "methods": {"none": {}, "glc_5": {"objective": "glc", "trusted": 0.05}},
        "watched": {"none": [0.5]},
        "full": {"noises": {"flip": {"method": "flip"}}, "strengths": [0.0, 0.25, 0.5, 0.75, 1.0]},
    },
    "imbalance": {
        "inits": ["scratch", "fractaldb"],
        "profiles": {"exp": {"method": "exp", "hyperparameters": {"mu": 0.1}}},
        "methods": {"none": {"objective": "longer"}, "oversample": {"sampler": {"method": "oversample"}}},
        "detectors": ["msp"],
        "full": {"profiles": {"step": {"method": "step"}}},
    },
}
BOARDS = {
    "adversarial": synthetic.board(
        title="Adversarial robustness",
        study="adversarial",
        rank_by="worst.accuracy",
        columns=[
            {"metric": f"{name}.accuracy", "title": name, "better": "higher"}
            for name in ("clean", "pgd", "apgd_ce", "square", "transfer", "worst")
        ],
    ),
    "corruptions": synthetic.board(
        title="Corruptions",
        study="corruptions",
        rank_by="mean.error",
        columns=[
            {"metric": "mean.error", "title": "Mean error", "better": "lower"},
            {"metric": "mce_rel_scratch", "title": "mCE", "better": "lower", "percent": False},
        ],
    ),
    "label_noise": synthetic.board(
        title="Label noise",
        study="label_noise",
        rank_by="mean.area",
        columns=[{"metric": "mean.area", "title": "Area", "better": "lower"}],
    ),
    "imbalance": synthetic.board(
        title="Class imbalance",
        study="imbalance",
        rank_by="mean.total.error",
        columns=[
            {"metric": "mean.total.error", "title": "Total", "better": "lower"},
            {"metric": "mean.minority.error", "title": "Minority", "better": "lower"},
        ],
    ),
}


def make_spec(studies: Mapping[str, Any] = STUDIES, boards: Mapping[str, Any] = BOARDS) -> Spec:
    """One backbone with the studies; the init `adversarial` is in the study of that name only."""
    tree = synthetic.make_spec(["msp"], backbones=[BACKBONE], boards=dict(boards)).model_dump(mode="json")
    tree["tracks"]["toy"]["studies"] = dict(studies)
    fractals = {key: value for key, value in tree["inits"]["fractaldb"].items() if key != "tune"}
    tree["objectives"] = {"longer": {"objective": "cross_entropy"}}
    tree["inits"]["adversarial"] = {"source": "adversarial", "of": fractals}
    return Spec.model_validate(tree)


def make_record(
    init: str = "scratch",
    seed: int = 0,
    condition: str = "",
    objective: str = "cross_entropy",
    **changes: Any,
) -> Record:
    done = training_set(condition)
    training = {"objective": objective, "recipe": RECIPE, "training_set": done, **changes.pop("training", {})}
    return Record.model_validate(
        {
            "backbone": BACKBONE,
            "init": init,
            "seed": seed,
            "condition": condition,
            "key": f"{objective}-{init}-{seed}-{condition}",
            "training": training,
            **changes,
        }
    )


def training_set(condition: str) -> dict[str, Any] | None:
    """What a condition of `STUDIES` does to the training split."""
    name, noisy, strength = condition.partition("@")
    if noisy:
        noise = {"method": name, "hyperparameters": {}, "strength": float(strength)}
        return {"noise": noise if float(strength) else None}
    given = {"mu": 0.1} if name == "exp" else {}
    return {"profile": {"method": name, "hyperparameters": given}} if name else None


def settings(study: str, row: str) -> dict[str, Any]:
    """How a row is measured: as `STUDIES` has it."""
    track = make_spec().tracks["toy"]
    known = dict(track.studies.chosen(full=True))[study]
    found = known.model_dump(mode="json", exclude={"networks", "transfer", "full"})
    transfer = STUDIES[study].get("transfer", {"to": []})
    found["transfer"] = transfer["source"] if row in transfer["to"] else None
    return found | {"groups": track.ood_sets(known.groups)}


def make_file(study: str, row: str, records: Sequence[Record], track: str = "toy") -> RecordFile:
    """A file of records; those that do not say how they were measured were measured as `STUDIES` has it."""
    how = settings(study, row)
    found = [r if r.settings else r.model_copy(update={"settings": how}) for r in records]
    return RecordFile.model_validate(
        {"track": track, "study": study, "row": row, "environments": {}, "records": found}
    )


def make_studies(
    seeds: Sequence[int] = SEEDS, keep: Callable[[str, str, Record], bool] = lambda *_: True
) -> list[RecordFile]:
    """Records of all four studies, as of a full run; a record that `keep` refuses is not there."""
    networks = STUDIES["adversarial"]["networks"]
    files = [
        make_file("adversarial", row, [_attacked(row, init, s) for init in inits for s in seeds])
        for row, inits in networks.items()
    ]
    files += [
        make_file("corruptions", row, [_corrupted(row, init, s) for init in inits for s in seeds])
        for row, inits in STUDIES["corruptions"]["networks"].items()
    ]
    inits = ("scratch", "fractaldb")
    files += [
        make_file(
            "label_noise",
            row,
            [
                _noisy(row, init, s, noise, p)
                for init in inits
                for s in seeds
                for noise in ("uniform", "flip")
                for p in (0.0, 0.25, 0.5, 0.75, 1.0)
            ],
        )
        for row in ("none", "glc_5")
    ]
    files += [
        make_file(
            "imbalance", row, [_skewed(row, i, s, p) for i in inits for s in seeds for p in ("exp", "step")]
        )
        for row in ("none", "oversample")
    ]
    return [
        file.model_copy(update={"records": [r for r in file.records if keep(file.study, file.row, r)]})
        for file in files
    ]


def _attacked(row: str, init: str, seed: int) -> Record:
    rng = np.random.default_rng([1, len(row), INITS.index(init), seed])
    robust = {"cross_entropy": 0.02, "pgd_at": 0.45, "pgd_at_fsr": 0.5}[row] + 0.05 * INITS.index(init)
    robust += 0.01 * rng.standard_normal() * (row != "cross_entropy")
    clean = (0.95 if row == "cross_entropy" else 0.85) + 0.005 * rng.standard_normal()
    numbers = {
        "clean.accuracy": clean,
        "fgsm.accuracy": robust + 0.05,
        "pgd.accuracy": robust,
        "apgd_ce.accuracy": max(robust - 0.015, 0),
        "square.accuracy": robust + 0.08,
        "transfer.accuracy": robust + 0.1,
        "worst.accuracy": max(robust - 0.02, 0),
    }
    for d, detector in enumerate(("msp", "energy")):
        for g, group in enumerate(("near", "far")):
            base = 0.85 + 0.05 * g + 0.02 * d + 0.01 * rng.standard_normal()
            for name, loss in {"": 0, "_ood_attacked": 0.45, "_id_attacked": 0.5, "_attacked": 0.75}.items():
                numbers[f"detector.{detector}.{group}.auroc{name}"] = base - loss * (1 - robust)
    fall = np.array([0.5, 1.0, 1.4])
    by_epsilon = np.clip(clean - (clean - robust) * fall, 0, 1).tolist()
    by_steps = [robust + 0.05, robust + 0.02, robust + 0.005, robust]
    series: dict[str, list[float]] = {
        "epsilon": [4 / 255, 8 / 255, 16 / 255],
        "accuracy_by_epsilon": by_epsilon,
        "steps": [1, 5, 10, 20],
        "accuracy_by_steps": by_steps,
        "loss_by_steps": [1.0, 1.3, 1.35, 1.36],
    }
    warnings = []
    if row == "cross_entropy" and seed < 2:
        warnings = [f"square leaves {seed}.5%, apgd_t2 {seed + 7}%: the gradient may be masked"]
    numbers |= {"white_box.accuracy": numbers["apgd_ce.accuracy"], "black_box.accuracy": robust + 0.08}
    if row == "pgd_at_fsr":
        numbers |= {"fsr.negative.accuracy": 0.3, "fsr.recalibrated.accuracy": 0.35 + 0.001 * seed}
        series["fsr.mask"] = rng.random(96).tolist()
        series["fsr.mask_shape"] = [96, 1, 1]
    training = {"hyperparameters": {}}
    return make_record(
        init,
        seed,
        "",
        row,
        numbers=numbers,
        series=series,
        warnings=warnings,
        training=training,
    )


def _corrupted(row: str, init: str, seed: int) -> Record:
    rng = np.random.default_rng([2, len(row), INITS.index(init), seed])
    series, numbers = {}, {"clean.accuracy": 0.95, "clean.ece": 0.03, "types": float(len(KINDS))}
    slope = {"cross_entropy": 0.08, "pgd_at": 0.05}[row] - 0.02 * INITS.index(init)
    for k, kind in enumerate(KINDS):
        accuracy = 0.95 - slope * (1 + k / 10) * np.arange(6) + 0.005 * rng.standard_normal(6)
        series[f"{kind}.accuracy"] = accuracy.tolist()
        series[f"{kind}.ece"] = (0.03 + 0.03 * np.arange(6)).tolist()
        series[f"{kind}.msp.near_auroc"] = (0.9 - 0.05 * np.arange(6)).tolist()
        numbers[f"{kind}.error"] = float(1 - accuracy[1:].mean())
    numbers["mean.error"] = float(np.mean([numbers[f"{kind}.error"] for kind in KINDS]))
    numbers |= {"mean.accuracy": 1 - numbers["mean.error"], "mean.ece": 0.1, "mean.msp.near_auroc": 0.75}
    return make_record(init, seed, "", row, numbers=numbers, series=series)


def _noisy(row: str, init: str, seed: int, noise: str, p: float) -> Record:
    rng = np.random.default_rng([3, len(row), INITS.index(init), seed, int(100 * p), len(noise)])
    strength = p * (0.55 if row == "glc_5" else 0.8) - 0.15 * p * (init == "fractaldb")
    error = 0.05 + strength * (1.1 if noise == "flip" else 1) + 0.01 * rng.random()
    series = {}
    if row == "none" and p == 0.5:
        dip = np.array([0.6, 0.35, 0.25, 0.3, 0.4, 0.45])
        series["test_error"] = (dip + error - 0.45).tolist()
    objective = "glc" if row == "glc_5" else "cross_entropy"
    numbers = {"test.error": float(error), "test.ece": 0.1, "test.rms_calibration": 0.12, "flipped": p}
    condition = f"{noise}@{p:g}"
    training = {}
    if row == "glc_5":
        done = {**(training_set(condition) or {}), "trusted": 0.05}
        first = {"objective": "cross_entropy", "recipe": RECIPE}
        first["training_set"] = {**done, "untrusted_only": True}
        training = {"training_set": done, "first_phase": first}
    return make_record(init, seed, condition, objective, numbers=numbers, series=series, training=training)


def _skewed(row: str, init: str, seed: int, profile: str) -> Record:
    rng = np.random.default_rng([4, len(row), INITS.index(init), seed, len(profile)])
    error = 0.2 - 0.03 * (row == "oversample") - 0.06 * (init == "fractaldb") + 0.01 * rng.random()
    numbers = {
        "total.error": error,
        "minority.error": 1.4 * error,
        "macro_f1": 1 - error,
        "msp.near.auroc": 0.8,
        "msp.far.auroc": 0.9,
    }
    sampler = {"name": "oversample"} if row == "oversample" else None
    return make_record(init, seed, profile, numbers=numbers, training={"sampler": sampler})
