"""What pages begin with: in how many settings pre-training is better in a measure, and by how much.

This module must not know which page asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from benchmark.spec.leaderboard import Spec
from reports.boards.gains import Measure, measures
from reports.boards.pretraining import CONFIRMATORY, Contrast
from reports.boards.summary import Gains
from reports.site.numbers import signed
from reports.site.sections import Block, Bullets, Fold, Paragraph
from reports.site.text import Text, strong

Compared = tuple[Gains, Contrast]


def compared(
    spec: Spec, gains: Sequence[Gains], asked: Callable[[Measure], bool]
) -> dict[str, list[Compared]]:
    """By title, the measures that are asked for, in every setting in which pre-training was compared."""
    found: dict[str, list[Compared]] = {}
    for one in gains:
        wanted = {(m.column.metric, m.row) for m in measures(spec, one.track) if asked(m)}
        for row in one.rows:
            if (row.metric.metric, row.subject) in wanted:
                found.setdefault(row.metric.title, []).append((one, row))
    return found


def answer_of(spec: Spec, found: dict[str, list[Compared]]) -> tuple[Block, ...]:
    """A sentence a measure, and its gains setting by setting; nothing where nothing was compared."""
    if not found:
        return ()
    sentences: list[Text] = []
    each: list[Text] = []
    for title, settings in found.items():
        counts = Counter(row.verdict for _, row in settings)
        told = ", ".join(f"{word} in {n}" for word, n in counts.most_common())
        sentences.append(
            (
                strong(title),
                f": with pre-trained weights {told} of {len(settings)} settings; {_size(settings)}.",
            )
        )
        each += [_setting(spec, title, one, row) for one, row in settings]
    rule = (
        "“Better” and “worse”: the 95 % interval of the gain, paired by seed, excludes 0; each by itself, "
        f"without adjustment for their number. With fewer than {CONFIRMATORY} seeds it is an indication."
    )
    listed = Fold("Each setting with its interval", (Bullets(tuple(each)), Paragraph(rule, small=True)))
    return (Bullets(tuple(sentences)), listed)


def _size(settings: Sequence[Compared]) -> str:
    """The least and the largest gain over settings."""
    gains = [(row.gain.mean, row.metric.percent) for _, row in settings]
    least, most = (signed(value, percent=percent) for value, percent in (min(gains), max(gains)))
    unit = " points" if gains[0][1] else ""
    return f"gain {least}{unit}" if least == most else f"gains from {least} to {most}{unit}"


def _setting(spec: Spec, title: str, one: Gains, row: Contrast) -> str:
    gain, percent = row.gain, row.metric.percent
    mean, low, high = (signed(value, percent=percent) for value in (gain.mean, gain.low, gain.high))
    seeds = f"95 % interval {low} to {high}, {gain.n} seeds" if gain.n > 1 else "a single seed"
    where = f"{spec.tracks[one.track].title}, {row.backbone}, {row.subject}"
    return f"{title}, {where}, {one.init} over {one.scratch}: gain {mean} ({seeds})"
