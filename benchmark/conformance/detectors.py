"""The conformance suite of detectors: every check, in the order in which findings are read."""

from __future__ import annotations

from typing import Any

from benchmark.conformance import (
    contract,
    cost,
    dependence,
    formulas,
    inputs,
    kept,
    networks,
    outputs,
    sets,
    settings,
    surroundings,
    texts,
)
from benchmark.conformance.findings import Check

CHECKS: tuple[Check[Any], ...] = (
    *contract.CHECKS,
    *texts.CHECKS,
    *settings.DECLARED,
    *surroundings.CHECKS,  # first of what runs it
    *outputs.CHECKS,
    *dependence.CHECKS,
    *sets.CHECKS,
    *inputs.CHECKS,
    *settings.CHECKS,
    *formulas.CHECKS,
    *networks.CHECKS,
    *kept.CHECKS,
    *cost.CHECKS,
)
