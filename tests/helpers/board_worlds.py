"""Records whose AUROC and costs are as a test says, entry by entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import synthetic_records as synthetic

from benchmark.records.record import RecordFile
from benchmark.spec.leaderboard import Spec

PLAIN = synthetic.make_measurement(np.random.default_rng(0), 1.0, 2.0, 0.05)
IMAGES = PLAIN.classification.n + sum(one.n_out for one in PLAIN.detection.values())  # test images of a cell

Sets = Mapping[str, float]  # AUROC by OOD set, or by group
Of = tuple[str, str, str, int]  # entry, backbone, init, seed


def spec_of(
    entries: Sequence[str],
    inits: Sequence[str] = ("scratch",),
    backbones: Sequence[str] = ("cnn",),
    **changes: Any,
) -> Spec:
    """A leaderboard without boards; `changes` are of its entries."""
    spec = synthetic.make_spec(entries, inits, backbones, {})
    changed = {name: spec.entries[name].model_copy(update=update) for name, update in changes.items()}
    return spec.model_copy(update={"entries": {**spec.entries, **changed}})


def files_of(
    spec: Spec,
    auroc: Callable[[Of], Sets],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    cost: Callable[[Of], Mapping[str, float] | None] = lambda of: None,
    keep: Callable[[Of], bool] = lambda of: True,
    track: str = "toy",
    plain: Any = PLAIN,
    **settings: Any,
) -> list[RecordFile]:
    """Records of all cells of a track that are kept; `settings` are of all of them."""
    place = spec.tracks[track]
    groups = {name: list(sets) for name, sets in place.groups.items()}
    files = []
    for entry in place.entries:
        of_entry = spec.entries[entry]
        records = []
        for backbone in place.backbones:
            for init in place.inits:
                for seed in seeds:
                    of = entry, backbone, init, seed
                    if not keep(of):
                        continue
                    sets = {name: {"auroc": value} for name, value in auroc(of).items()}
                    took = cost(of)
                    more = {} if took is None else {"cost": took}
                    measured = synthetic.altered(plain, sets)
                    made = synthetic.make_record(backbone, init, seed, measured, **more)
                    records.append(synthetic.set_up(made, **{"groups": groups, **settings}))
        name = {"objective": of_entry.objective, "detector": of_entry.detector}
        files.append(synthetic.make_file(entry, records, track=track, **name))
    return files
