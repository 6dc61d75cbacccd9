"""Outcomes of evaluations that nobody made, as real ones look: of invented scores, measured as scores are."""

import io
import math
from collections.abc import Iterator

import numpy as np
from PIL import Image

from benchmark.evaluation.outcome import Outcome, ScoredImage
from benchmark.metrics.calibration import calibration_metrics, fit_temperature, softmax
from benchmark.metrics.calibration import reliability as bins_of
from benchmark.metrics.detection import detection_metrics, roc_at

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(1)>'
MARKS = "a|b `c` **d** [e](http://evil.example) $f$\n# g"
TURNED = "invoice\u202egnp.exe"
FORMULA = '=HYPERLINK("http://evil.example","x")'
HEBREW = "שלום.png"
LONG = "n" * 300
HOSTILE = (
    SCRIPT,
    IMAGE,
    MARKS,
    TURNED,
    FORMULA,
    HEBREW,
    LONG,
    "\x00\x1b[31m",
    "]]>",
    "--><!--",
    "'; rm -rf ~ #",
)
NAMES = (
    "knn", "vim", "mahalanobis_pp", "energy", "react", "msp", "max_logit", "gen", "ash", "scale", "dice",
    "temperature_scaling", "klm", "she", "fdbd", "nnguide", "residual", "entropy", "neco", "relation",
)  # fmt: skip
EDGES = np.linspace(-1, 1, 41)
MADE = "2026-12-01T12:00:00+00:00"


def interval(value, half):
    return {"value": value, "low": max(value - half, 0.0), "high": min(value + 0.8 * half, 1.0)}


def of_shares(share, n):
    return interval(share, 1.96 * math.sqrt(max(share * (1 - share), 1e-4) / n))


def outcome(
    *,
    labels: bool = True,
    near: int = 1,
    far: int = 2,
    detectors: int = 8,
    ood_images: int = 600,
    corrupted: bool = False,
    hostile: bool = False,
    warnings: tuple[str, ...] = (),
) -> Outcome:
    """An outcome of so many near and far OOD sets and detectors.

    Parameters
    ----------
    ood_images : of each OOD set.
    hostile : everything that a user may write freely is.
    """
    rng = np.random.default_rng(0)
    bad = iter([*HOSTILE, *(f"{one}{i}" for i in range(20) for one in HOSTILE)])

    def named(name):
        return next(bad) if hostile else name

    sets = {
        named(("lookalikes", "siblings", "cousins")[i % 3] + "2" * (i // 3)): ("near", 0.32)
        for i in range(near)
    }
    sets |= {
        named(("textures", "noise", "places", "sketches")[i % 4] + "2" * (i // 4)): ("far", 0.02)
        for i in range(far)
    }
    n = 1200
    of_id = np.clip(rng.normal(0.62, 0.15, n), -1, 1)
    scores = {name: np.clip(rng.normal(at, 0.2, ood_images), -1, 1) for name, (_, at) in sets.items()}
    found = [_detector(i, of_id, scores, sets, rng, labels, named) for i in range(detectors)]
    found.sort(key=lambda one: -one["mean"]["value"])
    top = found[0]["mean"]["value"]
    for i, one in enumerate(found):
        difference = one["mean"]["value"] - top
        p = 1.0 if i == 0 else min(1.0, math.exp(200 * difference))
        one["against_best"] = {
            "difference": {"value": difference, "low": difference - 0.01, "high": difference + 0.01},
            "p": p,
            "p_holm": p,
            "verdict": "best" if i == 0 else "worse" if p < 0.05 else "undecided",
        }
    equal = [one for one in found if one["against_best"]["verdict"] != "worse" and one["cost"] <= 1.1]
    chosen = min(equal, key=lambda one: one["cost"], default=found[0])
    correct = rng.random(n) < np.clip(0.75 + 0.4 * (of_id - 0.5), 0, 1)
    thresholds = [
        _threshold(keep, of_id, scores, correct if labels else None) for keep in (0.95, 0.8, 0.9, 0.99)
    ]
    grid = np.linspace(0, 1, 51)
    fooling = [
        {
            "set": name,
            "image": named(f"{name}/img_{i:03d}.png"),
            "score": float(value),
            "predicted": named(("tabby cat", "red fox", "steam train")[i % 3]),
        }
        for name, own in scores.items()
        for i, value in enumerate(sorted(own, reverse=True)[:6])
    ]
    fooling.sort(key=lambda one: -one["score"])
    return Outcome.model_validate(
        {
            "title": named("timm:resnet18 on photos"),
            "made": MADE,
            "environment": {
                "python": "3.11.9",
                "libraries": {"torch": "2.15.0", named("timm"): named("1.0.20")},
            },
            "model": {
                "title": named("timm:resnet18"),
                "classes": 3,
                "fingerprint": "ab" * 32,
                "parameters": 11_200_000,
                "preprocessing": {"size": [224, 224], "mean": [0.485, 0.456, 0.406], "from": named("timm")},
                "layers": ["layer1", "layer2", named("layer3")],
            },
            "sets": [
                {"name": name, "role": role, "n": size, "excluded": 0, "card": _card(size, named)}
                for name, role, size in (
                    ("id train", "id_train", 5000),
                    ("id val", "id_val", 900),
                    ("id test", "id_test", n),
                )
            ]
            + [
                {"name": name, "role": role, "n": ood_images, "excluded": 3, "card": _card(ood_images, named)}
                for name, (role, _) in sets.items()
            ],
            "warnings": [*warnings, *([named("w"), named("w"), named("w")] if hostile else [])],
            "classified": _classified(rng, correct) if labels else None,
            "detectors": found,
            "not_applicable": [
                {"name": "odin", "why": named("it needs gradients in the image, and an ONNX file has none")},
                {"name": "gram", "why": "the model gives no stage features"},
            ],
            "recommended": {
                "name": chosen["name"],
                "budget": 1.1,
                "rule": "Highest mean AUROC over near and far within the budget; ties go to the cheaper.",
                "why": named(
                    f"{chosen['name']} costs least of those that the images do not tell from the best."
                ),
                "ties": [one["name"] for one in equal],
            },
            "thresholds": thresholds,
            "selective": _selective(of_id, correct) if labels else None,
            "corrupted": _corrupted(labels) if corrupted else (),
            "drawn": {
                "edges": EDGES.tolist(),
                "histograms": {
                    name: (np.histogram(own, EDGES)[0] / len(own)).tolist()
                    for name, own in {"id": of_id, **scores}.items()
                },
                "fpr": grid.tolist(),
                "tpr": {name: roc_at(of_id, own, grid).tolist() for name, own in scores.items()},
            },
            "fooling": fooling,
            "seconds": {"forward": 41.2, "fit": 3.1, "score": 1.9, "all": 52.7},
        }
    )


def _detector(i, of_id, scores, sets, rng, labels, named):
    noise = 0.03 + 0.02 * i
    detected = {}
    for name, own in scores.items():
        metrics = detection_metrics(
            of_id + rng.normal(0, noise, len(of_id)), own + rng.normal(0, noise, len(own))
        )
        half = 0.5 / math.sqrt(len(own))
        detected[name] = {
            "group": sets[name][0],
            "auroc": interval(metrics.auroc, half),
            "fpr95": interval(metrics.fpr95, half),
            "aupr_in": interval(metrics.aupr_in, half),
            "aupr_out": interval(metrics.aupr_out, half),
        }
    groups = {
        group: np.mean(values)
        if (values := [one["auroc"]["value"] for one in detected.values() if one["group"] == group])
        else None
        for group in ("near", "far")
    }
    there = [float(one) for one in groups.values() if one is not None]
    number = i // len(NAMES) + 1
    return {
        "name": NAMES[i % len(NAMES)] + (f"_{number}" if number > 1 else ""),
        "title": named(f"Detector number {i + 1}, as its paper calls it"),
        "hyperparameters": {
            "k": 50,
            "normalise": True,
            "temperature": 1.5,
            named("layers"): [1, 2, named("x")],
        },
        "needs": ["logits", "penultimate"],
        "sets": detected,
        "near": None if groups["near"] is None else interval(float(groups["near"]), 0.012),
        "far": None if groups["far"] is None else interval(float(groups["far"]), 0.006),
        "mean": interval(float(np.mean(there)), 0.009),
        "aurc": 0.08 + 0.002 * i if labels else None,
        "cost": 1.0 + 0.004 * (1 + (7 * i + 4) % 11) ** 2,
        "fit_seconds": 0.1 * i,
    }


def _threshold(keep, of_id, scores, correct):
    cut = float(np.quantile(of_id, 1 - keep))
    kept = of_id >= cut
    return {
        "keep": keep,
        "threshold": cut,
        "n_val": 900,
        "kept": of_shares(float(kept.mean()), len(of_id)),
        "passed": {name: of_shares(float((own >= cut).mean()), len(own)) for name, own in scores.items()},
        "accuracy_kept": None if correct is None else of_shares(float(correct[kept].mean()), int(kept.sum())),
    }


def _classified(rng, correct):
    n = len(correct)
    labels = rng.integers(0, 3, n)
    logits = rng.normal(0, 1, (n, 3))
    said = np.where(correct, labels, (labels + 1) % 3)
    logits[np.arange(n), said] = logits.max(1) + rng.gamma(2, np.where(correct, 1.5, 0.8))
    t_fitted = fit_temperature(logits, labels).value
    found = {"temperature": t_fitted, "accuracy": of_shares(float(correct.mean()), n)}
    for suffix, t in (("", 1.0), ("_scaled", t_fitted)):
        p = softmax(logits, t)
        metrics = calibration_metrics(logits, labels, t)
        found[f"calibration{suffix}"] = {
            name: getattr(metrics, name)
            for name in ("nll", "brier", "ece", "rms_calibration", "mad_calibration")
        }
        bins = bins_of(p.max(1), p.argmax(1) == labels)
        filled = np.asarray(bins.count) > 0
        found[f"reliability{suffix}"] = {
            name: np.asarray(getattr(bins, name))[filled].tolist()
            for name in ("lower", "upper", "count", "confidence", "accuracy")
        }
    return found


def _selective(of_id, correct):
    wrong = ~correct[np.argsort(-of_id, kind="stable")]
    risk = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    at = np.unique(np.linspace(20, len(wrong) - 1, 60).astype(int))
    return {
        "coverage": ((at + 1) / len(wrong)).tolist(),
        "risk": risk[at].tolist(),
        "aurc": float(risk.mean()),
    }


def _corrupted(labels):
    return [
        {
            "kind": kind,
            "severity": at,
            "accuracy": 0.92 - 0.02 * at * (1 + i / 4) if labels else None,
            "auroc": 0.9 - 0.03 * at * (1 + i / 5),
            "kept": 0.95 - 0.04 * at * (1 + i / 5),
        }
        for i, kind in enumerate(("gaussian_noise", "shot_noise", "motion_blur", "fog", "jpeg_compression"))
        for at in range(1, 6)
    ]


def _card(n, named):
    spread = {"min": 32, "median": 480.0, "max": 4032}
    return {
        "n": n,
        "from": "folders",
        "labelled": True,
        "by_class": {named("tabby cat"): n // 2, named("red fox"): n - n // 2},
        "sizes": {"width": spread, "height": spread},
        "kinds": {"RGB": n - 2, "palette": 2},
        "broken": {
            "count": 2,
            "first": [{"name": named("broken.png"), "reason": named("cut off after 12 bytes")}],
        },
        "notes": [named("2 images turned by their EXIF data")],
    }


def thumbnails(of: Outcome) -> dict[tuple[str, str], bytes]:
    """Small pictures of the images that fool most: every other one a JPEG, and of several sizes."""
    found = {}
    for i, one in enumerate(of.fooling):
        size = [(96, 64), (28, 28), (64, 96)][i % 3]
        file = io.BytesIO()
        pixels = np.random.default_rng(i).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file, "JPEG" if i % 2 else "PNG")
        found[one.set, one.image] = file.getvalue()
    return found


def scored(of: Outcome, each: int = 4) -> Iterator[ScoredImage]:
    """A few images of each set, with the names that the outcome has."""
    cut = of.thresholds[0].threshold
    for one in of.sets:
        for i in range(each):
            score = cut + (i - each / 2) / 7
            label = None if one.role in ("near", "far") else "tabby cat"
            yield ScoredImage(
                one.name, f"{one.name}/{i}.png", label, "red fox", 1 / (i + 2), score, score >= cut
            )
