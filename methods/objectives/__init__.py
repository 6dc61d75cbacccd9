"""Training objectives: how a network is trained on the in-distribution data. One file each."""
