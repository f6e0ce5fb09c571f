"""A trained network as others serve it: z-scores in, probabilities and expected excess return out.

``torch.export`` writes the graph and the weights as JSON and raw bytes; TorchScript, deprecated upstream, is an option.
"""

from __future__ import annotations

import io
import warnings

import torch
from torch import Tensor, nn

from engine.model.network import FEATURES, AttentionNetwork


class Served(nn.Module):
    """The network with its output in the units users think in.

    Parameters
    ----------
    network : AttentionNetwork
        In evaluation mode.
    mean, sd : float
        Of the training labels.
    """

    def __init__(self, network: AttentionNetwork, mean: float, sd: float) -> None:
        super().__init__()
        self.network = network
        self.mean = nn.Buffer(torch.tensor(mean, dtype=torch.float64))
        self.sd = nn.Buffer(torch.tensor(sd, dtype=torch.float64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return P(down), P(flat), P(up) as (n, 3) and the expected excess return (n,) of z-scores (n, 9)."""
        logits, excess = self.network(x)
        return torch.softmax(logits, dim=-1), excess.double() * self.sd + self.mean


def exported(network: AttentionNetwork, mean: float, sd: float) -> bytes:
    """Return the network as a ``torch.export`` program, for any number of stocks at once."""
    program = torch.export.export(
        Served(network, mean, sd).eval(),
        (torch.zeros(2, FEATURES),),
        dynamic_shapes=({0: torch.export.Dim("stocks", min=1)},),
    )
    written = io.BytesIO()
    torch.export.save(program, written)
    return written.getvalue()


def scripted(network: AttentionNetwork, mean: float, sd: float) -> bytes:
    """Return the network as TorchScript."""
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that it is deprecated is known
        torch.jit.save(torch.jit.script(Served(network, mean, sd).eval()), written)
    return written.getvalue()
