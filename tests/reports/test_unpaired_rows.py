"""Case U10: rows of networks trained apart are never paired, and the page says which rows these are."""

import re

import numpy as np
import pytest
import synthetic_records as synthetic
from claim_examples import register
from page import pages_of, words
from scipy import stats
from two_sides import file, record

from reports.boards.pretraining import compare_inits
from reports.boards.tables import board_table
from reports.claims.decide import decide_claims
from reports.select import select
from reports.site.build import build_site

SEEDS = range(8)
BASE = 0.6 + 0.3 * np.linspace(0, 1, 8)  # spread over seeds that pairing takes out


def rows(network: str, entries=("msp", "energy", "knn"), init: str = "scratch"):
    """knn is better than the others by .004 in each seed, give or take; it stands on `network`."""
    rng = np.random.default_rng(0)
    files = []
    for entry in entries:
        gain = 0.004 if entry == "knn" else 0.0
        noise = rng.normal(size=8) / 2000
        values = BASE + gain + noise - noise.mean()
        of = network if entry == "knn" else "published"
        files.append(file(entry, [record(values[s], seed=s, network=of, init=init) for s in SEEDS]))
    return files


def spec(inits=("scratch",)):
    board = synthetic.board(rows=["entry", "init"])
    return synthetic.make_spec(backbones=["tiny_cnn"], inits=list(inits), boards={"detection": board})


def table(network: str):
    return board_table("detection", spec(), select(spec(), rows(network)))


def sets(network: str) -> dict[str, tuple[int, int, bool]]:
    """By entry, the set of its rank, and whether it leads."""
    return {row.labels[0]: (row.place.low, row.place.high, row.place.leads) for row in table(network).rows}


def test_u10_rows_of_the_same_networks_are_paired():
    assert sets("published") == {"knn": (1, 1, True), "msp": (2, 3, False), "energy": (2, 3, False)}
    assert table("published").rows[0].labels[0] == "knn"
    assert table("published").notes == ()
    assert {row.note for row in table("published").rows} == {""}


def test_u10_rows_of_other_networks_are_not_paired_and_named():
    """A gain of .4 points is plain within seeds; against the spread over seeds Welch's test sees none."""
    files = rows("a contributor's")
    near = {made.row: [r.numbers["near.auroc"] for r in made.records] for made in files}
    assert stats.ttest_rel(near["knn"], near["msp"]).pvalue < 1e-4
    assert stats.ttest_ind(near["knn"], near["msp"], equal_var=False).pvalue > 0.5
    assert sets("a contributor's") == dict.fromkeys(("knn", "msp", "energy"), (1, 3, True))
    (note,) = table("a contributor's").notes
    assert note.startswith("On other networks than the rest, and compared with it unpaired: knn · scratch. ")
    assert "Welch" in note
    notes = {row.labels[0]: row.note for row in table("a contributor's").rows}
    assert notes == {"knn": "on other networks, not paired", "msp": "", "energy": ""}


def test_u10_one_seed_on_another_network_is_enough():
    files = rows("published")
    odd = file("knn", [record(0.9, seed=7, network="another")]).records
    files[2] = files[2].model_copy(update={"records": [*files[2].records[:-1], *odd]})
    found = board_table("detection", spec(), select(spec(), files))
    assert any("unpaired: knn · scratch" in note for note in found.notes)


def test_u10_networks_that_are_not_recorded_are_not_said_to_differ():
    files = rows("published")
    files[2] = files[2].model_copy(
        update={"records": [r.model_copy(update={"provenance": None}) for r in files[2].records]}
    )
    assert board_table("detection", spec(), select(spec(), files)).notes == ()


def test_u10_inits_are_paired_by_seed_though_their_networks_differ():
    """Pre-trained and scratch networks are different ones by design: another place, not another training."""
    inits = ("scratch", "fractaldb")
    files = []
    for one, other in zip(rows("published"), rows("published", init="fractaldb"), strict=True):
        files.append(one.model_copy(update={"records": [*one.records, *other.records]}))
    found = board_table("detection", spec(inits), select(spec(inits), files))
    assert found.notes == ()
    # by paired tests knn is better than msp and energy, on each init: at least four of six rows are below
    of_knn = {row.labels[1]: row.place for row in found.rows if row.labels[0] == "knn"}
    assert {init: (place.low, place.high, place.leads) for init, place in of_knn.items()} == dict.fromkeys(
        inits, (1, 2, True)
    )


def test_u10_the_pages_say_it(tmp_path, undrawn):
    build_site(spec(), rows("a contributor's"), tmp_path, generated=synthetic.NOW)
    everything = words((tmp_path / "leaderboard.md").read_text())
    pages = {name: words(page.text) for name, page in pages_of(tmp_path).items()}
    for text in (everything, pages["boards/toy"]):
        assert "compared with it unpaired: knn · scratch" in text
        assert re.search(r"knn · scratch \(?on other networks, not paired", text)
    for text in (everything, pages["about"]):
        assert "8 records of track" in text
        assert "on other networks than most of the same backbone, init, seed and objective: knn" in text


def test_u10_claims_do_not_pair_arms_that_ought_to_share_networks():
    claims = register({"a": "knn", "b": "msp"})
    place = claims.settings["toy"].model_copy(update={"backbones": ["tiny_cnn"]})
    claims = claims.model_copy(update={"settings": {"toy": place}})
    for network, decided in (("published", True), ("a contributor's", False)):
        (claim,) = decide_claims(claims, spec(), select(spec(), rows(network)))
        (finding,) = claim.findings
        assert bool(finding.outcomes) == decided
        if not decided:
            (missing,) = finding.missing
            assert "knn and msp stand on different networks in 8 of 8 seeds" in missing.reason
            assert missing.commands == ("oodbench run --track toy --entry knn --entry msp",)
            assert claim.overall == "not run"


def test_u10_a_networks_own_numbers_are_those_of_the_network_of_most_entries():
    inits = ("scratch", "fractaldb")
    odd = [record(0.8, seed=s, network="a contributor's", accuracy=0.1) for s in SEEDS]
    usual = [record(0.8, seed=s, network="published", accuracy=0.9, init=i) for i in inits for s in SEEDS]
    files = [file("msp", [*odd, *usual[8:]]), file("energy", usual), file("knn", usual)]
    (found,) = compare_inits(spec(inits), select(spec(inits), files))
    accuracy = next(c for c in found.network if c.metric.title == "Accuracy")
    assert accuracy.scratch == pytest.approx(0.9)
    assert accuracy.gain.mean == pytest.approx(0.0)
