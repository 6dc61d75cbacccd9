"""Numbers of the study `label_noise`: by condition, of error curves, of what longer training does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from benchmark.metrics.curves import error_curve_area, error_curve_mean
from benchmark.records.comparison import Metric
from benchmark.records.record import Record
from benchmark.studies.label_noise.settings import LabelNoise
from reports.studies.numbers import AgainstScratch, Numbers, Row, StudyNumbers, with_means

OF_NOISE = ("error", "ece", "rms_calibration", "flipped")  # of a network trained on noisy labels
OF_CURVE = ("overtraining", "late")  # where its test error is watched


def parse_noise(condition: str) -> tuple[str, float] | None:
    """Noise and strength of a condition such as ``uniform@0.4``; None if it is none."""
    noise, at, strength = condition.partition("@")
    try:
        return (noise, float(strength)) if at else None
    except ValueError:
        return None


def _derived(row: Row[LabelNoise]) -> Numbers:
    listed = row.study.conditions_of(row.name)
    noises = [*row.over.noises] if row.study.methods[row.name].conditions is None else []
    return noise_numbers(row.records, noises, row.over.strengths, listed)


def noise_numbers(
    records: Mapping[str, Record],
    noises: Sequence[str],
    strengths: Sequence[float],
    listed: Iterable[str] = (),
) -> Numbers:
    """Each condition's numbers as ``uniform@0.4.error``, and the area and mean of each noise's error curve.

    ``uniform@0.4.overtraining`` is the error after the last epoch less the least one on the way,
    ``uniform@0.4.late`` less the one after a third of the epochs. ``mean.area`` is over the noises. `listed`
    are all conditions that there may be. Without `noises` there are no areas and means.
    """
    numbers: dict[str, float] = {}
    absent: dict[str, str] = {}
    for condition in listed:
        noise, label = condition.partition("@")[0], condition
        if noises:
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
    means = {f"mean.{name}": [f"{n}.{name}" for n in noises] for name in ways if noises}
    numbers, absent = with_means(numbers, absent, means)
    return numbers, {name: lack for name, lack in absent.items() if name not in numbers}


def _against_scratch(study: LabelNoise, plain: str | None) -> Sequence[AgainstScratch]:
    title = "Label noise: area under the error curve"
    return [] if plain is None else [AgainstScratch("label_noise", "mean.area", title, plain)]


NUMBERS = StudyNumbers({"Test\nerror": Metric("test.error", "Test error")}, _derived, _against_scratch)
