"""Training: it learns, it repeats itself to the bit, and it tells what it did."""

import math

import pytest
import torch
from torch import nn

import benchmark.backbones.train as training
from benchmark.backbones.batches import LabelledImages, augmented
from benchmark.backbones.create import create_network
from benchmark.backbones.network import Network
from benchmark.backbones.train import TrainingDiverged, train, validate
from benchmark.engines.worker import single_threaded
from methods.objectives.cross_entropy import CrossEntropy

SIZE = 16
RECIPE = {
    "epochs": 4, "batch_size": 8, "optimizer": "adamw", "lr": 0.01, "weight_decay": 0.01,
    "scheduler": "cosine", "warmup_epochs": 1, "augment": "none",
    "tune": "all",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _as_in_a_job():
    with single_threaded():
        yield


def dark_or_bright(n, seed):
    """Class 1 is the brighter half of the grey scale."""
    drawn = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    noise = torch.randint(0, 100, (n, 3, SIZE, SIZE), generator=drawn)
    return LabelledImages((noise + 120 * labels[:, None, None, None]).to(torch.uint8), labels)


@pytest.fixture(scope="module")
def data():
    return dark_or_bright(34, 0)


@pytest.fixture(scope="module")
def val():
    return dark_or_bright(12, 1)


def trained(data, val, order=5, weights=0, **changes):
    torch.manual_seed(weights)
    network = create_network("test_resnet", 2, SIZE)
    return network, train(network, CrossEntropy(), data, val, RECIPE | changes, order).history


@pytest.fixture(scope="module")
def first(data, val):
    with single_threaded():
        return trained(data, val)


def same(one, other):
    weights = other.weights()
    return all(torch.equal(value, weights[name]) for name, value in one.weights().items())


def test_the_loss_falls_and_the_classes_are_learnt(first):
    _, history = first
    # Dark against bright: over eight first weights the loss fell to a tenth at most, and no image was wrong.
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert history[-1]["val_accuracy"] > 0.75


def test_the_history_has_every_epoch_with_its_validation(first, val):
    network, history = first
    assert [epoch["epoch"] for epoch in history] == [1, 2, 3, 4]
    assert all(epoch.keys() == {"epoch", "loss", "val_accuracy", "val_nll", "notes"} for epoch in history)
    assert (history[-1]["val_accuracy"], history[-1]["val_nll"]) == validate(network, val)


def test_validation_is_accuracy_and_nll_of_the_softmax(first, val):
    network, _ = first
    accuracy, nll = validate(network, val)
    with torch.inference_mode():
        p = network(val.images / 255.0).double().softmax(dim=1)
    assert accuracy == (p.argmax(dim=1) == val.labels).double().mean().item()
    assert nll == pytest.approx(-p[range(len(p)), val.labels].log().mean().item(), rel=1e-4)


def test_without_validation_data_there_are_no_validation_metrics(data):
    _, history = trained(data, None, epochs=2)
    assert [(epoch["val_accuracy"], epoch["val_nll"]) for epoch in history] == [(None, None)] * 2


def test_validation_does_not_touch_the_weights(first, data, val):
    assert same(first[0], trained(data, None)[0])
    assert same(first[0], trained(data, dark_or_bright(5, 2))[0])


def test_the_same_seeds_give_the_same_bits(first, data, val):
    network, history = trained(data, val)
    assert same(first[0], network)
    assert history == first[1]


def test_the_state_of_the_global_generator_does_not_matter(first, data, val):
    torch.manual_seed(0)
    network = create_network("test_resnet", 2, SIZE)
    torch.rand(7)
    train(network, CrossEntropy(), data, val, RECIPE, 5)
    assert same(first[0], network)


def test_another_order_gives_other_weights(first, data, val):
    assert not same(first[0], trained(data, val, order=6)[0])


def test_a_trained_network_comes_in_eval_mode(first):
    assert not any(module.training for module in first[0].modules())


class Recorded(CrossEntropy):
    """Notes the batches that it is shown."""

    def loss(self, network, batch, modules):
        self.__dict__.setdefault("batches", []).append(batch)
        return super().loss(network, batch, modules)


class Line(nn.Module):
    """The least that can be trained."""

    dimension = 3 * 2 * 2
    precision = None

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 2 * 2, 2)

    def forward(self, images):
        return self.layer(images.flatten(1))


def dots(n):
    values = torch.arange(n * 12).reshape(n, 3, 2, 2) % 256
    return LabelledImages(values.to(torch.uint8), torch.arange(n) % 2)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 7, 9, 34])
@pytest.mark.parametrize("batch_size", [2, 3, 8, 100])
def test_every_image_is_seen_once_an_epoch_and_none_alone(n, batch_size):
    """Batch normalisation cannot take a batch of one."""
    objective = Recorded()
    train(Line(), objective, dots(n), None, RECIPE | {"epochs": 2, "batch_size": batch_size}, 0)
    sizes = [len(batch.labels) for batch in objective.batches]
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == 2 * n
    assert max(sizes) < max(4, 1.5 * batch_size)
    whole = torch.cat([batch.images for batch in objective.batches[: len(sizes) // 2]])
    expected = dots(n).images / 255.0
    assert sorted(whole.flatten(1).tolist()) == sorted(expected.flatten(1).tolist())


def test_an_objective_sees_pixels_from_0_to_1_and_their_labels():
    objective, data = Recorded(), dots(8)
    train(Line(), objective, data, None, RECIPE, 0)
    known = {tuple(image): label for image, label in zip(
        (data.images / 255.0).flatten(1).tolist(), data.labels.tolist(), strict=True
    )}  # fmt: skip
    assert len(known) == 8
    for batch in objective.batches:
        assert [known[tuple(image)] for image in batch.images.flatten(1).tolist()] == batch.labels.tolist()


def test_the_order_of_the_images_changes_from_epoch_to_epoch():
    objective = Recorded()
    train(Line(), objective, dots(16), None, RECIPE | {"epochs": 2, "batch_size": 16}, 0)
    one, two = objective.batches
    assert not torch.equal(one.images, two.images)


@pytest.fixture
def rates(monkeypatch):
    """The learning rate of every step."""
    seen = []
    make = training.create_optimizer_v2

    def recording(*args, **options):
        optimizer = make(*args, **options)
        optimizer.register_step_pre_hook(lambda it, *_: seen.append(it.param_groups[0]["lr"]))
        return optimizer

    monkeypatch.setattr(training, "create_optimizer_v2", recording)
    return seen


def run(**changes):
    train(Line(), CrossEntropy(), dots(16), None, RECIPE | {"lr": 1.0} | changes, 0)


def test_the_rate_warms_up_and_then_falls_to_zero(rates):
    """2 epochs of 2 steps from lr/100 in equal steps, then 4 of 2 along half a cosine to 0."""
    run(epochs=6, warmup_epochs=2)
    warm = [0.01 + 0.99 * step / 4 for step in range(4)]
    cosine = [0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    assert rates == pytest.approx(warm + cosine)


def test_the_rate_falls_from_the_first_step_without_warm_up(rates):
    run(epochs=3, warmup_epochs=0)
    assert rates == pytest.approx([0.5 * (1 + math.cos(math.pi * step / 6)) for step in range(6)])


def test_the_rate_stays_without_a_scheduler(rates):
    run(epochs=3, scheduler="none", warmup_epochs=0)
    assert rates == [1.0] * 6


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lamb"])
def test_the_optimizer_is_timms_of_that_name(data, optimizer):
    _, history = trained(data, None, optimizer=optimizer, epochs=1, warmup_epochs=0)
    assert math.isfinite(history[0]["loss"])


def test_weight_decay_spares_biases_and_norms(rates, data):
    """With no loss to follow, only what decays changes: timm leaves vectors out."""

    class Nothing(CrossEntropy):
        def loss(self, network, batch, modules):
            return 0 * super().loss(network, batch, modules)

    torch.manual_seed(0)
    network = create_network("test_resnet", 2, SIZE)
    before = {name: value.clone() for name, value in network.named_parameters()}
    recipe = {"weight_decay": 0.5, "scheduler": "none", "epochs": 1}
    train(network, Nothing(), data, None, RECIPE | recipe, 0)
    changed = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {name for name, value in before.items() if value.ndim > 1}


def test_a_loss_that_is_not_finite_ends_the_training(data, val):
    with pytest.raises(TrainingDiverged, match=r"the loss is (nan|inf) in epoch \d at rate 1e\+30"):
        trained(data, val, optimizer="sgd", lr=1e30, scheduler="none", warmup_epochs=0)


def test_weights_that_the_last_step_ruined_are_not_kept(data, val):
    """The loss that the step was taken for was finite."""
    with pytest.raises(TrainingDiverged, match=r"the validation loss is (nan|inf) after epoch 1"):
        trained(
            data, val, optimizer="sgd", lr=1e30, scheduler="none", batch_size=100, epochs=1, warmup_epochs=0
        )


def test_the_network_of_the_test_is_one_of_the_harness(first):
    assert isinstance(first[0], Network)


def squares(count, size=16):
    """Images that tell their places apart: red counts columns, green rows; blue is the image's own."""
    across = torch.arange(1, size + 1, dtype=torch.uint8)
    images = torch.empty(count, 3, size, size, dtype=torch.uint8)
    images[:, 0], images[:, 1] = across, across[:, None]
    images[:, 2] = torch.arange(1, count + 1, dtype=torch.uint8)[:, None, None]
    return images


def test_flips_and_crops_move_each_image_as_a_whole():
    images = squares(200)
    moved = augmented(images, "flip_crop", torch.Generator().manual_seed(0))
    assert (moved.shape, moved.dtype) == (images.shape, images.dtype)
    seen = set()
    for i, image in enumerate(moved):
        inside = image[2] == i + 1  # black came in elsewhere
        assert set(image[2].unique().tolist()) <= {0, i + 1}
        columns, rows = image[0][inside].reshape(-1), image[1][inside].reshape(-1)
        y, x = inside.nonzero().T
        down = (rows - y - 1).unique()
        right, mirrored = (columns - x - 1).unique(), (columns + x - 16).unique()
        assert len(down) == 1
        assert 1 in (len(right), len(mirrored))
        seen.add((int(down), len(mirrored) == 1, int(mirrored if len(mirrored) == 1 else right)))
    assert {abs(d) for d, _, _ in seen} == {0, 1, 2}  # up to an eighth of 16
    assert {abs(r) for _, _, r in seen} == {0, 1, 2}
    assert {m for _, m, _ in seen} == {True, False}


def test_augmentation_follows_its_seed_and_none_changes_nothing():
    images = squares(20)
    one, again, other = (augmented(images, "flip_crop", torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert augmented(images, "none", torch.Generator()) is images


def test_training_takes_augmented_images(data, val, first):
    network, _ = trained(data, val, augment="flip_crop")
    assert not same(first[0], network)
    again, _ = trained(data, val, augment="flip_crop")
    assert same(network, again)
