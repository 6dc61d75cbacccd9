"""Fractals: the chaos game's worked numbers, drawing against brute force, and what the presets look like."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from places import ROOT

from benchmark.datasets import FRACTAL_PRESETS, FractalConfig, fractal_categories, fractal_images, fractals

SMALL = FractalConfig(3, 110, 16, 400, 0.15, 32, 400, supersample=2, padding=4)
# Specification §9.6: maps (a, b, c, d, e, f).
WORKED = np.array([(0.5, 0, 0, 0.5, 0, 0), (0.5, 0.2, -0.1, 0.4, 0.3, 0), (-0.3, 0.6, 0.2, 0.5, 0, 0.2)])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- the chaos game


def test_map_probabilities_worked_example():
    # Specification §9.6: |det| 0.25, 0.22, 0.27; an absent map of zeros gets nothing.
    assert fractals.map_probabilities(WORKED) == pytest.approx([0.337838, 0.297297, 0.364865], abs=5e-7)
    padded = np.concatenate([WORKED, np.zeros((4, 6))])
    assert fractals.map_probabilities(padded)[3:].tolist() == [0.0] * 4


def test_chaos_game_worked_example():
    # Specification §9.6: maps 1, 2, 3, 2, 1 from the origin.
    path = fractals.chaos_game(WORKED, np.array([0, 1, 2, 1, 0]))
    expected = [[0, 0], [0.3, 0], [-0.09, 0.26], [0.307, 0.113], [0.1535, 0.0565]]
    np.testing.assert_allclose(path, expected, atol=1e-15)


def test_games_advance_together_as_they_would_alone():
    systems = rng().uniform(-0.7, 0.7, size=(2, 3, 4, 6))
    choices = rng(1).integers(4, size=(50, 2, 3))
    together = fractals.chaos_game(systems, choices)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_array_equal(together[:, i, j], fractals.chaos_game(systems[i, j], choices[:, i, j]))


def test_maps_are_chosen_by_cumulative_probability():
    chosen = fractals.choose_maps(
        np.array([0.25, 0.0, 0.5, 0.25]), np.array([0.0, 0.249, 0.25, 0.749, 0.75, 0.99])
    )
    assert chosen.tolist() == [0, 0, 2, 2, 3, 3]


def test_rounding_of_the_cumulative_probability_never_chooses_an_absent_map():
    # Ten tenths add up to 1 − 2⁻⁵³, the largest uniform number below 1.
    probabilities = np.array([0.1] * 10 + [0.0])
    largest = np.nextafter(1.0, 0.0)
    assert np.cumsum(probabilities)[-1] == largest
    assert fractals.choose_maps(probabilities, np.array([largest])).tolist() == [9]


def test_maps_of_many_systems_are_chosen_in_their_own_proportions():
    p = np.array([[0.1, 0.9], [0.6, 0.4]])
    chosen = fractals.choose_maps(p, rng().random(10_000))
    # Five standard deviations of a share of 10,000: at most 0.025.
    assert chosen.mean(axis=0) == pytest.approx([0.9, 0.4], abs=0.025)


# --- drawing


def pixels(path: list, side: int = 20, padding: int = 4) -> list:
    return np.argwhere(fractals.visited_pixels(np.array(path, dtype=float), side, padding)).tolist()


def test_extremes_are_scaled_to_the_padding_and_y_points_up():
    # x from 2 to 4 goes to columns 4 to 16, y from 10 to 20 to 4 to 16 rows from the bottom: all positive, so
    # that the minimum must be subtracted. The middle (3, 15) goes to the tenth of both.
    assert pixels([(2, 10), (4, 20), (3, 15)]) == [[3, 16], [9, 10], [15, 4]]


def test_scaled_coordinates_are_floored():
    # 0.49 · 12 + 4 = 9.88 lies in pixel 9.
    assert pixels([(0, 0), (1, 1), (0.49, 0)]) == [[3, 16], [15, 4], [15, 9]]


def test_a_flat_axis_lies_at_the_padding():
    assert pixels([(7, 1), (7, 2)]) == [[3, 4], [15, 4]]
    assert pixels([(7, 1)]) == [[15, 4]]


def test_numbers_near_the_largest_do_not_overflow():
    assert pixels([(-1.7e308, 0), (1.7e308, 1)]) == [[3, 16], [15, 4]]


@pytest.mark.parametrize("lost", [np.inf, -np.inf, np.nan])
def test_a_lost_trajectory_is_cut_100_points_before(lost):
    path = np.full((300, 2), 0.5)
    path[0], path[1], path[149], path[150] = (0, 0), (1, 1), (0.25, 0), (1e9, 1e9)
    path[250:, 0] = lost
    # Points 0 to 149 are kept: x from 0 to 1, and 0.25 · 12 + 4 = 7.
    assert pixels(path) == [[3, 16], [9, 10], [15, 4], [15, 7]]


def test_a_trajectory_lost_within_100_points_is_empty():
    path = np.zeros((300, 2))
    path[100:] = np.nan
    assert pixels(path) == []
    path[0] = np.nan
    assert pixels(path) == []


def test_patches_cover_one_to_three_pixels_up_and_right():
    visited = np.zeros((1, 12, 12), dtype=bool)
    visited[0, 8, 2] = visited[0, 7, 7] = True
    expected = np.zeros((12, 12), dtype=bool)
    expected[5:8, 3:6] = expected[4:7, 8:11] = True
    np.testing.assert_array_equal(fractals.covered_pixels(visited)[0], expected)


def paste(points: np.ndarray, side: int, masks: np.ndarray) -> np.ndarray:
    """Paste a 3×3 mask (of the 511 that are not empty) at each (row, column) in turn, as the release does."""
    image = np.zeros((side, side), dtype=int)
    for (row, column), mask in zip(points, masks, strict=True):
        image[row - 3 : row, column + 1 : column + 4] = (mask >> np.arange(9) & 1).reshape(3, 3)
    return image


def test_speckle_has_the_statistics_of_pasting_patches_one_by_one():
    side, runs = 12, 2000
    points = rng(3).integers(3, side - 3, size=(25, 2))
    visited = np.zeros((side, side), dtype=bool)
    visited[points[:, 0], points[:, 1]] = True
    covered = fractals.covered_pixels(visited)
    draw = rng(4)
    pasted = np.stack([paste(points, side, draw.integers(1, 512, size=25)) for _ in range(runs)])
    speckled = fractals.speckle(np.broadcast_to(covered, (runs, side, side)), rng(5)) // fractals.GREY
    for images in (pasted, speckled):
        assert not images[:, ~covered].any()
        # A share of 2000 fair coins has standard deviation 0.0112; so has a correlation of two, twice over.
        assert np.abs(images[:, covered].mean(axis=0) - 0.5).max() < 5 * 0.0112
        between = np.corrcoef(images[:, covered].T) - np.eye(covered.sum())
        assert np.abs(between).max() < 5.5 * 0.0224


def test_weight_rows_change_one_parameter_at_a_time():
    rows = fractals.weight_rows(0.4)
    assert rows.shape == (25, 6)
    assert rows[0].tolist() == [1.0] * 6
    assert rows[1:5, 0] == pytest.approx([0.2, 0.6, 1.4, 1.8])  # specification §9.3
    assert rows[21:, 5] == pytest.approx([0.2, 0.6, 1.4, 1.8])
    assert ((rows != 1).sum(axis=1) == [0] + [1] * 24).all()
    assert ((rows != 1).sum(axis=0) == 4).all()


def test_flips():
    image = np.array([[1, 2], [3, 4]], dtype=np.uint8)
    flipped = fractals.flipped(np.stack([image] * 4), np.arange(4))
    assert flipped.tolist() == [[[1, 2], [3, 4]], [[3, 4], [1, 2]], [[2, 1], [4, 3]], [[4, 3], [2, 1]]]


def test_tiles_are_averaged_and_rounded_half_to_even():
    image = np.array([[[0, 2, 9, 9], [0, 0, 9, 9], [127, 127, 1, 2], [127, 127, 2, 1]]], dtype=np.uint8)
    assert fractals.reduced(image, 2).tolist() == [[[0, 9], [127, 2]]]  # 0.5 goes to 0, 1.5 to 2
    np.testing.assert_array_equal(fractals.reduced(image, 1), image)


# --- categories


def test_categories_fill_the_canvas_and_have_two_to_seven_maps():
    config = dataclasses.replace(SMALL, categories=12)
    systems = fractals.search_categories(config, 0)
    assert systems.shape == (12, 7, 6)
    assert np.abs(systems).max() < 1
    present = np.any(systems != 0, axis=2)
    counts = present.sum(axis=1)
    assert (present == (np.arange(7) < counts[:, None])).all()
    assert counts.min() >= 2
    assert len(np.unique(counts)) > 2
    # The filling rate holds for the sequence of the search, and so nearly for another.
    maps = fractals.choose_maps(fractals.map_probabilities(systems), rng().random(config.search_points))
    fills = fractals.visited_pixels(fractals.chaos_game(systems, maps), config.search_side, 4).mean(
        axis=(1, 2)
    )
    assert fills.min() > config.fill - 0.05


def test_more_categories_begin_with_the_fewer():
    few, more = (fractals.search_categories(dataclasses.replace(SMALL, categories=n), 0) for n in (3, 8))
    np.testing.assert_array_equal(few, more[:3])


def test_a_search_that_finds_nothing_says_so():
    # 380 of 400 points on different pixels: no random system does that.
    hopeless = dataclasses.replace(SMALL, categories=1, fill=380 / 32**2)
    with pytest.raises(RuntimeError, match=r"only 0 of \d+ random IFS fill 0.37.* 1 are needed; lower fill"):
        fractals.search_categories(hopeless, 0)


# --- image sets


def test_images_and_labels_of_a_small_set():
    made = fractal_images(SMALL, 0)
    assert made.images.shape == (330, 3, 16, 16)
    np.testing.assert_array_equal(made.labels, np.repeat(np.arange(3), 110))
    assert (made.images == made.images[:, :1]).all()
    assert (made.images.min(), made.images.max()) == (0, 127)


def test_instances_run_through_weights_then_flips_then_patches():
    # Without averaging, a pixel that patches cover is lit in half of the instances of one shape, and so in at
    # least one of 40: the 40 together show the shape.
    config = dataclasses.replace(SMALL, categories=1, instances=4000, side=32, supersample=1)
    lit = fractal_images(config, 0).images[:, 0].reshape(40, 4, 25, 32, 32) > 0
    shape = lit.any(axis=0)  # (4 flips, 25 rows, side, side)
    assert not np.array_equal(lit[0], lit[1])
    np.testing.assert_array_equal(shape[1], shape[0][:, ::-1])
    np.testing.assert_array_equal(shape[2], shape[0][:, :, ::-1])
    np.testing.assert_array_equal(shape[3], shape[0][:, ::-1, ::-1])
    # Of an IFS's translations only the proportions matter once its axes are rescaled: some rows may agree.
    assert len({s.tobytes() for s in shape[0]}) > 20


def test_the_same_seed_gives_the_same_images_in_another_process_and_another_seed_others():
    code = (
        "from benchmark.datasets import FractalConfig, fractal_images;"
        f"print(fractal_images({SMALL!r}, 0).fingerprint())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == fractal_images(SMALL, 0).fingerprint()
    assert done.stdout.strip() != fractal_images(SMALL, 1).fingerprint()


def test_the_size_of_the_chunks_changes_nothing(monkeypatch):
    whole = fractal_images(SMALL, 0).fingerprint()
    monkeypatch.setattr(fractals, "_CHUNK_POINTS", 25 * SMALL.points)
    assert fractal_images(SMALL, 0).fingerprint() == whole


def test_categories_are_streamed_one_at_a_time():
    whole = fractal_images(SMALL, 0)
    for category, part in enumerate(fractal_categories(SMALL, 0)):
        assert part.fingerprint() == whole.subset(whole.labels == category).fingerprint()


def test_presets_have_the_published_numbers():
    # Specification §9.3; the digits' preset is the suite's own.
    short = {
        name: (c.categories, c.instances, c.side, c.points, c.fill, c.weight)
        for name, c in FRACTAL_PRESETS.items()
    }
    assert short == {
        "fractaldb_1k": (1000, 1000, 362, 200_000, 0.2, 0.4),
        "fractaldb_60": (60, 1000, 362, 200_000, 0.2, 0.4),
        "fractaldb_tiny": (20, 40, 64, 5_000, 0.1, 0.4),
        "fractaldb_digits": (64, 128, 32, 5_000, 0.2, 0.4),
    }
    full = FRACTAL_PRESETS["fractaldb_1k"]
    assert (full.search_side, full.search_points, full.padding, full.supersample) == (512, 100_000, 6, 1)


def test_the_digits_preset_draws_shapes_neither_empty_nor_full_and_all_different():
    made = fractal_images(FRACTAL_PRESETS["fractaldb_digits"], 0)
    assert made.images.shape == (64 * 128, 3, 32, 32)
    inked = (made.images[:, 0] > 0).mean(axis=(1, 2))
    # Rows that weight a parameter by 1.8 diverge for some systems and leave a few dots, as in the release.
    assert (inked > 0.05).mean() > 0.95
    assert inked.min() > 0
    assert inked.max() < 0.9
    assert len({image.tobytes() for image in made.images}) == len(made)
    # Averaged over its instances, a category is farther from the others than from itself on other instances.
    x = made.images[:, 0].reshape(64, 128, -1).astype(float)
    first, second = x[:, :50].mean(axis=1), x[:, 100:].mean(axis=1)
    nearest = ((first[:, None] - second) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == np.arange(64)).mean() > 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": 0}, "categories must be at least 1, got 0"),
        ({"instances": 0}, "instances must be at least 1"),
        ({"points": 0}, "points must be at least 1"),
        ({"search_points": 0}, "search_points must be at least 1"),
        ({"supersample": 0}, "supersample must be at least 1"),
        ({"padding": 3}, "padding must be at least 4 pixels to hold a patch, got 3"),
        ({"side": 4}, "side · supersample must exceed twice the padding of 4 pixels, got 8"),
        ({"search_side": 8}, "search_side must exceed twice the padding of 4 pixels, got 8"),
        ({"fill": 0.0}, "fill must lie between 0 and 0.391, .* got 0.0"),
        (
            {"fill": 0.4},
            "fill must lie between 0 and 0.391, the share that 400 search points can reach on 32×32",
        ),
        ({"weight": float("nan")}, "weight must be a positive number, got nan"),
        ({"weight": 0.0}, "weight must be a positive number, got 0.0"),
    ],
)
def test_config_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)
