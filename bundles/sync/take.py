"""From the inbox into an append to the lake: typed, checked against each other, the new rows staged."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby

import polars as pl

from bundles.checks import CHECKS, MISSING, Context, Scene, apart, findings, require_coverage, tables_of
from bundles.endpoints import ENDPOINTS, PERIOD, Undated
from bundles.intake import Intake, Source, Taken
from bundles.lake import Append, Version
from bundles.plans import with_plans
from bundles.sync.ask import in_order
from bundles.sync.inbox import Inbox
from bundles.sync.plan import BY_SESSION, INDEXES, STATEMENTS, Question
from engine.errors import DataNotFit

UNDATED: Undated = "statutory"
"""A report without any date counts as known at the statutory deadline when it comes from the vendor (SPEC 13.9)."""


SAME = ["endpoint", "check", "ts_code", "trade_date", "detail"]
"""What makes a finding."""


@dataclass
class Synced(Taken):
    """What a sync did.

    Attributes
    ----------
    version : Version
        The lake afterwards.
    sessions : int
        How many it asked for.
    calls : int
        Calls of the vendor.
    held_back : dict of str to int
        Rows that failed a check, by endpoint.
    found : DataFrame
        What the checks found that they did not find before (``bundles.checks.FINDINGS``).
    """

    version: Version | None = None
    sessions: int = 0
    calls: int = 0
    held_back: dict[str, int] = field(default_factory=dict)
    found: pl.DataFrame = field(default_factory=pl.DataFrame)


@dataclass
class Taking:
    """Takes the answers of one sync in.

    Attributes
    ----------
    append : Append
        Where they go.
    inbox : Inbox
        Where they are.
    questions : sequence of Question
        All that were asked.
    sessions : sequence of date
        The sessions they are about.
    today : date
        When they came.
    coverage : float
        The share of a day's rows that must be there and sound.
    synced : Synced
        Where it is counted.
    """

    append: Append
    inbox: Inbox
    questions: Sequence[Question]
    sessions: Sequence[dt.date]
    today: dt.date
    coverage: float
    synced: Synced
    _aside: dict[str, list[pl.DataFrame]] = field(default_factory=lambda: defaultdict(list))
    _stocks_with_news: pl.Series | None = None
    _days: set[dt.date] = field(default_factory=set)
    _codes: set[str] = field(default_factory=set)

    def take(self) -> None:
        """Stage all that is new.

        Raises
        ------
        DataNotFit
            Too much of a day is missing, held back, or contradicts other tables.
        """
        undated = {name: self._checked(name, asked) for name, asked in self._asked_undated().items()}
        found: list[pl.DataFrame] = []
        before = None
        passes = self._passes()
        for sessions in passes:
            dated = {name: self._checked(name, asked) for name, asked in self._asked_on(sessions).items()}
            fresh = dated | (undated if sessions is passes[-1] else {})
            before = self._take_pass(sessions, fresh, undated, before, found)
        self._hold_back()
        self.synced.found = pl.concat(found) if found else pl.DataFrame()

    def _take_pass(
        self,
        sessions: Sequence[dt.date],
        fresh: dict[str, pl.DataFrame],
        undated: Mapping[str, pl.DataFrame],
        before: pl.DataFrame | None,
        found: list[pl.DataFrame],
    ) -> pl.DataFrame:
        """Check the tables of some sessions and stage them; return the last bars for the sessions after."""
        lake, base = self.append.lake, self.append.base
        context = Context.of(lake, base, sessions, {**undated, **fresh}, self.today, before, INDEXES)
        spoken = {name for name, rows in fresh.items() if rows.height or name in base.parts}
        context = replace(context, asked=frozenset(spoken))
        self._stocks_with_news = self._with_news(fresh)
        tables = tables_of(lake, base, sessions, fresh, self._stocks_with_news)
        all_found = findings(tables, context, [check.name for check in CHECKS if check.name != "missing_report"])
        self._suspect(all_found)
        require_coverage(tables, context, all_found, self.coverage)
        with_undated = set(undated) <= set(fresh)
        known = self._known if with_undated and all_found.height else all_found.select(SAME).clear()
        found.append(all_found.join(known, on=SAME, how="anti", nulls_equal=True))
        sizes = tables["daily"].group_by("trade_date").agg(size=pl.len())
        most = max(rows.height for rows in undated.values()) if not base.parts else undated["stock_basic"].height
        _require_agreement(_doubts(found[-1]), not base.parts, sizes, most, self.coverage)
        for name, rows in fresh.items():
            kept, held = apart(name, rows, all_found)
            if held.height:
                self._aside[name].append(held)
            self._stage(name, str(sessions[-1].year), kept)
        return Scene(tables, context).last_bars()

    def is_suspect(self, question: Question) -> bool:
        """Say whether an answer may be what the checks refused: it is asked again next time, the others are kept."""
        stock = dict(question.params).get("ts_code")
        if question.session is not None:
            return question.session in self._days
        return stock is None or stock in self._codes

    def _suspect(self, found: pl.DataFrame) -> None:
        """Remember which days and stocks something was found of."""
        wrong = found.filter((pl.col("check") == MISSING) | pl.col("holds_back"))
        wrong = pl.concat([wrong, _doubts(found)])
        self._days = set(wrong["trade_date"].drop_nulls())
        self._codes = set(wrong.filter(pl.col("trade_date").is_null())["ts_code"].drop_nulls())

    def _with_news(self, fresh: Mapping[str, pl.DataFrame]) -> pl.Series | None:
        """Return the stocks that have new statements, for those alone can be doubted; None where none are fresh."""
        names = [name for name in STATEMENTS if name in fresh]
        return pl.concat([self._new_rows(name, fresh[name])["ts_code"] for name in names]).unique() if names else None

    def _new_rows(self, name: str, rows: pl.DataFrame) -> pl.DataFrame:
        columns = list(ENDPOINTS[name].types)
        held = self.append.lake.frame(self.append.base, name, columns)
        return rows.join(held, on=columns, how="anti", nulls_equal=True)

    @cached_property
    def _known(self) -> pl.DataFrame:
        """What is found of the lake as it is, in tables without days."""
        lake, base = self.append.lake, self.append.base
        names = [name for name in (*STATEMENTS, "namechange", "stock_basic", "dividend") if name in base.parts]
        tables = {name: lake.frame(base, name, list(ENDPOINTS[name].types)) for name in names}
        for name in set(names) & set(STATEMENTS):
            if self._stocks_with_news is not None:
                tables[name] = tables[name].filter(pl.col("ts_code").is_in(self._stocks_with_news.implode()))
        return findings(tables, Context.of(lake, base, [], {}, self.today)).select(SAME)

    def _passes(self) -> list[Sequence[dt.date]]:
        """Return the sessions taken at a time: those of a year, or all if they are few, on both sides of New Year."""
        if len(self.sessions) <= FEW:
            return [self.sessions]
        return [list(days) for _, days in groupby(self.sessions, key=lambda day: day.year)]

    def _asked_undated(self) -> dict[str, list[Question]]:
        asked: dict[str, list[Question]] = defaultdict(list)
        for question in self.questions:
            if question.session is None and question.table in ENDPOINTS:
                asked[question.table].append(question)
        return asked

    def _asked_on(self, sessions: Sequence[dt.date]) -> dict[str, list[Question]]:
        wanted = set(sessions)
        asked: dict[str, list[Question]] = {}
        for name in BY_SESSION:
            mine = [question for question in self.questions if question.table == name and question.session in wanted]
            if mine:
                asked[name] = mine
        return asked

    def _checked(self, name: str, asked: list[Question]) -> pl.DataFrame:
        """Return the answers of a table in the types of the lake, every check of a single table passed."""
        source = Source(name, f"Tushare's {name}", lambda: self._answers(name, asked))
        rows = self._intake(name, pl.DataFrame()).checked(source).unique(maintain_order=True)
        if ENDPOINTS[name].plans:
            return with_plans(rows, self.append.lake.frame(self.append.base, name))
        return rows

    def _answers(self, name: str, asked: list[Question]) -> pl.DataFrame:
        """Return what came in, each row once.

        A row may come from several questions, and be missing in some: its place must not tell which it came from.
        """
        rows = self.inbox.read(asked).unique(maintain_order=True)
        return rows if name in BY_SESSION else in_order(name, rows)

    def _intake(self, name: str, held: pl.DataFrame) -> Intake:
        def aside(rows: pl.DataFrame, check: str, detail: str) -> None:
            columns = [pl.all().cast(pl.String), pl.lit(check).alias("check"), pl.lit(detail).alias("detail")]
            self._aside[name].append(rows.with_columns(columns))

        covered = self.append.base.covered.get(name)
        return Intake(
            ENDPOINTS[name], held, self.append, self.today, UNDATED, self.synced, covered or NOT_COVERED, aside
        )

    def _stage(self, name: str, stem: str, rows: pl.DataFrame) -> None:
        lake, base = self.append.lake, self.append.base
        between = (rows["trade_date"].min(), rows["trade_date"].max()) if name in BY_SESSION and rows.height else None
        held = lake.frame(base, name, between=between)  # type: ignore[arg-type]
        if ENDPOINTS[name].keeps_versions:  # of the many reports, those of other periods say nothing of these
            held = held.join(rows, on=PERIOD, how="semi", nulls_equal=True)
        self._intake(name, held).stage(stem, rows)

    def _hold_back(self) -> None:
        """Stage the rows set aside that are not held back already."""
        for name, frames in self._aside.items():
            rows = pl.concat(frames, how="diagonal").unique(maintain_order=True)
            held = _read_parts(self.append, name)
            if held is not None:
                rows = rows.join(
                    held, on=[column for column in rows.columns if column != "detail"], how="anti", nulls_equal=True
                )
            if rows.height:
                self.append.hold_back(ENDPOINTS[name], rows, self.today)
                self.synced.held_back[name] = rows.height


PLAUSIBLE = frozenset({"market_cap_jump", "suspected_rights", "no_quarter", "missing_report", "limits_off_centre"})
"""Findings that are news rather than contradictions."""


FEW = 60
"""Sessions that need no more memory than a year's."""


HOLES = 0.05
"""Share of a first download's rows without a day that may contradict other tables."""


def _doubts(found: pl.DataFrame) -> pl.DataFrame:
    """Return the findings that say of a row that it contradicts another; each for itself might be true.

    Statements come of companies that are not listed yet, or no more.
    """
    strangers = (pl.col("check") == "unknown_code") & pl.col("endpoint").is_in(STATEMENTS)
    known = pl.col("check").is_in([MISSING, *PLAUSIBLE]) | pl.col("holds_back") | strangers
    return found.filter(~known)


def _require_agreement(doubts: pl.DataFrame, first: bool, sizes: pl.DataFrame, stocks: int, coverage: float) -> None:
    """Refuse answers of which too much contradicts other tables.

    Parameters
    ----------
    doubts : DataFrame
        Findings.
    first : bool
        Whether the lake held nothing before: old statements have holes, 1.8 % of the real ones of 2010 to 2019.
    sizes : DataFrame
        ``trade_date`` and ``size``: how many stocks traded.
    stocks : int
        How many stocks there are, for what has no day.
    coverage : float
        The share that must be sound; 0 does not look.

    Raises
    ------
    DataNotFit
        A check found more of a day, or of all there is, than may be.
    """
    counted = (
        doubts.group_by("endpoint", "check", "trade_date", maintain_order=True)
        .agg(pl.len().alias("count"), pl.col("ts_code").first(), pl.col("detail").first())
        .join(sizes, on="trade_date", how="left")
        .with_columns(pl.col("size").fill_null(stocks))
    )
    history = pl.col("trade_date").is_null() & first
    share = pl.when(history).then(max(1 - coverage, HOLES)).otherwise(1 - coverage)
    too_many = (pl.col("count") > share * pl.col("size")) & (coverage > 0)
    for row in counted.filter(too_many).iter_rows(named=True):
        about = f" of {row['trade_date']}" if row["trade_date"] else ""
        raise DataNotFit(
            f"{row['endpoint']}{about} contradicts the other tables ({row['check']})",
            f"{row['count']:,} of {row['size']:,}, first {row['ts_code']}: {row['detail']}",
            "Run it again later; if it stays, look at `ashare data verify` and the setting data.coverage.",
        )


NOT_COVERED = (dt.date.max, dt.date.min)
"""A stretch of no days."""


def _read_parts(append: Append, name: str) -> pl.DataFrame | None:
    frames = [append.lake.part(part) for part in append.base.held_back.get(name, ())]
    return pl.concat(frames, how="diagonal") if frames else None
