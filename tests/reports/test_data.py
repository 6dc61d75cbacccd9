"""`oodbench data`: what it lists, gets and checks, and how it ends."""

import io
import re
import sys

import pytest
from hub_files import encode, hub_dataset, noise, write_split
from rich.console import Console

import oodbench
from benchmark.datasets import HubDataset, catalog
from benchmark.errors import DataError, UsageError
from benchmark.spec.load import load_spec
from reports.console import data


def fill(entry, split, rows=None):
    rows = rows or entry.splits[split]
    encoded = [encode(noise(seed=i)) for i in range(rows)]
    write_split(entry.place(split), encoded, [i % 3 for i in range(rows)] if entry.label_column else None)


@pytest.fixture(autouse=True)
def insects(monkeypatch, tmp_path):
    """A catalog with a dataset of two splits and one of none's hosting; an empty mirror; no network."""
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path / "mirror"))
    entry = hub_dataset(local_splits=frozenset({"own"}), splits={"test": 6, "train": 9, "own": 3})
    beetles = hub_dataset("beetles", repository="local/beetles", splits={"test": 4}, labelled=False)
    monkeypatch.setitem(catalog._CATALOG, "insects", entry)
    monkeypatch.setitem(catalog._CATALOG, "beetles", beetles)
    fetched = []

    def download(self, split, on_rows=None):
        if not self.on_hub(split):
            raise DataError(f"{self.card.name} must be put there by hand")
        fetched.append(self.asked(split))
        fill(self, split)
        on_rows(self.splits[split])

    monkeypatch.setattr(HubDataset, "download", download)
    return entry, beetles, fetched


@pytest.fixture
def leaderboard(small):
    """The small leaderboard with images of insects and beetles."""
    text = small.read_text()
    text = text.replace("{dataset: uniform_noise, n: 12}", "{dataset: insects, split: test}")
    text = text.replace("threes:", "beetles: {dataset: beetles}\n      threes:")
    small.write_text(text)
    return small


@pytest.fixture
def spec(leaderboard):
    return load_spec(leaderboard)


class Said:
    """A console and what was printed on it."""

    def __init__(self, width=120):
        self.file = io.StringIO()
        self.console = Console(file=self.file, width=width)

    def __str__(self):
        return self.file.getvalue()


def rows(tables, width=200):
    """Cells of each row of tables, by table."""
    found = []
    for table in tables:
        said = Said(width)
        said.console.print(table)
        lines = [re.split(r" {2,}", line.strip()) for line in str(said).splitlines()[3:]]
        found.append([line for line in lines if len(line) > 2])
    return found


# Listing


def test_a_table_for_each_track_and_one_of_all(spec, insects):
    fill(insects[0], "test")
    track, everything, terms = rows(data.listings(spec))
    size = f"{insects[0].path('test').stat().st_size / 1e6:.1f} MB"
    assert track == [
        ["digits", "–", "ID", "1,797", "–", "built in", "CC BY 4.0"],
        ["beetles", "test", "near OOD", "4", "–", "by hand", "CC0"],
        ["digits", "–", "near OOD", "1,797", "–", "built in", "CC BY 4.0"],
        ["insects", "test", "far OOD", "6", size, "yes", "CC0"],
    ]
    assert ["insects", "train", "ID, OOD", "9", "–", "no", "CC0"] in everything
    assert ["insects", "own", "ID, OOD", "3", "–", "by hand", "CC0"] in everything
    assert any(row[:3] == ["strokes", "–", "outliers"] for row in everything)
    names = [row[0] for row in everything]
    assert set(catalog.dataset_names()) <= set(names)
    assert names.count("cifar10") == 2
    assert ["insects", "CC0", "citation"] in terms
    assert {row[0] for row in terms} == set(catalog.dataset_names())


def test_the_tables_fit_a_narrow_terminal(spec):
    for table in data.listings(spec):
        said = Said(80)
        said.console.print(table)
        lines = str(said).splitlines()
        assert max(map(len, lines)) <= 80
        if table.title != "Licences and citations":
            assert any("1,797" in line and "built in" in line for line in lines)


# Getting


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["insects"], ["insects:test", "insects:train"]),  # what is not on the Hub is not asked for
        (["insects:train"], ["insects:train"]),
        (["insects:train", "insects", "insects:train"], ["insects:train", "insects:test"]),
        (["digits"], []),
    ],
)
def test_what_is_fetched(spec, insects, names, expected):
    said = Said()
    assert data.get(names, spec, said.console) == 0
    assert insects[2] == expected
    assert all(f"{name}: " in str(said) for name in expected)


def test_what_is_here_is_not_fetched_again(spec, insects):
    entry, _, fetched = insects
    fill(entry, "test")
    said = Said()
    assert data.get(["insects"], spec, said.console) == 0
    assert fetched == ["insects:train"]
    assert f"insects:test is here already: {entry.path('test')}" in str(said)
    assert "getting insects:train from us/insects" in str(said)
    assert re.search(r"insects:train: 9 images, 0\.0 MB: \S+train\.parquet", str(said))


def test_a_track_gets_the_splits_that_it_names_and_goes_on_after_a_failure(spec, insects):
    said = Said()
    assert data.get(["small"], spec, said.console) == 1
    assert insects[2] == ["insects:test"]
    assert "beetles failed: beetles must be put there by hand" in str(said)


def test_a_track_comes_before_a_dataset_of_its_name(leaderboard, insects):
    leaderboard.write_text(
        leaderboard.read_text().replace("small:\n    title: A few", "insects:\n    title: A few")
    )
    text = leaderboard.read_text().replace("track: small", "track: insects")
    leaderboard.write_text(text)
    said = Said()
    data.get(["insects"], load_spec(leaderboard), said.console)
    assert insects[2] == ["insects:test"]


@pytest.mark.parametrize("use", [data.get, data.check])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("insect", r"no track or dataset is called 'insect'; did you mean 'insects'\?"),
        ("insects:tests", r"dataset insects has no split 'tests'; did you mean 'test'\?"),
        ("smal", "did you mean 'small'"),
        ("../up", "no track or dataset is called '../up'"),
        ("digits:test", "dataset digits has no split 'test'"),
    ],
)
def test_unknown_names_before_anything_is_done(spec, insects, use, name, message):
    with pytest.raises(UsageError, match=message):
        use(["insects:test", name], spec, Said().console)
    assert insects[2] == []


# Checking


def test_all_that_is_here_is_checked(spec, insects):
    said = Said()
    assert data.check([], spec, said.console) == 0
    assert "nothing is here yet" in str(said)
    fill(insects[0], "test")
    said = Said()
    assert data.check([], spec, said.console) == 0
    assert str(said) == "insects:test is fine: 6 images\n"


def test_faults_are_told_and_counted(spec, insects):
    fill(insects[0], "test", rows=5)
    fill(insects[0], "train")
    said = Said()
    assert data.check(["insects", "beetles"], spec, said.console) == 2
    assert "5 rows, expected 6" in str(said)
    assert "insects:train is fine" in str(said)
    assert "oodbench data get beetles" in str(said)


# The command line


@pytest.fixture
def command(monkeypatch, capsys, leaderboard):
    monkeypatch.chdir(leaderboard.parent)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["oodbench", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            oodbench.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return done.value.code or 0, out, err

    return run


def test_list_get_check(command, insects):
    code, out, _ = command("list")
    assert code == 0
    assert "tracks\tsmall\tbeetles\ttest\tnear OOD\t4\t\tby hand\t" in out
    assert command("check", "insects")[0] == 1
    code, out, err = command("get", "insects:test")
    assert (code, out) == (0, "")
    assert "insects:test: 6 images" in err
    assert command("check") == (0, "insects:test is fine: 6 images\n", "")
    assert command("get", "beetles")[0] == 1


def test_mistakes(command):
    code, _, err = command("get", "insect")
    assert code == 2
    assert err.startswith("oodbench: no track or dataset is called 'insect'; did you mean 'insects'?")
    assert command("check", "insect")[0] == 2
    assert command("get")[0] == 2


def test_the_option_names_the_mirror(command, insects, tmp_path):
    assert command("get", "insects:test", "--mirror", tmp_path / "other")[0] == 0
    assert (tmp_path / "other" / "us" / "insects" / "test.parquet").is_file()
    assert not (tmp_path / "mirror").exists()


@pytest.mark.parametrize("name", ["list", "get", "check"])
def test_help(command, name):
    code, out, _ = command(name, "-h")
    assert code == 0
    assert f"Usage: oodbench data {name} [OPTIONS]" in out
    assert "--mirror" in out
