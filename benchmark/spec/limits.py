"""How large what a person writes into leaderboard.yaml may be: each bound once, with its reason.

Anything beyond is refused when the file is read or planned, before time or memory is spent on it.
"""

from __future__ import annotations

MOST_CHARACTERS = 500_000
"""Of a YAML file, and of what it says with every alias written out: our own has 30,000. Parsing so many
takes up to half a minute; a file of a few hundred can say 10⁹ values by aliases of aliases."""

MOST_NESTED = 50
"""Values within values; our own file goes 7 deep. Python and pydantic recurse, and end at some hundreds."""

LONGEST_NUMBER = 100
"""Characters of a number; a float64 is told by 17 digits, and Python reads no integer of more than 4,300."""

LONGEST_NAME = 64
"""Characters of a name. The file of a plot is made of three names and up to 40 characters, and a file system
takes 255."""

MOST = 10_000_000
"""Of images, epochs, steps, of anything that is counted: ImageNet-21k has 14 million images in all."""

HIGHEST_LR = 100.0
"""Learning rate. The highest published are near 30 (LARS on batches of 32,000); beyond, weights overflow."""

MOST_POINTS = 1_000
"""Of a grid of hyper-parameters, the product of its lists: each is fitted and scored for every network."""

MOST_CELLS = 200_000
"""Of a track and its studies in one plan: a cell has some five jobs, so that planning takes minutes."""

MOST_STEPS = 10_000
"""Steps or queries of the attack whose search is shown: planning runs it once, on one image."""

MOST_MISTAKES = 20
"""That are told of one file; then only that there are more."""

LONGEST_SEEN = 200
"""Characters of a value that is told in a mistake."""
