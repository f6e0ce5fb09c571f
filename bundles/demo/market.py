"""The demo market as a Tushare-shaped folder, with what was planted stated beside it in ``truth.json``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.stats import rankdata

from bundles.demo.companies import Company, companies
from bundles.demo.earnings import Statement, known_roe, restatements, statements
from bundles.demo.prices import QUALITY_WEIGHT, REVERSAL_SESSIONS, REVERSAL_WEIGHT, Tape, tape
from engine.calendar import library_end, sessions
from engine.files import write_json
from engine.model.ic import Mean, mean_with_interval

LABEL = "Synthetic demo market: no real company, no real price."
INDEX = ("000905.SH", "000300.SH")
HORIZON = 20


@dataclass(frozen=True)
class Spec:
    """What the market is.

    Attributes
    ----------
    stocks : int
        At most 300.
    first, last : str
        First and last day.
    alpha : float
        Expected return of a session for one standard deviation of the planted signal; 0 for the noise-only twin.
    seed : int
        Of all chance.
    calendar_until : str
        Last day of the calendar, if that is later than the market's: a sync asks for that of its own year too.
    """

    stocks: int = 240
    first: str = "2017-01-03"
    last: str = "2023-12-29"
    alpha: float = 0.0004
    seed: int = 20170103
    calendar_until: str = ""


def write_market(spec: Spec, folder: Path) -> dict[str, Any]:
    """Draw the market, write its folder, and return what was planted."""
    days = sessions()
    days = days[(days >= np.datetime64(spec.first)) & (days <= np.datetime64(spec.last))]
    rng = np.random.default_rng(spec.seed)
    who = companies(spec.stocks, days, rng)
    last = days[-1].astype(dt.date)
    reports = statements(who, days[0].astype(dt.date).year - 2, last, rng)
    drawn = tape(who, days, known_roe(reports, len(who), days), spec.alpha, rng)
    versions = [*reports, *restatements(reports, last)]
    until = max(spec.last, spec.calendar_until)
    tables = _tables(who, days, drawn, versions) | {"trade_cal": _calendar(days[0], until)}
    for name, table in tables.items():
        path = folder / name / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.write_parquet(path, compression_level=1)
    planted = _planted(drawn, days)
    planted.write_parquet(folder / PLANTED)
    truth = asdict(spec) | _truth(planted)
    write_json(folder / "truth.json", truth)
    return truth


PLANTED = "planted.parquet"
"""What was planted, session by session: ``session``, ``rank_ic`` of the signal against the returns that followed."""


def _planted(drawn: Tape, days: npt.NDArray[np.datetime64]) -> pl.DataFrame:
    """Return the rank IC of the planted signal of every session that has one."""
    rows = range(HORIZON, len(drawn.close) - HORIZON - 1)
    ics = {row: ic for row in rows if (ic := _ic(drawn, row)) is not None}
    return pl.DataFrame(
        {"session": days[list(ics)], "rank_ic": list(ics.values())}, schema_overrides={"rank_ic": pl.Float64}
    )


def planted_ic(folder: Path, first: str, last: str) -> Mean:
    """Return the planted signal's mean rank IC over some days, with its 95 % interval.

    A model that has found the signal, and nothing else, has its own mean in that interval.
    """
    between = pl.col("session").is_between(pl.lit(first).str.to_date(), pl.lit(last).str.to_date())
    found = pl.read_parquet(folder / PLANTED).filter(between)
    return mean_with_interval(found["rank_ic"].to_numpy(), HORIZON)


def _truth(planted: pl.DataFrame) -> dict[str, Any]:
    """State what was planted: the signal's weights, and its rank IC against the labels it was to predict."""
    mean = mean_with_interval(planted["rank_ic"].to_numpy(), HORIZON)
    return {
        "signal": f"z({QUALITY_WEIGHT} z(roe) + {REVERSAL_WEIGHT} z({REVERSAL_SESSIONS}-session return))",
        "rank_ic_of_the_signal": round(mean.mean, 4),
        "rank_ic_interval": [round(mean.low, 4), round(mean.high, 4)],
        "sessions_of_the_ic": planted.height,
    }


def _ic(drawn: Tape, row: int) -> float | None:
    """Return the rank IC of the signal of a session against the return from the next open over the horizon."""
    enter, leave = row + 1, row + 1 + HORIZON
    sold = np.where(drawn.open[leave] > 0, drawn.open[leave] / 100 * drawn.adj_factor[leave], drawn.carried[leave])
    known = (drawn.open[enter] > 0) & ~np.isnan(drawn.signal[row])
    if known.sum() < 30:
        return None
    gain = sold[known] / (drawn.open[enter][known] / 100 * drawn.adj_factor[enter][known])
    return float(np.corrcoef(rankdata(drawn.signal[row][known]), rankdata(gain))[0, 1])


def _tables(
    who: Sequence[Company], days: npt.NDArray[np.datetime64], drawn: Tape, reports: Sequence[Statement]
) -> dict[str, pl.DataFrame]:
    text = [str(day).replace("-", "") for day in days]
    income = {"revenue": "revenue", "oper_cost": "cost", "n_income_attr_p": "profit"}
    balance = {"total_assets": "assets", "total_liab": "liabilities", "total_hldr_eqy_exc_min_int": "equity"}
    return _by_day(who, text, drawn) | {
        "stock_basic": _stock_basic(who, text),
        "namechange": _names(who, text),
        "stock_st": _warned(who, text),
        "suspend_d": _suspensions(who, text, drawn),
        "dividend": _dividends(who, text, drawn),
        "income": _reports(who, reports, income),
        "balancesheet": _reports(who, reports, balance),
        "index_daily": pl.concat(
            pl.DataFrame({"ts_code": code, "trade_date": text, "open": drawn.index[:, 0], "close": drawn.index[:, 1]})
            for code in INDEX
        ),
    }


def _by_day(who: Sequence[Company], text: list[str], drawn: Tape) -> dict[str, pl.DataFrame]:
    """Return the tables with one row a bar, ordered by code and day."""
    rows, columns = np.nonzero(drawn.close > 0)
    order = np.lexsort((rows, columns))
    at = rows[order], columns[order]
    key = {"ts_code": np.array([company.ts_code for company in who])[at[1]], "trade_date": np.array(text)[at[0]]}
    yuan = {name: getattr(drawn, name)[at] / 100 for name in ("open", "high", "low", "close", "pre_close")}
    turnover, shares = drawn.turnover[at], drawn.shares[at]
    lots = np.round(shares * _FLOAT * turnover / 100 / 100, 2)
    mean_price = (yuan["open"] + yuan["high"] + yuan["low"] + yuan["close"]) / 4
    limits = pl.DataFrame(key | {"up_limit": drawn.up[at], "down_limit": drawn.down[at]})
    return {
        "daily": pl.DataFrame(key | yuan | {"vol": lots, "amount": np.round(lots * 100 * mean_price / 1000, 3)}),
        "adj_factor": pl.DataFrame(key | {"adj_factor": drawn.adj_factor[at]}),
        "daily_basic": pl.DataFrame(
            key | {"turnover_rate": np.round(turnover, 4), "total_mv": np.round(yuan["close"] * shares / 1e4, 4)}
        ),
        "stk_limit": limits.with_columns(
            pl.when(pl.col(name) > 0).then(pl.col(name) / 100) for name in ("up_limit", "down_limit")
        ),
    }


_FLOAT = 0.7
"""Share of a company's shares that is traded freely."""


def _stock_basic(who: Sequence[Company], text: list[str]) -> pl.DataFrame:
    gone = [text[c.gone_row] if c.gone_row < len(text) else None for c in who]
    return pl.DataFrame(
        {
            "ts_code": [c.ts_code for c in who],
            "name": [c.name for c in who],
            "industry": ["银行" if c.financial else "综合" for c in who],
            "market": [str(c.board) for c in who],
            "list_status": ["D" if day else "L" for day in gone],
            "list_date": [str(c.listed).replace("-", "") for c in who],
            "delist_date": gone,
        },
        schema_overrides={"delist_date": pl.String},
    )


def _names(who: Sequence[Company], text: list[str]) -> pl.DataFrame:
    """Return the names: a mark during special treatment, and another in the fortnight before a delisting."""
    rows = []
    for company in who:
        rows.append((company.ts_code, company.name, str(company.listed).replace("-", "")))
        for first, last in company.warned:
            rows.append((company.ts_code, f"*ST{company.name}", text[first]))
            if company.gone_row == last:
                rows.append((company.ts_code, f"退市{company.name}", text[company.delisting_row]))
            elif last < len(text):
                rows.append((company.ts_code, company.name, text[last]))
    names = pl.DataFrame(rows, schema=["ts_code", "name", "start_date"], orient="row")
    return names.with_columns(ann_date=pl.lit(None, dtype=pl.String))


def _warned(who: Sequence[Company], text: list[str]) -> pl.DataFrame:
    """Return the exchange's list: who bears the mark on a day; in the fortnight before a delisting nobody does."""
    rows = [
        (company.ts_code, text[row])
        for company in who
        for first, last in company.warned
        for row in range(first, min(last, company.delisting_row, len(text)))
    ]
    return pl.DataFrame(rows, schema={"ts_code": pl.String, "trade_date": pl.String}, orient="row")


def _suspensions(who: Sequence[Company], text: list[str], drawn: Tape) -> pl.DataFrame:
    cells = [(row, i) for row, i in np.argwhere(drawn.suspended) if who[i].list_row <= row < who[i].gone_row]
    return pl.DataFrame(
        {
            "ts_code": [who[i].ts_code for _, i in cells],
            "trade_date": [text[row] for row, _ in cells],
            "suspend_timing": pl.Series([None] * len(cells), dtype=pl.String),
            "suspend_type": ["S"] * len(cells),
        }
    )


def _dividends(who: Sequence[Company], text: list[str], drawn: Tape) -> pl.DataFrame:
    plans = drawn.dividends
    ex = [text[plan.row] for plan in plans]
    return pl.DataFrame(
        {
            "ts_code": [who[plan.company].ts_code for plan in plans],
            "end_date": [f"{int(day[:4]) - 1}1231" for day in ex],
            "ann_date": [text[plan.row - 5] for plan in plans],
            "div_proc": ["实施"] * len(plans),
            "stk_div": [plan.shares for plan in plans],
            "cash_div_tax": [plan.cash for plan in plans],
            "record_date": [text[plan.row - 1] for plan in plans],
            "ex_date": ex,
            "pay_date": ex,
            "imp_ann_date": [text[plan.row - 5] for plan in plans],
        }
    )


def _reports(who: Sequence[Company], reports: Sequence[Statement], items: dict[str, str]) -> pl.DataFrame:
    announced = [f"{report.announced:%Y%m%d}" for report in reports]
    return pl.DataFrame(
        {
            "ts_code": [who[report.company].ts_code for report in reports],
            "end_date": [f"{report.end:%Y%m%d}" for report in reports],
            "ann_date": announced,
            "f_ann_date": announced,
            "report_type": ["1"] * len(reports),
            "comp_type": ["2" if who[report.company].financial else "1" for report in reports],
            "update_flag": ["1" if report.restated else "0" for report in reports],
            **{item: [round(getattr(report, name), 2) for report in reports] for item, name in items.items()},
        }
    )


def _calendar(first: np.datetime64, until: str) -> pl.DataFrame:
    """Return the calendar: that of the exchange as far as it is known, then every weekday."""
    every, known = np.arange(first, np.datetime64(until) + 1), sessions()
    is_open = np.where(every <= np.datetime64(library_end()), np.isin(every, known), np.is_busday(every))
    return pl.DataFrame(
        {
            "exchange": "SSE",
            "cal_date": [str(day).replace("-", "") for day in every],
            "is_open": is_open.astype(np.int64),
        }
    )
