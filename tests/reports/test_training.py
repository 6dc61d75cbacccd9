"""The figures and sentences of how networks were trained, from made-up trainings."""

import base64
import io
import re
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import synthetic_records as synthetic
from PIL import Image

from benchmark.errors import DataError
from benchmark.records.families import family_of
from benchmark.records.record import TRAININGS, Record, RecordFile
from reports.boards.training import first_weights, training_plots

SPEC = synthetic.make_spec()
TRACK = SPEC.tracks["toy"]
DIGEST = "0123456789abcdef" * 4


def record(backbone="tiny_cnn", init="scratch", seed=0, samples=None, first=None, **series):
    """Loss falls to 0.5 + seed, accuracy rises to 0.8 + seed / 100; `series` are others."""
    curves = {
        "loss": [2.0, 1.0, 0.5 + seed],
        "val_accuracy": [0.2, 0.5, 0.8 + seed / 100],
        "val_nll": [1.0, 0.9, 0.8],
    }
    made = Record.model_validate(
        {
            "backbone": backbone,
            "init": init,
            "seed": seed,
            "key": "k",
            "series": {name: values for name, values in (curves | series).items() if values is not None},
            "pictures": {} if samples is None else {"samples": samples},
            "training": {"objective": "cross_entropy"},
            "cost": {"train_seconds": 3.0},
            "provenance": {"first_weights": first},
        }
    )
    family_of(TRAININGS).check(made)
    return made


def file_of(objective="cross_entropy", records=None, track="toy"):
    if records is None:
        records = [record(b, i, s) for b in synthetic.BACKBONES for i in synthetic.INITS for s in (0, 2)]
    of = {"track": track, "study": TRAININGS, "row": objective, "environments": {}}
    return RecordFile(**of, records=records)


def draw(*files, name="toy"):
    return training_plots(name, TRACK, files)


def texts(plot):
    """The words of a plot: matplotlib writes each, drawn as paths, into a comment."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", plot.svg, re.DOTALL)]


def curves(plot):
    """The points (x, y) of every line of the first panel, up in SVG being up here."""
    root = ET.fromstring(plot.svg)
    svg = "{http://www.w3.org/2000/svg}"
    panel = next(node for node in root.iter(f"{svg}g") if node.get("id") == "axes_1")
    lines = [g for g in panel if (g.get("id") or "").startswith("line2d_")]
    found = []
    for line in lines:
        for path in line.findall(f"{svg}path"):
            points = re.findall(r"[ML] (\S+) (\S+)", path.get("d"))
            found.append([(float(x), -float(y)) for x, y in points])
    return found


@pytest.fixture(scope="module")
def plots():
    return draw(file_of(), file_of("mixup", [record(seed=1)]))


def test_a_figure_for_accuracy_and_one_for_loss_of_each_backbone(plots):
    assert [plot.file for plot in plots] == [
        "training~toy~tiny_cnn~val_accuracy.svg",
        "training~toy~tiny_cnn~loss.svg",
        "training~toy~tiny_vit~val_accuracy.svg",
        "training~toy~tiny_vit~loss.svg",
    ]
    assert [plot.title for plot in plots[:2]] == ["tiny_cnn, validation accuracy", "tiny_cnn, training loss"]
    for plot in plots:
        assert ET.fromstring(plot.svg).tag.endswith("svg")
    assert {"cross entropy", "mixup", "validation accuracy", "epoch", *synthetic.INITS} <= set(
        texts(plots[0])
    )
    assert "mixup" not in texts(plots[2])


def test_the_alternative_text_has_the_mean_of_the_last_epoch(plots):
    assert plots[0].alt == (
        "Validation accuracy by epoch on tiny_cnn, one panel for each objective: mean over seeds, and the "
        "range of the seeds. After the last epoch: cross_entropy: scratch 0.81, fractaldb 0.81; "
        "mixup: scratch 0.81."
    )
    assert plots[1].alt.endswith(
        "After the last epoch: cross_entropy: scratch 1.5, fractaldb 1.5; mixup: scratch 1.5."
    )
    assert plots[3].alt.startswith("Training loss by epoch on tiny_vit")
    assert plots[3].alt.endswith("After the last epoch: cross_entropy: scratch 1.5, fractaldb 1.5.")


def test_a_curve_is_the_mean_over_seeds():
    """Loss 2, 1 and a mean of 1.5: at equal steps, and half-way up again."""
    _, loss = draw(file_of(records=[record(seed=s) for s in (0, 2)]))
    [line] = [line for line in curves(loss) if len(line) == 3]
    x, y = np.array(line).T
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=1e-4)
    assert (y[2] - y[1]) / (y[0] - y[1]) == pytest.approx(0.5, abs=1e-4)


def test_seeds_of_unequal_length_are_drawn_as_far_as_all_go():
    shorter = record(seed=2, loss=[2.0, 1.0], val_accuracy=[0.2, 0.5], val_nll=[2.0, 1.5])
    _, loss = draw(file_of(records=[record(), shorter]))
    assert loss.alt.endswith("After the last epoch: cross_entropy: scratch 1.")
    assert [line for line in curves(loss) if len(line) == 2]


def test_what_was_not_measured_is_said_so():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accuracy, loss = draw(file_of(records=[record(val_accuracy=None, val_nll=None)]))
    assert accuracy.alt.endswith("After the last epoch: cross_entropy: scratch not measured.")
    assert "nan" not in accuracy.alt
    assert loss.alt.endswith("scratch 0.5.")


def test_an_epoch_without_accuracy_leaves_a_gap_and_the_rest():
    accuracy, _ = draw(file_of(records=[record(val_accuracy=[0.5, None, 0.75])]))
    assert accuracy.alt.endswith("After the last epoch: cross_entropy: scratch 0.75.")


def test_a_single_epoch_is_drawn():
    one = {"loss": [0.25], "val_accuracy": [0.5], "val_nll": [1.0]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accuracy, loss = draw(file_of(records=[record(**one)]))
    assert accuracy.alt.endswith("cross_entropy: scratch 0.5.")
    assert loss.alt.endswith("cross_entropy: scratch 0.25.")


def test_weights_taken_as_they_are_have_no_curve():
    assert draw(file_of(records=[record(loss=None, val_accuracy=None, val_nll=None)])) == []
    assert draw() == []


def test_trainings_of_another_track_backbone_or_init_are_not_drawn():
    assert draw(file_of(track="other")) == []
    assert draw(file_of(records=[record(backbone="other"), record(init="other")])) == []


def test_trainings_of_a_study_on_other_images_are_not_drawn():
    noisy = [record(seed=s).model_copy(update={"condition": "uniform@0.5"}) for s in (3, 4)]
    plain = [record(seed=s) for s in (0, 2)]
    assert draw(file_of(records=noisy)) == []
    assert draw(file_of(records=[*plain, *noisy])) == draw(file_of(records=plain))


def test_the_legend_names_every_init_though_the_first_objective_has_one_alone():
    accuracy = draw(file_of("aaa", [record()]), file_of())[0]
    assert set(synthetic.INITS) <= set(texts(accuracy))


@pytest.mark.parametrize("name", ["../toy", "a/b", "", ".hidden", "<b>"])
def test_a_track_whose_name_is_no_file_name_is_refused(name):
    with pytest.raises(DataError, match="cannot be part of a file name"):
        draw(file_of(track=name), name=name)


HOSTILE = "--><script>alert(1)</script>$x^2$"


def test_the_name_of_an_objective_is_text_and_no_markup():
    for plot in draw(file_of(HOSTILE)):
        root = ET.fromstring(plot.svg)
        assert not [node for node in root.iter() if isinstance(node.tag, str) and "script" in node.tag]
        assert HOSTILE in plot.alt  # the page escapes it


def test_an_objective_that_is_no_file_name_has_no_picture_of_samples():
    with pytest.raises(DataError, match="cannot be part of a file name"):
        draw(file_of("../x", [record(samples=picture())]))


def picture(colour=(255, 0, 0)):
    file = io.BytesIO()
    Image.new("RGB", (8, 4), colour).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_samples_are_shown_of_the_first_seed_of_each_init():
    records = [
        record(seed=0),
        record(seed=1, samples=picture((255, 0, 0))),
        record(seed=2, samples=picture((0, 255, 0))),
        record(init="fractaldb", seed=4, samples=picture((0, 0, 255))),
    ]
    *_, plot = draw(file_of("joint_confidence_gan", records))
    assert plot.file == "samples~toy~joint_confidence_gan.svg"
    assert plot.title == "joint confidence gan: samples of the generator"
    assert plot.alt == (
        "Images drawn by the generator of joint_confidence_gan after training, of scratch, fractaldb."
    )
    assert {"tiny_cnn, scratch, seed 1", "tiny_cnn, fractaldb, seed 4"} <= set(texts(plot))
    shown = re.findall(r'data:image/png;base64,([^"]+)"', plot.svg)
    colours = []
    for data in shown:
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            pixels = np.asarray(image.convert("RGB"))
            colours.append(tuple(pixels[pixels.shape[0] // 2, pixels.shape[1] // 2].tolist()))
    assert colours == [(255, 0, 0), (0, 0, 255)]


def test_without_samples_there_is_no_such_figure(plots):
    assert not [plot for plot in plots if plot.file.startswith("samples")]
    others = draw(file_of("joint_confidence_gan", [record(samples=picture())], track="other"))
    assert others == []


def test_the_same_trainings_give_the_same_bytes(plots):
    assert draw(file_of(), file_of("mixup", [record(seed=1)])) == plots


# --- where first weights came from

LOADED = ["loaded", "fresh", "unused"]


def started(backbone="tiny_cnn", seed=0, without=(), **changed):
    first = {
        "source": {"images": 40, "fingerprint": DIGEST},
        "loaded": 86,
        "fresh": ["fc.weight", "fc.bias"],
        "unused": 2,
        **changed,
    }
    first = {name: value for name, value in first.items() if name not in without}
    return record(backbone, "fractaldb", seed, first=first)


def test_a_sentence_says_what_was_loaded_and_from_where():
    assert first_weights([file_of(records=[record(), started()])]) == [
        "toy, tiny_cnn, fractaldb: 86 parameters loaded (images 40, fingerprint 0123456789abcdef); "
        "fresh: fc.weight, fc.bias, 2 of the source unused."
    ]


def test_seeds_and_objectives_that_say_the_same_are_said_once():
    files = [file_of(name, [started(seed=s) for s in (0, 1)]) for name in ("cross_entropy", "mixup")]
    assert len(first_weights(files)) == 1
    files.append(file_of(records=[started(backbone="tiny_vit")]))
    assert len(first_weights(files)) == 2


def test_overlap_names_the_test_sets():
    [sentence] = first_weights([file_of(records=[started(overlap=["test", "digits_6_to_9"])])])
    assert sentence.endswith(
        "fresh: fc.weight, fc.bias, 2 of the source unused. "
        "Overlap: the dataset of test, digits_6_to_9 was seen in pre-training."
    )


@pytest.mark.parametrize(
    ("fresh", "said"),
    [
        ([], "fresh: nothing."),
        (["a", "b", "c", "d"], "fresh: a, b, c, d."),
        (["a", "b", "c", "d", "e", "f"], "fresh: a, b, c, d and 2 more."),
    ],
)
def test_many_fresh_parameters_are_counted(fresh, said):
    [sentence] = first_weights([file_of(records=[started(loaded=1, fresh=fresh, unused=0)])])
    assert sentence.endswith(said)


def test_digests_are_shortened_and_words_are_whole():
    """What a checkpoint of one's own was trained on, and its licence, are shown beside every result."""
    source = {
        "sha256": DIGEST,
        "revision": DIGEST[:40],
        "trained_on": "photographs of my own garden",
        "licence": "CC-BY-NC-SA-4.0-international",
        "card": {"left": "out"},
        "none": None,
    }
    [sentence] = first_weights([file_of(records=[started(source=source)])])
    assert (
        "(sha256 0123456789abcdef, revision 0123456789abcdef, trained_on photographs of my own garden, "
        "licence CC-BY-NC-SA-4.0-international)"
    ) in sentence


def test_drawn_weights_have_no_sentence():
    assert first_weights([]) == []
    assert first_weights([file_of()]) == []
    assert (
        first_weights([file_of(records=[started(without=["source"]), started(seed=1, without=LOADED)])]) == []
    )
