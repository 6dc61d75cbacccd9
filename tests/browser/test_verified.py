"""The board's filter by verification, as a reader uses it, on a small site of invented records."""

import json
from datetime import UTC, datetime

import pytest
import synthetic_records as synthetic
from board_worlds import files_of, spec_of
from once import once
from undrawn import draw_nothing
from verified_records import ledger_of

from reports.site.build import build_site

ENTRIES = ("msp", "energy", "knn")
SHOWN = {"msp": "verified", "energy": "partly verified (1 of 2)", "knn": "self-reported"}


@pytest.fixture(scope="module")
def site(browser, tmp_path_factory):
    """All of msp verified, of energy a half, of knn nothing."""

    def make(folder):
        spec = synthetic.make_spec(entries=ENTRIES, inits=["scratch"], backbones=["cnn"])
        files = files_of(spec_of(ENTRIES), lambda of: {"near": 0.9 - ENTRIES.index(of[0]) / 10}, seeds=(0, 1))
        ledger = ledger_of(files, lambda f, r: f.row == "msp" or (f.row == "energy" and r.seed == 0))
        with pytest.MonkeyPatch.context() as patch:
            draw_nothing(patch)
            build_site(spec, files, folder, generated=datetime(2026, 12, 1, tzinfo=UTC), ledger=ledger)

    return once(tmp_path_factory, "verified_site", make)


def standings(one):
    return {row[0].split(" ")[0]: row[-1] for row in one.rows()}


def test_rows_are_filtered_by_their_verification_and_the_address_shares_it(reader):
    one = reader()
    one.open("boards/toy")
    assert one.heads()[-1] == "Verified"
    assert standings(one) == SHOWN
    for value, entry in (("all", "msp"), ("partly", "energy"), ("none", "knn")):
        one.choose("Verified", value)
        assert standings(one) == {entry: SHOWN[entry]}
        assert one.page.url.endswith(f"#verified={value}")
        assert "1 of 3 rows" in one.page.locator(".live [role=status]").inner_text()
    other = reader()
    other.open("boards/toy", "verified=partly&search=e")
    assert standings(other) == {"energy": SHOWN["energy"]}
    assert other.page.get_by_label("Verified").input_value() == "partly"
    other.page.get_by_role("button", name="Reset").click()
    assert standings(other) == SHOWN
    assert "#" not in other.page.url


@pytest.mark.parametrize("value", ["", "constructor", "verified", "<b>"])
def test_an_address_of_no_standing_shows_all(reader, value):
    one = reader()
    one.open("boards/toy", f"verified={value}")
    assert standings(one) == SHOWN


def test_what_is_downloaded_as_shown_says_it(reader):
    one = reader()
    one.open("boards/toy", "verified=partly")
    with one.page.expect_download() as done:
        one.page.get_by_role("button", name="JSON").click()
    rows = json.loads(done.value.path().read_text())["rows"]
    assert [(row["entry"], row["verified"]) for row in rows] == [("energy", "partly verified")]
