"""What `oodbench new` writes: the file of a method, its line in leaderboard.yaml, a test to be filled in.

It works in a checkout only. This room knows what the files look like and no method; it must not import torch.
"""
