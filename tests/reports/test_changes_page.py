"""The page of what moved between tagged versions of the published records."""

import pytest
from tagged_results import AFTER, BEFORE, Repository, files, needs_git, snapshot, spec

import reports.diff.history
from reports.boards.explore import explore
from reports.boards.tables import board_tables
from reports.claims.decide import decide_claims
from reports.claims.register import load_register
from reports.diff.history import history_of, tagged
from reports.pages.changes import changes_page, latest_changes, shown_today
from reports.pages.parts import Parts, Shown
from reports.select import select
from reports.site.html import html_of
from reports.site.markdown import markdown_of
from reports.site.sections import Bullets, Section

TODAY = {**AFTER, "msp": 0.6}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setenv("OODBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    return Repository(tmp_path / "work")


@pytest.fixture
def two_tags(repository):
    repository.publish(BEFORE, "results-2026.9")
    repository.publish(AFTER, "results-2026.12")
    repository.publish(TODAY)
    return repository


def history(repository, today=TODAY):
    return history_of(tagged(repository.results), snapshot(today))


def sentences(section):
    return [item for block in section.body if isinstance(block, Bullets) for item in block.items]


def test_todays_side_is_what_the_boards_of_the_site_show():
    leaderboard, register = spec(), load_register()
    counted = select(leaderboard, files(TODAY))
    (table,) = board_tables("detection", leaderboard, counted)
    made = dict.fromkeys(Parts.__dataclass_fields__) | {
        "boards": {"detection": (Shown(table, Section("b", "B", ())),)},
        "explored": {"toy": explore(leaderboard, counted, "toy")},
        "verdicts": tuple(decide_claims(register, leaderboard, counted)),
    }
    expected = snapshot(TODAY)
    assert shown_today(Parts(**made)) == expected.model_copy(update={"records": None})
    assert len(expected.records) == 9


@needs_git
def test_a_section_for_each_step_the_newest_first(two_tags):
    page = changes_page(history(two_tags))
    assert page.name == "changes"
    assert [section.title for section in page.sections] == [
        "Not yet tagged, since results-2026.12",
        "results-2026.12, since results-2026.9",
    ]
    text = markdown_of(page)
    # By hand: msp 96 → 61, so that knn with 91 is first again.
    assert "| OOD detection | 3 | 0 | 0 | 1 | 2 | msp · scratch → knn · scratch |" in text
    assert "| OOD detection | 3 | 1 | 1 | 1 | 1 | knn · scratch → msp · scratch |" in text
    assert "| OOD detection | msp · scratch | Near AUROC | 96.00 | 61.00 | −35.00 |" in text


@needs_git
def test_the_start_page_has_what_is_new_since_the_last_tag(two_tags):
    section = latest_changes(history(two_tags))
    assert section.title == "New since results-2026.12"
    assert sentences(section) == [
        "Rows on 1 board: 1 changed.",
        "First places: OOD detection: msp · scratch → knn · scratch.",
    ]


@needs_git
def test_where_nothing_is_new_the_last_tag_is_told_of(two_tags):
    found = history(two_tags, AFTER)
    assert "Nothing has moved on any board, and no verdict." in markdown_of(changes_page(found))
    assert latest_changes(found).title == "New in results-2026.12"


@needs_git
def test_equal_records_give_equal_pages_with_and_without_the_cache(two_tags, monkeypatch, tmp_path):
    first = html_of(changes_page(history(two_tags)))
    assert html_of(changes_page(history(two_tags))) == first
    monkeypatch.setenv("OODBENCH_CACHE", str(tmp_path / "another"))
    assert html_of(changes_page(history(two_tags))) == first


@needs_git
def test_a_version_that_cannot_be_read_is_named_and_the_others_are_shown(two_tags):
    path = two_tags.results / "toy" / "msp.json"
    path.write_text('{"schema_version": 2}')
    two_tags.commit("results-2026.13")
    two_tags.publish(TODAY)
    text = markdown_of(changes_page(history(two_tags)))
    said = "results-2026.13: cannot be read by this version: results/toy/msp.json: schema\\_version: got 2"
    assert text.replace("schema_version", "schema\\_version").count(said) == 2
    assert "knn · scratch → msp · scratch" in text


@needs_git
def test_no_more_tags_are_read_than_are_shown(two_tags, monkeypatch):
    monkeypatch.setattr(reports.diff.history, "MOST", 1)
    found = history(two_tags)
    assert (len(found.steps), found.older) == (1, 1)
    assert "1 older version: not shown." in markdown_of(changes_page(found))


@needs_git
def test_the_pages_know_when_a_version_was_tagged(two_tags):
    before = tagged(two_tags.results).made_of
    two_tags.git("tag", "results-2027.1")
    after = tagged(two_tags.results).made_of
    assert [name for name, *_ in after] == ["results-2027.1", "results-2026.12", "results-2026.9"]
    assert after[1:] == before


@needs_git
def test_no_page_without_tags_of_this_line(repository):
    assert tagged(repository.results) is None  # no commit yet
    repository.publish(BEFORE)
    assert tagged(repository.results) is None
    repository.git("checkout", "--quiet", "-b", "aside")
    repository.publish(AFTER, "results-2026.12")
    repository.git("tag", "v1.0")
    repository.git("checkout", "--quiet", "main")
    assert tagged(repository.results) is None
    assert (changes_page(None), latest_changes(None)) == (None, None)


@needs_git
def test_no_page_of_records_that_git_does_not_have(two_tags, tmp_path):
    assert tagged(two_tags.folder / "runs") is None
    assert tagged(tmp_path / "elsewhere" / "results") is None
    outside = tmp_path / "outside"
    outside.mkdir()
    assert tagged(outside / "results") is None


def test_no_page_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tagged(tmp_path / "results") is None
