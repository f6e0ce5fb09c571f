"""How models did on the sessions they served: out of sample, beside plain baselines, session by session.

Everything is measured over the labelled members of a session. Labels of neighbouring sessions overlap, so the errors
of means are Newey-West's with a lag of at least the overlap (SPEC 13.14).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.errors import OutsideData
from engine.model.baselines import BASELINES, answers
from engine.model.ic import Mean, mean_with_interval, rank_ic
from engine.model.labels import classes
from engine.model.months import windows_of
from engine.model.processes import in_processes
from engine.model.samples import Samples
from engine.model.shelf import Shelf
from engine.model.windows import Window
from engine.panels.bundle import Bundle
from engine.panels.reader import Panels
from engine.settings import Settings

Floats = npt.NDArray[np.float64]

NETWORK = "network"
RANKINGS = ("p_up", "p_up_minus_p_down", "expected_excess")
"""What the members of a session can be ranked by; plain baselines have no expected excess."""


@dataclass(frozen=True)
class Served:
    """The samples of the sessions a month's model served.

    Attributes
    ----------
    window : Window
        Of the month.
    first, last : int
        Rows of its sessions.
    part : slice
        Where their samples stand.
    """

    window: Window
    first: int
    last: int
    part: slice


def served_months(months: Sequence[str], bundle: Bundle, samples: Samples, settings: Settings) -> list[Served]:
    """Return the months whose sessions have labels, with where those stand.

    Raises
    ------
    NotEnoughHistory, OutsideData
        A month cannot be trained on this bundle, or none of them has a label yet.
    """
    in_months, found = bundle.panels.days.astype("datetime64[M]"), []
    for made in windows_of(months, bundle, samples, settings):
        begin = made.known_until + 1
        end = int(np.searchsorted(in_months, np.datetime64(made.month), side="right")) - 1
        part = samples.between(begin, end)
        if part.stop > part.start:
            found.append(Served(made, begin, end, part))
    if not found:
        raise OutsideData(
            f"nothing can be evaluated from {months[0]} to {months[-1]}",
            "no session of these months has a label that is known",
            "Choose earlier months.",
        )
    return found


def network_answers(served: Sequence[Served], panels: Panels, samples: Samples, settings: Settings) -> Floats:
    """Return what the models say of the served samples, (n, 4): down, flat, up, expected excess.

    Raises
    ------
    NoModel
        A month has no model for these data and settings.
    """
    shelf = Shelf(settings, panels)
    said = [
        shelf.predict(panels.days[one.first].item(), np.array(samples.features[one.part], dtype=np.float32))
        for one in served
    ]
    return np.concatenate(said)


def baseline_answers(
    served: Sequence[Served], folder: Path, settings: Settings, jobs: int, progress: Callable[[], None] = lambda: None
) -> dict[str, Floats]:
    """Return what the baselines say of the served samples, (n, 3) each: down, flat, up.

    Parameters
    ----------
    served : sequence of Served
        The months.
    folder : Path
        Of the samples.
    settings : Settings
        Labels and model.
    jobs : int
        Processes at once; the result is the same for any number.
    progress : callable
        Called once a month and baseline.
    """
    pieces = {
        (name, one.window.month): (folder, one.window, (one.first, one.last), name, settings)
        for name in BASELINES
        for one in served
    }
    files: dict[tuple[str, str], Path] = {}
    for key, file in in_processes(answers, pieces, jobs):
        files[key] = file
        progress()
    return {
        name: np.concatenate([np.load(files[name, one.window.month]) for one in served]).astype(np.float64)
        for name in BASELINES
    }


def rankings(said: Floats) -> dict[str, Floats]:
    """Return the scores of each ranking of answers (n, 3) or (n, 4)."""
    scores = {"p_up": said[:, 2], "p_up_minus_p_down": said[:, 2] - said[:, 0]}
    return scores | ({"expected_excess": said[:, 3]} if said.shape[1] > 3 else {})


@dataclass(frozen=True)
class Series:
    """One measure of one model, a value a session.

    Attributes
    ----------
    model, measure : str
        ``measure`` is ``accuracy`` or the name of a ranking, whose rank IC it then is.
    rows : array of int
        Sessions, as rows of the panels.
    values : array of float64
        One a session; NaN where it is not defined.
    """

    model: str
    measure: str
    rows: npt.NDArray[np.int64]
    values: Floats

    def mean(self, overlap: int, rows: npt.NDArray[np.bool_] | None = None) -> Mean:
        """Return the mean over all sessions or some, with its 95 % interval."""
        return mean_with_interval(self.values if rows is None else self.values[rows], overlap)


def judged(samples: Samples, served: Sequence[Served], said: Mapping[str, Floats], settings: Settings) -> list[Series]:
    """Return rank IC of every ranking, and accuracy, of every model.

    Parameters
    ----------
    samples : Samples
        With the labels.
    served : sequence of Served
        The months.
    said : mapping of str to array, (n, 3) or (n, 4)
        By model, what it said of the served samples.
    settings : Settings
        The classes.
    """
    at = np.concatenate([np.arange(one.part.start, one.part.stop) for one in served])
    rows, sids, excess = (np.asarray(column[at]) for column in (samples.rows, samples.sids, samples.excess))
    sessions, place = np.unique(rows, return_inverse=True)
    shape = len(sessions), int(sids.max()) + 1

    def panel(values: npt.NDArray[np.floating]) -> Floats:
        whole = np.full(shape, np.nan)
        whole[place, sids] = values
        return whole

    returns, truth = panel(excess), classes(excess, settings.labels)
    members = np.bincount(place, minlength=len(sessions))
    found = []
    for model, answer in said.items():
        for name, scores in rankings(answer).items():
            found.append(Series(model, name, sessions, rank_ic(panel(scores), returns)[0]))
        right = np.bincount(place, answer[:, :3].argmax(axis=1) == truth, minlength=len(sessions))
        found.append(Series(model, "accuracy", sessions, right / members))
    return found


def difference(one: Series, other: Series) -> Series:
    """Return by how much one model's measure exceeds another's, session by session."""
    return Series(f"{one.model} - {other.model}", one.measure, one.rows, one.values - other.values)
