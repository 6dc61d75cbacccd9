"""A leaderboard small enough to be run in seconds: 2 networks, 4 cells."""

SMALL = """\
version: 1
tracks:
  small:
    title: A few digits
    image_size: 16
    id: {dataset: digits, classes: [0, 1, 2]}
    split: {train_per_class: 4, val_per_class: 4}
    near:
      threes: {dataset: digits, classes: [3]}
    far:
      noise: {dataset: uniform_noise, n: 12}
    shifts: {kinds: [gaussian_noise, contrast], scale: cifar_c, images_per_class: 3}
    training: {epochs: 1, batch_size: 6, lr: 0.003, weight_decay: 0.01}
    backbones: [tiny]
    inits: [scratch]
    seeds: [0, 1]
    entries: [msp, knn]
backbones:
  tiny: {architecture: test_efficientnet}
inits:
  scratch: {source: scratch}
entries:
  msp: {detector: msp}
  knn: {detector: knn, hyperparameters: {k: 2}}
boards:
  small:
    title: Small
    track: small
    rows: [entry]
    columns:
      - {metric: near.auroc, title: Near AUROC, better: higher}
    rank_by: near.auroc
"""
