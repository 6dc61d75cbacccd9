"""Two to five entries beside each other: a page for each track and backbone, and one that leads to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from statistics import fmean
from typing import Any

from benchmark.datasets.seen import seen_by
from benchmark.metrics.statistics import Interval
from benchmark.spec.leaderboard import Spec
from reports.boards.explore import is_tuned
from reports.boards.places import Samples
from reports.boards.recommend import Pick, picks
from reports.boards.side_by_side import (
    LEAST,
    MOST,
    NEAR,
    ROUNDED,
    Cost,
    SideBySide,
    beyond,
    interval_of,
    quantiles,
    rounded_cost,
    side_by_side,
)
from reports.boards.tables import TOGETHER
from reports.claims.register import Register
from reports.costs import FORWARDS
from reports.pages.method_text import path_of as path_of_method
from reports.pages.parts import Parts
from reports.plots.figures import file_name
from reports.plots.pareto import Point, pareto
from reports.select import Counted
from reports.site.cells import Count, Labels, Number
from reports.site.frame import page_of, view_links
from reports.site.sections import (
    Block,
    Bullets,
    Column,
    Facts,
    Gallery,
    Live,
    Page,
    Paragraph,
    Plot,
    Row,
    Section,
    Table,
)
from reports.site.text import Link, Piece, Text

FOLDER, MEAN = "compare", "mean"
BEYOND = "time beyond the forward pass, in % of it"
UNIT = 1_000_000  # numbers within the page are whole, in this part of one


def compare_pages(spec: Spec, counted: Counted, parts: Parts | None, register: Register) -> list[Page]:
    """The page that leads to the comparisons, and one for each track that has records of several entries.

    Of several backbones each has a page, and their mean.

    Parameters
    ----------
    parts : the boards, for what is recommended; None: nothing is.
    register : of the claims, for the least difference that counts.
    """
    pages: list[Page] = []
    picked = {} if parts is None else {(one.track, one.init): one for one in picks(spec, parts.explored)}
    same = least_effect(register)
    leading: list[Text] = []
    for name, track in spec.tracks.items():
        views = [one for one in side_by_side(spec, counted, name) if len(one.entries) > 1]
        views.sort(key=lambda one: -sum(row.complete for row in one.rows))  # the one that tells most first
        pages += [_page(spec, one, views, picked, same) for one in views]
        for one in views:
            leading.append((Link(_heading(one, views, track.title), path_of(one, views)), _entries(one)))
    if not pages:
        return []
    intro = (
        "Two to five entries beside each other: differences with intervals, ROC curves, and cost against "
        "near AUROC."
    )
    first = page_of(FOLDER, "Compare", intro, Section("tracks", "Tracks", (Bullets(tuple(leading)),)))
    assert first is not None
    return [first, *pages]


def path_of(one: SideBySide, views: Sequence[SideBySide]) -> str:
    """The page of a comparison; the first of a track's bears the track's name."""
    return f"{FOLDER}/{one.track}" if one is views[0] else f"{FOLDER}/{one.track}~{one.backbone or MEAN}"


def _heading(one: SideBySide, views: Sequence[SideBySide], title: str) -> str:
    """A track's title, with the backbone where there are several."""
    return title if len(views) == 1 else f"{title}, {one.backbone or 'mean of the backbones'}"


def _entries(one: SideBySide) -> str:
    """How many there are to compare."""
    whole = {row.labels[0] for row in one.rows if row.complete}
    return f": {len(whole)} entries"


def least_effect(register: Register) -> float:
    """The least difference in near AUROC that counts, in points: δ of the claims; 0 where there is none."""
    return next((one.delta for one in register.metrics.values() if one.metric == NEAR), 0.0)


Picked = Mapping[tuple[str, str], Pick]  # by track and init


def _page(spec: Spec, one: SideBySide, views: Sequence[SideBySide], picked: Picked, same: float) -> Page:
    without = (
        Paragraph("With JavaScript any two to five entries of this track are compared here."),
        *_pareto_blocks(one),
    )
    live = Live("compare", data_of(spec, one, picked, same), without)
    page = page_of(
        path_of(one, views),
        f"Compare: {_heading(one, views, spec.tracks[one.track].title)}",
        _intro(one, views),
        Section("compare", "Entries beside each other", (live,)),
        _rule(one, same),
    )
    assert page is not None
    return page


def _intro(one: SideBySide, several: Sequence[SideBySide]) -> Text:
    text: list[Piece] = ["Numbers are means over seeds, in points (×100). "]
    if len(several) > 1:
        paths = {other.backbone or "mean of them": path_of(other, several) for other in several}
        text += ["Backbones: ", *view_links(paths, path_of(one, several)), ". "]
    return (
        *text,
        "All positions: ",
        Link("the board", path_of(one, several).replace(FOLDER, "boards", 1)),
        ".",
    )


def _rule(one: SideBySide, same: float) -> Section:
    """How a difference is tested, and what the words mean."""
    families = {compared.family: None for compared in one.compared}
    apart = " Means of groups are one such table, single OOD sets another." if len(families) > 1 else ""
    words = Facts(
        (
            ("significantly better, significantly worse", "The interval excludes 0."),
            ("about the same", _same(same)),
            ("undecided", "Neither: these seeds do not tell."),
            (
                "not compared",
                "The two share fewer than two seeds, are measured on other backbones, stand on networks that "
                "were trained apart, or one is of ensembles, each of which takes several seeds.",
            ),
        )
    )
    said: list[Text] = [
        "Differences are paired by seed: within each seed that both entries have, the AUROC of one minus "
        "that of the reference. The interval is Student's t interval of their mean.",
        "The intervals of a table hold all at once with probability 95 % (Bonferroni): each is of level "
        f"1 − 0.05 / m, where m is the number of differences in the table.{apart} They widen with each entry "
        "that is added.",
        "They allow for the differences that are shown, not for a choice of entries after a look at many: "
        "positions on the boards are tested over all rows at once.",
    ]
    if one.cost is not None:
        said.append(_of_cost(one))
    if one.curves:
        drawn = dict.fromkeys(one.rows[i].labels[0] for i in one.curves)
        said.append(f"Records of these entries hold ROC curves for the pages: {', '.join(drawn)}.")
    return Section("rule", "How differences are tested", (words, Bullets(tuple(said), small=True)))


def _same(same: float) -> str:
    return (
        f"The interval holds 0 and lies within ±{same:g} points of AUROC, the least difference that counts "
        "in the claims (δ)."
    )


def _of_cost(one: SideBySide) -> str:
    """What is counted as cost, which costs are equal, and how exact it is."""
    assert one.cost is not None
    if one.cost.metric == FORWARDS:
        said = (
            "Cost: the passes of the network and the scoring, its fit included, in times of one bare forward "
            f"pass; training is not counted. For the Pareto front costs are rounded to {ROUNDED:g}: its line "
            "rises where the costs begin that are rounded to those of the next entry."
        )
    else:
        said = (
            "Cost: milliseconds of scoring an image, its fit included; neither the forward pass nor training "
            "is counted. For the Pareto front costs are rounded to two significant digits."
        )
    if isnan(one.cost_ratio):
        return said
    return (
        f"{said} In the median of the rows, the dearest seed costs {one.cost_ratio:.2f} times the cheapest."
    )


# Cost against near AUROC, for readers without JavaScript


def _pareto_blocks(one: SideBySide) -> Iterator[Block]:
    """The entries that no other beats at their cost, as a table and as figures."""
    if one.cost is None or not one.costs:
        return
    rows: list[Row] = []
    for init in one.inits:
        front = sorted((cost for cost in _of_init(one, init) if cost.front), key=lambda cost: cost.cost)
        rows += [Row(_front_row(one, cost), parted=cost is front[0] and bool(rows)) for cost in front]
    yield Table(
        columns=(
            Column("Entry · init", "text"),
            Column(one.cost.title, better="lower"),
            *(Column(f"{group} AUROC", better="higher") for group in ("Near", "Far")),
            Column("Seeds", largest_first=True),
        ),
        rows=tuple(rows),
        title="Cost against near AUROC: the Pareto front",
        about="No entry of the same init reaches as much at less cost, or more at the same cost.",
        aside="Mean ± half the 95 % interval over seeds, of each row by itself.",
    )
    yield Gallery(tuple(_figure(one, init) for init in one.inits if _of_init(one, init)))


def _of_init(one: SideBySide, init: str) -> list[Cost]:
    return [cost for cost in one.costs if one.rows[cost.row].labels[1] == init]


def _front_row(one: SideBySide, cost: Cost) -> tuple[Labels | Number | Count | None, ...]:
    row = one.rows[cost.row]
    means = [i for i, compared in enumerate(one.compared) if compared.family == "means"][:2]
    numbers = (_number(interval_of(row, place)) for place in means)
    price = Number(cost.cost, percent=False)
    return (Labels(row.labels), price, *numbers, Count(len(row.by_seed), one.seeds))


def _number(interval: Interval | None) -> Number | None:
    return None if interval is None else Number(interval.mean, half=interval.high - interval.mean)


def _figure(one: SideBySide, init: str) -> Plot:
    assert one.cost is not None
    costs = _of_init(one, init)
    points = [_point(one, cost) for cost in costs]
    front = sorted((cost for cost in costs if cost.front), key=lambda cost: cost.cost)
    named = ((one.rows[cost.row].labels[0], cost) for cost in front)
    listed = "; ".join(f"{name} {cost.cost:.2f}, {cost.near:.1%}" for name, cost in named)
    across = BEYOND if one.cost.metric == FORWARDS else one.cost.title
    on = "all backbones" if one.backbone is None else one.backbone
    return pareto(
        file_name("pareto", one.track, one.backbone or MEAN, init),
        f"Cost and near AUROC, {init}",
        f"Cost in {one.cost.title} against near AUROC of {len(points)} entries of track {one.track} on {on} "
        f"from {init}. On the Pareto front, with cost and near AUROC: {listed}.",
        points,
        f"{across} (logarithmic)",
    )


def _point(one: SideBySide, cost: Cost) -> Point:
    assert one.cost is not None
    name = one.rows[cost.row].labels[0]
    if one.cost.metric != FORWARDS:
        return Point(name, cost.cost, cost.near, cost.front)
    equal = beyond(rounded_cost(cost.cost, FORWARDS) - ROUNDED / 2)
    return Point(name, beyond(cost.cost), cost.near, cost.front, equal)


# What a script of ours shows


def data_of(spec: Spec, one: SideBySide, picked: Picked, same: float) -> dict[str, Any]:
    """A comparison for `compare.js`: shares as whole numbers of `UNIT`, costs and curves rounded."""
    places = {cost.row: cost for cost in one.costs}
    forwards = one.cost is not None and one.cost.metric == FORWARDS
    return {
        "title": spec.tracks[one.track].title,
        "unit": UNIT / 100,
        "same": same,
        "most": MOST,
        "start": [first_shown(spec, one, init, picked.get((one.track, init))) for init in one.inits],
        "inits": list(one.inits),
        "compared": [
            {"group": compared.group, "title": compared.column.title, "family": compared.family}
            for compared in one.compared
        ],
        "others": [column.title for column in one.others],
        "cost": None if one.cost is None else one.cost.title,
        "beyond": {"axis": BEYOND, "least": LEAST, "rounded": ROUNDED} if forwards else None,
        "entries": [_entry(spec, name) for name in one.entries],
        "rows": [_row(one, i, places.get(i)) for i in range(len(one.rows))],
        "apart": [list(pair) for pair in one.apart],
        "seen": {init: _seen(spec, one, init) for init in one.inits},
        "fpr": [round(x, 4) for x in one.fpr],
        "quantiles": quantiles(one),
    }


def first_shown(spec: Spec, one: SideBySide, init: str, pick: Pick | None) -> list[str]:
    """Two entries that are compared at first: what is recommended at little cost, and what is best at any.

    Where these are one, or nothing is recommended, those with the highest mean near AUROC follow, published
    values first.
    """
    rows = [row for row in one.rows if row.labels[1] == init and row.has(0)]
    there = [row.labels[0] for row in sorted(rows, key=lambda row: _at_first(spec, row))]
    lines = () if pick is None else (pick.cheap, pick.best)
    wanted = [line.entry for line in lines if line is not None and line.entry in there]
    return list(dict.fromkeys((*wanted, *there)))[:2]


def _at_first(spec: Spec, row: Samples) -> tuple[bool, bool, float]:
    mean = fmean(numbers[0] for numbers in row.by_seed.values())
    return not row.comparable, is_tuned(spec.entries[row.labels[0]]), -mean


def _entry(spec: Spec, name: str) -> dict[str, Any]:
    entry = spec.entries[name]
    page = f"../{path_of_method('detectors', entry.detector)}.html"
    return {"name": name, "tuned": is_tuned(entry), "page": page}


def _row(one: SideBySide, i: int, cost: Cost | None) -> dict[str, Any]:
    row, curves = one.rows[i], one.curves.get(i)
    seeds = sorted(row.by_seed)
    others = range(len(one.compared), len(one.compared) + len(one.others))
    made: dict[str, Any] = {
        "entry": one.entries.index(row.labels[0]),
        "init": one.inits.index(row.labels[1]),
        "seeds": seeds,
        "values": [
            [round(UNIT * row.by_seed[seed][place]) for seed in seeds] if row.has(place) else None
            for place in range(len(one.compared))
        ],
        "others": [_rounded(interval_of(row, place)) for place in others],
    }
    if why := _alone(row):
        made["alone"] = why
    if row.networks > 1:
        made["networks"] = row.networks
    if cost is not None:
        made["cost"] = round(cost.cost, 4)
        made["front"] = cost.front
    if curves is not None:
        made["roc"] = [[round(1000 * y) for y in line] for line in (curves.near, curves.far)]
    return made


def _alone(row: Samples) -> str:
    """Why a row is compared with none; empty where it is."""
    if row.networks > 1:
        return f"ensembles of {row.networks} networks"
    if row.transductive:
        return TOGETHER
    return "" if row.complete else "not measured on all backbones"


def _rounded(interval: Interval | None) -> list[float | None] | None:
    """Mean and half the 95 % interval in points; None where there is none, or of a single seed."""
    if interval is None:
        return None
    half = interval.high - interval.mean
    return [round(100 * interval.mean, 2), None if isnan(half) else round(100 * half, 2)]


def _seen(spec: Spec, one: SideBySide, init: str) -> list[str]:
    """The OOD sets that the first weights of an init were trained on, on any backbone that is shown."""
    track = spec.tracks[one.track]
    shown = track.backbones if one.backbone is None else [one.backbone]
    found = {name for backbone in shown for name in seen_by(spec, one.track, backbone, init).sets}
    return [name for name in track.ood if name in found]
