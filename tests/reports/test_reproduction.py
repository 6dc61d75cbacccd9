"""The reproduction report: its numbers, and how page and terminal show it."""

import json
import shutil

import numpy as np
import pytest
import synthetic_records as synthetic
from page import Page
from rich.console import Console
from two_sides import CASES, file, record, two_machines

from benchmark.errors import DataError
from benchmark.records.results import write_records
from benchmark.records.text import record_path
from reports.console.results import reproduction_lines, show
from reports.site.build import build_site
from reports.site.manifest import REPORT
from reports.site.publish import publish, read_report
from reports.site.reproduction import Reproduction, reproduction

SEEDS = range(8)


def side(network: str, shift: float = 0.0, entries=("msp", "energy", "knn"), seeds=SEEDS, **changes):
    """Three rows; knn is moved by `shift` in each seed, the others by noise that has no mean."""
    rng = np.random.default_rng(0 if network == "published" else 1)
    files = []
    for entry in entries:
        noise = rng.normal(size=len(SEEDS)) / 1000
        moved = noise - noise.mean() + (shift if entry == "knn" else 0.0)
        records = [
            record(0.8 + s / 100 + moved[s], seed=s, network=network, far=0.9 + moved[s], **changes)
            for s in seeds
        ]
        files.append(file(entry, records))
    return files


def spec(**board):
    rows = synthetic.board(rows=["entry"], **board)
    return synthetic.make_spec(inits=["scratch"], backbones=["tiny_cnn"], boards={"detection": rows})


def report(own, published, of=None) -> Reproduction:
    return reproduction(of or spec(), lambda: own, lambda: published, "results")


def _ensembles_of_three(file):
    made = {"hyperparameters": {"members": 3}, "hp_mode": "declared", "networks": 3}
    records = [synthetic.set_up(record, **made) for record in file.records]
    return file.model_copy(update={"records": records}) if file.row == "ensemble" else file


@pytest.mark.skipif(not CASES.exists(), reason=f"needs {CASES}, which is not here")
def test_between_two_machines_no_row_of_188_differs_significantly():
    """The handed case; each backbone and init by itself, on near AUROC, as its issue counts."""
    published, here = ([_ensembles_of_three(file) for file in side] for side in two_machines())
    entries = [made.row for made in published]
    of = synthetic.make_spec(
        entries,
        backbones=["test_efficientnet", "test_resnet"],
        boards={"detection": synthetic.board(rows=["entry", "backbone", "init"])},
    )
    of.entries["ensemble"].hyperparameters["members"] = 3
    found = report(here, published, of)
    assert (found.compared, found.equal, found.same_network) == (1480, 0, 0)
    assert (found.tested, found.differ) == (188, 0)
    near = found.gaps[0]
    assert (near.title, near.n, round(near.median, 2), round(near.mean, 1)) == ("Near AUROC", 1480, 0.11, 0.7)
    assert near.largest.startswith("toy ash_tuned test_resnet fractaldb seed ")


def test_a_row_whose_mean_moved_is_named():
    found = report(side("own", 0.02), side("published"))
    (board,) = found.boards
    assert (board.title, board.column, board.rows) == ("OOD detection", "Near AUROC", 3)
    (row,) = board.differ
    assert (row.row, row.seeds) == (["knn"], 8)
    assert row.difference == pytest.approx(0.02)
    assert row.here - row.published == pytest.approx(0.02)
    assert row.p_holm < 0.05


def test_equal_records_differ_in_nothing():
    found = report(side("published"), side("published"))
    assert (found.compared, found.equal, found.same_network, found.differ) == (24, 24, 24, 0)
    assert all((gap.max, gap.largest) == (0, "") for gap in found.gaps)


def test_the_largest_difference_says_where_other_values_were_chosen():
    def tuned(network, percentile, near):
        tried = [{"hyperparameters": {"percentile": p}, "auroc": 0.9} for p in (90.0, 95.0)]
        made = {"hp_mode": "proxy_ood", "tuning": tried, "hyperparameters": {"percentile": percentile}}
        return [file("react_tuned", [record(near, seed=0, network=network, **made)])]

    here, published = tuned("own", 95.0, 0.3), tuned("published", 90.0, 0.9)
    near = report(here, published).gaps[0]
    assert near.largest.endswith(": 30.00, published 90.00, where other hyper-parameters were chosen")
    assert report(here, tuned("published", 95.0, 0.9)).gaps[0].largest.endswith("published 90.00")


def test_only_the_seeds_and_rows_of_both_are_compared():
    found = report(side("own", entries=["msp", "knn"], seeds=[0, 1, 2]), side("published"))
    assert (found.compared, found.tested) == (6, 2)
    (left,) = found.not_compared
    assert (left.count, left.rows) == (18, [])
    assert "not among these records" in left.reason


def test_a_single_seed_tests_no_row():
    found = report(side("own", 0.1, seeds=[0]), side("published"))
    assert (found.compared, found.boards) == (3, [])


def test_records_of_other_code_are_not_compared_and_named():
    own = side("own", key="changed here")
    found = report(own, side("published"))
    assert found.compared == 0
    (left,) = found.not_compared
    assert (left.count, left.rows) == (24, ["toy energy", "toy knn", "toy msp"])
    assert "other code" in left.reason


def test_without_published_records_that_is_all_it_says():
    found = report(side("own"), [])
    assert found == Reproduction(published="results", absent="there are no published records in results/")


# On the page and in the terminal


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    own, published = side("own", 0.02), side("published")
    found = report(own, published)
    build_site(spec(), own, out, generated=synthetic.NOW, source="runs", report=found)
    return out


def test_the_page_has_the_report(pages):
    page = Page((pages / "about.html").read_text())
    text = " ".join(page.text.split())
    assert "records of your own, in runs/. 24 of them" in text
    assert "1 of 3 rows differs significantly in its mean" in text
    assert any(link.get("href") == "#reproduction" for link in page.all("a"))
    assert any(section.get("aria-labelledby") == "reproduction" for section in page.all("section"))
    assert "from the records in runs/" in text


def test_markdown_has_the_report(pages):
    for name in ("leaderboard.md", "about.md"):
        text = (pages / name).read_text()
        assert "## Compared with the published numbers" in text
        assert "| Near AUROC | 24 | 0 |" in text
        assert "| knn | 85." in text
        assert "from the records in `runs/`." in text


def test_the_report_is_kept_as_json(pages):
    found = json.loads((pages / REPORT).read_text())
    assert (found["compared"], found["boards"][0]["differ"][0]["row"]) == (24, ["knn"])
    assert Reproduction.model_validate(found).differ == 1


def test_the_published_page_has_no_report(full_site):
    out, _ = full_site
    for page in (*out.rglob("*.html"), *out.rglob("*.md")):
        assert "Compared with the published numbers" not in page.read_text()
    assert "reproduction" not in (out / "about.html").read_text()
    assert not (out / REPORT).exists()


def printed(found: Reproduction | None) -> str:
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115,PTH123
    with console.file:
        show(console, reproduction_lines(found))
    return console.export_text()


def test_the_terminal_shows_it_in_short():
    text = printed(report(side("own", 0.02, entries=["knn"]), side("published")))
    assert "Compared with the published records (results/): 8 of these records, 0 equal to the bit" in text
    assert "1 of 1 on 1 board\n" in text
    assert "  OOD detection: knn: Near AUROC 85." in text
    assert len(text.splitlines()) < 20


def test_the_terminal_says_in_one_line_that_nothing_is_published():
    text = printed(report(side("own"), []))
    assert text == "Not compared with published numbers: there are no published records in results/\n"
    assert printed(None) == ""


# From folders


def write(folder, files):
    for made in files:
        write_records(record_path(folder, made.track, made.row), made)


def test_unchanged_folders_are_not_read_again(tmp_path, monkeypatch):
    own, published, site = (tmp_path / name for name in ("runs", "results", "site"))
    write(own, side("own", 0.02))
    write(published, side("published"))

    def made() -> Reproduction | None:
        publish(spec(), own, site, published)
        return read_report(site)

    first = made()
    assert first is not None
    assert first.differ == 1
    with monkeypatch.context() as patch:
        patch.setattr("reports.site.publish.iterate", lambda folder: pytest.fail(f"{folder} was read"))
        assert made() == first
    write(published, side("published", 0.02))
    assert made().differ == 0
    shutil.rmtree(published)
    assert made().absent == "there are no published records in results/"


def test_the_published_folder_is_not_compared_with_itself(tmp_path):
    published = tmp_path / "results"
    write(published, side("published"))
    publish(spec(), published, tmp_path / "site", tmp_path / "." / "results")
    assert read_report(tmp_path / "site") is None


def test_a_published_file_that_cannot_be_read_is_named(tmp_path):
    own, published = tmp_path / "runs", tmp_path / "results"
    write(own, side("own"))
    (published / "toy").mkdir(parents=True)
    (published / "toy" / "msp.json").write_text("{")
    with pytest.raises(DataError, match=r"results/toy/msp\.json"):
        publish(spec(), own, tmp_path / "site", published)
