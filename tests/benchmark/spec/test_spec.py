"""leaderboard.yaml: what loads, and what every refusal says: file, line, dotted key, seen, expected."""

import pytest
from places import SHIPPED
from small_spec import needs_checkout, refusal

from benchmark.spec.base import RESERVED
from benchmark.spec.leaderboard import Spec
from benchmark.spec.load import load_spec

RECIPE = "training: {epochs: 1, batch_size: 6, lr: 0.003, weight_decay: 0.01}"


SCRATCH = "  scratch: {source: scratch}"


@needs_checkout
def test_the_shipped_leaderboard_loads():
    spec = load_spec(SHIPPED)
    assert spec.tracks["digits"].backbones == ["test_resnet", "test_efficientnet"]
    assert spec.boards["detection_by_backbone"].columns == spec.boards["detection"].columns  # an alias


def test_the_small_leaderboard_loads(small):
    spec = load_spec(small)
    assert spec.tracks["small"].seeds == [0, 1]
    assert spec.entries["knn"].hyperparameters == {"k": 2}
    assert (spec.tracks["small"].training.optimizer, spec.tracks["small"].training.scheduler) == (
        "adamw",
        "cosine",
    )


def test_a_place_is_named_by_file_line_and_key(small):
    spec = load_spec(small)
    assert spec.where("tracks", "small", "seeds", 1) == f"{small}:16: tracks.small.seeds.1"
    assert spec.where("entries", "knn", "detector") == f"{small}:24: entries.knn.detector"


def test_a_place_is_named_by_key_where_no_file_was_read(small):
    spec = Spec.model_validate(load_spec(small).model_dump())
    assert spec.where("tracks", "small", "seeds", 1) == "tracks.small.seeds.1"


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "message"),
    [
        pytest.param(*case[1:], id=case[0])
        for case in [
            (
                "unknown key", "image_size: 16", "image_size: 16\n    imagesize: 3", 6,
                "tracks.small.imagesize",
                "unknown key 'imagesize'; did you mean 'image_size'? there are: title, image_size, "
                "crop, interpolation, id, id_test, split, near, far, apart, outliers, validation, shifts, "
                "overlaps, training, recipes, pretraining, finetuning, backbones, inits, … (27 in all)",
            ),
            (
                "unknown top key", "boards:", "bords:", 25, "bords",
                "unknown key 'bords'; did you mean 'boards'? there are: version, precision, datasets, "
                "tracks, backbones, inits, objectives, entries, boards, boundary",
            ),
            (
                "unknown key of a variant", SCRATCH, "  scratch: {source: scratch, tag: x}", 21,
                "inits.scratch.tag", "unknown key 'tag'; there are: source",
            ),
            (
                "text for an integer", "image_size: 16", "image_size: '16'", 5, "tracks.small.image_size",
                "Input should be a valid integer; got '16'",
            ),
            (
                "bool for an integer", "image_size: 16", "image_size: true", 5, "tracks.small.image_size",
                "Input should be a valid integer; got True",
            ),
            (
                "float for an integer", "epochs: 1", "epochs: 1.5", 13, "tracks.small.training.epochs",
                "Input should be a valid integer; got 1.5",
            ),
            (
                "number for a text", "title: A few digits", "title: 3", 4, "tracks.small.title",
                "Input should be a valid string; got 3",
            ),
            (
                "list for a text", "title: A few digits", "title: [a]", 4, "tracks.small.title",
                "Input should be a valid string; got ['a']",
            ),
            (
                "number for a list", "seeds: [0, 1]", "seeds: 3", 16, "tracks.small.seeds",
                "Input should be a valid list; got 3",
            ),
            (
                "wrong item of a list", "seeds: [0, 1]", "seeds: [0, -1]", 16, "tracks.small.seeds.1",
                "Input should be greater than or equal to 0; got -1",
            ),
            (
                "nothing for a list", "backbones: [tiny]", "backbones:", 14, "tracks.small.backbones",
                "Input should be a valid list; got None",
            ),
            (
                "an empty list", "seeds: [0, 1]", "seeds: []", 16, "tracks.small.seeds",
                "List should have at least 1 item after validation, not 0; got []",
            ),
            (
                "text for a number", "lr: 0.003", "lr: fast", 13, "tracks.small.training.lr",
                "Input should be a valid number; got 'fast'",
            ),
            (
                "nan", "lr: 0.003", "lr: .nan", 13, "tracks.small.training.lr",
                "got nan; expected a finite number",
            ),
            (
                "inf", "lr: 0.003", "lr: -.inf", 13, "tracks.small.training.lr",
                "got -inf; expected a finite number",
            ),
            (
                "nan of a method", "{k: 2}", "{k: .nan}", 24, "entries.knn.hyperparameters.k",
                "got nan; expected a finite number",
            ),
            (
                "a date", "title: A few digits", "title: 2020-01-01", 4, "tracks.small.title",
                "got the date 2020-01-01; expected text (in quotes) or a number",
            ),
            (
                "out of range", "lr: 0.003", "lr: 0", 13, "tracks.small.training.lr",
                "Input should be greater than 0; got 0",
            ),
            (
                "warm-up as long as the training", "0.01}", "0.01, warmup_epochs: 1}", 13,
                "tracks.small.training.warmup_epochs", "got 1; expected fewer than the 1 epochs",
            ),
            ("missing key", "    image_size: 16\n", "", 3, "tracks.small.image_size", "Field required"),
            ("missing top key", "version: 1\n", "", 1, "version", "Field required"),
            ("another version", "version: 1", "version: 2", 1, "version", "Input should be 1; got 2"),
            (
                "not a choice", "kinds: [gaussian_noise, contrast]", "kinds: [fog]", 12,
                "tracks.small.shifts.kinds.0",
                "Input should be 'gaussian_noise', 'defocus_blur' or 'contrast'; got 'fog'",
            ),
            (
                "not a source", SCRATCH, "  scratch: {source: scrach}", 21, "inits.scratch.source",
                "Input should be one of 'scratch', 'fractaldb', 'hub', 'dataset', 'checkpoint', "
                "'adversarial'; got 'scrach'",
            ),
            ("no source", SCRATCH, "  scratch: {}", 21, "inits.scratch.source", "Field required"),
            (
                "unknown backbone", "backbones: [tiny]", "backbones: [tinny]", 14,
                "tracks.small.backbones.0", "unknown name 'tinny'; did you mean 'tiny'? there are: tiny",
            ),
            (
                "unknown init", "inits: [scratch]", "inits: [scrach]", 15, "tracks.small.inits.0",
                "unknown name 'scrach'; did you mean 'scratch'? there are: scratch",
            ),
            (
                "unknown entry", "entries: [msp, knn]", "entries: [msp, kn]", 17, "tracks.small.entries.1",
                "unknown name 'kn'; did you mean 'knn'? there are: msp, knn",
            ),
            (
                "unknown track of a board", "track: small", "track: smal", 28, "boards.small.track",
                "unknown track 'smal'; did you mean 'small'? there are: small",
            ),
            (
                "unknown entry of a board", "rows: [entry]", "rows: [entry]\n    entries: [msq]", 30,
                "boards.small.entries.0",
                "'msq' is not on track 'small'; did you mean 'msp'? there are: msp, knn",
            ),
            (
                "ranked by no column", "rank_by: near.auroc", "rank_by: near.auruc", 32,
                "boards.small.rank_by",
                "'near.auruc' is none of the columns; did you mean 'near.auroc'? there are: near.auroc",
            ),
            (
                "seed twice", "seeds: [0, 1]", "seeds: [0, 1, 0]", 16, "tracks.small.seeds",
                "0 is listed twice",
            ),
            (
                "entry twice", "entries: [msp, knn]", "entries: [msp, msp]", 17, "tracks.small.entries",
                "'msp' is listed twice",
            ),
            (
                "shift twice", "[gaussian_noise, contrast]", "[contrast, contrast]", 12,
                "tracks.small.shifts.kinds", "'contrast' is listed twice",
            ),
            (
                "class twice", "classes: [0, 1, 2]", "classes: [0, 1, 1]", 6, "tracks.small.id.classes",
                "1 is listed twice",
            ),
            (
                "level twice", "rows: [entry]", "rows: [entry, entry]", 29, "boards.small.rows",
                "'entry' is listed twice",
            ),
            (
                "one name for two sets", "      noise:", "      threes:", 11, "tracks.small.far.threes",
                "the name 'threes' is used in 'near' already; expected another",
            ),
            (
                "ID classes as OOD", "classes: [3]", "classes: [2, 3]", 9, "tracks.small.near.threes",
                "an OOD set must have no class of the ID set; expected other classes",
            ),
            (
                "the ID set as OOD", "{dataset: digits, classes: [3]}", "{dataset: digits}", 9,
                "tracks.small.near.threes",
                "an OOD set must have no class of the ID set; expected other classes",
            ),
            (
                "OOD source as outliers", "    far:",
                "    outliers:\n      o: {dataset: uniform_noise}\n    far:", 11,
                "tracks.small.outliers.o.dataset",
                "outliers must come from a source that no test set uses; 'uniform_noise' is one",
            ),
            (
                "ID source as outliers", "    far:",
                "    outliers:\n      o: {dataset: digits, classes: [9]}\n    far:",
                11, "tracks.small.outliers.o.dataset",
                "outliers must come from a source that no test set uses; 'digits' is one",
            ),
        ]
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_place(edited, old, new, line, key, message):
    path = edited(old, new)
    assert refusal(path) == f"{path}:{line}: {key}: {message}"


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("version: 1\n", "version: 1\nversion: 1\n", 2, "version"),
        ("image_size: 16", "image_size: 16\n    image_size: 17", 6, "image_size"),
        ("{epochs: 1,", "{epochs: 1, epochs: 2,", 13, "epochs"),
    ],
    ids=["top", "nested", "flow"],
)
def test_a_duplicate_key_is_refused(edited, old, new, line, key):
    path = edited(old, new)
    assert refusal(path) == f"{path}:{line}: duplicate key {key!r}"


@pytest.mark.parametrize("group", ["near", "far", "outliers"])
@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_set_may_not_have_the_name_of_a_part_of_the_features(edited, group, name):
    """`test.logits` and `shift.contrast.5` name tensors beside ``<set>.logits``."""
    added = f"      {name}: {{dataset: strokes}}\n"
    old = f"    {group}:\n"
    path = edited(old, old + added) if group != "outliers" else edited("    far:", f"{old}{added}    far:")
    line = path.read_text().partition(f"      {name}:")[0].count("\n") + 1
    assert refusal(path) == (
        f"{path}:{line}: tracks.small.{group}.{name}: the name {name!r} is reserved; expected another"
    )


@pytest.mark.parametrize(
    "name", ["a.b", "a/b", "..", "../x", "'a b'", "Threes", "-a", "ünï", "''", '"a\\nb"']
)
def test_a_set_may_not_have_a_name_with_a_meaning(edited, name):
    path = edited("threes:", f"{name}:")
    message = refusal(path)
    assert message.startswith(f"{path}:9: tracks.small.near.")
    assert "String should match pattern '^[a-z0-9][a-z0-9_+-]*$'; got " in message


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".a"])
@pytest.mark.parametrize(
    "old", ["small:\n    title: A few", "tiny: {arch", "scratch: {source", "msp: {detector"]
)
def test_no_name_may_lead_out_of_a_folder(edited, old, name):
    path = edited(old, f"'{name}'{old[old.index(':') :]}")
    assert "String should match pattern '^[a-z0-9][a-z0-9_+.-]*$'" in refusal(path)


def test_a_name_is_a_text(edited):
    path = edited("threes:", "3:")
    assert refusal(path) == f"{path}:9: tracks.small.near.3: Input should be a valid string; got 3"


def test_every_mistake_of_a_file_is_told_at_once(edited):
    edited("image_size: 16", "image_size: big")
    path = edited("seeds: [0, 1]", "seeds: [a]")
    places = [line.split(": ")[:2] for line in refusal(path).splitlines()]
    assert places == [
        [f"{path}:5", "tracks.small.image_size"],
        [f"{path}:16", "tracks.small.seeds.0"],
    ]


def test_unknown_names_are_told_at_once(edited):
    edited("backbones: [tiny]", "backbones: [a]")
    path = edited("inits: [scratch]", "inits: [b]")
    assert [line.split(": ")[0] for line in refusal(path).splitlines()] == [f"{path}:14", f"{path}:15"]


def test_anchors_and_merge_keys_work(edited):
    edited(RECIPE, RECIPE.replace("training: {", "training: &recipe {"))
    fractals = (
        "  fractals: {source: fractaldb, preset: fractaldb_tiny, training: {<<: *recipe, epochs: 3, lr: 0.1}}"
    )
    spec = load_spec(edited(SCRATCH, f"{SCRATCH}\n{fractals}"))
    training = spec.inits["fractals"].training
    assert (training.epochs, training.lr, training.batch_size) == (3, 0.1, 6)


def test_a_mistake_in_a_merged_mapping_is_placed(edited):
    """The key is on the anchor's line; where it is merged, the line of the mapping is the nearest."""
    edited(RECIPE, RECIPE.replace("training: {", "training: &recipe {").replace("0.003", "fast"))
    fractals = "  fractals: {source: fractaldb, preset: fractaldb_tiny, training: {<<: *recipe}}"
    path = edited(SCRATCH, f"{SCRATCH}\n{fractals}")
    assert refusal(path).splitlines() == [
        f"{path}:13: tracks.small.training.lr: Input should be a valid number; got 'fast'",
        f"{path}:22: inits.fractals.training.lr: Input should be a valid number; got 'fast'",
    ]
