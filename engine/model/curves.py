"""The course of each training, as scalars TensorBoard shows: ``tensorboard --logdir $ASHARE_HOME/curves``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.model.train import Trained


def write_curves(folder: Path, trained: Trained) -> None:
    """Write the course of one training into a folder of its own; one that was there is replaced."""
    from torch.utils.tensorboard import SummaryWriter

    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        for at, epoch in enumerate(trained.history, start=1):
            writer.add_scalar("loss/train", epoch.train_loss, at)
            writer.add_scalar("loss/validation", epoch.validation_loss, at)
            writer.add_scalar("accuracy/validation", epoch.validation_accuracy, at)
            writer.add_scalar("learning_rate", epoch.learning_rate, at)
