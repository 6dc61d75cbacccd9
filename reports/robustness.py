"""The studies on the site: their plots by section, and what is said beside them.

This module must not know how a figure looks.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmark.spec import Spec, Track
from reports.adversarial import adversarial_plots, warnings
from reports.corruptions import corruption_plots, types_sentence
from reports.figures import Plot
from reports.label_plots import imbalance_plots, noise_plots
from reports.selection import Selection

STUDY_SECTIONS: dict[str, Callable[[str, Track, Selection], list[Plot]]] = {
    "adversarial": adversarial_plots,
    "corruptions": corruption_plots,
    "label_noise": noise_plots,
    "imbalance": imbalance_plots,
}


def remarks(spec: Spec, selection: Selection) -> dict[str, list[str]]:
    """Sentences beside the plots of a section: warnings of attacks, and which corruption types there are."""
    warned, types = [], []
    for name, track in spec.tracks.items():
        warned += [f"{track.title}: {warning}" for warning in warnings(name, selection)]
        if any(cell.track == name for cell in selection.of_study("corruptions")):
            types.append(f"{track.title}: {types_sentence(track)}.")
    return {"adversarial": warned, "corruptions": types}
