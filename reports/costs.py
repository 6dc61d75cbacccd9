"""What it costs to score an image, beside the forward pass that every method needs.

This module must not know which cells count, nor who shows a cost.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.records.record import Record

MS = "cost.ms"  # milliseconds of scoring for each test image, the fit included
FORWARDS = "cost.forwards"  # the same and the passes before it, in forward passes
MEMORY = "cost.memory"  # MB that the largest process held
COSTS = (MS, FORWARDS, MEMORY)


def cost_of(record: Record, numbers: Mapping[str, float]) -> dict[str, float]:
    """What a cell's scores cost by its record; forward passes are left to `in_forwards`.

    A test image is clean, shifted or OOD.
    """
    cost = record.cost
    if cost is None or cost.score_seconds is None:
        return {}
    found = {MS: 1000 * cost.score_seconds / _images(numbers)}
    return found if cost.peak_memory_mb is None else {**found, MEMORY: cost.peak_memory_mb}


def passed_ms(record: Record, numbers: Mapping[str, float]) -> float | None:
    """Milliseconds that the network took, by test images; more where it also saw training images.

    The least of all cells of a network is its forward pass. None where it is not recorded.
    """
    seconds = None if record.cost is None else record.cost.extract_seconds
    return None if not seconds or record.networks > 1 else 1000 * seconds / _images(numbers)


def in_forwards(ms: float, networks: int, bare: float) -> float:
    """A cost in forward passes of `bare` milliseconds: one for each network, and the scoring."""
    return networks + ms / bare


def _images(numbers: Mapping[str, float]) -> float:
    own = numbers.get("full_spectrum.n_in", numbers["classification.n"])
    return own + sum(n for path, n in numbers.items() if path.endswith(".n_out"))
