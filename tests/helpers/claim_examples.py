"""A register of one claim, and records in which its truth is known."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import synthetic_records as synthetic

from benchmark.records.record import RecordFile
from benchmark.spec.leaderboard import Spec
from reports.claims.decide import decide_claims
from reports.claims.register import Register
from reports.claims.shown import Shown, shown_tests
from reports.select import Counted, select

NOISE = np.array([-0.4, 0.3, -0.1, 0.2, 0.4, -0.3, 0.1, -0.2]) / 100  # mean 0 over eight seeds


BASE = 0.8


def register(*trials: dict[str, Any], inits: Sequence[str] = ("scratch",), **claim: Any) -> Register:
    """One claim C-A1 on one backbone of the toy track."""
    defaults = {"metric": "auroc", "a": "energy", "b": "msp", "settings": ["toy"]}
    return Register.model_validate(
        {
            "version": 1,
            "metrics": {
                "auroc": {"metric": "both.auroc", "title": "AUROC", "better": "higher", "delta": 0.5},
                "worst": {"metric": "worst.auroc", "title": "Worst AUROC", "better": "higher", "delta": 0.5},
                "fpr95": {"metric": "both.fpr95", "title": "FPR", "better": "lower", "delta": 2.0},
                "gone": {"metric": "near.gone", "title": "Gone", "better": "higher", "delta": 0.5},
                "epochs": {
                    "metric": "curve.epochs",
                    "title": "Epochs",
                    "better": "lower",
                    "percent": False,
                    "delta": 0.0,
                },
            },
            "settings": {"toy": {"track": "toy", "backbones": ["cnn"], "inits": list(inits)}},
            "claims": [
                {
                    "id": "C-A1",
                    "statement": "Energy is better.",
                    "source": "Somebody 2020",
                    "trials": [
                        {"id": f"t{i}", **defaults, **trial} for i, trial in enumerate(trials or [{}])
                    ],
                    **claim,
                }
            ],
        }
    )


def results(
    values: Mapping[str, Sequence[float]], init: str = "scratch", fpr: bool = False, **changes: Any
) -> list[RecordFile]:
    """AUROC of both groups (or FPR@95) by entry and seed, on one backbone."""
    plain = synthetic.make_measurement(np.random.default_rng(0), 1.0, 2.0, 0.05)
    name = "fpr95" if fpr else "auroc"
    files = []
    for entry, numbers in values.items():
        records = []
        for seed, number in enumerate(numbers):
            measurement = synthetic.altered(plain, {group: {name: number} for group in ("near", "far")})
            records.append(synthetic.make_record("cnn", init, seed, measurement, **changes))
        files.append(synthetic.make_file(entry, records))
    return files


def spec(entries=("msp", "energy"), inits=("scratch",)):
    return synthetic.make_spec(entries, inits=inits, backbones=["cnn"], boards={})


def verdict(values, claims=None, where=None, **rest):
    where = where or spec(tuple(values))
    (found,) = decide_claims(claims or register(), where, select(where, results(values, **rest)))
    return found


def shown_test(claims: Register, where: Spec, found: Counted) -> Shown:
    """The only test of the only claim of a register, as it stands on the page."""
    (decided,) = decide_claims(claims, where, found)
    (shown,) = shown_tests(decided, where, found)
    return shown


def arms(gain: float, seeds: int = 8) -> dict[str, np.ndarray]:
    """Energy above msp by `gain`, give or take the noise."""
    msp = BASE + 3 * NOISE[::-1][:seeds]
    return {"msp": msp, "energy": msp + gain + NOISE[:seeds]}
