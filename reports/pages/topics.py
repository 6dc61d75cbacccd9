"""Pages of one question each over all tracks: pre-training, calibration, studies, provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from benchmark.records.record import PLANE
from benchmark.spec.leaderboard import Spec
from reports.boards.answers import answer_of, compared
from reports.boards.gains import Measure
from reports.pages.parts import Parts, Shown
from reports.site.frame import page_of
from reports.site.leaderboard import reading
from reports.site.sections import Bullets, Page, Section, of_track
from reports.site.text import Link, Text, pieces, plain

STUDIES = "studies"
PRETRAINING = "pretraining"


def topic_pages(spec: Spec, parts: Parts) -> list[Page]:
    """The pages that there is something to show on."""
    pages = [
        page_of(
            PRETRAINING,
            "What does pre-training give?",
            "Networks that go on from pre-trained weights, against the same networks from scratch.",
            _answer(spec, parts, lambda _: True),
            parts.growth,
            parts.gains,
            _by_track(spec, parts),
            parts.training,
        ),
        *_pretraining(spec, parts),
        page_of(
            "calibration",
            "How well do networks know how sure to be?",
            "Accuracy and calibration of the networks themselves; the detector plays no part.",
            _answer(spec, parts, lambda measure: measure.name in ("accuracy", "calibration")),
            parts.plot("reliability"),
            *(shown.section for shown in _of_networks(spec, parts)),
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


def _answer(spec: Spec, parts: Parts, asked: Callable[[Measure], bool]) -> Section | None:
    """What pre-training gives in the measures that a page is about."""
    body = answer_of(spec, compared(spec, parts.compared, asked))
    return Section("answer", "Does pre-training help?", body, short="Answer") if body else None


def _is_of(study: str, measure: Measure) -> bool:
    return measure.study == study


def _tracks_of(spec: Spec, parts: Parts) -> list[str]:
    """The tracks that have comparisons of inits."""
    return [name for name in spec.tracks if of_track(parts.pretraining, name) is not None]


def _by_track(spec: Spec, parts: Parts) -> Section | None:
    """What leads to the comparisons of inits."""
    links = [(Link(spec.tracks[name].title, f"{PRETRAINING}/{name}"),) for name in _tracks_of(spec, parts)]
    if not links:
        return None
    title = "Pre-trained against scratch, entry by entry"
    return Section("tracks", title, (Bullets(tuple(links)),), short="Entry by entry")


def _pretraining(spec: Spec, parts: Parts) -> Iterator[Page | None]:
    for name in _tracks_of(spec, parts):
        intro: Text = ("Over all tracks: ", Link("what pre-training gives", PRETRAINING), ".")
        heading = f"Pre-trained against scratch: {spec.tracks[name].title}"
        yield page_of(f"{PRETRAINING}/{name}", heading, intro, of_track(parts.pretraining, name))


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
        answer = _answer(spec, parts, partial(_is_of, study))
        yield page_of(f"{STUDIES}/{study}", title, f"{title}: {about}.", answer, section, *boards)
        links.append((Link(title, f"{STUDIES}/{study}"), *_first_of(answer)))
    if parts.openood is not None:
        links.append((Link("The order of methods, here and in OpenOOD v1.5", "openood"),))
    if links:
        listed = Section("all", "All studies", (Bullets(tuple(links)),))
        intro = "What else is measured of the networks, besides how well detectors tell images apart."
        yield page_of(STUDIES, "Studies", intro, listed)


def _first_of(answer: Section | None) -> Text:
    """The sentences of an answer, after a colon."""
    body = () if answer is None else answer.body
    items = [item for block in body if isinstance(block, Bullets) for item in block.items]
    return tuple(piece for i, item in enumerate(items) for piece in (" " if i else ": ", *pieces(item)))


def _of_networks(spec: Spec, parts: Parts) -> Iterator[Shown]:
    for name, several in parts.boards.items():
        if of_networks(spec, name):
            yield from (shown for shown in several if shown.board.rows)
