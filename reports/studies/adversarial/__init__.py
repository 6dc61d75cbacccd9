"""The study `adversarial`: what its numbers come to, and its plots."""
