"""Plain classifiers on the network's own samples and windows: what it has to beat.

They are fitted anew from the samples and leave only their answers behind, so there is no model file to trust.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.files import replaced_file
from engine.model.labels import classes
from engine.model.samples import Samples, Split
from engine.model.windows import Window
from engine.settings import Settings

Floats = npt.NDArray[np.float32]
Fit = Callable[[Split, Settings], Any]


def _learnt(split: Split, settings: Settings) -> tuple[Floats, npt.NDArray[np.int64]]:
    picked = split.picked()
    return split.samples.features[picked], classes(split.samples.excess[picked], settings.labels)


def logistic_regression(split: Split, settings: Settings) -> Any:
    """Fit a multinomial logistic regression; z-scores need no further scaling."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=200).fit(*_learnt(split, settings))


def gradient_boosting(split: Split, settings: Settings) -> Any:
    """Fit boosted trees by histogram, stopped early on the window's own validation sessions, as the network is."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(
        max_iter=100, early_stopping=True, n_iter_no_change=5, random_state=settings.model.seed
    )
    held_out = split.samples.excess[split.validation]
    return trees.fit(
        *_learnt(split, settings),
        X_val=split.samples.features[split.validation],
        y_val=classes(held_out, settings.labels),
    )


BASELINES: dict[str, Fit] = {"logistic regression": logistic_regression, "gradient boosting": gradient_boosting}
"""By name."""


def answers_file(folder: Path, settings: Settings, name: str, window: Window) -> Path:
    """Return where a baseline's answers for a window are kept."""
    from sklearn import __version__

    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    key = hashlib.sha256(f"{settings.fingerprint('model')} {window} {code} {__version__}".encode()).hexdigest()[:16]
    return folder.with_name(f"{folder.name}-baselines") / f"{name.replace(' ', '-')}-{key}.npy"


def answers(folder: Path, window: Window, sessions: tuple[int, int], name: str, settings: Settings) -> Path:
    """Fit a baseline on a window and keep what it says of later samples, unless that is there.

    Parameters
    ----------
    folder : Path
        Of the samples.
    window : Window
        Of the month.
    sessions : (int, int)
        First and last row of the sessions it is asked about, all after the window's ``known_until``.
    name : str
        Key of ``BASELINES``.
    settings : Settings
        Labels and model.

    Returns
    -------
    Path
        A file of float32, (n, 3): the class probabilities of the samples of the sessions, in their order.
    """
    import sklearn.ensemble
    import sklearn.linear_model  # noqa: F401 - before the limit, which reaches only what is loaded
    from threadpoolctl import threadpool_limits

    path = answers_file(folder, settings, name, window)
    if path.exists():
        return path
    assert sessions[0] > window.known_until
    samples = Samples.open(folder)
    with threadpool_limits(1):  # sums in one order, so that the answers do not depend on the processors
        fitted = BASELINES[name](Split(samples, window, settings.model.sample_every), settings)
        said = fitted.predict_proba(samples.features[samples.between(*sessions)])
    whole = np.zeros((len(said), 3), dtype=np.float32)
    whole[:, fitted.classes_] = said  # a class that is never seen has no column of its own
    with replaced_file(path) as beside, beside.open("wb") as file:
        np.save(file, whole)
    return path
