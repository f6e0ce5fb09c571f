"""The network of the strategy (SPEC 6): attention over nine features, two hidden layers, two heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.model.manifest import ARCHITECTURE

FEATURES, ATTENTION, HIDDEN, CLASSES = (
    ARCHITECTURE["features"],
    ARCHITECTURE["attention"],
    ARCHITECTURE["hidden"],
    ARCHITECTURE["classes"],
)


class AttentionNetwork(nn.Module):
    """Weighs the features by attention, then classifies and estimates the excess return.

    The regression head stands on the last hidden layer; it estimates the *standardised* excess return.
    """

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.Linear(FEATURES, ATTENTION), nn.ReLU(), nn.Linear(ATTENTION, FEATURES), nn.Softmax(dim=-1)
        )
        self.hidden = nn.Sequential(
            nn.Linear(FEATURES, HIDDEN[0]),
            nn.BatchNorm1d(HIDDEN[0]),
            nn.ReLU(),
            nn.Linear(HIDDEN[0], HIDDEN[1]),
            nn.BatchNorm1d(HIDDEN[1]),
            nn.ReLU(),
        )
        self.classify = nn.Linear(HIDDEN[1], CLASSES)
        self.regress = nn.Linear(HIDDEN[1], 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits and standardised excess.

        Parameters
        ----------
        x : Tensor, (B, 9)
            z-scores.

        Returns
        -------
        (Tensor, (B, 3)), (Tensor, (B,))
        """
        hidden = self.hidden(x * self.attention(x))  # (B, 32)
        return self.classify(hidden), self.regress(hidden).squeeze(-1)


@torch.no_grad()
def probabilities(network: AttentionNetwork, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return class probabilities (B, 3) and standardised excess (B,) of a network in evaluation mode."""
    logits, excess = network(x)
    return torch.softmax(logits, dim=-1), excess
