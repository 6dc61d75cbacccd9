"""The studies on the site: their plots by section, and what is said beside them.

This module must not know how a figure looks.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmark.spec.leaderboard import Spec, Track
from reports.plots.figures import Plot
from reports.select import Counted
from reports.studies.adversarial import adversarial_plots, attacks_sentence, warnings
from reports.studies.corruptions import corruption_plots, types_sentence
from reports.studies.labels import imbalance_plots, means_sentence, noise_plots

STUDY_SECTIONS: dict[str, Callable[[str, Track, Counted], list[Plot]]] = {
    "adversarial": adversarial_plots,
    "corruptions": corruption_plots,
    "label_noise": noise_plots,
    "imbalance": imbalance_plots,
}


def remarks(spec: Spec, counted: Counted) -> dict[str, list[str]]:
    """Sentences beside the plots of a section, by study: how it was measured, and warnings."""
    found: dict[str, list[str]] = {study: [] for study in STUDY_SECTIONS}
    for name, track in spec.tracks.items():
        here = {study for study in found if any(cell.track == name for cell in counted.of_study(study))}
        if "adversarial" in here:
            found["adversarial"] += [f"{track.title}: {attacks_sentence(track)}."]
            found["adversarial"] += [f"{track.title}, a warning: {w}" for w in warnings(name, counted)]
        if "corruptions" in here:
            found["corruptions"].append(f"{track.title}: {types_sentence(track)}.")
        for study in here & {"label_noise", "imbalance"}:
            found[study].append(f"{track.title}: {means_sentence(*counted.studies.grids[name, study])}.")
    return found
