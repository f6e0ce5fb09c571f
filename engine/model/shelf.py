"""The models a run consults, loaded when their time comes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.errors import Damaged, LookAhead, NoModel
from engine.files import sha256_of
from engine.model.registry import WEIGHTS, Entry, find
from engine.panels.reader import Panels
from engine.settings import Settings

if TYPE_CHECKING:
    from engine.model.network import AttentionNetwork

OUTPUTS = ("p_down", "p_flat", "p_up", "expected_excess")
"""What a model says of a stock, in the order of the columns of its answer."""
SAMPLED = 64
"""Stocks of a session by which it is told what a network looks at: every so-manieth of them, these or some more."""


def load_network(one: Entry) -> AttentionNetwork:
    """Return the network of a model, in evaluation mode, on the CPU.

    Raises
    ------
    Damaged
        The weights differ from their hash, or are not of this network. They are read only if the hash agrees, and
        as numbers only.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from engine.model.network import AttentionNetwork

    path = one.folder / WEIGHTS
    try:
        if sha256_of(path) != one.manifest.sha256:
            raise ValueError("its weights differ from their hash")
        network, state = AttentionNetwork(), load_file(path)
        kinds = {name: value.dtype for name, value in network.state_dict().items()}
        if {name: value.dtype for name, value in state.items()} != kinds:
            raise ValueError("its weights are not those of this network")
        if not all(bool(value.isfinite().all()) for value in state.values()):
            raise ValueError("its weights are not finite")
        if any(bool((value < 0).any()) for name, value in state.items() if name.endswith("running_var")):
            raise ValueError("a variance among its weights is negative")
        network.load_state_dict(state)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        mend = f"Remove {one.folder} and train it again."
        raise Damaged(f"model {one.id} cannot be used", why, mend) from None
    network.eval()
    return network


class Model:
    """A loaded model: from z-scores to probabilities and expected excess return."""

    def __init__(self, one: Entry, device: str = "cpu") -> None:
        from engine.model.device import device_of

        self.id, self.manifest = one.id, one.manifest
        self._device = device_of(device)
        network = load_network(one)
        self._attention = [values.detach().numpy().astype(np.float64) for values in network.attention.parameters()]
        self._network = network.to(self._device)

    def predict(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return P(down), P(flat), P(up) and the expected excess return, (n, 4), of features (n, 9)."""
        import torch

        from engine.model.network import probabilities

        x = torch.from_numpy(np.ascontiguousarray(features)).to(self._device)
        chances, excess = (part.cpu().numpy().astype(np.float64) for part in probabilities(self._network, x))
        moments = self.manifest.excess
        return np.concatenate([chances, (excess * moments.sd + moments.mean)[:, None]], axis=1)

    def attention(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the mean weight the network gives each feature, (9,), of features (n, 9).

        By numpy: for so little torch spends more on its threads, and the result does not depend on the device.
        """
        first, bias, second, last = self._attention
        told = np.maximum(features @ first.T + bias, 0.0) @ second.T + last
        weights = np.exp(told - told.max(axis=1, keepdims=True))
        mean: npt.NDArray[np.float64] = (weights / weights.sum(axis=1, keepdims=True)).mean(axis=0)
        return mean


Scored = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]


class Shelf:
    """The models a run may consult: those trained on its data, or on an earlier state of the same lake.

    Attributes
    ----------
    retrained : list of date
        Sessions of events models were trained for.
    used : list of str
        Ids of the models consulted so far, in the order they were loaded.
    scored : dict of date to (array of int64, array of float32)
        What they said of a session: sids, and (n, 4) down, flat, up, expected excess.
    seen : dict of date to array of float32, (some, 9)
        The features of a sample of the stocks of a session they were asked about.
    """

    def __init__(self, settings: Settings, panels: Panels) -> None:
        self._settings, self._data_ids = settings, set(panels.manifest["lineage"])
        self._loaded: dict[str, list[Model]] = {}
        self.retrained: list[dt.date] = []
        self.used: list[str] = []
        self.scored: dict[dt.date, Scored] = {}
        self.seen: dict[dt.date, npt.NDArray[np.float32]] = {}

    def retrain(self, day: dt.date) -> None:
        """Let the model trained for an event of a session serve from the next one on, up to the next month.

        What was said of later sessions is dropped: another model speaks of them now.
        """
        self.retrained.append(day)
        self.scored = {session: said for session, said in self.scored.items() if session <= day}
        self.seen = {session: features for session, features in self.seen.items() if session <= day}

    def name_for(self, day: dt.date) -> str:
        """Return the name of the model that knows most of what was known before a day: its month's or an event's."""
        month = f"{day:%Y-%m}"
        return max((f"{event}" for event in self.retrained if event < day and f"{event:%Y-%m}" == month), default=month)

    @property
    def known_until(self) -> dt.date | None:
        """The last day the oldest model consulted so far knows anything of, None where none was."""
        return min((model.manifest.known_until for held in self._loaded.values() for model in held), default=None)

    def predict(self, day: dt.date, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return what the models of a day say, averaged over their seeds: (n, 4) of features (n, 9).

        Raises
        ------
        NoModel
            There is none for these data and settings.
        """
        said = [model.predict(features) for model in self.models_for(day)]
        return said[0] if len(said) == 1 else np.mean(said, axis=0)

    def attention(self) -> dict[dt.date, npt.NDArray[np.float32]]:
        """Return the mean weight each session's models gave each feature, (9,), over its sample and the seeds.

        Reckoned once, in the end: in a run with many retrain events most sessions are scored several times.
        """
        return {
            day: np.mean([one.attention(features) for one in self.models_for(day)], axis=0).astype(np.float32)
            for day, features in self.seen.items()
        }

    def models_for(self, day: dt.date) -> list[Model]:
        """Return the models that serve a day, one a seed.

        Raises
        ------
        NoModel
            One is missing for these data and settings.
        LookAhead
            One knows what was not known before the day.
        """
        name = self.name_for(day)
        if name not in self._loaded:
            first, count = self._settings.model.seed, self._settings.prediction.seeds
            found = [self._found(day, name, seed) for seed in range(first, first + count)]
            for one in found:
                if one.manifest.known_until >= day:
                    until = f"it knows what was known on {one.manifest.known_until}"
                    raise LookAhead(f"model {one.id} cannot serve {day}", until, "Remove it and train it again.")
            self._loaded[name] = [Model(one, self._settings.prediction.device) for one in found]
            self.used += [one.id for one in found]
        return self._loaded[name]

    def _found(self, day: dt.date, name: str, seed: int) -> Entry:
        settings = self._settings
        found = find(settings.models, name, self._data_ids, settings, seed)
        if found is None:
            several = f" --seeds {settings.prediction.seeds}" if settings.prediction.seeds > 1 else ""
            missing = NoModel(
                f"no model for {day}",
                f"the registry {settings.models} has none of {name}"
                f"{f' and seed {seed}' if several else ''} for this data and these settings",
                f"Run `ashare train --start {name} --end {name}{several}`."
                if len(name) == len("2018-03")
                else f"Run `ashare train --as-of {name}{several}`, or train for all events a run without watch.retrain"
                f" noted: `ashare train --events RUN{several}`.",
            )
            missing.model = name
            raise missing
        return found
