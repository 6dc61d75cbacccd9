"""The page that lists all methods, a sortable table for each family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmark.spec.leaderboard import Spec
from methods.cards import MethodCard, kind_of
from reports.pages.method_results import TrackResults
from reports.pages.method_text import FOLDER, path_of, spoken, summary_of
from reports.site.cells import Content, Number
from reports.site.sections import Column, Page, Row, Section, Table, present
from reports.site.text import Link


def list_page(
    spec: Spec, methods: Mapping[str, Mapping[str, MethodCard]], results: Sequence[TrackResults]
) -> Page:
    """The page of all methods, by family and name; near AUROC of detectors beside them."""
    sections = present(*(_family(spec, family, of_family, results) for family, of_family in methods.items()))
    intro = (
        "What is compared here, by family, each with a page of its own: what it computes, where it was "
        "published, what was measured of it, and how it is used."
    )
    nav = tuple(section.link for section in sections)
    return Page(FOLDER, "Methods · oodbench", "Which methods are there?", intro, nav, (), sections, "")


def _family(
    spec: Spec, family: str, methods: Mapping[str, MethodCard], results: Sequence[TrackResults]
) -> Section | None:
    if not methods:
        return None
    plain = {name: _published(spec, name) for name in methods} if family == "detectors" else {}
    measured = {
        one.name: {name: one.near(entry) for name, entry in plain.items() if entry} for one in results
    }
    shown = [name for name, near in measured.items() if any(value is not None for value in near.values())]
    needs = any(card.needs for card in methods.values())
    columns = [Column("Name", "text"), Column("What it does", "statement")]
    columns += [Column("Needs", "text")] if needs else []
    columns.append(Column("Year", largest_first=True))
    columns += [Column(f"Near AUROC, {name}", better="higher") for name in shown]
    columns.append(Column("Venue", "text"))  # some are long
    rows = []
    for name, card in methods.items():
        cells: list[Content] = [(Link(name, path_of(family, name)),), summary_of(card) or None]
        if needs:
            cells.append(kind_of(card) if family == "detectors" else ", ".join(card.needs) or None)
        cells.append(None if card.paper is None else card.paper.year)
        near = [measured[track].get(name) for track in shown]
        cells += [None if value is None else Number(value) for value in near]
        cells.append(None if card.paper is None else card.paper.venue)
        rows.append(Row(tuple(cells)))
    about = f"{len(rows)} {spoken(family, several=True)}"
    if shown:
        about += (
            "; near AUROC at published values, averaged over the backbones and inits of the track, where all "
            "of them were measured"
        )
    title = spoken(family, several=True).capitalize()
    return Section(family, title, (Table(tuple(columns), tuple(rows), about=about, sortable=True),))


def _published(spec: Spec, name: str) -> str | None:
    """The entry that has a detector as published, on networks of cross-entropy."""
    found = (
        key
        for key, entry in spec.entries.items()
        if (entry.detector, entry.objective) == (name, "cross_entropy")
        and not (entry.hyperparameters or entry.tune)
    )
    return next(found, None)
