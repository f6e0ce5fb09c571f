"""Training one month: cross entropy plus a little squared error, early stopping, the best epoch kept.

Deterministic on a CPU: one thread, one generator for the order of the samples, seeds as arguments.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from engine.model.labels import classes
from engine.model.network import AttentionNetwork, probabilities
from engine.model.samples import Samples
from engine.model.windows import Interval, Window
from engine.settings import Settings


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
    epochs : int
        Run until patience ended.
    best_epoch : int
        The one kept, counted from 1.
    validation_loss, validation_accuracy : float
        At the best epoch.
    """

    network: AttentionNetwork
    excess_mean: float
    excess_sd: float
    samples: tuple[int, int]
    epochs: int
    best_epoch: int
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True)
class _Set:
    """The samples of an interval as tensors: features (n, 9), class (n,), standardised excess (n,)."""

    x: Tensor
    y: Tensor
    z: Tensor

    def __len__(self) -> int:
        return len(self.x)


def train(samples: Samples, window: Window, settings: Settings, seed: int) -> Trained:
    """Train the model of a month.

    Parameters
    ----------
    samples : Samples
        Of all sessions; only those of the window are looked at.
    window : Window
        Which those are.
    settings : Settings
        Model and labels.
    seed : int
        Of the weights and of the order of the samples.
    """
    of = settings.model
    mean, sd = _moments(samples, window.train)
    training = _tensors(samples, window.train, mean, sd, settings)
    validation = _tensors(samples, window.validation, mean, sd, settings)
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    network = AttentionNetwork()
    optimiser = torch.optim.AdamW(network.parameters(), lr=of.learning_rate, weight_decay=of.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=of.epochs)
    best_loss, best_epoch, best, epoch = float("inf"), 0, copy.deepcopy(network.state_dict()), 0
    for epoch in range(1, of.epochs + 1):
        _one_epoch(network, optimiser, training, order, of.batch, of.mse_weight)
        schedule.step()
        loss = _evaluate(network, validation, of.mse_weight)
        if loss < best_loss:
            best_loss, best_epoch, best = loss, epoch, copy.deepcopy(network.state_dict())
        elif epoch - best_epoch >= of.patience:
            break
    network.load_state_dict(best)
    network.eval()
    accuracy = float((probabilities(network, validation.x)[0].argmax(-1) == validation.y).float().mean())
    sizes = len(training), len(validation)
    return Trained(network, mean, sd, sizes, epoch, best_epoch, best_loss, accuracy)


def _moments(samples: Samples, interval: Interval) -> tuple[float, float]:
    excess = np.asarray(samples.excess[samples.between(interval.first, interval.last)], dtype=np.float64)
    return float(excess.mean()), float(excess.std())


def _tensors(samples: Samples, interval: Interval, mean: float, sd: float, settings: Settings) -> _Set:
    at = samples.between(interval.first, interval.last)
    excess = np.array(samples.excess[at])
    return _Set(
        torch.from_numpy(np.array(samples.features[at])),
        torch.from_numpy(classes(excess, settings.labels)),
        torch.from_numpy(((excess - mean) / sd).astype(np.float32)),
    )


def _loss(network: AttentionNetwork, x: Tensor, y: Tensor, z: Tensor, mse_weight: float) -> Tensor:
    logits, excess = network(x)
    return nn.functional.cross_entropy(logits, y) + mse_weight * nn.functional.mse_loss(excess, z)


def _one_epoch(
    network: AttentionNetwork,
    optimiser: torch.optim.Optimizer,
    data: _Set,
    order: torch.Generator,
    batch: int,
    mse_weight: float,
) -> None:
    """Go through the training samples once, in a new order."""
    network.train()
    for picked in torch.randperm(len(data), generator=order).split(batch):
        if len(picked) < 2:
            continue  # batch normalisation needs two
        optimiser.zero_grad(set_to_none=True)
        _loss(network, data.x[picked], data.y[picked], data.z[picked], mse_weight).backward()
        optimiser.step()


@torch.no_grad()
def _evaluate(network: AttentionNetwork, data: _Set, mse_weight: float) -> float:
    network.eval()
    return float(_loss(network, data.x, data.y, data.z, mse_weight))
