"""If a reader needs one detector: the best on a track at little cost.

This module must not know how it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.metrics.statistics import Interval
from benchmark.spec.leaderboard import Spec
from reports.boards.explore import RANKED_BY, Explored, Line
from reports.costs import FORWARDS

BUDGET = 1.1  # forward passes
FEWEST = 20  # entries that there is a choice among
UNSEEN = f"unseen.{RANKED_BY}"


@dataclass(frozen=True)
class Pick:
    """What to take on networks of an init, and what is best where cost does not matter."""

    track: str
    init: str
    metric: str  # that decides
    cheap: Line | None  # the best within the budget; None where no cost is recorded
    best: Line
    measures: Mapping[str, int]  # where a line has each number

    def number(self, line: Line, metric: str) -> Interval | None:
        """A number of a line, where it has that."""
        at = self.measures.get(metric)
        return None if at is None else line.row.values[at].interval


def picks(spec: Spec, boards: Mapping[str, Sequence[Explored]]) -> list[Pick]:
    """One for each track and init: by mean near AUROC over all backbones of the track.

    By sets that no weights have seen, where weights have seen some. Only detectors with published values, on
    networks of cross-entropy, each score of one network, measured on all that the others are.
    """
    found = []
    for several in boards.values():
        for one in several[:1]:  # over all backbones
            if len({line.entry for line in one.lines}) < FEWEST:
                continue
            measures = {measure.column.metric: i for i, measure in enumerate(one.measures)}
            metric = UNSEEN if UNSEEN in measures else RANKED_BY
            for init in one.inits:
                lines = [
                    line for line in one.lines if line.init == init and _counts(spec, line, metric, measures)
                ]
                if lines:
                    found.append(_pick(one.track, init, metric, lines, measures))
    return found


def _counts(spec: Spec, line: Line, metric: str, measures: Mapping[str, int]) -> bool:
    plain = spec.entries[line.entry].objective == "cross_entropy" and not line.tuned
    return plain and line.place is not None and line.row.values[measures[metric]].interval is not None


def _pick(track: str, init: str, metric: str, lines: Sequence[Line], measures: Mapping[str, int]) -> Pick:
    def mean(line: Line, of: str) -> float | None:
        interval = line.row.values[measures[of]].interval if of in measures else None
        return None if interval is None else interval.mean

    ordered = sorted(lines, key=lambda line: -(mean(line, metric) or 0))
    cheap = [line for line in ordered if (cost := mean(line, FORWARDS)) is not None and cost <= BUDGET]
    return Pick(track, init, metric, cheap[0] if cheap else None, ordered[0], measures)
