"""Whatever an error says becomes one printable line of some kB, and what is written of it can be read."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.engines.worker import describe
from benchmark.errors import DataError
from benchmark.records.files import read_records
from benchmark.records.record import Record, RecordFile, TrainedWith
from benchmark.records.results import write_records
from benchmark.store.artifacts import Store
from methods.base import NotApplicable, ScoreError
from methods.errors import LONGEST, printable, said

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # halves of surrogate pairs among them


def assert_fit_to_be_shown(text):
    assert text.isprintable()
    assert len(text) <= LONGEST + 60  # its class, and how long it was
    text.encode()
    assert json.loads(json.dumps(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain – 数", "plain – 数"),
        ("two\nlines\tand\r\nmore", "two lines and  more"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\ud800", r"\ud800"),
        ("\udcff", r"\xff"),  # a byte of a path that is no UTF-8
        ("\u202egnirts", r"\u202egnirts"),
        ("\x00\x07", r"\x00\x07"),
        ("", ""),
    ],
)
def test_r18_what_cannot_be_printed_is_written_out(text, expected):
    assert printable(text) == expected


def test_r18_a_long_message_is_cut_and_says_so():
    assert printable("x" * LONGEST) == "x" * LONGEST
    assert printable("x" * 30_000_000) == "x" * LONGEST + "… (30000000 characters)"
    assert len(printable("\ud800" * LONGEST)) < LONGEST + 40


class Silent(Exception):
    def __init__(self, error):
        self.error = error

    def __str__(self):
        if isinstance(self.error, BaseException):
            raise self.error
        return self.error


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(0), RecursionError(), None, 3])
def test_r18_an_error_that_cannot_say_what_it_is_has_its_class_told(error):
    """It raises, exits, or returns what is no text."""
    assert describe(Silent(error)).startswith("Silent: what it says cannot be read (")


@given(ANY_TEXT)
def test_r18_any_message_of_any_error_can_be_shown(text):
    for error in (ValueError(text), NotApplicable(text), ScoreError(text), DataError(text), Silent(text)):
        assert_fit_to_be_shown(said(error))
        assert_fit_to_be_shown(describe(error))


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=LONGEST))
def test_r18_a_message_that_can_be_printed_stays_as_it_is(text):
    assert printable(text) == text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("written")


@given(ANY_TEXT)
@settings(max_examples=50, deadline=None)
def test_r18_a_record_of_any_failure_can_be_read_again(folder, text):
    record = Record(
        backbone="tiny",
        init="scratch",
        seed=0,
        key="0" * 32,
        status="failed",
        reason=describe(ValueError(text)),
        training=TrainedWith(objective="cross_entropy", hyperparameters={}, recipe=None),
    )
    file = RecordFile(
        track="small",
        study="detection",
        row="odd",
        environments={},
        records=[record],
    )
    path = folder / "odd.json"
    path.unlink(missing_ok=True)
    write_records(path, file)
    assert read_records(path).records[0].reason == record.reason


@given(ANY_TEXT)
@settings(max_examples=50, deadline=None)
def test_r18_why_a_method_does_not_apply_can_be_read_again(folder, text):
    store = Store(folder / "cache")
    if not store.root.exists():
        store.prepare()
    reason = said(NotApplicable(text))
    with store.create("a" * 32, {}) as draft:
        draft.json("about", {"reason": reason})
    assert store.open("a" * 32).json("about") == {"reason": reason}
