"""The axes of the panels, and the lake's tables laid along them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from bundles.assets import Directory, Tables, as_known, directory
from bundles.earlier import DAILY, Codes, Earlier
from bundles.lake import Lake, Version
from engine import calendar
from engine.errors import DataNotFit
from engine.panels.store import FIELDS, Asset, TakenOver

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Market:
    """The axes of the panels and the tables behind them.

    Attributes
    ----------
    lake : Lake
        Where the tables are.
    source : Version
        What is read of them.
    days : array of datetime64[D]
        The sessions.
    who : Directory
        Who is who.
    assets : tuple of Asset
        In sid order.
    before : TakenOver or None
        The first sessions, if an earlier ingestion holds them.
    first_bars : dict of str to date
        The first bar of each code that has one.
    strangers : set of str
        Codes of no asset; ``cells`` adds them as it meets them.
    """

    lake: Lake
    source: Version
    days: npt.NDArray[np.datetime64]
    who: Directory
    assets: tuple[Asset, ...]
    before: TakenOver | None
    first_bars: dict[str, dt.date] = field(repr=False)
    strangers: set[str] = field(repr=False)
    row_of_day: npt.NDArray[np.int32] = field(repr=False)
    sid_frame: pl.DataFrame = field(repr=False)

    @property
    def whole(self) -> tuple[int, int]:
        """Sessions, assets."""
        return len(self.days), len(self.assets)

    @property
    def since(self) -> int:
        """The first session that is not taken over."""
        return 0 if self.before is None else self.before.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Sessions that are not taken over, assets."""
        return len(self.days) - self.since, len(self.assets)

    @classmethod
    def read(cls, lake: Lake, view: Version, earlier: Earlier | None) -> Market:
        """Find the sessions and the assets.

        Raises
        ------
        Changed
            The sessions an earlier ingestion holds would not be the same.
        DataNotFit
            There is no bar.
        """
        source = view if earlier is None else earlier.fresh
        spans = _spans(lake, source)
        first_bars = dict(spans.select("ts_code", "first").iter_rows()) | (earlier.codes.first_bars if earlier else {})
        assert view.as_known_at is not None
        who = directory(
            as_known(lake.frame(source, "stock_basic"), view.as_known_at),
            Tables(*(lake.frame(source, name) for name in ("code_changes", "new_share", "delistings"))),
            first_bars,
        )
        if not who.assets:
            raise DataNotFit(
                f"the lake has no bar of an A share known by {view.as_known_at}",
                "stock_basic and daily do not meet",
                "Import both again, or choose a later day.",
            )
        days = _sessions(spans.filter(pl.col("ts_code").is_in(list(who.sid_of))), earlier)
        row_of_day = np.full(int((days[-1] - days[0]).astype(int)) + 1, -1, dtype=np.int32)
        row_of_day[(days - days[0]).astype(int)] = np.arange(len(days), dtype=np.int32)
        sids = pl.DataFrame(
            {"ts_code": list(who.sid_of), "sid": list(who.sid_of.values())},
            schema={"ts_code": pl.String, "sid": pl.Int32},
        )
        before = None if earlier is None else earlier.taken_over(days, who.assets)
        assets = who.assets if earlier is None else _with_held_bars(who.assets, earlier)
        strangers = set() if earlier is None else set(earlier.codes.strangers)
        return cls(lake, source, days, who, assets, before, first_bars, strangers, row_of_day, sids)

    def with_first_bars(self, last_bar: npt.NDArray[np.int32]) -> Market:
        """Fill in where each asset's bars begin, from the last bars of the sessions that are not taken over."""
        first = np.where((last_bar >= 0).any(axis=0), self.since + (last_bar < 0).sum(axis=0), -1)
        assets = tuple(
            asset if asset.first_bar >= 0 else replace(asset, first_bar=int(first[asset.sid])) for asset in self.assets
        )
        return replace(self, assets=assets)

    @property
    def codes(self) -> Codes:
        """What the next build must know of codes."""
        return Codes(dict(sorted(self.first_bars.items())), frozenset(self.strangers))

    def last_row(self, name: str) -> Array:
        """Return a panel in the last session taken over, what the format has for none where there is none."""
        if self.before is None:
            return np.full(len(self.assets), FIELDS[name].none, dtype=FIELDS[name].dtype)
        return self.before.placed(name, slice(self.since - 1, self.since), len(self.assets))[0]

    def rows_of(self, days: pl.Series) -> Array:
        """Return the rows of session days; -1 outside the panels."""
        offset = days.cast(pl.Int32).to_numpy() - int(self.days[0].astype(int))
        inside = (offset >= 0) & (offset < len(self.row_of_day))
        return np.where(inside, self.row_of_day[np.where(inside, offset, 0)], -1)

    def first_rows_from(self, days: Array) -> Array:
        """Return the row of the first session on or after each day; days before the first give 0."""
        return np.searchsorted(self.days, days.astype("datetime64[D]"))

    def frame(self, endpoint: str) -> pl.DataFrame:
        """Return a table with a column ``sid``, without the rows of no asset."""
        frame = self.lake.frame(self.source, endpoint)
        return frame.join(self.sid_frame, on="ts_code", how="inner", maintain_order="left")

    def cells(self, endpoint: str, columns: Sequence[str]) -> Iterator[tuple[Array, Array, pl.DataFrame]]:
        """Yield (rows, sids, frame) of a table by session, part by part, without what no panel can hold."""
        for frame in self.lake.frames(self.source, endpoint, ["ts_code", "trade_date", *columns]):
            joined = frame.join(self.sid_frame, on="ts_code", how="left", maintain_order="left")
            rows, ours = self.rows_of(joined["trade_date"]), joined["sid"].is_not_null()
            if endpoint in DAILY and not ours.all():
                self.strangers.update(joined.filter(~ours)["ts_code"].unique())
            inside = (rows >= 0) & ours.to_numpy()
            within = joined.filter(pl.Series(inside))
            yield rows[inside], within["sid"].to_numpy(), within

    def new_cells(self, endpoint: str, columns: Sequence[str]) -> Iterator[tuple[tuple[Array, Array], pl.DataFrame]]:
        """Yield where in arrays of ``shape`` the rows of a daily table stand, and the rows, part by part."""
        for rows, sids, frame in self.cells(endpoint, columns):
            yield (rows - self.since, sids), frame


def _spans(lake: Lake, source: Version) -> pl.DataFrame:
    """Return the first and last bar of each code."""
    spans = [
        frame.lazy()
        .filter(pl.col("vol") > 0)
        .group_by("ts_code")
        .agg(first=pl.col("trade_date").min(), last=pl.col("trade_date").max())
        .collect()
        for frame in lake.frames(source, "daily", ["ts_code", "trade_date", "vol"])
    ]
    empty = pl.DataFrame(schema={"ts_code": pl.String, "first": pl.Date, "last": pl.Date})
    return pl.concat([empty, *spans]).group_by("ts_code").agg(pl.col("first").min(), pl.col("last").max())


def _sessions(spans: pl.DataFrame, earlier: Earlier | None) -> npt.NDArray[np.datetime64]:
    """Return the sessions of the exchange from the first bar of an asset to the last."""
    ends = [*spans["first"], *spans["last"]]
    ends += [earlier.panels.days[0].item(), earlier.panels.days[-1].item()] if earlier else []
    known = calendar.sessions()
    return known[(known >= np.datetime64(min(ends))) & (known <= np.datetime64(max(ends)))]


def _with_held_bars(assets: tuple[Asset, ...], earlier: Earlier) -> tuple[Asset, ...]:
    """Fill in where bars begin of the assets an earlier ingestion holds."""
    held = {asset.ts_code: asset.first_bar for asset in earlier.panels.assets}
    return tuple(replace(asset, first_bar=held.get(asset.ts_code, -1)) for asset in assets)
