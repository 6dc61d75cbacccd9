"""The order of entries over all settings, on cases whose order is known."""

import numpy as np
import pytest
import synthetic_records as synthetic
from board_worlds import files_of, spec_of

from benchmark.spec.leaderboard import Spec
from reports.boards import overall as module
from reports.boards.overall import FEWEST, overall
from reports.select import select

ENTRIES = ("msp", "energy", "knn")
SETTINGS = [(backbone, init) for backbone in ("cnn", "vit") for init in ("scratch", "fractaldb")]
ODD = "vit", "fractaldb"  # the setting in which energy is first
NEAR = {"knn": 0.9, "energy": 0.8, "msp": 0.7, "react": 0.6}


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(module, "FEWEST", 2)


def auroc(of):
    """Of near OOD knn is first but for one setting, where energy is; of far OOD the order is the reverse."""
    entry, backbone, init, seed = of
    near = NEAR[entry] + (0.15 if entry == "energy" and (backbone, init) == ODD else 0)
    return {"near": near + seed / 1000, "far": 1 - NEAR[entry]}


def spec_with(*entries, **changes):
    return spec_of(entries, ("scratch", "fractaldb"), ("cnn", "vit"), **changes)


def found(spec=None, values=auroc, **how):
    spec = spec or spec_with(*ENTRIES)
    return overall(spec, select(spec, files_of(spec, values, **how)))


def test_a_case_on_paper():
    made = found()
    assert made.entries == ("knn", "energy", "msp")
    assert [(one.backbone, one.init) for one in made.settings] == SETTINGS
    assert made.datasets == ("digits",)
    assert made.by_setting.tolist() == [[1, 1, 1, 2], [2, 2, 2, 1], [3, 3, 3, 3]]
    assert made.rank["near"].tolist() == [1.25, 1.75, 3]
    assert made.rank["far"].tolist() == [3, 2, 1]
    assert made.beats.tolist() == [[0.5, 0.75, 1], [0.25, 0.5, 1], [0, 0, 0.5]]
    assert made.settings[0].means("near") == pytest.approx([0.901, 0.801, 0.701])


def test_one_beats_another_or_is_beaten():
    rng = np.random.default_rng(1)
    drawn = {}
    made = found(
        values=lambda of: drawn.setdefault(of, {"near": round(rng.uniform(0.5, 0.9), 1), "far": 0.9})
    )
    assert made.beats + made.beats.T == pytest.approx(np.ones((3, 3)))
    assert np.diag(made.beats).tolist() == [0.5] * 3
    assert ((made.beats >= 0) & (made.beats <= 1)).all()


def test_ties_share_a_rank_and_half_a_win():
    made = found(values=lambda of: {"near": 0.7 if of[0] == "msp" else 0.9, "far": 0.9})
    assert made.entries == ("energy", "knn", "msp")  # in the order of the leaderboard
    assert made.rank["near"].tolist() == [1.5, 1.5, 3]
    assert made.rank["far"].tolist() == [2, 2, 2]
    assert made.beats[0, 1] == made.beats[1, 0] == 0.5


def test_equal_input_gives_equal_intervals_around_the_ranks():
    rng = np.random.default_rng(0)
    drawn = {}

    def values(of):
        return drawn.setdefault(of, {"near": rng.uniform(0.6, 0.9), "far": rng.uniform(0.6, 0.9)})

    one, other = found(values=values), found(values=values)
    for group in ("near", "far"):
        low, high = one.interval[group]
        assert np.array_equal(one.interval[group], other.interval[group])
        assert (low <= one.rank[group]).all()
        assert (one.rank[group] <= high).all()
        assert ((low >= 1) & (high <= 3)).all()
        assert (low < high).any()


def test_an_order_that_no_draw_changes_has_no_width():
    made = found(values=lambda of: {"near": NEAR[of[0]] + of[3] / 1000, "far": 0.9})
    assert made.interval["near"].tolist() == [[1, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize(
    "keep",
    [
        lambda of: of[0] != "react" or of[1:] != ("vit", "scratch", 2),
        lambda of: of[0] != "react" or of[1:3] != ("vit", "scratch"),
    ],
    ids=["a seed", "a setting"],
)
def test_entries_that_lack_a_seed_or_a_setting_are_left_out(keep):
    spec = spec_with(*ENTRIES, "react")
    made = found(spec, keep=keep)
    assert made.entries == ("knn", "energy", "msp")
    assert made.rank["near"].tolist() == found().rank["near"].tolist()
    assert found(spec).entries[-1] == "react"


def test_a_seed_that_a_whole_setting_lacks_leaves_no_entry_out():
    made = found(keep=lambda of: of[1:] != ("vit", "scratch", 2))
    assert made.entries == ("knn", "energy", "msp")
    assert [one.auroc["near"].shape[-1] for one in made.settings] == [3, 3, 2, 3]


def test_entries_that_are_tuned_or_of_another_objective_are_left_out():
    tuned = spec_with(*ENTRIES, knn={"tune": {"k": [1, 5]}})
    tried = [{"hyperparameters": {"k": k}, "auroc": 0.9} for k in (1, 5)]
    files = files_of(tuned, auroc)
    chosen = {"hp_mode": "proxy_ood", "tuning": tried, "hyperparameters": {"k": 1}}
    files[2] = files[2].model_copy(
        update={"records": [synthetic.set_up(record, **chosen) for record in files[2].records]}
    )
    counted = select(tuned, files)
    assert {cell.entry for cell in counted.measured} == set(ENTRIES)
    assert overall(tuned, counted).entries == ("energy", "msp")
    assert found(spec_with(*ENTRIES, knn={"objective": "logit_norm"})).entries == ("energy", "msp")


def test_tracks_weigh_the_same_however_many_settings_they_have():
    """On a second track, of one setting, msp is first and knn last."""
    spec = spec_with(*ENTRIES)
    spec = spec.model_copy(update={"tracks": {**spec.tracks, "other": spec.tracks["toy"]}})
    other = files_of(
        spec,
        lambda of: {"near": 1 - NEAR[of[0]] + of[3] / 1000, "far": 0.9},
        track="other",
        keep=lambda of: of[1:3] == ("cnn", "scratch"),
    )
    for file in other:
        file.records[:] = [
            record.model_copy(update={"key": f"other-{record.key}"}) for record in file.records
        ]
    made = overall(spec, select(spec, [*files_of(spec, auroc), *other]))
    rank = dict(zip(made.entries, made.rank["near"], strict=True))
    assert rank == pytest.approx({"knn": (1.25 + 3) / 2, "energy": (1.75 + 2) / 2, "msp": (3 + 1) / 2})
    assert made.entries == ("energy", "msp", "knn")


def test_sets_that_weights_have_seen_do_not_count():
    made = spec_with(*ENTRIES).model_dump()
    recipe = synthetic.TRAINED.model_dump()
    made["inits"]["fractaldb"] = {"source": "dataset", "images": {"dataset": "glyphs"}, "training": recipe}
    spec = Spec.model_validate(made)
    far = {"knn": (0.9, 0.6), "energy": (0.8, 0.7), "msp": (0.6, 0.8)}  # glyphs, noise: means favour knn
    ranked = found(
        spec, lambda of: {"near": NEAR[of[0]], "glyphs": far[of[0]][0], "uniform_noise": far[of[0]][1]}
    )
    assert dict(zip(ranked.entries, ranked.rank["far"], strict=True)) == {"knn": 3, "energy": 2, "msp": 1}


def test_there_is_no_order_of_few_entries(monkeypatch):
    assert found(spec_of(["msp"])) is None
    assert overall(spec_with(*ENTRIES), select(spec_with(*ENTRIES), [])) is None
    monkeypatch.setattr(module, "FEWEST", FEWEST)
    assert FEWEST > 3
    assert found() is None
