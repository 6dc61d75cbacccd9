"""A disk so small that it fills up."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system with given options (``size=1m``), again if need be; skips where none may be."""
    folder = tmp_path / "disk"

    def mount(options: str) -> Path:
        if shutil.which("mount") is None:
            pytest.skip("there is no mount command here")
        again = ["-o", f"remount,{options}"] if folder.exists() else ["-t", "tmpfs", "-o", options]
        folder.mkdir(exist_ok=True)
        done = subprocess.run(["mount", *again, "tmpfs", folder], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", folder], check=True)
