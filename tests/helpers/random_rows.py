"""Random rows, and blobs of them."""

import torch


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed), dtype=torch.float64)


def blobs(each=60, width=3, clusters=3, apart=8.0):
    """Points about `clusters` corners, in turn."""
    labels = torch.arange(each * clusters) % clusters
    return normal(len(labels), width) + apart * torch.eye(clusters, width).double()[labels], labels
