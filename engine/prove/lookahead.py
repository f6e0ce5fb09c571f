"""``ashare prove lookahead``: whatever comes after a day changes nothing that was known or decided up to it (R5).

The lake is copied with another future: what was known after a session T is dropped, scaled, nulled, swapped between
stocks or restated. A bundle is made of the copy by the ordinary build, models are trained and strategies run on it, and
all of it up to T is compared with the same from the lake as it is, bit for bit.

Nothing is known here of lakes: who changes one, and who runs a strategy, is handed in.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine import calendar
from engine import settings as settings_module
from engine.errors import NotEnoughHistory, OutsideData
from engine.host.registration import install
from engine.model.labels import lag
from engine.model.samples import Samples, build_samples
from engine.model.windows import first_trainable
from engine.panels.bundle import DEFAULT, Bundle, open_bundle
from engine.panels.reader import Panels
from engine.prove.exhibits import RUN, Difference, Exhibit, Look, RunScript, differences, exhibits
from engine.prove.kinds import Evidence, Kind
from engine.settings import Settings

Perturb = Callable[[Path, Kind | None, dt.date | None], Mapping[str, int]]
"""Copies the lake in force into a folder, its future after a day changed or not; returns the rows changed by table."""


@dataclass(frozen=True)
class Cell:
    """One day and one kind of change.

    Attributes
    ----------
    day : date
        T.
    kind : Kind
        What was done to the rows known later.
    changed : int
        How many rows were.
    compared : dict of Evidence to int
        Values compared.
    differences : tuple of Difference
        The first of each exhibit that differs.
    """

    day: dt.date
    kind: Kind
    changed: int
    compared: Mapping[Evidence, int]
    differences: tuple[Difference, ...]

    @property
    def first(self) -> Difference | None:
        """The difference nearest to its cause: in what the others are made of."""
        order = list(Evidence)
        return min(self.differences, key=lambda found: order.index(found.evidence), default=None)


class Lookahead:
    """The proof at work, in a temporary folder; a context manager that removes the folder whatever happens.

    Parameters
    ----------
    perturb : callable
        Copies the lake.
    run : callable
        Runs a strategy.
    epochs : int
        Of every model, on both sides: a proof needs no good ones.
    """

    def __init__(self, perturb: Perturb, run: RunScript, epochs: int = 2) -> None:
        self._perturb, self._run = perturb, run
        self._overrides = {
            "ASHARE_DATA__COVERAGE": "0",  # a future that was dropped or nulled is thin
            "ASHARE_REPORT__TEARSHEET": "false",
            "ASHARE_MODEL__EPOCHS": str(epochs),
            "ASHARE_WATCH__RETRAIN": "false",  # the model as of T is compared by itself
        }

    def __enter__(self) -> Lookahead:
        install()
        calendar.sessions()  # as this home knows them, which may be more than the library does
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ashare-prove-"))
            self._folder = Path(folder)
            self._truth = self._made("truth", None, None)[0]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def days(self, count: int, seed: int) -> tuple[dt.date, ...]:
        """Choose sessions T spread over what the data can carry (``chosen_days``)."""
        with self._in_force(self._truth):
            return chosen_days(open_bundle(), settings_module.load(), count, seed)

    def cells(
        self, days: Sequence[dt.date], kinds: Sequence[Kind], look: Look, advance: Callable[[], None] = lambda: None
    ) -> Iterator[Cell]:
        """Yield each day and kind as it is compared.

        Parameters
        ----------
        days : sequence of date
            Sessions T.
        kinds : sequence of Kind
            What is done to the future of each.
        look : Look
            What is compared.
        advance : callable
            Called when the truth of a day is known, and after each kind.

        Raises
        ------
        OutsideData
            A day is no session of the bundle, or the last one.
        """
        with self._in_force(self._truth):
            require_days(days, open_bundle().panels)
        for day in days:
            with self._in_force(self._truth):
                truth = list(exhibits(day, look, self._run))
            advance()
            for kind in kinds:
                yield self._cell(day, kind, look, truth)
                advance()

    def _cell(self, day: dt.date, kind: Kind, look: Look, truth: Sequence[Exhibit]) -> Cell:
        home, changed = self._made("changed", kind, day)
        with self._in_force(home):
            found = list(exhibits(day, look, self._run))
        shutil.rmtree(home)
        compared: Counter[Evidence] = Counter()
        for exhibit in truth:
            compared[exhibit.evidence] += exhibit.values
        return Cell(day, kind, sum(changed.values()), compared, tuple(differences(truth, found)))

    def _made(self, name: str, kind: Kind | None, day: dt.date | None) -> tuple[Path, Mapping[str, int]]:
        """Make a home with a copy of the lake, and let zipline's own command build the bundle from it."""
        from zipline.data import bundles

        home, written = self._folder / name, settings_module.settings_file()
        home.mkdir()
        if written is not None:
            shutil.copyfile(written, home / "ashare.toml")
        changed = self._perturb(home / "lake", kind, day)
        with self._in_force(home):
            bundles.ingest(DEFAULT, os.environ, show_progress=False)
        return home, changed

    def _in_force(self, home: Path) -> contextlib.AbstractContextManager[None]:
        """Put a home in the place of the user's."""
        places = {"ASHARE_HOME": str(home), "ZIPLINE_ROOT": str(home / "zipline")}
        return settings_module.environment({**self._overrides, **places})


def chosen_days(bundle: Bundle, settings: Settings, count: int, seed: int) -> tuple[dt.date, ...]:
    """Choose sessions spread over a bundle, one in each of equal stretches, every second one the last of its month.

    On the last session of a month the next model is due, and knows everything up to that day. The days begin where
    a model can be trained for all sessions that are run, or where there is none, where there are samples.

    Raises
    ------
    NotEnoughHistory
        There are fewer sessions to choose from.
    """
    days, step = bundle.panels.days, lag(settings.labels)
    sample = int(Samples.open(build_samples(bundle, settings)).rows[0])
    month = first_trainable(str(days[sample])[:7], days, sample, step, settings.model)
    first = (sample if month is None else bundle.panels.first_row_from(f"{month}-01")) + RUN - 1
    last = len(days) - 2  # something must come after
    if last + 1 - first < count:
        raise NotEnoughHistory(
            f"{count} days cannot be chosen",
            f"there are {max(last + 1 - first, 0)} sessions between enough history and the end of the data",
            "Choose a smaller --count, name --dates, or import more data.",
        )
    ends = np.flatnonzero(np.diff(days.astype("datetime64[M]")) != np.timedelta64(0, "M"))
    rng, chosen = np.random.default_rng(seed), []
    edges = np.linspace(first, last + 1, count + 1).astype(int)
    for number, (start, end) in enumerate(itertools.pairwise(edges.tolist())):
        among = ends[(ends >= start) & (ends < end)] if number % 2 else np.arange(start, end)
        chosen.append(int(rng.choice(among if len(among) else np.arange(start, end))))
    return tuple(days[row].item() for row in chosen)


def require_days(days: Sequence[dt.date], panels: Panels) -> None:
    """Refuse days that are no sessions of a bundle, or its last, after which nothing comes.

    Raises
    ------
    OutsideData
        There is such a day.
    """
    for day in days:
        at = panels.last_row_to(day)
        if at < 0 or panels.days[at] != np.datetime64(day) or at == len(panels.days) - 1:
            raise OutsideData(
                f"nothing can be proved of {day}",
                f"it is no session from {panels.days[0]} to {panels.days[-2]}, after which others come",
                "Choose sessions inside the bundle.",
            )
