"""What OpenOOD has published, and what its methods are here."""

import pytest
from pydantic import ValidationError

from methods.registry import detector, detector_class, known_as
from reports.openood.published import Figures, Method, Published, PublishedTable, load_published

COMMIT = "0" * 40
SOURCE = {"repository": "a/b", "commit": COMMIT, "path": "results/x.csv"}


def figures(method, near=90.0, far=91.0, source="first"):
    return {"method": method, "near": [near, 0.1], "far": [far], "accuracy": [95.0, 0.3], "source": source}


def table(*rows, sources=("first", "second")):
    return PublishedTable.model_validate(
        {
            "dataset": "digits",
            "title": "Digits",
            "network": "a network",
            "runs": 3,
            "near": ["a"],
            "far": ["b"],
            "sources": dict.fromkeys(sources, SOURCE),
            "figures": list(rows),
        }
    )


@pytest.fixture(scope="module")
def published():
    return load_published()


@pytest.mark.parametrize(
    ("dataset", "method", "near", "far", "accuracy"),
    [  # lines of results/*.csv of the repository, at the commits that the file names
        ("cifar10", "KNN", [90.64, 0.20], [92.96, 0.14], [95.06, 0.30]),
        ("cifar10", "PLF", [89.47, 0.89], [92.36, 1.09], [95.06, 0.30]),
        ("cifar10", "MDS", [84.20, 2.40], [89.72, 1.36], [95.06, 0.30]),
        ("cifar100", "GEN", [81.31, 0.08], [79.68, 0.75], [77.25, 0.10]),
        ("imagenet200", "RankFeat", [56.92, 1.59], [38.22, 3.85], [86.37, 0.08]),
        ("imagenet1k", "ASH", [78.17], [95.74], [76.18]),
    ],
)
def test_lines_that_were_read(published, dataset, method, near, far, accuracy):
    row = published.table(dataset).compared[method]
    assert (row.near, row.far, row.accuracy) == (near, far, accuracy)


def test_every_figure_names_where_it_was_read(published):
    for one in published.tables:
        assert one.figures
        assert {row.source for row in one.figures} == one.sources.keys()


def test_a_set_that_openood_does_not_have_has_no_table(published):
    assert published.table("digits") is None


def test_figures_are_shares_where_they_are_compared():
    row = Figures.model_validate(figures("MSP"))
    assert row.of("near") == pytest.approx((0.9, 0.001))
    assert row.of("far") == (0.91, None)


def test_every_method_of_theirs_is_one_of_ours_at_settings_that_it_has(published):
    for method in published.methods:
        for dataset in (one.dataset for one in published.tables):
            if method.detector is not None:
                detector(method.detector, **method.setting(dataset))


def test_their_names_find_the_same_methods_here(published):
    """By the aliases of docs/names.md. `+` is no part of a name there: MDS++ would be MDS."""
    named = {m.name: m.detector for m in published.methods if m.detector and "+" not in m.name}
    found = {name: known_as(name, "detectors") for name in named}
    unknown = [name for name, ours in found.items() if ours == name]
    assert {name: ours for name, ours in found.items() if name not in unknown} == {
        name: ours for name, ours in named.items() if name not in unknown
    }
    assert unknown == ["TempScale", "MDSEns"]


def test_a_setting_of_theirs_is_never_our_default(published):
    """An entry that states nothing is at our defaults: it is theirs only where they are the same."""
    stated = 0
    for method in published.methods:
        for setting in (method.hyperparameters, *method.on.values()):
            ours = detector_class(method.detector) if setting else None
            for name, value in setting.items():
                stated += 1
                assert getattr(ours(), name) != value, (method.name, name)
    assert stated


def test_the_first_source_that_has_a_method_counts():
    one = table(figures("MSP", 80.0, source="second"), figures("MSP", 90.0), figures("EBO", source="second"))
    assert one.compared["MSP"].near[0] == 90.0
    assert one.compared["EBO"].source == "second"


def test_sources_disagree_where_a_mean_is_another():
    one = table(
        figures("MSP"),
        figures("MSP", source="second"),
        figures("EBO"),
        figures("EBO", far=91.5, source="second"),
    )
    [(counts, other)] = one.disagreements
    assert (counts.source, other.source, other.far[0]) == ("first", "second", 91.5)


def test_sources_of_cifar10_disagree_on_mds(published):
    apart = {counts.method: other.near[0] for counts, other in published.table("cifar10").disagreements}
    assert apart["MDS"] == 60.42
    assert "KNN" not in apart


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([figures("MSP", source="third")], "unknown source 'third'; expected first, second"),
        ([figures("MSP"), figures("MSP", 80.0)], "listed twice: MSP of 'first'"),
        ([figures("MSP", 100.5)], "less than or equal to 100"),
        ([figures("MSP") | {"near": []}], "at least 1 item"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(rows, problem):
    with pytest.raises(ValidationError, match=problem):
        table(*rows)


def test_a_method_that_is_not_listed_is_refused():
    with pytest.raises(ValidationError, match="Digits: EBO not among the methods"):
        Published(
            version="v1.5",
            arxiv="1",
            read="2026-11-30",
            remarks=[],
            methods=[Method(name="MSP", detector="msp")],
            tables=[table(figures("MSP"), figures("EBO"))],
        )


def test_a_search_says_where_it_was_read():
    with pytest.raises(ValidationError, match="expected `searched` and `config` together"):
        Method(name="GEN", detector="gen", searched="γ")
