import pytest
import torch
from pytorch_ood_world import World


@pytest.fixture(autouse=True)
def in_float64(monkeypatch):
    before, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)  # of matrices this small, threads would cost more than they save
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    yield
    torch.set_default_dtype(before)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def world():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng(devices=[]):
        made = World()
    torch.set_default_dtype(before)
    return made
