from collections.abc import Sequence
from pathlib import Path

import pytest
import synthetic_records as synthetic
from once import once
from undrawn import draw_nothing

from reports.site.build import build_site

WRITTEN = "full_site.txt"  # beside the site: the files that were written


def build_full_site(folder: Path) -> None:
    boards = {
        "detection": synthetic.board(),
        "by_backbone": synthetic.board(title="Each backbone", rows=["entry", "backbone", "init"]),
    }
    spec = synthetic.make_spec(boards=boards)
    results = synthetic.make_results(
        spec, lambda entry, backbone, init, seed: (entry, seed) != ("energy", 3) or backbone == "tiny_vit"
    )
    written = build_site(spec, results, folder, generated=synthetic.NOW)
    (folder.parent / WRITTEN).write_text("\n".join(map(str, written)))


@pytest.fixture(scope="session")
def full_site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[Path]]:
    """A site of two backbones, two inits, eight seeds and three entries, two of which have failures."""
    folder = once(tmp_path_factory, "full_site", build_full_site)
    return folder, [Path(line) for line in (folder.parent / WRITTEN).read_text().splitlines()]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots without a picture: for what a test of tables and texts builds itself."""
    draw_nothing(monkeypatch)
