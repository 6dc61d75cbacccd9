"""What the pages say of verification: whose records were computed again, as they are now, and stood."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest
import synthetic_records as synthetic
import synthetic_studies as studied
from board_worlds import files_of, spec_of
from page import Page, words
from undrawn import draw_nothing
from verified_records import ledger_of, verification

from benchmark.errors import DataError
from benchmark.records.files import iterate, read_records
from benchmark.records.results import write_records
from benchmark.records.text import record_path
from benchmark.verify.ledger import LEDGER, Ledger, digest_of
from reports import select as selecting
from reports.boards.explore import explore
from reports.boards.provenance import facts
from reports.boards.tables import board_tables
from reports.boards.verified import Verified, last_of, verified_of
from reports.pages.tracks import csv_of, data_of, json_of
from reports.select import select
from reports.site.build import build_site
from reports.site.publish import publish

ENTRIES = ("msp", "energy", "knn")
SEEDS = (0, 1)
WORDS = {"msp": "verified", "energy": "partly verified (1 of 2)", "knn": "self-reported"}


def world():
    spec = synthetic.make_spec(entries=ENTRIES, inits=["scratch"], backbones=["cnn"])
    return spec, files_of(spec_of(ENTRIES), lambda of: {"near": 0.9 - ENTRIES.index(of[0]) / 10}, seeds=SEEDS)


def of_msp_and_a_half(file, record):
    """All of msp, of energy one seed, of knn none."""
    return file.row == "msp" or (file.row == "energy" and record.seed == 0)


@pytest.fixture(scope="module")
def counted():
    spec, files = world()
    return spec, select(spec, files, ledger_of(files, of_msp_and_a_half))


def test_a_row_is_verified_only_if_all_its_records_are(counted):
    (board,) = board_tables("detection", *counted)
    assert {row.labels[0]: row.verified.text for row in board.rows} == WORDS


@pytest.mark.parametrize(
    ("n", "of", "word", "text"),
    [
        (3, 3, "verified", "verified"),
        (1, 3, "partly verified", "partly verified (1 of 3)"),
        (0, 3, "self-reported", "self-reported"),
        (0, 0, None, None),  # of a summary, which has no records of its own
    ],
)
def test_the_words(n, of, word, text):
    assert (Verified(n, of).word, Verified(n, of).text) == (word, text)


def test_the_last_verification_is_the_newest_whatever_the_order():
    old, new = verification(["0" * 16], day=1), verification(["1" * 16], "others", day=2)
    assert last_of([new, None, old]) is new
    assert last_of([None]) is None
    assert verified_of([new, None, old]) == Verified(2, 3)


def changed(record, what):
    if what == "numbers":
        return record.model_copy(update={"numbers": {**record.numbers, "selective.aurc": 0.5}})
    if what == "series":
        bins = record.series["histogram_id"][::-1]
        return record.model_copy(update={"series": {**record.series, "histogram_id": bins}})
    if what == "key":
        return record.model_copy(update={"key": "another"})
    made = record.provenance.model_copy(update={what: {"digits": "e" * 64} if what == "data" else "e" * 64})
    return record.model_copy(update={"provenance": made})


@pytest.mark.parametrize("what", ["numbers", "series", "key", "checkpoint", "data", "method_source"])
def test_a_record_that_changes_is_unverified_again(what):
    spec, files = world()
    ledger = ledger_of(files, lambda file, record: True)
    first = files[0].records[0]
    files[0] = files[0].model_copy(update={"records": [changed(first, what), *files[0].records[1:]]})
    (board,) = board_tables("detection", spec, select(spec, files, ledger))
    found = {row.labels[0]: row.verified.text for row in board.rows}
    assert found == {"msp": "partly verified (1 of 2)", "energy": "verified", "knn": "verified"}


def test_where_and_when_a_record_was_made_is_no_change_of_it():
    spec, files = world()
    ledger = ledger_of(files, lambda file, record: True)
    files = [
        file.model_copy(
            update={
                "records": [
                    one.model_copy(
                        update={
                            "cost": None,
                            "provenance": one.provenance.model_copy(update={"date": "2027-01-01T00:00:00Z"}),
                        }
                    )
                    for one in file.records
                ]
            }
        )
        for file in files
    ]
    (board,) = board_tables("detection", spec, select(spec, files, ledger))
    assert {row.verified.text for row in board.rows} == {"verified"}


def test_a_verification_is_of_one_place_only():
    """A verified record that is copied to another entry is not verified there."""
    spec, files = world()
    ledger = ledger_of(files, lambda file, record: file.row == "msp")
    copied = [one.model_copy(update={"key": f"copy {one.key}"}) for one in files[0].records]
    files[2] = files[2].model_copy(update={"records": copied})
    found = select(spec, files, ledger)
    assert {cell.entry for cell, one in found.measured.items() if one.verification} == {"msp"}


def test_records_are_hashed_only_where_something_was_verified(monkeypatch):
    def refuse(*_):
        raise AssertionError("hashed")

    spec, files = world()
    monkeypatch.setattr(selecting, "digest_of", refuse)
    for nothing in (None, Ledger()):
        assert {one.verification for one in select(spec, files, nothing).measured.values()} == {None}
    with pytest.raises(AssertionError, match="hashed"):
        select(spec, files, Ledger(verifications=[verification(["0" * 16])]))


def test_rows_of_studies_have_a_standing_too():
    spec = studied.make_spec()
    files = studied.make_studies((0, 1))
    ledger = ledger_of(files, lambda file, record: file.study == "corruptions" and record.seed == 0)
    found = select(spec, files, ledger).studies.measured
    said: dict[str, set[str]] = {}
    for study in ("adversarial", "corruptions"):
        for cell, one in found[study].items():
            said.setdefault(f"{study} {cell.seed}", set()).add(verified_of(one.verifications).word)
    assert said == {
        "adversarial 0": {"self-reported"},
        "adversarial 1": {"self-reported"},
        "corruptions 0": {"verified"},
        "corruptions 1": {"self-reported"},
    }


def test_a_file_that_is_written_again_names_its_records_as_before(tmp_path):
    _, files = world()
    for file in files:
        first, second = (record_path(tmp_path / name, "toy", file.row) for name in "ab")
        write_records(first, file)
        read = read_records(first)
        write_records(second, read)
        again = read_records(second)
        names = [[digest_of(one, record) for record in one.records] for one in (read, again)]
        assert names[0] == names[1]
        assert len(set(names[0])) == len(file.records)


# What pages and files say


def test_the_downloads_say_it(counted):
    spec, found = counted
    (one,) = explore(spec, found, "toy")
    rows = {row["entry"]: row for row in csv.DictReader(io.StringIO(csv_of(one)))}
    said = {name: (row["verified"], row["verified.records"], row["records"]) for name, row in rows.items()}
    assert said == {
        "msp": ("verified", "2", "2"),
        "energy": ("partly verified", "1", "2"),
        "knn": ("self-reported", "0", "2"),
    }
    again = {row["entry"]: row for row in json.loads(json_of(one))["rows"]}
    assert {
        n: (r["verified"], str(r["verified.records"]), str(r["records"])) for n, r in again.items()
    } == said
    data = data_of(spec, one, [0])
    assert {data["entries"][row["entry"]]["name"]: row["verified"] for row in data["rows"]} == {
        "msp": [2, 2], "energy": [1, 2], "knn": [0, 2],
    }  # fmt: skip


def test_the_provenance_says_how_many_and_by_whom(counted):
    of = {fact.title: fact.values for fact in facts(counted[1])}
    assert of["Verified by recomputation"] == ("3, by a lab",)


def test_every_page_says_it_and_what_it_quotes_is_no_markup(tmp_path, monkeypatch):
    draw_nothing(monkeypatch)
    spec, files = world()
    by = "<img src=x onerror=alert(1)> a|b"
    build_site(
        spec, files, tmp_path, generated=datetime(2026, 12, 1, tzinfo=UTC),
        ledger=ledger_of(files, of_msp_and_a_half, by),
    )  # fmt: skip
    board = Page((tmp_path / "boards" / "toy.html").read_text())
    for word in WORDS.values():
        assert word in words(board.text)
        assert word in (tmp_path / "leaderboard.md").read_text()
        assert word in (tmp_path / "boards" / "toy.md").read_text()
    pages = {name: Page((tmp_path / "methods/detectors" / f"{name}.html").read_text()) for name in ENTRIES}
    assert f"2 of 2 records computed again, last by {by} on 2026-12-01" in words(pages["msp"].text)
    assert f"1 of 2 records computed again, last by {by} on 2026-12-01" in words(pages["energy"].text)
    assert "0 of 2 records" in words(pages["knn"].text)
    for page in (*pages.values(), Page((tmp_path / "about.html").read_text())):
        assert "onerror" not in str(page.elements)


def test_the_site_follows_its_ledger(tmp_path, monkeypatch):
    draw_nothing(monkeypatch)
    spec, files = world()
    results, site = tmp_path / "results", tmp_path / "site"
    for file in files:
        write_records(record_path(results, "toy", file.row), file)
    board = site / "boards" / "toy.md"
    assert publish(spec, results, site)
    assert "partly" not in board.read_text().replace("partly verified: some", "")
    assert publish(spec, results, site) == []
    ledger = ledger_of(iterate(results), of_msp_and_a_half)
    (results / LEDGER).write_text(ledger.model_dump_json())
    assert publish(spec, results, site)
    assert WORDS["energy"] in board.read_text()
    (results / LEDGER).write_text("{")
    with pytest.raises(DataError, match=LEDGER):
        publish(spec, results, site)
