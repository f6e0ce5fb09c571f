"""Many networks of one shape computed at once: each parameter is stacked, each layer is one batched product.

Samples lie along the last axis, ``(networks, features, batch)``, so that the activations of a layer need no
transposing between the batched products, the softmax over features and the batch normalisation.
A stack of one is how a single network is trained on a CPU, so there is one implementation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from engine.model.network import AttentionNetwork

_NORMALISED = ("hidden.1", "hidden.4")
"""The batch normalisations: each keeps a running mean and variance beside its parameters."""


class Stack:
    """Networks trained side by side, each from its own seed.

    Parameters
    ----------
    seeds : sequence of int
        Of the initial weights, one a network; the weights are those ``AttentionNetwork`` draws after that seed.
    device : torch.device
        Where they are computed.

    Attributes
    ----------
    parameters : list of Parameter
        The weights of each network, (P,) each: what an optimiser changes.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        networks = [_drawn(seed) for seed in seeds]
        self._shapes = {name: value.shape for name, value in networks[0].named_parameters()}
        self._sizes = [shape.numel() for shape in self._shapes.values()]
        flat = [torch.cat([value.detach().reshape(-1) for value in one.parameters()]) for one in networks]
        self._weights = torch.stack(flat).to(device)
        self.parameters = [nn.Parameter(row) for row in self._weights]  # views: an optimiser writes into the stack
        self._running = {
            f"{name}.{what}": torch.stack([one.state_dict()[f"{name}.{what}"] for one in networks]).to(device)
            for name in _NORMALISED
            for what in ("running_mean", "running_var")
        }
        self._steps = [0] * len(seeds)

    def weights(self, which: Tensor) -> Tensor:
        """Return a copy of the weights of some networks, (len(which), P), to differentiate by."""
        return self._weights.detach().index_select(0, which).requires_grad_()

    def train(self, which: Tensor, weights: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute some networks in training mode and move their running statistics.

        Parameters
        ----------
        which : Tensor of int64, (k,)
            The networks.
        weights : Tensor, (k, P)
            Of them.
        x : Tensor, (k, 9, B)
            A batch for each.

        Returns
        -------
        (Tensor, (k, 3, B)), (Tensor, (k, B))
            Class logits and standardised excess.
        """
        running = {name: value.index_select(0, which) for name, value in self._running.items()}
        out = self._compute(weights, running, x, training=True)
        for name, value in running.items():
            self._running[name].index_copy_(0, which, value)
        for one in which.tolist():
            self._steps[one] += 1
        return out

    @torch.no_grad()
    def evaluate(self, one: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute one network in evaluation mode: (9, n) to logits (3, n) and standardised excess (n,)."""
        running = {name: value[one : one + 1] for name, value in self._running.items()}
        logits, excess = self._compute(self._weights[one : one + 1], running, x[None], training=False)
        return logits[0], excess[0]

    def state(self, one: int) -> dict[str, Tensor]:
        """Return a copy of a network's state, as ``AttentionNetwork`` loads it, on the CPU."""
        parts = self._weights[one].detach().split(self._sizes)
        state = {name: part.view(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}
        state |= {name: value[one] for name, value in self._running.items()}
        state |= {f"{name}.num_batches_tracked": torch.tensor(self._steps[one]) for name in _NORMALISED}
        return {name: value.to("cpu", copy=True) for name, value in state.items()}

    def _compute(
        self, weights: Tensor, running: Mapping[str, Tensor], x: Tensor, training: bool
    ) -> tuple[Tensor, Tensor]:
        of = {
            name: part.reshape(len(weights), shape[0], -1)
            for (name, shape), part in zip(self._shapes.items(), weights.split(self._sizes, dim=1), strict=True)
        }

        def linear(name: str, values: Tensor) -> Tensor:
            return torch.baddbmm(of[f"{name}.bias"], of[f"{name}.weight"], values)

        def normalised(name: str, values: Tensor) -> Tensor:
            channels = values.view(1, -1, values.shape[-1])  # every feature of every network is a channel
            mean, variance = (running[f"{name}.{what}"].view(-1) for what in ("running_mean", "running_var"))
            scale, shift = (of[f"{name}.{what}"].reshape(-1) for what in ("weight", "bias"))
            done = nn.functional.batch_norm(channels, mean, variance, scale, shift, training)
            return done.view(values.shape)

        attention = torch.softmax(linear("attention.2", torch.relu(linear("attention.0", x))), dim=1)
        hidden = torch.relu(normalised("hidden.1", linear("hidden.0", x * attention)))
        hidden = torch.relu(normalised("hidden.4", linear("hidden.3", hidden)))
        return linear("classify", hidden), linear("regress", hidden).squeeze(1)


def _drawn(seed: int) -> AttentionNetwork:
    torch.manual_seed(seed)
    return AttentionNetwork()
