"""All pages of the site, and the menu that leads to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from benchmark.spec.leaderboard import Spec
from reports.claims.page import claims_page, family_pages
from reports.claims.register import Register
from reports.diff.history import History
from reports.pages.changes import changes_page
from reports.pages.compare import compare_pages
from reports.pages.datasets import dataset_pages
from reports.pages.method_results import results_of
from reports.pages.methods import method_pages
from reports.pages.overall import overall_page
from reports.pages.parts import Parts
from reports.pages.start import start_page
from reports.pages.topics import topic_pages
from reports.pages.tracks import boards_page, declared_pages, track_pages
from reports.select import Counted
from reports.site.forked import all_of
from reports.site.frame import is_empty, made, no_records
from reports.site.sections import Page
from reports.site.text import Link


@dataclass(frozen=True)
class Made:
    """Where the records lie, and when pages are made of them."""

    source: str
    generated: str


def pages_of(
    spec: Spec,
    counted: Counted,
    register: Register,
    parts: Parts | None,
    made_of: Made,
    history: History | None = None,
    workers: int = 1,
) -> tuple[list[Page], tuple[Link, ...]]:
    """Every page of what counts, and the menu.

    Parameters
    ----------
    parts : the sections; None where no record counts.
    history : what moved between versions of the records; None where there are no versions.
    workers : processes that make pages at a time.
    """
    foot = made(made_of.source, made_of.generated)
    if parts is None or is_empty(counted):
        return [
            replace(start_page(spec, counted, None, register), body=no_records(counted.notes), footer=foot)
        ], ()
    results = results_of(spec, counted)
    groups: list[Callable[[], list[Page]]] = [
        partial(compare_pages, spec, counted, parts, register),
        partial(dataset_pages, spec, counted, results),
        partial(track_pages, spec, counted, parts),
        partial(method_pages, spec, counted, parts, results),
    ]
    compared, datasets, tracks, methods = all_of(groups, workers)
    pages = [
        start_page(spec, counted, parts, register, history),
        boards_page(spec, counted, parts),
        *filter(None, [overall_page(spec, parts.overall), changes_page(history)]),
        *tracks,
        *declared_pages(spec, parts),
        *methods,
        *compared,
        *datasets,
        *topic_pages(spec, parts),
        claims_page(register, spec, counted, parts.verdicts),
        *family_pages(spec, counted, parts.verdicts),
    ]
    there = {page.name for page in pages}
    menu = tuple(link for link in MENU if link.page in there)
    return [replace(page, footer=foot) for page in pages], menu


MENU = (
    Link("Start", "index"),
    Link("Boards", "boards"),
    Link("Overall", "overall"),
    Link("Methods", "methods"),
    Link("Compare", "compare"),
    Link("Pre-training", "pretraining"),
    Link("Calibration", "calibration"),
    Link("Studies", "studies"),
    Link("Claims", "claims"),
    Link("Datasets", "datasets"),
    Link("Changes", "changes"),
    Link("About", "about"),
)
