"""Anyone's classifiers, opened: what they compute, and what of it a detector can be given."""
