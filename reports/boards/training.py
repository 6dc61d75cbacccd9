"""How the networks were trained: curves, a generator's samples, and where first weights came from.

This module must not know how a figure looks or where it is shown.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from benchmark.records.record import Record, RecordFile
from benchmark.records.trainings import ACCURACY, LOSS, SAMPLES
from benchmark.spec.leaderboard import Spec, Track
from reports.plots.figures import file_name, finish, house_style, legend_above, line_style, panel_grid
from reports.plots.memo import Memo
from reports.plots.sections import ANEW, gallery_of
from reports.site.sections import Bullets, Paragraph, Plot, Section

COLUMNS = 4
DIGEST = re.compile(r"[0-9a-f]{40,}")  # of a commit or of content: its beginning is enough

Networks = Mapping[str, Mapping[str, Sequence[Record]]]  # objective → init → its seeds


def training_plots(name: str, track: Track, files: Sequence[RecordFile]) -> list[Plot]:
    """Validation accuracy and training loss by epoch for each backbone, and samples of generators."""
    plots = []
    for backbone in track.backbones:
        networks = _networks(name, backbone, track, files)
        if networks:
            plots += [_curves(name, backbone, track, networks, what) for what in (ACCURACY, LOSS)]
    return plots + _samples(name, track, files)


def training_section(spec: Spec, files: Sequence[RecordFile], memo: Memo = ANEW) -> Section | None:
    """The curves of each track, and where first weights came from; None where nothing was trained."""
    galleries = []
    for name, track in spec.tracks.items():
        given = name, track, [file for file in files if file.track == name]
        galleries += gallery_of(name, track, memo.plots(training_plots, *given, of=given))
    sources = first_weights(files)
    if not galleries and not sources:
        return None
    about = (
        "How the networks of each objective were trained, by epoch: mean over seeds, and between the lowest "
        "and the highest seed. Losses of different objectives do not compare."
    )
    loaded = (
        (
            Paragraph("First weights that were not drawn at random:", small=True),
            Bullets(tuple(sources), small=True),
        )
        if sources
        else ()
    )
    return Section("training", "Training", (Paragraph(about), *loaded), tuple(galleries))


def first_weights(files: Sequence[RecordFile]) -> list[str]:
    """A sentence for each backbone and init of a track whose first weights were not drawn at random."""
    said: dict[tuple[str, str, str], str] = {}
    for file in sorted(files, key=lambda file: file.row != "cross_entropy"):  # its head is timm's own
        for record in file.records:
            network = file.track, record.backbone, record.init
            first = (record.provenance.first_weights if record.provenance else None) or {}
            if network in said or not {"source", "loaded"} <= first.keys():
                continue
            if record.training is not None and record.training.starts_from is not None:
                continue  # what was loaded came from the network that it fine-tunes
            known = {k: v for k, v in first["source"].items() if isinstance(v, str | int)}
            source = ", ".join(f"{key} {_shortened(value)}" for key, value in known.items())
            fresh = ", ".join(first["fresh"][:4]) or "nothing"
            more = f" and {len(first['fresh']) - 4} more" if len(first["fresh"]) > 4 else ""
            unused = f", {first['unused']} of the source unused" if first["unused"] else ""
            overlap = ""
            if seen := first.get("overlap"):
                overlap = f" Overlap: the dataset of {', '.join(seen)} was seen in pre-training."
            said[network] = (
                f"{file.track}, {record.backbone}, {record.init}: {first['loaded']} parameters loaded "
                f"({source}); fresh: {fresh}{more}{unused}.{overlap}"
            )
    return list(said.values())


def _shortened(value: str | int) -> str:
    return str(value)[:16] if DIGEST.fullmatch(str(value)) else str(value)


def _spoken(number: float) -> str:
    return "not measured" if math.isnan(number) else f"{number:.3g}"


def _networks(name: str, backbone: str, track: Track, files: Sequence[RecordFile]) -> Networks:
    found: dict[str, dict[str, list[Record]]] = {}
    for file in files:
        for init in track.entry_inits:
            place = backbone, init, ""  # as the track trains them, not as a study does
            seeds = [r for r in file.records if (r.backbone, r.init, r.condition) == place and r.series]
            if file.track == name and seeds:
                found.setdefault(file.row, {})[init] = seeds
    return found


def _curves(name: str, backbone: str, track: Track, networks: Networks, what: str) -> Plot:
    label = {ACCURACY: "validation accuracy", LOSS: "training loss"}[what]
    spoken = []
    with house_style():
        figure, axes = panel_grid(len(networks), COLUMNS, 1.75)
        for axis, (objective, inits) in zip(axes, networks.items(), strict=True):
            ends = []
            for init, seeds in inits.items():
                curves = _by_epoch(seeds, what)
                _draw(axis, curves, init, line_style(track.entry_inits.index(init)))
                ends.append(f"{init} {_spoken(fmean(curves[:, -1]))}")
            axis.set_title(objective.replace("_", " "), fontsize=8)
            if what == ACCURACY:
                axis.set_ylim(-0.03, 1.03)
            spoken.append(f"{objective}: {', '.join(ends)}")
        for axis in axes[:: min(COLUMNS, len(axes))]:
            axis.set_ylabel(label)
        axes[-1].set_xlabel("epoch")
        legend_above(figure, max(axes, key=lambda axis: len(axis.lines)), len(track.entry_inits))
        alt = (
            f"{label.capitalize()} by epoch on {backbone}, one panel for each objective: mean over seeds, "
            f"and the range of the seeds. After the last epoch: {'; '.join(spoken)}."
        )
        return finish(figure, file_name("training", name, backbone, what), f"{backbone}, {label}", alt)


def _by_epoch(seeds: Sequence[Record], what: str) -> NDArray[np.float64]:
    """(seeds, epochs): of the epochs that all have; NaN where nothing was measured."""
    lists = [record.series.get(what) or [math.nan] * len(record.series[LOSS]) for record in seeds]
    epochs = min(map(len, lists))
    return np.array([[np.nan if v is None else v for v in values[:epochs]] for values in lists])


def _draw(axis: Axes, curves: NDArray[np.float64], label: str, style: Mapping[str, object]) -> None:
    epochs = np.arange(1, curves.shape[1] + 1)
    axis.plot(epochs, curves.mean(axis=0), label=label, **style)  # type: ignore[arg-type]
    axis.fill_between(
        epochs, curves.min(axis=0), curves.max(axis=0), color=str(style["color"]), alpha=0.15, linewidth=0
    )


def _samples(name: str, track: Track, files: Sequence[RecordFile]) -> list[Plot]:
    """What each generator drew at the end of its training, of the first seed of each init."""
    plots = []
    for file in files:
        shown = [
            next(
                (r for r in file.records if (r.init, r.condition) == (init, "") and SAMPLES in r.pictures),
                None,
            )
            for init in track.entry_inits
        ]
        records = [record for record in shown if record is not None]
        if file.track != name or not records:
            continue
        with house_style():
            figure, axes = panel_grid(len(records), 2, 3.0)
            for axis, record in zip(axes, records, strict=True):
                picture = Image.open(io.BytesIO(base64.b64decode(record.pictures[SAMPLES])))
                axis.imshow(np.asarray(picture), interpolation="nearest")
                axis.set_title(f"{record.backbone}, {record.init}, seed {record.seed}")
                axis.set_axis_off()
            alt = (
                f"Images drawn by the generator of {file.row} after training, "
                f"of {', '.join(record.init for record in records)}."
            )
            title = f"{file.row.replace('_', ' ')}: samples of the generator"
            plots.append(finish(figure, file_name("samples", name, file.row), title, alt))
    return plots
