"""The start of the page of the claims: what pre-training gives, measure by measure and setting by setting.

This module must not decide anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from reports.claims.decide import Finding, Outcome, Verdict
from reports.claims.register import Central, Register
from reports.site.cells import Content, Noted
from reports.site.numbers import signed
from reports.site.sections import Bullets, Column, Paragraph, Row, Section, Table
from reports.site.text import Link, Span, Text, soft

Word = Literal["better", "worse", "no different", "undecided"]

_WORDS: dict[str, Word] = {"supported": "better", "contradicted": "worse", "negligible": "no different"}


def central_section(register: Register, verdicts: Sequence[Verdict]) -> Section | None:
    """A sentence for each measure, and a table of its gains by setting; None where nothing was run."""
    columns = _columns(register, verdicts)
    settings = list(dict.fromkeys(str(o.setting) for _, found in columns for o in found.outcomes))
    if not settings:
        return None
    cells = []
    for _, found in columns:
        by_setting = {str(outcome.setting): outcome for outcome in found.outcomes}
        cells.append([_cell(by_setting.get(setting), found.metric.percent) for setting in settings])
    sentences = central_sentences(register, verdicts)
    about = (
        "Networks that go on from pre-trained weights against the same networks from scratch, paired by "
        "seed. Above 0, pre-training is better, also where lower is better; intervals are of 95 %. “Better” "
        "and “worse” are verdicts of claims, adjusted for all tests of the family; where a test is "
        "secondary there, they say that the interval excludes 0. Everything is conditional on the one "
        "checkpoint that an init has."
    )
    rows = tuple(
        Row((setting, *line)) for setting, line in zip(settings, zip(*cells, strict=True), strict=True)
    )
    table = Table(
        columns=(Column("Setting", "text"), *(Column(one.title, "text") for one in register.central)),
        rows=rows,
        about="Gains by pre-training",
    )
    return Section("central", "Does pre-training help?", (Paragraph(about), Bullets(tuple(sentences)), table))


def central_sentences(register: Register, verdicts: Sequence[Verdict]) -> list[Text]:
    """For each measure, in how many settings pre-training is better; nothing where nothing was run."""
    pages = {verdict.claim.id: verdict.claim.page for verdict in verdicts}
    sentences: list[Text] = []
    columns = _columns(register, verdicts)
    for one, found in columns:
        by_setting = {str(outcome.setting): outcome for outcome in found.outcomes}
        counts = Counter(map(_word, by_setting.values()))
        told = ", ".join(
            f"{word} in {counts[word]}" for word in (*_WORDS.values(), "undecided") if counts[word]
        )
        said = f"{told} of {counts.total()} settings." if counts else "not run."
        sentences.append((f"{one.title} (", Link(one.claim, pages[one.claim], one.claim), f"): {said}"))
    return sentences if any(found.outcomes for _, found in columns) else []


def _columns(register: Register, verdicts: Sequence[Verdict]) -> list[tuple[Central, Finding]]:
    findings = {(v.claim.id, f.trial.id): f for v in verdicts for f in v.findings if not f.repeated}
    return [(one, findings[one.claim, one.trial]) for one in register.central]


def _word(outcome: Outcome) -> Word:
    answer, gain = outcome.answer, outcome.answer.gain
    if answer.p_holm is not None:
        return _WORDS.get(answer.effect, "undecided")
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "undecided"


def _cell(outcome: Outcome | None, percent: bool) -> Content:
    if outcome is None:
        return None
    gain, word = outcome.answer.gain, _word(outcome)
    said = Span(word, word) if word in ("better", "worse") else soft(word)
    mean, low, high = (signed(value, percent=percent) for value in (gain.mean, gain.low, gain.high))
    return Noted((said, f" {mean}"), f"{low} to {high}" if gain.n > 1 else "a single seed")
