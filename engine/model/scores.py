"""The model inside the pipeline: nine z-scores in, probabilities and expected excess out, row T from T's close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from zipline.pipeline import CustomFactor
from zipline.pipeline.filters import Filter

from engine.model.shelf import OUTPUTS, SAMPLED, Shelf
from engine.pipeline.factors import NAMES, standardised_factors
from engine.settings import SelectionSettings, Settings


class Scores(CustomFactor):
    """What the model of each session says of the members; NaN for everybody else. It is kept for the run.

    Each session is scored as one batch, so a score depends on nothing but its session's members.
    """

    window_length = 1
    outputs = OUTPUTS
    params = ("shelf",)

    def _compute(self, windows: Any, dates: Any, assets: Any, mask: npt.NDArray[np.bool_]) -> Any:
        out, shelf = self._allocate_output(windows, mask.shape), cast(Mapping[str, Shelf], self.params)["shelf"]
        features = np.stack([np.asarray(window.data)[-len(dates) :] for window in windows], axis=-1)
        for row, date in enumerate(dates):
            if mask[row].any():
                day, own = date.date(), features[row, mask[row]].astype(np.float32)
                predicted = shelf.predict(day, own)
                shelf.scored[day] = np.asarray(assets)[mask[row]], predicted.astype(np.float32)
                shelf.seen[day] = own[:: max(len(own) // SAMPLED, 1)].copy()
                for column, name in enumerate(self.outputs):
                    out[name][row, mask[row]] = predicted[:, column]
        return out


def scores(settings: Settings, members: Filter, shelf: Shelf) -> Scores:
    """Return the scores of the members, with one attribute an output (``p_up`` and so on)."""
    factors = standardised_factors(settings.factors, members)
    return Scores(inputs=[factors[name] for name in NAMES], mask=members, shelf=shelf)


def ranking(scored: Scores, settings: SelectionSettings) -> Any:
    """Return the term members are ranked by (setting ``selection.rank_by``)."""
    if settings.rank_by == "p_up_minus_p_down":
        return scored.p_up - scored.p_down
    return getattr(scored, settings.rank_by)
