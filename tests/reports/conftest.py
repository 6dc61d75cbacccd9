from collections.abc import Sequence
from pathlib import Path

import pytest
import synthetic_records as synthetic

from reports.site import build_site


@pytest.fixture(scope="session")
def full_site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[Path]]:
    """A site of two backbones, two inits, eight seeds and three entries, two of which have failures."""
    boards = {
        "detection": synthetic.board(),
        "by_backbone": synthetic.board(title="Each backbone", rows=["entry", "backbone", "init"]),
    }
    spec = synthetic.make_spec(boards=boards)
    results = synthetic.make_results(
        spec, lambda entry, backbone, init, seed: (entry, seed) != ("energy", 3) or backbone == "tiny_vit"
    )
    out = tmp_path_factory.mktemp("site")
    return out, build_site(spec, results, out, generated=synthetic.NOW)
