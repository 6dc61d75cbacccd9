"""The study `imbalance`: what its numbers come to, and its plots."""
