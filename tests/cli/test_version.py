"""`oodbench --version`."""

import subprocess
import sys
from importlib.metadata import version

from as_process import ENVIRONMENT


def test_u2_versions_without_loading_anything(tmp_path):
    script = (
        "import sys, oodbench\nsys.argv = ['oodbench', '--version']\n"
        "try: oodbench.main()\nexcept SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'timm', 'numpy', 'pydantic'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"oodbench {version('oodbench')}", f"torch {version('torch')}", f"timm {version('timm')}",
        f"Python {sys.version.split()[0]}",
    ]  # fmt: skip
