"""What the pages have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reports.select import Counted
from reports.site.sections import Block, Bullets, Command, Page, Paragraph, Section, present
from reports.site.text import Link, Piece, Span, Text, code, strong

RUN = "oodbench run --all"  # what an empty page tells the reader to do


def is_empty(counted: Counted) -> bool:
    """Whether no record counts."""
    return not (counted.measured or counted.unmeasured or counted.studies.measured)


def no_records(notes: Sequence[str] = ()) -> tuple[Block, ...]:
    """What a page without records says."""
    text: Text = (
        strong("There are no records yet."),
        " To measure everything whose data is at hand, run",
    )
    listed = (Bullets(tuple(notes), small=True),) if notes else ()
    return (Paragraph(text), Command(RUN), *listed)


def made(source: str, generated: str) -> tuple[str | Span, ...]:
    """The foot of a page."""
    return (f"Made {generated} from the records in ", code(f"{source}/"), ".")


def view_links(paths: Mapping[str, str], here: str) -> Iterator[Piece]:
    """Links to the views of one thing, by their names, with commas between; this one is only named."""
    for i, (name, path) in enumerate(paths.items()):
        yield from [", "] if i else []
        yield name if path == here else Link(name, path)


def page_of(name: str, heading: str, intro: Text, *sections: Section | None) -> Page | None:
    """A page of sections, with links to them; None where there are none."""
    there = present(*sections)
    if not there:
        return None
    linked = tuple(section.link for section in there if section.id)
    nav = linked if len(linked) > 1 else ()
    return Page(name, f"{heading} · oodbench", heading, intro, nav, (), there, "")
