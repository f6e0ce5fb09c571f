"""What is known and decided up to a day, as tables, and the first value in which two such tables differ."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine import calendar
from engine import settings as settings_module
from engine.errors import NoModel, NotEnoughHistory
from engine.model.labels import labels, lag
from engine.model.registry import Entry
from engine.model.windows import Days, months, name_as_of
from engine.panels.bundle import Bundle, open_bundle
from engine.panels.reader import Panels
from engine.pipeline.export import Coverage, factor_frames
from engine.pipeline.factors import NAMES
from engine.pipeline.research import CHUNK
from engine.prove.kinds import Evidence
from engine.settings import Settings

RUN = 11
"""Sessions a strategy runs up to the day: by default it rebalances in the first, the sixth and the last of them."""
AHEAD = 3
"""Sessions after the day that a strategy runs on, where there are any."""
LEARNT = ("known_until", "train", "validation", "excess", "epochs", "best_epoch", "sha256")
"""What of a model's manifest is compared: windows, moments and scores, and the hash of its weights."""

RunScript = Callable[[Path, str, str], Path]
"""Runs a strategy from one session to another and returns the run folder."""


@dataclass(frozen=True)
class Look:
    """What is looked at.

    Attributes
    ----------
    strategies : tuple of Path
        Scripts that run up to the day.
    models : bool
        Whether models are trained; a strategy that needs them is left out without.
    sessions : int or None
        How many sessions up to the day are compared; None compares all.
    """

    strategies: tuple[Path, ...] = ()
    models: bool = True
    sessions: int | None = None


@dataclass(frozen=True)
class Exhibit:
    """A table that must be the same on both sides, its rows in a fixed order.

    Attributes
    ----------
    evidence : Evidence
        What it shows.
    name : str
        What it is.
    keys : tuple of str
        The columns that say what a row is about.
    rows : DataFrame
        The table.
    """

    evidence: Evidence
    name: str
    keys: tuple[str, ...]
    rows: pl.DataFrame

    @property
    def values(self) -> int:
        """How many values it holds; where a row is no more than its key, how many rows."""
        return self.rows.height * max(self.rows.width - len(self.keys), 1)


@dataclass(frozen=True)
class Difference:
    """The first value of an exhibit that is not the same on both sides."""

    evidence: Evidence
    what: str
    where: str
    truth: str
    changed: str

    def __str__(self) -> str:
        return f"{self.what} of {self.where} is {self.truth}, with another future {self.changed}"


def exhibits(day: dt.date, look: Look, run: RunScript) -> Iterator[Exhibit]:
    """Yield what the bundle in force knows at the close of a day, and what is decided on it up to then.

    Parameters
    ----------
    day : date
        A session.
    look : Look
        What is looked at.
    run : callable
        Runs a strategy.
    """
    bundle, values = open_bundle(), settings_module.load()
    last = bundle.panels.last_row_to(day)
    first = 0 if look.sessions is None else max(last + 1 - look.sessions, 0)
    yield from _factors(bundle, values, first, last, day)
    beyond = min(last + CHUNK // 2, len(bundle.panels.days) - 1)
    yield from _factors(bundle, values, max(last - CHUNK // 2, first), beyond, day, LONGER)
    yield _labels(bundle.panels, values, first, last)
    if not look.models:
        yield from _runs(bundle.panels, last, look.strategies, run, models=False)
        return
    from engine.model.device import one_thread

    trained = [_model(entry) for entry in _trained(bundle, values, last)]
    yield from trained
    with one_thread():
        yield from _runs(bundle.panels, last, look.strategies, run, models=bool(trained))


LONGER = ", sessions after it computed along"
"""Said of what is computed at one go with the sessions after the day, as in a run: none of them may show."""


def _factors(
    bundle: Bundle, settings: Settings, first: int, last: int, day: dt.date, how: str = ""
) -> Iterator[Exhibit]:
    """Yield the members of each session, their raw factors, and the z-scores that are the normaliser's work."""
    keys = ("trade_date", "ts_code")
    frames = factor_frames(bundle, settings, first, last, Coverage())
    rows = pl.concat(frames).filter(pl.col("trade_date") <= f"{day:%Y%m%d}").sort(keys)
    yield Exhibit(Evidence.UNIVERSE, f"membership{how}", keys, rows.select(keys))
    yield Exhibit(Evidence.FACTORS, f"factor{how}", keys, rows.select(*keys, *NAMES))
    yield Exhibit(Evidence.ZSCORES, f"z-score{how}", keys, rows.select(*keys, *(f"z_{name}" for name in NAMES)))


def _labels(panels: Panels, settings: Settings, first: int, last: int) -> Exhibit:
    """Return the labels that are known by the last session."""
    excess = labels(panels, settings.labels).excess[first : max(last + 1 - lag(settings.labels), first)]
    at, sids = np.nonzero(~np.isnan(excess))
    codes = _codes(panels, at + first, sids)
    rows = pl.DataFrame({"session": panels.days[at + first], "ts_code": codes, "excess": excess[at, sids]})
    return Exhibit(Evidence.LABELS, "label", ("session", "ts_code"), rows.sort("session", "ts_code"))


def _codes(panels: Panels, rows: npt.NDArray[np.intp], sids: npt.NDArray[np.intp]) -> pl.Series:
    """Return the codes of the day: a later one would not be known, and assets are numbered by the newest."""
    codes = np.array([asset.ts_code for asset in panels.assets], dtype=object)[sids]
    for asset in (asset for asset in panels.assets if len(asset.codes) > 1):
        for at in np.flatnonzero(sids == asset.sid).tolist():
            codes[at] = asset.code_on(panels.days[rows[at]].item())
    return pl.Series(codes.tolist(), dtype=pl.String)


def _trained(bundle: Bundle, settings: Settings, last: int) -> list[Entry]:
    """Train the models of the sessions that end with the last one, and what a watch would ask for on that one.

    The model as of the last session of a month is the next month's.
    """
    import torch

    from engine.model.months import Wanted, train_models, wanted_models
    from engine.model.samples import Samples, build_samples

    days, folder = bundle.panels.days, build_samples(bundle, settings)
    samples, wanted = Samples.open(folder), list[Wanted]()
    of_months = months(str(days[max(last + 1 - RUN, 0)])[:7], _next_month(days, last))
    for name in dict.fromkeys([*of_months, name_as_of(days[last].item())]):
        with contextlib.suppress(NotEnoughHistory):
            wanted += wanted_models([name], bundle, samples, settings)
    found: dict[Wanted, Entry] = {}
    train_models(
        wanted,
        bundle,
        folder,
        settings,
        jobs=1,
        device=torch.device("cpu"),
        done=lambda one, entry, fresh: found.update({one: entry}),
    )
    return [found[one] for one in wanted]


def _next_month(days: Days, last: int) -> str:
    """Return the month of the session after one, in the bundle or not: its model is the next to be asked."""
    day = days[last].item()
    return str(calendar.next_session(day) or day)[:7]


def _model(entry: Entry) -> Exhibit:
    """Return what a model learnt, a value a row."""
    said = entry.manifest.model_dump(mode="json", include=set(LEARNT))
    flat = [(f"{name}.{key}", value) for name, values in said.items() for key, value in _items(values)]
    rows = pl.DataFrame([(name.rstrip("."), repr(value)) for name, value in flat], ["what", "value"], orient="row")
    return Exhibit(Evidence.MODELS, f"model {entry.name} seed {entry.manifest.seed}", ("what",), rows.sort("what"))


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    yield from value.items() if isinstance(value, dict) else [("", value)]


_TABLES = (
    ("scores", Evidence.SCORES, ("session", "ts_code")),
    ("orders", Evidence.ORDERS, ("decided", "session", "ts_code")),
    ("perf", Evidence.VALUE, ("session",)),
    ("positions", Evidence.VALUE, ("session", "ts_code")),
    ("actions", Evidence.VALUE, ("session", "ts_code")),
)
"""The tables of a run folder: a position is a target that was met, an order what a target lacked."""


def _runs(panels: Panels, last: int, strategies: Sequence[Path], run: RunScript, models: bool) -> Iterator[Exhibit]:
    """Yield what strategies decide, and what becomes of it, in sessions that end with the last one.

    Each runs to that session, and once more beyond it, where the bundle does: the pipeline of a run computes the
    sessions that follow along with those that decide.
    """
    start, end = max(last + 1 - RUN, 0), panels.days[last].item()
    following = range(last + 1, min(last + 1 + AHEAD, len(panels.days)))
    beyond = max(
        (row for row in following if str(panels.days[row])[:7] <= _next_month(panels.days, last)), default=last
    )
    for strategy in strategies:
        for until, how in ((last, ""), (beyond, LONGER)):
            try:
                with contextlib.redirect_stderr(io.StringIO()):  # it names a folder that is about to go
                    folder = run(strategy, str(panels.days[start]), str(panels.days[until]))
            except NoModel:
                if models:
                    raise
                break
            yield from _of_run(folder, f"{strategy.stem}{{}}{how}", end, longer=bool(how))


def _of_run(folder: Path, name: str, end: dt.date, longer: bool) -> Iterator[Exhibit]:
    """Yield the tables of a run folder; of a run that goes on after the day, what it did until then.

    What such a run decided on the day itself is compared without the amount, which a bonus of the next session moves.
    """
    for table, evidence, keys in _TABLES:
        if not (folder / f"{table}.parquet").exists():
            continue
        rows = pl.read_parquet(folder / f"{table}.parquet")
        if longer and table == "orders":
            decided = rows.filter(pl.col("decided") <= end).select("order_id", "decided", "ts_code", "side")
            yield Exhibit(evidence, name.format(" decisions"), ("decided", "ts_code"), decided.sort("order_id"))
        known = rows.filter(pl.col("session") <= end) if longer else rows
        yield Exhibit(evidence, name.format(f" {table}"), keys, known)


def differences(truth: Sequence[Exhibit], changed: Sequence[Exhibit]) -> Iterator[Difference]:
    """Yield the first difference of each exhibit."""
    there, others = ({(one.evidence, one.name): one for one in side} for side in (truth, changed))
    for key, one in there.items():
        if key not in others:
            yield Difference(one.evidence, "all", one.name, "there", "not there")
        elif (found := first_difference(one, others[key])) is not None:
            yield found
    for key in others.keys() - there.keys():
        yield Difference(key[0], "all", key[1], "not there", "there")


def first_difference(truth: Exhibit, changed: Exhibit) -> Difference | None:
    """Return the first value that differs, in order of rows and then of columns; NaN is equal to NaN."""
    one, other = truth.rows, changed.rows
    both = min(one.height, other.height)
    unequal = [(at, name) for name in one.columns if (at := first_unequal(one[name][:both], other[name][:both])) >= 0]
    if unequal:
        at, name = min(unequal, key=lambda found: found[0])
    elif one.height != other.height:
        at, name = both, truth.keys[0]
    else:
        return None
    if name in truth.keys:  # one side has a row that the other lacks
        shown = [_row(side, truth.keys, at) for side in (one, other)]
        return Difference(truth.evidence, truth.name, f"row {at + 1}", *shown)
    said = [str(side[name][at]) for side in (one, other)]
    return Difference(truth.evidence, f"{truth.name} {name}", _row(one, truth.keys, at), *said)


def _row(rows: pl.DataFrame, keys: Sequence[str], at: int) -> str:
    return " ".join(map(str, rows.select(keys).row(at))) if at < rows.height else "not there"


def first_unequal(one: pl.Series, other: pl.Series) -> int:
    """Return where two columns first differ in a bit, -1 if they do not."""
    if one.dtype.is_float() and one.dtype == other.dtype:
        x, y = one.to_numpy(), other.to_numpy()
        whole = np.dtype(f"i{x.itemsize}")
        unequal = (x.view(whole) != y.view(whole)) & ~(np.isnan(x) & np.isnan(y))
    else:
        unequal = one.ne_missing(other).to_numpy()
    return int(unequal.argmax()) if unequal.any() else -1
