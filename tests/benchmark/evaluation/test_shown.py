"""Sets as chunks of features: joined, and bounded."""

import pytest
import torch

from benchmark.evaluation.shown import Chunk, ShownFeatures, joined
from methods.features import Features


def chunks(n, rows):
    for start in range(0, n, rows):
        of = torch.arange(start, min(start + rows, n))
        logits = of[:, None].float() * torch.ones(1, 4)
        yield Chunk(Features(logits, stages=[logits, 2 * logits]), tuple(map(str, of.tolist())), of)


@pytest.mark.parametrize(("rows", "size", "expected"), [
    (20, 2**30, [24, 24, 2]), (2**30, 1, [8] * 6 + [2]), (2**30, 8 * 48 + 1, [16, 16, 16, 2]),
    (99, 2**30, [50]),
])  # fmt: skip
def test_chunks_are_joined_up_to_so_many_images_or_bytes(rows, size, expected):
    found = [*joined(chunks(50, 8), rows, size)]
    assert [len(one.names) for one in found] == expected
    assert torch.cat([one.features.logits for one in found])[:, 0].tolist() == [*range(50)]
    assert torch.cat([one.features.stages[1] for one in found])[:, 0].tolist() == [*range(0, 100, 2)]
    assert torch.cat([one.labels for one in found]).tolist() == [*range(50)]
    assert [name for one in found for name in one.names] == [str(i) for i in range(50)]


def test_features_that_were_computed_elsewhere_come_in_chunks_with_names():
    features = Features(torch.zeros(5000, 2), labels=torch.zeros(5000, dtype=torch.int64))
    found = [*ShownFeatures("x", features).chunks(())]
    assert [len(one.features) for one in found] == [4096, 904]
    assert found[1].names[0] == "row 4096"
    assert found[1].labels.shape == (904,)
