"""Pull requests as sets of files, on a small repository: what a stranger may send."""

from pathlib import Path

from small_leaderboard import SMALL
from workflow_runs import git

from oodbench_ci.guard import guard
from oodbench_ci.objects import Objects

COMPUTED = ("small",)  # of the two tracks; the records of `large` are those of contributors
LARGE = """\
  large:
    title: More digits
    image_size: 16
    id: {dataset: digits, classes: [0, 1, 2]}
    split: {train_per_class: 4, val_per_class: 4}
    near:
      threes: {dataset: digits, classes: [3]}
    far:
      noise: {dataset: uniform_noise, n: 12}
    training: {epochs: 1, batch_size: 6, lr: 0.003, weight_decay: 0.01}
    backbones: [tiny]
    inits: [scratch]
    seeds: [0, 1]
    entries: [msp]
    full: {entries: [knn]}
"""
LEADERBOARD = SMALL.replace("backbones:\n  tiny:", f"{LARGE}backbones:\n  tiny:")
TOY = "methods/detectors/toy.py"
TOY_TEST = "tests/methods/detectors/test_toy.py"
WITH_TOY = LEADERBOARD.replace("entries: [msp, knn]", "entries: [msp, knn, toy]").replace(
    "  knn: {detector", "  toy: {detector: toy}\n  knn: {detector"
)
BASE = {
    ".ci/run": "true\n",
    ".github/workflows/check.yml": "on: pull_request\n",
    "benchmark/run.py": "x = 1\n",
    "benchmark/records/spread.py": "x = 1\n",
    "constraints.txt": "torch==2\n",
    "docs/names.md": "names\n",
    "leaderboard.yaml": LEADERBOARD,
    "methods/base.py": "x = 1\n",
    "methods/detectors/__init__.py": "",
    "methods/detectors/msp.py": "x = 1\n",
    "methods/objectives/__init__.py": "",
    "methods/objectives/cross_entropy.py": "x = 1\n",
    "oodbench.py": "x = 1\n",
    "pyproject.toml": "\n",
    "reports/claims/claims.yaml": "claims: []\n",
    "reports/select.py": "x = 1\n",
    "results/large/msp.json": "{}\n",
    "results/small/msp.json": "{}\n",
    "results/spread.json": "{}\n",
    "tests/conftest.py": "",
    "tests/helpers/places.py": "",
    "tests/methods/detectors/test_msp.py": "",
    "tests/test_architecture.py": "",
}
METHOD = {TOY: "toy = 1\n", TOY_TEST: "assert 1\n", "leaderboard.yaml": WITH_TOY}


class Repository:
    """A repository with a base branch, and pull requests as branches of it."""

    def __init__(self, folder: Path, files=BASE):
        self.folder = folder
        git("init", "--quiet", "--initial-branch", "main", folder)
        self.commit(files)
        self.base = git("rev-parse", "HEAD", cwd=folder)

    def commit(self, files):
        """Commit files by path; None deletes, a path is what a link leads to."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink() or (content is None and path.exists()):
                path.unlink()
            if isinstance(content, Path):
                path.unlink(missing_ok=True)
                path.symlink_to(content)
            elif content is not None:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        git("add", "--all", "--force", cwd=self.folder)
        git("commit", "--quiet", "--allow-empty", "--message", "change", cwd=self.folder)
        return git("rev-parse", "HEAD", cwd=self.folder)

    def propose(self, files):
        """The commit of a pull request with these files."""
        git("checkout", "--quiet", "--force", "--detach", self.base, cwd=self.folder)
        git("clean", "-fdxq", cwd=self.folder)
        return self.commit(files)

    def guarded(self, files, computed=COMPUTED):
        return guard(Objects(self.folder), self.base, self.propose(files), computed)

    def verdict(self, files, computed=COMPUTED):
        return self.guarded(files, computed).verdict


def refused(verdict):
    """What was refused, by path."""
    return {one.path: one.what for one in verdict.findings if one.refused}


def told(verdict):
    """What is for a maintainer, by path."""
    return {one.path: one.what for one in verdict.findings if not one.refused}
