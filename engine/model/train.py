"""Training: cross entropy plus a little squared error, early stopping, the best epoch kept; many networks at once.

All networks of a call are in the same epoch; one that has gone through its samples waits for the others, one that
has stopped is computed no more. None of them feels another, so what a network becomes does not depend on its
company. On a CPU, with one thread, it is the same bit for bit at every repetition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from engine.model.labels import classes
from engine.model.network import AttentionNetwork
from engine.model.samples import Split
from engine.model.stack import Stack
from engine.settings import Settings


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to."""

    train_loss: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float


@dataclass(frozen=True)
class Trained:
    """A trained network and how it did on the validation sessions.

    Attributes
    ----------
    network : AttentionNetwork
        In evaluation mode, on the CPU.
    excess_mean, excess_sd : float
        Of the training labels; the regression head speaks in these units.
    samples : tuple of int
        Of training and validation.
    best_epoch : int
        The one kept, counted from 1.
    history : tuple of Epoch
        Of every epoch.
    """

    network: AttentionNetwork
    excess_mean: float
    excess_sd: float
    samples: tuple[int, int]
    best_epoch: int
    history: tuple[Epoch, ...]

    @property
    def epochs(self) -> int:
        """How many were run until patience ended."""
        return len(self.history)

    @property
    def validation_loss(self) -> float:
        """At the best epoch."""
        return self.history[self.best_epoch - 1].validation_loss

    @property
    def validation_accuracy(self) -> float:
        """At the best epoch."""
        return self.history[self.best_epoch - 1].validation_accuracy


@dataclass
class _Task:
    """One network in training: its samples, and how far it has come."""

    split: Split
    picked: Tensor  # positions of the training samples on the device
    validation: tuple[Tensor, Tensor, Tensor]  # x (9, n), class, standardised excess
    mean: float
    sd: float
    order: torch.Generator
    batch: int
    steps: int
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0

    def take(self, epoch: Epoch, state: Callable[[], dict[str, Tensor]]) -> None:
        """Note an epoch, and keep the network if it is the best so far."""
        before = self.history[self.best_epoch - 1].validation_loss if self.best_epoch else float("inf")
        self.history.append(epoch)
        if epoch.validation_loss < before or not self.best:
            self.best_epoch, self.best = len(self.history), state()

    def has_stopped(self, patience: int) -> bool:
        """Say whether patience has ended."""
        return len(self.history) - self.best_epoch >= patience


@dataclass(frozen=True)
class _Data:
    """The samples of all tasks of a call on the device; ``start`` is the place of the first among the samples."""

    start: int
    x: Tensor
    y: Tensor
    excess: Tensor


def train(splits: Sequence[Split], seeds: Sequence[int], settings: Settings, device: torch.device) -> list[Trained]:
    """Train one network a split and seed, all at once.

    Parameters
    ----------
    splits : sequence of Split
        What each may learn from, and is validated on; all over the same samples.
    seeds : sequence of int
        Of the weights and of the order of the samples, one a split.
    settings : Settings
        Model and labels.
    device : torch.device
        Where.

    Returns
    -------
    list of Trained
        In the order of the splits.
    """
    of = settings.model
    data = _on_device(splits, settings, device)
    tasks = [_task(split, seed, data, of.batch, device) for split, seed in zip(splits, seeds, strict=True)]
    stack = Stack(seeds, device)
    optimiser = torch.optim.AdamW(stack.parameters, lr=of.learning_rate, weight_decay=of.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=of.epochs)
    for _ in range(of.epochs):
        alive = [at for at, task in enumerate(tasks) if not task.has_stopped(of.patience)]
        if not alive:
            break
        rate = optimiser.param_groups[0]["lr"]
        losses = _one_epoch(stack, optimiser, tasks, alive, data, of.mse_weight)
        schedule.step()
        for at in alive:
            loss, accuracy = _validate(stack, at, tasks[at], of.mse_weight)
            tasks[at].take(Epoch(losses[at], loss, accuracy, rate), lambda at=at: stack.state(at))  # type: ignore[misc]
    return [_finished(task) for task in tasks]


def _on_device(splits: Sequence[Split], settings: Settings, device: torch.device) -> _Data:
    samples = splits[0].samples
    start = min(split.training.start for split in splits)
    end = max(split.validation.stop for split in splits)
    excess = np.array(samples.excess[start:end])
    return _Data(
        start,
        torch.from_numpy(np.array(samples.features[start:end])).to(device),
        torch.from_numpy(classes(excess, settings.labels)).to(device),
        torch.from_numpy(excess).to(device),
    )


def _task(split: Split, seed: int, data: _Data, batch: int, device: torch.device) -> _Task:
    picked = split.picked()
    excess = np.asarray(split.samples.excess[picked], dtype=np.float64)
    mean, sd = float(excess.mean()), float(excess.std())
    inside = slice(split.validation.start - data.start, split.validation.stop - data.start)
    validation = data.x[inside].T.contiguous(), data.y[inside], (data.excess[inside] - mean) / sd
    size = min(batch, len(picked))
    return _Task(
        split,
        torch.from_numpy(picked - data.start).to(device, torch.int32),
        validation,
        mean,
        sd,
        torch.Generator(device).manual_seed(seed),
        size,
        len(picked) // size,
    )


def _one_epoch(
    stack: Stack,
    optimiser: torch.optim.Optimizer,
    tasks: Sequence[_Task],
    alive: Sequence[int],
    data: _Data,
    mse_weight: float,
) -> dict[int, float]:
    """Go through the training samples of the tasks once, each in a new order; return their mean losses.

    A batch is whole: the samples left over at the end, fewer than a batch and others in every epoch, sit out.
    """
    device = data.x.device
    orders = {at: _shuffled(tasks[at]) for at in alive}
    total = torch.zeros(len(tasks), device=device)
    moments = torch.tensor([[tasks[at].mean, tasks[at].sd] for at in range(len(tasks))], device=device)
    for together in _of_one_batch(tasks, alive):
        for first, last, active in _stretches(tasks, together):
            which = torch.tensor(active, device=device)
            mean, sd = moments[which].unbind(1)
            size = tasks[active[0]].batch
            for step in range(first, last):
                picked = torch.stack([orders[at][step * size : (step + 1) * size] for at in active])
                weights = stack.weights(which)
                logits, excess = stack.train(which, weights, data.x[picked].transpose(1, 2).contiguous())
                target = (data.excess[picked] - mean[:, None]) / sd[:, None]
                loss = _losses(logits, excess, data.y[picked], target, mse_weight)
                (gradient,) = torch.autograd.grad(loss.sum(), weights)
                for at, row in zip(active, gradient, strict=True):
                    stack.parameters[at].grad = row
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)  # a network that waits has no gradient, and is not moved
                total.index_add_(0, which, loss.detach())
    means = total.tolist()
    return {at: means[at] / tasks[at].steps for at in alive}


def _shuffled(task: _Task) -> Tensor:
    order = torch.randperm(len(task.picked), generator=task.order, device=task.picked.device, dtype=torch.int32)
    return task.picked[order]


def _of_one_batch(tasks: Sequence[_Task], alive: Sequence[int]) -> Iterator[list[int]]:
    """Yield the tasks with batches of one size together: a set smaller than a batch is a batch of its own."""
    for size in sorted({tasks[at].batch for at in alive}):
        yield [at for at in alive if tasks[at].batch == size]


def _stretches(tasks: Sequence[_Task], alive: Sequence[int]) -> Iterator[tuple[int, int, list[int]]]:
    """Yield the stretches of steps in which the same tasks still have samples: first, end, tasks."""
    first = 0
    for last in sorted({tasks[at].steps for at in alive}):
        yield first, last, [at for at in alive if tasks[at].steps >= last]
        first = last


def _losses(logits: Tensor, excess: Tensor, y: Tensor, z: Tensor, mse_weight: float) -> Tensor:
    """Return the loss of each network: (k, 3, B), (k, B) and their targets to (k,)."""
    entropy = nn.functional.cross_entropy(logits, y, reduction="none").mean(-1)
    return entropy + mse_weight * (excess - z).square().mean(-1)


@torch.no_grad()
def _validate(stack: Stack, at: int, task: _Task, mse_weight: float) -> tuple[float, float]:
    x, y, z = task.validation
    logits, excess = stack.evaluate(at, x)
    loss = _losses(logits[None], excess[None], y[None], z[None], mse_weight)[0]
    return float(loss), float((logits.argmax(0) == y).float().mean())


def _finished(task: _Task) -> Trained:
    network = AttentionNetwork()
    network.load_state_dict(task.best)
    network.eval()
    samples = len(task.picked), task.validation[0].shape[1]
    return Trained(network, task.mean, task.sd, samples, task.best_epoch, tuple(task.history))
