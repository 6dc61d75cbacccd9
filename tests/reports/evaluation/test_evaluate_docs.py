"""The Python of docs/evaluate.md runs as it stands there, in order."""

import re

import pytest
import torch
from places import ROOT
from torch import nn
from torch.utils.data import TensorDataset

BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Small(nn.Module):
    """Two numbers of each channel, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(torch.cat([x.mean(dim=(2, 3)), x.std(dim=(2, 3))], dim=1))


class Images(torch.utils.data.Dataset):
    """Images alone."""

    def __init__(self, n, seed):
        self.images = images(n, seed)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i]


def images(n, seed):
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def labelled(n, seed):
    return TensorDataset(images(n, seed), torch.arange(n) % 3)


@pytest.fixture
def names():
    torch.manual_seed(0)
    return {
        "model": Small(),
        "train_set": labelled(90, 0),
        "val_set": labelled(30, 1),
        "test_set": labelled(30, 2),
        "lookalikes": Images(20, 3),
        "textures": Images(20, 4),
        "images": images(5, 5),
    }


def test_the_blocks_run(names, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall((ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8"))
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "docs/evaluate.md", "exec"), names)
    found = names["found"]
    assert names["page"].is_file()
    assert set(found.detectors) == {"msp", "energy", "vim", "knn"}
    assert len(found.table) == 4
    assert names["answer"].score.shape == (5,)
    printed = capsys.readouterr().out
    assert found.best in printed
    expected = next(one for one in found.outcome.detectors if one.name == "vim").sets["textures"].auroc
    assert float(printed.split()[-1]) == pytest.approx(expected.value, abs=1e-9)
