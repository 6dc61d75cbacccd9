"""Where the checkout is, and what may lie in it and beside it."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "leaderboard.yaml"
SHARED = ROOT.parent / "shared"
