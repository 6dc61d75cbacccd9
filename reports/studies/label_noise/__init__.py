"""The study `label_noise`: what its numbers come to, and its plots."""
