"""What the conditions of a study come to, as numbers by path: areas, means, gains, what longer training does.

Functions return the numbers, and for each number that more records would give what is lacking. This module
must not know which records count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from benchmark.metrics.curves import error_curve_area, error_curve_mean
from benchmark.records.record import Record
from benchmark.spec.studies import Adversarial

Numbers = tuple[dict[str, float], dict[str, str]]
OF_NOISE = ("error", "ece", "rms_calibration", "flipped")  # of a network trained on noisy labels
OF_CURVE = ("overtraining", "late")  # where its test error is watched


def parse_noise(condition: str) -> tuple[str, float] | None:
    """Noise and strength of a condition such as ``uniform@0.4``; None if it is none."""
    noise, at, strength = condition.partition("@")
    try:
        return (noise, float(strength)) if at else None
    except ValueError:
        return None


def adversarial_numbers(record: Record, study: Adversarial) -> Numbers:
    """The record's own, and what claims ask of several of them at once.

    ``fsr.gain`` is what recalibration adds to the accuracy of the non-robust part. ``half.excess`` is the
    worst case less half of the accuracy under `study.curves`: its difference between two networks is
    positive where the gain of the worst case is more than half of the other; where there is no gain under
    `study.curves`, that says nothing. ``black_box.excess`` is the lowest accuracy of the attacks without
    gradients, transfer among them, less the lowest of the others, and ``loss.least_rise``
    the smallest rise of the loss from one number of steps to the next.
    """
    numbers = {name: float(value) for name, value in record.numbers.items()}
    if {"fsr.recalibrated.accuracy", "fsr.negative.accuracy"} <= numbers.keys():
        numbers["fsr.gain"] = numbers["fsr.recalibrated.accuracy"] - numbers["fsr.negative.accuracy"]
    if "worst.accuracy" in numbers:
        numbers["half.excess"] = numbers["worst.accuracy"] - numbers[f"{study.curves}.accuracy"] / 2
    if {"black_box.accuracy", "white_box.accuracy"} <= numbers.keys():
        numbers["black_box.excess"] = numbers["black_box.accuracy"] - numbers["white_box.accuracy"]
    losses = record.series.get("loss_by_steps", [])
    if len(losses) > 1:
        numbers["loss.least_rise"] = min(b - a for a, b in pairwise(losses))
    return numbers, {}


def corruption_numbers(record: Record) -> Numbers:
    """The record's own."""
    return {name: float(value) for name, value in record.numbers.items()}, {}


def relative_corruption(
    own: Mapping[str, float], base: Sequence[Mapping[str, float]], kinds: Sequence[str]
) -> Numbers:
    """``mce_rel_scratch``: mean over the types of the error relative to the mean of other networks.

    1 is as many errors as they make. A single one of them may make no error under a mild type.
    """
    if not base:
        return {}, {"mce_rel_scratch": "no record of a plain network from scratch"}
    usual = {kind: fmean(numbers[f"{kind}.error"] for numbers in base) for kind in kinds}
    if errorless := [kind for kind in kinds if usual[kind] == 0]:
        lack = f"the plain networks from scratch make no error under {', '.join(errorless)}"
        return {}, {"mce_rel_scratch": lack}
    return {"mce_rel_scratch": fmean(own[f"{kind}.error"] / usual[kind] for kind in kinds)}, {}


def noise_numbers(
    records: Mapping[str, Record],
    noises: Sequence[str],
    strengths: Sequence[float],
    listed: Iterable[str] = (),
) -> Numbers:
    """Each condition's numbers as ``uniform@0.4.error``, and the area and mean of each noise's error curve.

    ``uniform@0.4.overtraining`` is the error after the last epoch less the least one on the way,
    ``uniform@0.4.late`` less the one after a third of the epochs. ``mean.area`` is over the noises. `listed`
    are all conditions that there may be.
    """
    numbers: dict[str, float] = {}
    absent: dict[str, str] = {}
    for condition in listed:
        noise, label = condition.partition("@")[0], condition
        absent |= {f"{noise}.{name}": f"without {noise}" for name in ("area", "mean")}
        absent |= {f"{label}.{name}": f"without {label}" for name in OF_NOISE + OF_CURVE}
    errors: dict[str, dict[float, float]] = {}
    for condition, record in records.items():
        parsed = parse_noise(condition)
        if parsed is None:
            continue
        label = f"{parsed[0]}@{parsed[1]:g}"
        numbers |= {f"{label}.{k.removeprefix('test.')}": float(v) for k, v in record.numbers.items()}
        errors.setdefault(parsed[0], {})[parsed[1]] = record.numbers["test.error"]
        if curve := record.series.get("test_error"):
            numbers[f"{label}.overtraining"] = curve[-1] - min(curve)
            numbers[f"{label}.late"] = curve[-1] - curve[math.ceil(len(curve) / 3) - 1]
        else:  # nobody watched it, and that is no gap
            for name in OF_CURVE:
                absent.pop(f"{label}.{name}", None)
    ways = {"area": error_curve_area, "mean": error_curve_mean}
    for noise in noises:
        there = errors.get(noise, {})
        lacking = [f"{noise}@{p:g}" for p in strengths if p not in there]
        for name, of in ways.items():
            if lacking:
                absent[f"{noise}.{name}"] = f"without {', '.join(lacking)}"
            else:
                numbers[f"{noise}.{name}"] = of(strengths, [there[p] for p in strengths])
    means = {f"mean.{name}": [f"{n}.{name}" for n in noises] for name in ways}
    numbers, absent = _with_means(numbers, absent, means)
    return numbers, {name: lack for name, lack in absent.items() if name not in numbers}


def imbalance_numbers(records: Mapping[str, Record], profiles: Sequence[str]) -> Numbers:
    """Each profile's numbers as ``exp.total.error``, and means over `profiles` as ``mean.total.error``."""
    numbers = {
        f"{profile}.{name}": float(value)
        for profile, record in records.items()
        for name, value in record.numbers.items()
    }
    names = dict.fromkeys(name for record in records.values() for name in record.numbers)
    absent = {
        f"{profile}.{name}": f"without {profile}"
        for profile in profiles
        for name in names
        if profile not in records
    }
    return _with_means(numbers, absent, {f"mean.{name}": [f"{p}.{name}" for p in profiles] for name in names})


def _with_means(
    numbers: dict[str, float], absent: dict[str, str], means: Mapping[str, Iterable[str]]
) -> Numbers:
    """Add means of numbers; a mean of which a part is absent is absent."""
    for name, parts in means.items():
        lacking = [absent.get(part, f"without {part}") for part in parts if part not in numbers]
        if lacking:
            absent[name] = "; ".join(dict.fromkeys(lacking))
        else:
            numbers[name] = fmean(numbers[part] for part in parts)
    return numbers, absent
