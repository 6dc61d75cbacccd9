"""A site of many records: what is done how often. (How long it takes depends on the machine.)"""

import gc
import weakref

import pytest
import synthetic_records as synthetic
from matplotlib.figure import Figure

from benchmark.errors import DataError
from benchmark.records import text as record_text
from benchmark.records.results import iter_records, write_records
from benchmark.records.text import record_path
from reports.plots import small as small_plots
from reports.plots.cells import SECTIONS
from reports.select import select
from reports.site.publish import publish

ENTRIES = ["msp", "energy", "knn", "react"]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The results of four entries, of which two are drawn."""
    results = tmp_path_factory.mktemp("results")
    spec = synthetic.make_spec(ENTRIES, backbones=["tiny_cnn"])
    track = spec.tracks["toy"].model_copy(update={"drawn": ENTRIES[:2]})
    spec = spec.model_copy(update={"tracks": {"toy": track}})
    for file in synthetic.make_results(spec, seeds=[0, 1]):
        write_records(record_path(results, "toy", file.row), file)
    return spec, results


def test_r31_each_file_is_parsed_once_and_each_plot_drawn_once(many, tmp_path, monkeypatch):
    spec, results = many
    parsed, drawn = [], []

    def parse(path, what, plain=record_text.parse):
        parsed.append(path.relative_to(results).as_posix())
        return plain(path, what)

    def draw(figure, renderer, plain=Figure.draw):
        drawn.append(figure)
        plain(figure, renderer)

    def small(*given, plain=small_plots.Plot):
        drawn.append(plain(*given))
        return drawn[-1]

    for module in ("files", "networks"):
        monkeypatch.setattr(f"benchmark.records.{module}.parse", parse)
    monkeypatch.setattr(Figure, "draw", draw)
    monkeypatch.setattr(small_plots, "Plot", small)  # what matplotlib does not draw
    written = publish(spec, results, tmp_path)
    names = [f"toy/{name}.json" for name in ("networks/cross_entropy", *sorted(ENTRIES))]
    assert parsed == names
    plots = [path for path in written if path.suffix == ".svg"]
    assert len(plots) == len(set(plots)) == len(drawn) == len({id(figure) for figure in drawn})
    assert len(plots) >= len(SECTIONS)
    assert publish(spec, results, tmp_path) == []
    assert parsed == names, "pages that are up to date need no record"
    assert len(drawn) == len(plots)


class Watched(dict):
    """A dict of which can be told whether it is still held."""


def test_r31_of_a_file_only_what_is_drawn_is_kept_when_the_next_is_read(many):
    spec, results = many
    read = []

    def one_by_one():
        for file in iter_records(results):
            whole = {name: Watched(getattr(file.records[0], name)) for name in ("numbers", "series")}
            file.records[0] = file.records[0].model_copy(update=whole)
            read.append([weakref.ref(found) for found in (file, file.records[0], *whole.values())])
            del whole
            yield file
            gc.collect()
            before = [found() for watched in read[:-1] for found in watched]  # the last is still in use
            assert set(map(type, before)) <= {type(None)}

    counted = select(spec, one_by_one())
    assert len(read) == len(ENTRIES)
    assert len(counted.measured) == len(ENTRIES) * 2 * 2
    assert not [
        cell for cell, found in counted.measured.items() if found.record.numbers or found.record.series
    ]
    held = {cell.entry for cell, found in counted.measured.items() if found.measurement is not None}
    assert held == {"msp", "energy"}


def test_r31_cells_share_the_names_of_their_numbers(many):
    spec, results = many
    first, second, *_ = select(spec, iter_records(results)).measured.values()
    assert first.numbers._place is second.numbers._place
    assert set(first.numbers) == set(second.numbers)
    assert first.numbers["near.auroc"] != second.numbers["near.auroc"]


def test_r8_a_record_with_the_key_of_another_is_refused(many):
    spec, results = many
    files = list(iter_records(results))
    stolen = files[0].records[0].key
    files[1].records[0] = files[1].records[0].model_copy(update={"key": stolen})
    with pytest.raises(DataError, match=rf"toy .* seed 0 knn: key {stolen}: is also that of toy .* energy"):
        select(spec, files)
