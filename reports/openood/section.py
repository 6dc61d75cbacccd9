"""The comparison with OpenOOD v1.5 as a section of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from benchmark.metrics.statistics import Vector, mean_interval
from benchmark.spec.leaderboard import Spec, Track
from benchmark.spec.networks import Scratch
from reports.openood.compare import DRAWS, Agreement, Comparison, Pair, comparisons
from reports.openood.plots import NAMED, plots
from reports.openood.published import GROUPS, Figures, Group, Published, PublishedTable, load_published
from reports.select import Counted
from reports.site.cells import Content, Labels, Number
from reports.site.numbers import fixed
from reports.site.sections import Block, Bullets, Column, Fold, Gallery, Paragraph, Row, Section, Table
from reports.site.text import Text, italic, strong

APART = 0.5  # points of AUROC by which sources differ that are named


def openood_section(spec: Spec, counted: Counted, published: Published | None = None) -> Section | None:
    """Every track whose ID set OpenOOD has too; None where nothing of such a track was measured."""
    published = load_published() if published is None else published
    by_track: dict[str, list[Comparison]] = {}
    for one in comparisons(spec, counted.measured, published):
        by_track.setdefault(one.track, []).append(one)
    if not by_track:
        return None
    about: Text = (
        "Do methods stand in the same order here as in the leaderboard of OpenOOD v1.5 (arXiv "
        f"{published.arxiv})? Compared are the methods that both have, on networks trained with plain "
        "cross-entropy: here each at OpenOOD's setting where that is another than the published one, and not "
        "tuned. ",
        italic("ρ"),
        " is Spearman's and ",
        italic("τ"),
        " Kendall's correlation of the two orders by AUROC: 1 is the same order, 0 none, −1 the reverse.",
    )
    interval: Text = (
        "The interval of ",
        italic("ρ"),
        f" is the 95 % percentile interval of {DRAWS:,} draws with replacement of the methods and of our "
        "seeds, both at once. It covers which methods were compared and how our networks vary with the seed. "
        "It does not cover how OpenOOD's vary: its means are held as printed.",
    )
    return Section(
        "openood",
        "The order of methods, here and in OpenOOD v1.5",
        (
            Paragraph(_answer([one for found in by_track.values() for one in found])),
            Paragraph(about),
            Fold("How it was compared", (Paragraph(interval), Bullets(tuple(published.remarks), small=True))),
        ),
        tuple(_track(f"openood-{i}", found, spec, published) for i, found in enumerate(by_track.values(), 1)),
        short="Against OpenOOD v1.5",
    )


def _answer(found: Sequence[Comparison]) -> Text:
    """How far the orders agree, over everything that was compared."""
    agreements = [one.agreement[group] for one in found for group in GROUPS]
    rhos = [agreement.rho for agreement in agreements if not math.isnan(agreement.rho)]
    if not rhos:
        return "No order could be compared: all methods are equal."
    clear = sum(agreement.interval[0] > 0 for agreement in agreements)
    return (
        strong(f"ρ lies between {min(rhos):.2f} and {max(rhos):.2f}".replace("-", "−")),
        f" in {len(rhos)} comparisons of near and of far OOD; in {clear} its 95 % interval is above 0.",
    )


def _track(id: str, found: Sequence[Comparison], spec: Spec, published: Published) -> Section:
    """All inits of a track in a table of correlations; the methods one by one from scratch."""
    shown = next((one for one in found if _from_scratch(one, spec)), found[0])
    body: list[Block] = [
        Paragraph(_networks(found, spec)),
        _correlations(f"{id}-correlations", found),
        Gallery(plots(shown)),
        Paragraph(f"Methods that move most, by rank there → rank here ({shown.init}):"),
        Bullets(tuple(_movers(group, shown.agreement[group]) for group in GROUPS)),
        _methods(f"{id}-methods", shown, len(found) > 1),
        Bullets(tuple(_remarks(shown, published)), small=True),
    ]
    return Section("", spec.tracks[shown.track].title, tuple(body), track=shown.track)


def _from_scratch(one: Comparison, spec: Spec) -> bool:
    return isinstance(spec.first_weights(one.track, one.init), Scratch)


def _networks(found: Sequence[Comparison], spec: Spec) -> str:
    """How the networks and the images differ."""
    first, table, track = found[0], found[0].table, spec.tracks[found[0].track]
    there = [
        figures.accuracy[0]
        for name, figures in table.compared.items()
        if name in {p.method.name for p in first.pairs}
    ]
    low, high = min(there), max(there)
    accuracy = f"{low:.2f} %" if low == high else f"{low:.2f} to {high:.2f} %"
    ours = [name for name in track.backbones if any(name in one.backbones for one in found)]
    names = [f"{name} ({spec.backbones[name].architecture})" for name in ours]
    plain = [
        name if name == spec.backbones[name].architecture else said
        for name, said in zip(ours, names, strict=True)
    ]
    inits = "; ".join(
        f"{one.init}, {_counted(len(one.seeds), 'seed')}, {_trained(track, one)}"
        + ("" if one.accuracy is None else f", ID accuracy {fixed(one.accuracy)} %")
        for one in found
    )
    return (
        f"The networks differ. There: {table.network}, {_counted(table.runs, 'run')}, ID accuracy "
        f"{accuracy}. Here: {', '.join(plain)}; {inits}. The images of OOD sets are there, near: "
        f"{_and(table.near)}, far: {_and(table.far)}; here, near: {_and([*track.near])}, far: "
        f"{_and([*track.far])}."
    )


def _trained(track: Track, one: Comparison) -> str:
    """By which recipes the networks of an init were made."""
    said = []
    for name in one.backbones:
        recipe = track.recipe(name, one.init)
        said.append(
            "published weights"
            if recipe is None
            else f"{_counted(recipe.epochs, 'epoch')} of {recipe.optimizer} with learning rate "
            f"{recipe.lr:g} and weight decay {recipe.weight_decay:g}"
        )
    return " or ".join(dict.fromkeys(said))


def _correlations(id: str, found: Sequence[Comparison]) -> Table:
    columns = (
        Column("Networks", "text"),
        Column("OOD", "text"),
        Column("Methods"),
        Column("Seeds"),
        Column((italic("ρ"),), better="higher"),
        Column("95 % interval"),
        Column((italic("τ"),), better="higher"),
    )
    rows = []
    for one in found:
        for group in GROUPS:
            said = one.agreement[group]
            interval = None if math.isnan(said.rho) else " to ".join(map(_correlation, said.interval))
            cells: tuple[Content, ...] = (
                Labels((one.init,)),
                group,
                len(one.pairs),
                len(one.seeds),
                _unless_nan(said.rho),
                interval,
                _unless_nan(said.tau),
            )
            rows.append(Row(cells, parted=group == GROUPS[0]))
    return Table(columns, tuple(rows), id=id, title="How far the orders agree")


def _unless_nan(number: float) -> str | None:
    return None if math.isnan(number) else _correlation(number)


def _correlation(number: float) -> str:
    return f"{number:.2f}".replace("-", "−")


def _movers(group: Group, agreement: Agreement) -> str:
    said = ", ".join(f"{move.name} {move.there} → {move.here}" for move in agreement.movers[:NAMED])
    return f"{group.capitalize()} OOD: {said or 'none moves'}"


def _methods(id: str, one: Comparison, several: bool) -> Table:
    columns = [Column("OpenOOD · here", "text")]
    for group in GROUPS:
        title = group.capitalize()
        columns += [Column(f"{title}, there"), Column("Rank"), Column(f"{title}, here"), Column("Rank")]
    columns.append(Column("OpenOOD may choose", "text"))
    moves = {group: {move.name: move for move in one.agreement[group].moves} for group in GROUPS}
    rows = []
    for pair in one.pairs:
        cells: list[Content] = [Labels((pair.method.name, pair.entry))]
        for group in GROUPS:
            move = moves[group][pair.method.name]
            cells += [_there(pair, group), move.there, _here(pair.ours[group]), move.here]
        rows.append(Row((*cells, pair.method.searched or None)))
    whose = f" on networks of init {one.init}" if several else ""
    return Table(
        tuple(columns),
        tuple(rows),
        id=id,
        title="Method by method",
        aside=(
            "AUROC: there the mean ± standard deviation over runs, where it is printed; "
            f"here{whose} the mean ± half the 95 % ",
            italic("t"),
            " interval over seeds. Ranks are among the methods of this table. The last column has what "
            "OpenOOD may choose by validation OOD images, where here it has its published value.",
        ),
        sortable=True,
    )


def _there(pair: Pair, group: Group) -> Number:
    mean, sd = pair.theirs.of(group)
    return Number(mean, half=math.nan if sd is None else sd)


def _here(values: Vector) -> Number:
    interval = mean_interval(values)
    return Number(interval.mean, half=(interval.high - interval.low) / 2)


def _remarks(one: Comparison, published: Published) -> Iterator[str]:
    """What is not compared, where sources disagree, and which they are."""
    table = one.table
    for names, why in (
        (one.unmeasured, "no record here at OpenOOD's setting"),
        (one.partial, "not measured here at every seed"),
        (one.unknown, "not among our methods"),
    ):
        if names:
            yield f"Not compared, because {why}: {_and(names)}."
    if table.disagreements:
        yield _disagreements(table)
    for name, source in table.sources.items():
        first = {figures.source for figures in table.compared.values()}
        use = "" if name in first else ", only for what it says otherwise"
        remark = f"; {source.remark}" if source.remark else ""
        yield f"Source {name}{use}: {source.place}, read {published.read}{remark}."


def _disagreements(table: PublishedTable) -> str:
    """How many means differ between sources, and those that differ by much."""
    apart = [both for both in table.disagreements if _apart(*both) >= APART]
    rest = len(table.disagreements) - len(apart)
    named = "; ".join(
        f"{counts.method} {counts.near[0]:.2f}, {counts.far[0]:.2f} in {counts.source} and "
        f"{other.near[0]:.2f}, {other.far[0]:.2f} in {other.source}"
        for counts, other in apart
    )
    little = f"{rest} by less than {APART:g} points" if rest else ""
    said = "; ".join(part for part in (named, little) if part)
    return f"Sources disagree on {len(table.disagreements)} methods (near, far; the first counts): {said}."


def _apart(counts: Figures, other: Figures) -> float:
    return max(abs(counts.near[0] - other.near[0]), abs(counts.far[0] - other.far[0]))


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
