"""Pages of one question each over all tracks: pre-training, calibration, the studies, what made the numbers."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.records.record import PLANE
from benchmark.spec.leaderboard import Spec
from reports.pages.parts import Parts, Shown
from reports.site.frame import page_of
from reports.site.leaderboard import reading
from reports.site.sections import Bullets, Link, Page, Section, plain

STUDIES = "studies"


def topic_pages(spec: Spec, parts: Parts) -> list[Page]:
    """The pages that there is something to show on."""
    pages = [
        page_of(
            "pretraining",
            "What does pre-training give?",
            "Networks that go on from pre-trained weights, against the same networks from scratch.",
            parts.gains,
            parts.growth,
            parts.pretraining,
            parts.training,
        ),
        page_of(
            "calibration",
            "How well do networks know how sure to be?",
            "Accuracy and calibration of the networks themselves; the detector plays no part.",
            *(shown.section for shown in _of_networks(spec, parts)),
            parts.plot("reliability"),
        ),
        page_of(
            "openood",
            "The order of methods, here and in OpenOOD v1.5",
            "Published results of another benchmark beside ours.",
            parts.openood,
        ),
        page_of(
            "about",
            "How to read the numbers, and what made them",
            "How tables are read, what is not measured, and by which machines and libraries all was made.",
            reading(spec),
            parts.reproduction,
            parts.unmeasured,
            parts.provenance,
        ),
        *_studies(spec, parts),
    ]
    return [page for page in pages if page is not None]


def of_networks(spec: Spec, name: str) -> bool:
    """Whether a board is of networks, whatever the detector."""
    board = spec.boards[name]
    return board.study is None and "entry" not in board.rows


def _studies(spec: Spec, parts: Parts) -> Iterator[Page | None]:
    """A page for each study, and one that leads to them."""
    links = []
    for study, section in parts.studies.items():
        boards = [
            shown.section
            for name in spec.boards
            if spec.boards[name].study == study
            for shown in parts.boards[name]
            if shown.board.rows
        ]
        title = plain(section.title)
        about = "an experiment in two dimensions" if study == PLANE else "a study of the networks"
        yield page_of(f"{STUDIES}/{study}", title, f"{title}: {about}.", *boards, section)
        links.append((Link(title, f"{STUDIES}/{study}"),))
    if parts.openood is not None:
        links.append((Link("The order of methods, here and in OpenOOD v1.5", "openood"),))
    if links:
        listed = Section("all", "All studies", (Bullets(tuple(links)),))
        intro = "What else is measured of the networks, besides how well detectors tell images apart."
        yield page_of(STUDIES, "Studies", intro, listed)


def _of_networks(spec: Spec, parts: Parts) -> Iterator[Shown]:
    for name, several in parts.boards.items():
        if of_networks(spec, name):
            yield from (shown for shown in several if shown.board.rows)
