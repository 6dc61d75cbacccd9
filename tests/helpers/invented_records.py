"""Records for tests of reading and writing: valid by the schema, measured by nobody."""

from benchmark.records.record import DETECTION, Record, RecordFile
from benchmark.studies.detection.measurement import Measurement
from benchmark.studies.detection.records import Scored, of_measurement

MEANS = ("auroc", "aupr_in", "aupr_out", "aupr_out_b", "fpr95", "fpr95_ood_pos", "detection_error")


def measurement(x=0.123456789012345):
    calibration = dict.fromkeys(("nll", "brier", "ece", "rms_calibration", "mad_calibration"), x)
    reliability = {"lower": [0.0], "upper": [x], "count": [9], "confidence": [x], "accuracy": [x]}
    means = dict.fromkeys(MEANS, x)
    rates, histograms = ("fpr", "tpr_near", "tpr_far"), ("histogram_id", "histogram_near", "histogram_far")
    size = {"n_in": 9, "n_out": 4}
    return Measurement.model_validate(
        {
            "classification": {
                "accuracy": x,
                "n": 9,
                "calibration": calibration,
                "calibration_scaled": calibration,
                "temperature": 1.5,
                "temperature_at_bound": False,
                "reliability": reliability,
                "reliability_scaled": reliability,
            },
            "detection": {
                "digits": {"group": "near", **means, **size},
                "noise": {"group": "far", **means, **size},
            },
            "near": means,
            "far": means,
            "selective": {"aurc": x, "eaurc": x, "aurra": x},
            "robustness": {"contrast": [{"severity": 0, "accuracy": x, "ece": x, "auroc_near": x}]},
            # A curve that steps as high as `x` allows, so that any area fits it.
            "curves": {
                "score_low": -1.0,
                "score_high": 1.0,
                **{name: [0.0, 1.0] for name in rates},
                **{name: [x, 1 - x] for name in histograms},
            },
        }
    )


def environment(cores=2):
    return {
        "oodbench": "0.1.0",
        "python": "3",
        "platform": "p",
        "processor": "c",
        "cores": cores,
        "libraries": {},
    }


def record(seed=0, key="k", x=0.5, place="here", status="measured", **fields):
    made = {
        "date": "2026-01-01T00:00:00+00:00",
        "measured_in": place,
        "trained_in": place,
        "checkpoint": "0",
        "method_source": "1",
        "data": {"noise": "2"},
        "seeds": {"split": 2**62 + 1},
    }
    spent = dict.fromkeys(
        ("train_seconds", "extract_seconds", "score_seconds", "measure_seconds", "peak_memory_mb"), 1.0
    )
    settings = {
        "objective": "cross_entropy",
        "detector": "knn",
        "hyperparameters": {},
        "hp_mode": "published",
        "networks": 1,
    }
    settings |= {name: fields.pop(name) for name in Scored.model_fields if name in fields}
    settings = {"groups": {"near": ["digits"], "far": ["noise"]}, **settings}
    if status == "measured":
        fields = {**of_measurement(measurement(x)), "cost": spent, "provenance": made, **fields}
    place = {"backbone": "b", "init": "scratch", "seed": seed}
    return Record.model_validate({**place, "status": status, "key": key, "settings": settings, **fields})


def failed(seed=0, key="k", reason="no luck"):
    return record(seed, key, status="failed", reason=reason)


def file(*records, places=("here",), **fields):
    environments = {name: environment(cores) for cores, name in enumerate(places)}
    about = {"track": "t", "study": DETECTION, "row": "knn", **fields}
    return RecordFile(environments=environments, records=list(records), **about)
