"""Many networks computed at once against the single network; what may be learnt from; the programs of the registry."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.errors import LookAhead, NotEnoughHistory, UsageError
from engine.model.device import device_of
from engine.model.network import AttentionNetwork, probabilities
from engine.model.samples import Samples, Split
from engine.model.serving import exported, scripted
from engine.model.stack import Stack
from engine.model.train import train
from engine.model.windows import Interval, Window
from engine.settings import ModelSettings, Settings

CPU = torch.device("cpu")


def planted(sessions: int = 200, names: int = 40, lag: int = 21, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(sessions), names).astype(np.int32)
    features = rng.normal(size=(len(rows), 9)).astype(np.float32)
    excess = (0.02 * features[:, 3] + 0.03 * rng.normal(size=len(rows))).astype(np.float32)
    return Samples(rows, rows, features, excess, rows + np.int32(lag))


def window(train: tuple[int, int] = (0, 120), validation: tuple[int, int] = (150, 178), until: int = 199) -> Window:
    return Window("2000-01", until, Interval(*train), Interval(*validation), 21)


def with_model(**values: object) -> Settings:
    return Settings(model=ModelSettings(**{"batch": 512, "epochs": 3, **values}))


@pytest.fixture
def double():
    """Compute in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_a_stack_computes_what_the_network_computes():
    """Outputs, gradients and running statistics of three networks, each as if it were alone."""
    seeds = [4, 5, 6]
    stack, which = Stack(seeds, CPU), torch.tensor([0, 2])
    x = torch.randn(2, 9, 300, generator=torch.Generator().manual_seed(1))
    weights = stack.weights(which)
    logits, excess = stack.train(which, weights, x)
    (gradient,) = torch.autograd.grad(logits.square().mean((1, 2)).sum() + excess.square().mean(1).sum(), weights)
    for at, one in enumerate(which.tolist()):
        torch.manual_seed(seeds[one])
        network = AttentionNetwork()
        expected = network(x[at].T)
        torch.testing.assert_close(logits[at].T, expected[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(excess[at], expected[1], rtol=1e-5, atol=1e-6)
        (expected[0].square().mean() + expected[1].square().mean()).backward()
        flat = torch.cat([value.grad.reshape(-1) for value in network.parameters()])
        torch.testing.assert_close(gradient[at], flat, rtol=1e-4, atol=1e-6)
        again = AttentionNetwork()
        again.load_state_dict(stack.state(one))
        for name, value in network.state_dict().items():
            torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-5, atol=1e-6)
        with torch.no_grad():
            expected = again.eval()(x[at].T)
        torch.testing.assert_close(stack.evaluate(one, x[at])[0].T, expected[0], rtol=1e-5, atol=1e-6)
    torch.manual_seed(seeds[1])  # the one left out has not moved
    for name, value in AttentionNetwork().state_dict().items():
        torch.testing.assert_close(stack.state(1)[name], value, rtol=0, atol=0)


def test_a_network_does_not_feel_its_company(double):
    """Trained beside others with longer and shorter windows it becomes what it becomes alone.

    In double precision, so that what is left is no rounding: AdamW divides by the size of a gradient, and makes
    steps of those that are 0 but for rounding (of a bias before a batch normalisation, which changes no output).
    """
    samples, settings = planted(), with_model()
    samples = replace(samples, features=samples.features.astype(float), excess=samples.excess.astype(float))
    splits = [Split(samples, window(train=stretch)) for stretch in ((0, 120), (60, 120), (0, 100))]
    seeds = [0, 1, 2]
    together = train(splits, seeds, settings, CPU)
    for split, seed, one in zip(splits, seeds, together, strict=True):
        (alone,) = train([split], [seed], settings, CPU)
        assert (one.epochs, one.best_epoch, one.samples) == (alone.epochs, alone.best_epoch, alone.samples)
        assert one.validation_loss == pytest.approx(alone.validation_loss, abs=1e-9)
        x = torch.randn(500, 9, generator=torch.Generator().manual_seed(1))
        for mine, its in zip(probabilities(one.network, x), probabilities(alone.network, x), strict=True):
            torch.testing.assert_close(mine, its, rtol=0, atol=1e-8)


def test_training_is_the_textbook_s(double):
    """Loss, optimiser, schedule and early stopping against a plain loop over the module."""
    samples, settings = planted(), with_model(epochs=9, patience=2, weight_decay=0.3, learning_rate=0.02)
    rng = np.random.default_rng(2)  # labels in any order: there is nothing to learn, so patience ends it
    samples = replace(
        samples, features=samples.features.astype(float), excess=rng.permutation(samples.excess.astype(float))
    )
    split = Split(samples, window())
    (one,) = train([split], [7], settings, CPU)
    picked = split.picked()
    excess = samples.excess[picked]
    x, y, z = (
        torch.from_numpy(samples.features[picked]),
        torch.from_numpy(np.where(excess > 0.02, 2, np.where(excess < -0.02, 0, 1))),
        torch.from_numpy((excess - excess.mean()) / excess.std()),
    )
    torch.manual_seed(7)
    network = AttentionNetwork()
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.02, weight_decay=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=9)
    order = torch.Generator().manual_seed(7)
    entropy, square = torch.nn.CrossEntropyLoss(), torch.nn.MSELoss()
    held_out = samples.excess[split.validation]
    xv = torch.from_numpy(samples.features[split.validation])
    yv = torch.from_numpy(np.where(held_out > 0.02, 2, np.where(held_out < -0.02, 0, 1)))
    zv = torch.from_numpy((held_out - excess.mean()) / excess.std())
    said = []
    for epoch in one.history:
        network.train()
        assert optimiser.param_groups[0]["lr"] == epoch.learning_rate
        losses = []
        for batch in torch.randperm(len(x), generator=order, dtype=torch.int32).split(512):
            if len(batch) == 512:
                optimiser.zero_grad()
                logits, estimate = network(x[batch])
                loss = entropy(logits, y[batch]) + 0.1 * square(estimate, z[batch])
                loss.backward()
                optimiser.step()
                losses.append(float(loss.detach()))
        schedule.step()
        assert epoch.train_loss == pytest.approx(np.mean(losses), rel=1e-9)
        network.eval()
        with torch.no_grad():
            logits, estimate = network(xv)
        assert epoch.validation_loss == pytest.approx(float(entropy(logits, yv) + 0.1 * square(estimate, zv)), rel=1e-9)
        said.append(torch.softmax(logits, -1))
    assert one.best_epoch < one.epochs == min(one.best_epoch + 2, 9)
    torch.testing.assert_close(probabilities(one.network, xv)[0], said[one.best_epoch - 1], rtol=0, atol=1e-8)
    assert one.validation_loss == min(epoch.validation_loss for epoch in one.history)


@pytest.mark.parametrize(
    ("known", "row", "what"),
    [(150, 5, "training"), (200, 160, "validation")],
    ids=["learnt from while it is validated on", "known after the month began"],
)
def test_a_label_known_too_late_is_refused_whatever_the_window_says(known, row, what):
    samples = planted()
    late = samples.known.copy()
    late[samples.rows == row] = known
    with pytest.raises(LookAhead, match=f"the {what} samples cannot be used"):
        Split(Samples(samples.rows, samples.sids, samples.features, samples.excess, late), window())
    late[samples.rows == row] = known - 1
    Split(Samples(samples.rows, samples.sids, samples.features, samples.excess, late), window())


def test_a_window_without_samples_is_refused():
    with pytest.raises(NotEnoughHistory, match="no sample to validate on"):
        Split(planted(sessions=140), window())


def test_weekly_samples_are_those_of_every_fifth_session_counted_back():
    split = Split(planted(), window(), every=5)
    assert sorted(set(split.samples.rows[split.picked()].tolist())) == list(range(0, 121, 5))
    split = Split(planted(), window(train=(2, 118)), every=5)
    assert sorted(set(split.samples.rows[split.picked()].tolist())) == list(range(3, 119, 5))


@pytest.mark.parametrize("kind", [exported, scripted])
def test_a_program_gives_the_scores_of_the_network(kind, tmp_path):
    torch.manual_seed(3)
    network = AttentionNetwork().eval()
    written = kind(network, 0.01, 0.2)
    if kind is exported:
        program = torch.export.load(io.BytesIO(written)).module()
    else:
        with pytest.warns(DeprecationWarning, match="torch.jit.load"):
            program = torch.jit.load(io.BytesIO(written))
    for n in (1, 2, 1777):
        x = torch.randn(n, 9)
        chances, excess = probabilities(network, x)
        served = program(x)
        torch.testing.assert_close(served[0], chances, rtol=0, atol=1e-7)
        torch.testing.assert_close(served[1], excess.double() * 0.2 + 0.01, rtol=0, atol=1e-9)


def test_a_device_that_is_not_there_is_named():
    assert device_of("cpu") == CPU
    if torch.cuda.is_available():
        assert device_of("auto").type == "cuda"
    else:
        assert device_of("auto") == CPU
        with pytest.raises(UsageError, match="no CUDA device"):
            device_of("cuda")
