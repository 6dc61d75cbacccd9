"""The page of the claims: how a verdict is made, all claims, and each of them with its tests.

This module must not decide anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.metrics.verdicts import CONFIRMATORY_SEEDS
from benchmark.spec.leaderboard import Spec
from reports.boards.provenance import ranges
from reports.claims.central import central_section
from reports.claims.decide import Finding, Missing, Outcome, Verdict
from reports.claims.register import EVIDENCE, Claim, Register
from reports.claims.shown import GAINS, Shown, dots_of, gaps, scale_of, shown_tests
from reports.select import Counted
from reports.site.cells import Content, Noted, Number, Range, Scale
from reports.site.numbers import effect, p_value
from reports.site.sections import (
    Block,
    Bullets,
    Column,
    Facts,
    Fold,
    Page,
    Paragraph,
    Row,
    Section,
    Table,
    present,
)
from reports.site.text import Link, Span, Text, code, italic, soft, strong
from reports.studies.plane.numbers import arms_of
from reports.studies.plane.plots import boundary_table


def claims_page(register: Register, spec: Spec, counted: Counted, verdicts: Sequence[Verdict]) -> Page:
    """Make the page of the claims of a register, decided from what counts."""
    sections = present(
        _summary(verdicts),
        central_section(register, verdicts),
        Section("reading", "How a verdict is made", (Fold("Rules", (_reading(spec, counted),)),)),
        _untested(register),
    )
    intro = (
        "Statements of the literature on out-of-distribution (OOD) detection, each tested on the networks "
        "and images of these ",
        Link("leaderboards", "index"),
        ". A verdict is about these settings only: the published figures come from other networks, other "
        "images and larger budgets.",
    )
    heading = "Do the published claims hold here?"
    return Page("claims", "oodbench: published claims, tested", heading, intro, (), (), sections, "")


def family_pages(spec: Spec, counted: Counted, verdicts: Sequence[Verdict]) -> Iterator[Page]:
    """A page for each family of claims, with every test of each."""
    for family in dict.fromkeys(verdict.claim.family for verdict in verdicts):
        ours = [verdict for verdict in verdicts if verdict.claim.family == family]
        sections = tuple(_claim(verdict, list(shown_tests(verdict, spec, counted))) for verdict in ours)
        heading = f"Claims {family}, tested"
        nav = tuple(section.link for section in sections)
        intro = ("How a verdict is made, and all others: ", Link("published claims, tested", "claims"), ".")
        yield Page(ours[0].claim.page, f"{heading} · oodbench", heading, intro, nav, (), sections, "")


def _reading(spec: Spec, counted: Counted) -> Bullets:
    cells = [counted.measured, *counted.studies.measured.values()]
    measured = {cell.track for found in cells for cell in found}
    tracks = [name for name in spec.tracks if name in measured]
    items: list[Text] = [
        "A setting is a track, a backbone and an init, or the experiment in two dimensions. Both arms of a "
        "test share the seed: its split, order of the data and, unless the init is what differs, first "
        "weights. The gain is the difference of the arms within a seed, and positive where the claim "
        "predicts it.",
        (
            strong("Supported"),
            ": Holm’s ",
            italic("p"),
            " is at most .05 and the mean gain is at least δ, the least effect that counts. ",
            strong("Refuted"),
            ": the same in reverse. Else ",
            strong("undecided"),
            "; the finer verdict stands below: ",
            italic("negligible"),
            " where the 90 % ",
            italic("t"),
            " interval lies within ±δ, ",
            italic("inconclusive"),
            " otherwise, ",
            italic("exploratory"),
            f" with fewer than {CONFIRMATORY_SEEDS} seeds, or where the networks of an arm were not all "
            "trained alike.",
        ),
        (
            "Tests of equivalence and of “not better” read the same four outcomes the other way round: a "
            "negligible gain supports them. A test of non-inferiority is supported where the lower bound of "
            "the one-sided 95 % ",
            italic("t"),
            " interval, which is that of the 90 % interval, is above −δ, and refuted where the upper bound "
            "is below −δ. It goes by that bound alone.",
        ),
        (
            "Holm’s adjustment is over all primary tests of a family, the letter of the claim, that were run "
            f"with {CONFIRMATORY_SEEDS} or more seeds; “Tests” is their number. The decision ",
            italic("p"),
            " is that of the exact sign-flip test where 2 to the number of seeds is at least 20 times that "
            "number. Else it is that of the paired ",
            italic("t"),
            " test, the unadjusted sign-flip ",
            italic("p"),
            " must be at most .05 as well, and the verdict is marked ",
            italic("t-based"),
            ". All ",
            italic("p"),
            " are one-sided.",
        ),
        "Over settings, a claim is called supported or refuted only where all its primary tests say so, in "
        "every setting that was run and each in at least one.",
        (
            "Shares are ×100, and δ of them is in points. Dots are seeds, the bar is the 95 % ",
            italic("t"),
            " interval, the grey band is ±δ.",
        ),
        (
            "Arms, metric, direction, δ and settings stand in ",
            code("reports/claims/claims.yaml"),
            ", taken from the project’s register of claims. Where that register leaves the metric open, the "
            "choice was made when records of detectors, but none of training objectives, existed. The tests "
            "in two dimensions (C-A6, C-A13, C-B6) were declared when five of their eight seeds had been "
            "looked at; measure and δ of most of them are the register’s. The tests on attacks, label noise "
            "and class imbalance (E, C-F4 to C-F12, C-F16) were declared before any record of these was "
            "made.",
        ),
    ]
    for name in tracks:
        track = spec.tracks[name]
        items.append(
            f"{name}: {track.title}. Near OOD: {', '.join(track.near)}; far OOD: {', '.join(track.far)}. A "
            "group is averaged over its sets within the seed."
        )
    if arms := arms_of(counted):
        items.append(
            "two dimensions: two Gaussian classes and a small network, with regions of the plane as OOD. "
            f"{boundary_table(arms).about}"
        )
    return Bullets(tuple(items))


def _summary(verdicts: Sequence[Verdict]) -> Section:
    """All claims in one table."""
    counts = ("supported", "refuted", "undecided", "not run")
    rows = []
    for i, verdict in enumerate(verdicts):
        claim = verdict.claim
        cells: tuple[Content, ...] = (
            (Link(claim.id, claim.page, claim.id),),
            claim.statement,
            (said(verdict.overall),),
            *(verdict.counts[name] or None for name in counts),
        )
        rows.append(Row(cells, parted=i > 0 and claim.family != verdicts[i - 1].claim.family))
    table = Table(
        columns=(
            Column("Claim", "text"),
            Column("Statement", "statement"),
            Column("Overall", "text"),
            *(Column(name.capitalize()) for name in counts),
        ),
        rows=tuple(rows),
        about="Number of primary tests, over settings, by verdict",
    )
    return Section("summary", "All claims", (table,))


def said(reading: str) -> Span:
    """How an overall verdict looks."""
    match reading:
        case "supported" | "refuted":
            return Span(reading, reading)
        case _:
            return soft(reading)


def _claim(verdict: Verdict, tests: Sequence[Shown]) -> Section:
    claim, counts = verdict.claim, verdict.counts
    tally = (
        f": {counts['supported']} supported, {counts['refuted']} refuted, {counts['undecided']} undecided, "
        f"{counts['not run']} not run"
    )
    facts: list[tuple[str, Text]] = [
        ("Overall", (said(verdict.overall), tally)),
        ("Source", claim.source),
        ("Published", _published(claim)),
    ]
    if claim.about:
        facts.append(("Remark", claim.about))
    body: list[Block] = [Facts(tuple(facts))]
    for shown in tests:
        body += _test(shown)
    if lacking := gaps(verdict):
        body.append(Bullets(tuple(map(_not_run, lacking)), small=True))
    title = f"{claim.id} ", soft(f"version {claim.version}")
    return Section(claim.id, title, tuple(body), short=claim.id, subtitle=claim.statement)


def _published(claim: Claim) -> str:
    figures = (f"{one.figure} ({EVIDENCE[one.tag]} [{one.tag}])" for one in claim.published)
    return "; ".join(figures) or "no figure that we verified"


def _not_run(gap: Missing) -> Text:
    there = ", once it is there" if "leaderboard.yaml" in gap.reason else ""
    text: list[str | Span] = [f"Not run on {', '.join(map(str, gap.settings))}: {gap.reason}."]
    for i, command in enumerate(gap.commands):
        text += [", " if i else f" To run it{there}: ", code(command)]
    return tuple(text)


def _test(shown: Shown) -> Iterator[Block]:
    finding = shown.finding
    if not finding.outcomes:
        secondary = finding.trial.role == "secondary" and not finding.repeated
        said = "" if secondary else _role(finding)
        not_run = soft(f"Not run{'; secondary' if finding.trial.role == 'secondary' else ''}.")
        yield Paragraph((f"{shown.rule} ", not_run, f" {said}{finding.trial.about}".rstrip()))
    else:
        yield _table(shown)
    if shown.factors:
        listed = Bullets(tuple(f"{factor}." for factor in shown.factors), small=True)
        yield Fold("What both arms were trained with, and how they differ", (listed,))


def _table(shown: Shown) -> Table:
    finding, scale = shown.finding, scale_of(shown.finding)
    columns = (
        Column("Setting", "text"),
        Column("Verdict", "text"),
        Column("Gain"),
        Column("95 % interval"),
        Column(GAINS, "dots", scale=scale),
        Column("Arm a"),
        Column("Threshold" if finding.trial.threshold is not None else "Arm b"),
        Column((italic("p"), " Holm")),
        Column("Seeds"),
        Column((italic("p"), " Holm, reverse")),
        Column("Tests"),
        Column("90 % interval"),
        Column("sd"),
        Column("Gain/sd"),
        Column((italic("p"), " flip")),
        Column((italic("p"), " Wilcoxon")),
        Column((italic("p"), " t")),
    )
    rows = tuple(Row(_cells(outcome, finding.metric.percent, scale)) for outcome in finding.outcomes)
    return Table(columns, rows, id=shown.anchor, title=shown.rule, aside=_aside(finding))


def _cells(outcome: Outcome, percent: bool, scale: Scale) -> tuple[Content, ...]:
    answer, gain = outcome.answer, outcome.answer.gain
    several = gain.n > 1
    seeds = ranges(outcome.seeds)
    spread: tuple[Content, ...] = (
        Range(answer.low_90, answer.high_90, percent),
        Number(gain.sd, percent),
        effect(gain.effect),
        p_value(gain.p_sign_flip),
        p_value(gain.p_wilcoxon),
        p_value(gain.p_t_greater),
    )
    return (
        str(outcome.setting),
        Noted((said(outcome.reading),), outcome.detail),
        Number(gain.mean, percent, signed=True),
        Range(gain.low, gain.high, percent) if several else None,
        dots_of(outcome, scale),
        Number(outcome.mean_a, percent),
        Number(outcome.mean_b, percent),
        p_value(answer.p_holm),
        Noted(seeds, f"without {ranges(outcome.left_out)}") if outcome.left_out else seeds,
        p_value(answer.p_reverse_holm),
        answer.family_size or None,
        *(spread if several else (None,) * len(spread)),
    )


def _aside(finding: Finding) -> Text:
    """What kind of test it is, and how many settings say what."""
    trial, counts = finding.trial, finding.counts
    said = _role(finding) + (f"{trial.about} " if trial.about else "")
    if trial.role != "primary":
        return said
    said += ", ".join(f"{counts[name]} {name}" for name in ("supported", "refuted", "undecided"))
    if finding.sign_p is None:
        return f"{said}."
    return (f"{said}; sign test of the settings’ means ", italic("p"), f" = {p_value(finding.sign_p)}.")


def _role(finding: Finding) -> str:
    """What is particular about a test, with a space after it."""
    if finding.repeated:
        return f"As decided under {finding.repeated}; not counted twice. "
    roles = {"secondary": "Secondary: no verdict, no adjustment. ", "capped": "Capped at exploratory. "}
    return roles.get(finding.trial.role, "")


def _untested(register: Register) -> Section | None:
    """The claims that no record can decide; None where there are none."""
    if not register.untested:
        return None
    table = Table(
        columns=(Column("Claims", "text"), Column("Why", "text")),
        rows=tuple(Row((", ".join(group.ids), group.reason)) for group in register.untested),
        about="Claims of the register that no record can decide",
    )
    return Section("untested", "Not tested yet", (table,))
