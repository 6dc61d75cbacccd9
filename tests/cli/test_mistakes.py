"""Mistakes at the command line and in leaderboard.yaml: how they end."""

import re

import pytest
from command_line import squeezed
from small_leaderboard import SMALL


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["run", "--trak", "small"], r"No such option: --trak .*--track"),
        (["list", "detctors"], "no list of 'detctors'; did you mean 'detectors'?"),
        (["show", "enrgy"], "nothing is called 'enrgy'; did you mean 'energy'?"),
        (["show", "smal"], "nothing is called 'smal'; did you mean 'small'?"),
        (["show", "nothing"], "nothing is called 'nothing'; `oodbench list` shows all "),
        (["show"], "Missing argument 'name'"),
        (
            ["run"],
            "nothing to run: give --all, --full, or choose with "
            "--track, --entry, --backbone, --init, --seed",
        ),
        (["run", "--dry-run"], "nothing to run: give --all"),
        (["run", "--all", "--entry", "msp"], "--all means everything; leave it out to choose a part"),
        (["run", "--all", "--jobs", "0"], "Invalid value for '--jobs'"),
        (["run", "--all", "--jobs", "many"], "Invalid value for '--jobs'"),
        (["run", "--seed", "x"], "Invalid value for '--seed'"),
        (["run", "--track", "smal"], "no track 'smal'; did you mean 'small'?"),
        (["plan", "--entry", "mps"], "no entry 'mps'; did you mean 'msp'?"),
        (["plan", "--backbone", "tinny"], "no backbone 'tinny'; did you mean 'tiny'?"),
        (["plan", "--init", "scrach"], "no init 'scrach'; did you mean 'scratch'?"),
        (["plan", "--seed", "7"], "no seed '7'; there are: 0, 1"),
        (["plan", "--leaderboard", "leaderbord.yaml"], "leaderbord.yaml: cannot be read: No such file"),
        (["plan", "--leaderboard", "."], r"\.: cannot be read: Is a directory"),
    ],
)  # fmt: skip
def test_a_mistake_at_the_command_line_exits_2_and_says_what_to_do(command, arguments, message):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert re.search(message.replace("?", r"\?"), squeezed(err), re.IGNORECASE)
    assert not (command.folder / "cache").exists()
    assert not (command.folder / "runs").exists()
    assert not (command.folder / "results").exists()


@pytest.mark.parametrize("name", ["plan", "list", "report", "run --all", "show msp"])
def test_a_bad_leaderboard_exits_2_and_names_the_place(command, name):
    path = command.folder / "leaderboard.yaml"
    path.write_text(SMALL.replace("image_size: 16", "image_size: big"))
    code, out, err = command(*name.split())
    assert (code, out) == (2, "")
    assert err == (
        "oodbench: leaderboard.yaml:5: tracks.small.image_size: Input should be a valid integer; got 'big'\n"
    )


@pytest.mark.parametrize("name", ["plan", "show small", "run --all"])
def test_a_dataset_that_there_is_not_exits_2_and_names_the_place(command, name):
    (command.folder / "leaderboard.yaml").write_text(SMALL.replace("uniform_noise", "unifrm_noise"))
    code, _, err = command(*name.split())
    assert code == 2
    assert err.startswith(
        "oodbench: leaderboard.yaml:11: tracks.small.far.noise.dataset: no dataset 'unifrm_noise'; "
        "did you mean 'uniform_noise'?"
    )


def test_an_architecture_that_there_is_not_exits_2_before_anything_is_computed(command):
    (command.folder / "leaderboard.yaml").write_text(SMALL.replace("test_efficientnet", "test_efficientnett"))
    code, _, err = command("run", "--all", "--jobs", "1")
    assert code == 2
    assert err.startswith(
        "oodbench: leaderboard.yaml:19: backbones.tiny.architecture: "
        "timm has no architecture 'test_efficientnett'; did you mean 'test_efficientnet'?"
    )
    assert not list(command.folder.glob("cache/objects/*"))
