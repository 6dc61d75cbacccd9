"""A checkout of a leaderboard with all studies and of empty folders, to which methods can be added."""

from small_studies import LEADERBOARD

from benchmark.scaffold import checkout as module
from benchmark.scaffold.checkout import find_checkout
from methods.cards import FAMILIES

LISTED = LEADERBOARD.replace(
    "entries:\n  msp: {detector: msp}\n", "entries:\n  msp: {detector: msp} # first\n"
)


def checkout_in(folder, monkeypatch, text=LISTED):
    """The checkout, as if oodbench ran from there."""
    for family in FAMILIES:
        (folder / "methods" / family).mkdir(parents=True)
        (folder / "tests" / "methods" / family).mkdir(parents=True)
    for name in ("base", "__init__"):
        (folder / "methods" / f"{name}.py").write_text('"""As in a checkout."""\n')
    (folder / "leaderboard.yaml").write_text(text)
    monkeypatch.setattr(module, "HOME", folder.resolve())
    monkeypatch.chdir(folder)
    return find_checkout(None)


def tree_of(folder):
    """Every file and folder below, with what is in the files."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
