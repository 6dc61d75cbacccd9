"""What the leaderboard asks for, worked out once: every place, with its settings resolved.

The planner binds content keys to the places; pages count a record only if its settings are those of its place
(`benchmark.census.compare`). No module here may import torch, or know jobs, keys or pages.
"""

from benchmark.census.compare import refusal
from benchmark.census.places import EVERYTHING, Selection
from benchmark.census.settings import Census
from benchmark.records.place import Place
from benchmark.studies.settings import PLAIN, Given

__all__ = [
    "EVERYTHING",
    "PLAIN",
    "Census",
    "Given",
    "Place",
    "Selection",
    "refusal",
]
