"""The specification once more, in plain pandas straight from the Tushare-shaped files: the tests' own opinion.

Nothing of the engine is used but the calendar of sessions. Slow, and meant to be read beside SPEC 3, 4, 5 and 13.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

FINANCIAL = {"银行", "证券", "保险"}


class Plain:
    """A folder of Tushare-shaped Parquet files.

    Parameters
    ----------
    folder : Path
        One sub-folder an endpoint.
    sessions : list of str
        The exchange's sessions, YYYYMMDD.
    """

    def __init__(self, folder: Path, sessions: list[str]) -> None:
        self.folder, self.sessions = folder, sessions

    def table(self, name: str) -> pd.DataFrame:
        files = sorted((self.folder / name).glob("*.parquet"))
        return pd.concat([pd.read_parquet(path) for path in files], ignore_index=True)

    @cached_property
    def daily(self) -> dict[str, pd.DataFrame]:
        keys = ["ts_code", "trade_date"]
        frame = self.table("daily").merge(self.table("adj_factor"), on=keys)
        frame = frame.merge(self.table("daily_basic")[[*keys, "turnover_rate", "total_mv"]], on=keys, how="left")
        frame = frame[frame["vol"] > 0]
        return {code: rows.set_index("trade_date").sort_index() for code, rows in frame.groupby("ts_code")}

    @cached_property
    def stocks(self) -> pd.DataFrame:
        return self.table("stock_basic").set_index("ts_code")

    @cached_property
    def names(self) -> dict[str, pd.DataFrame]:
        frame = self.table("namechange").dropna(subset=["start_date"])
        return dict(iter(frame.groupby("ts_code")))

    @cached_property
    def income(self) -> dict[str, pd.DataFrame]:
        return self._reports("income")

    @cached_property
    def balance(self) -> dict[str, pd.DataFrame]:
        return self._reports("balancesheet")

    def _reports(self, name: str) -> dict[str, pd.DataFrame]:
        frame = self.table(name)
        frame = frame[frame["report_type"] == "1"].copy()
        dated = frame["f_ann_date"].where(frame["f_ann_date"].notna(), frame["ann_date"])
        real = pd.to_datetime(dated, format="%Y%m%d", errors="coerce").notna()
        dated = dated.where(real & (dated > frame["end_date"]))
        end = pd.to_datetime(frame["end_date"], format="%Y%m%d")
        half_a_year_on = (end + pd.DateOffset(months=6)).dt.strftime("%Y%m%d")
        frame["known"] = dated.where(dated.notna(), half_a_year_on)
        return dict(iter(frame.groupby("ts_code")))

    # prices

    def carried(self, code: str, day: str) -> pd.Series:
        """Return the adjusted close on every session up to a day, the last one carried through suspensions."""
        bars = self.daily[code]
        adjusted = bars["close"] * bars["adj_factor"]
        upto = [session for session in self.sessions if session <= day]
        return adjusted.reindex(upto).ffill()

    def momentum(self, code: str, day: str, sessions: int) -> float:
        prices = self.carried(code, day)
        return prices.iloc[-1] / prices.iloc[-1 - sessions] - 1 if len(prices) > sessions else np.nan

    def bollinger(self, code: str, day: str) -> tuple[float, float]:
        last = self.carried(code, day).iloc[-20:]
        if len(last) < 20 or last.isna().any() or (last == last.iloc[0]).all():
            return np.nan, np.nan
        mean, sd = last.mean(), last.std(ddof=0)
        upper, lower = mean + 2 * sd, mean - 2 * sd
        return (upper - lower) / mean, (last.iloc[-1] - lower) / (upper - lower)

    # reports

    def known(self, table: dict[str, pd.DataFrame], code: str, day: str) -> dict[str, pd.Series]:
        """Return the row of each period as it was known on a day; of equally old versions the original counts."""
        rows = table.get(code)
        if rows is None:
            return {}
        rows = rows[rows["known"] <= day].sort_values(["known", "update_flag"], ascending=[True, False])
        return {period: group.iloc[-1] for period, group in rows.groupby("end_date")}

    def report_factors(self, code: str, day: str) -> dict[str, float]:
        income, balance = self.known(self.income, code, day), self.known(self.balance, code, day)
        nothing = dict.fromkeys(("roe", "netprofit_yoy", "gross_margin", "debt_to_assets"), np.nan)
        if not income and not balance:
            return nothing
        period = max([*income, *balance])
        if (pd.Timestamp(day) - pd.Timestamp(period)).days > 400:
            return nothing
        before, full = f"{int(period[:4]) - 1}{period[4:]}", f"{int(period[:4]) - 1}1231"

        def get(table: dict[str, pd.Series], when: str, item: str) -> float:
            value = table[when][item] if when in table else None
            return np.nan if value is None or pd.isna(value) else float(value)

        profit = get(income, period, "n_income_attr_p")
        prior = get(income, before, "n_income_attr_p")
        trailing = profit if period.endswith("1231") else profit + get(income, full, "n_income_attr_p") - prior
        own, own_before = (get(balance, when, "total_hldr_eqy_exc_min_int") for when in (period, before))
        revenue, cost = get(income, period, "revenue"), get(income, period, "oper_cost")
        kind = next(
            (
                row["comp_type"]
                for row in (income.get(period), balance.get(period))
                if row is not None and not pd.isna(row["comp_type"])
            ),
            None,
        )
        financial = kind in ("2", "3", "4") if kind is not None else self.stocks.loc[code, "industry"] in FINANCIAL
        assets, debt = get(balance, period, "total_assets"), get(balance, period, "total_liab")
        return {
            "roe": 100 * trailing / ((own + own_before) / 2) if own > 0 and own_before > 0 else np.nan,
            "netprofit_yoy": 100 * (profit - prior) / prior if prior > 0 else np.nan,
            "gross_margin": (revenue - cost) / revenue if revenue > 0 and not financial else np.nan,
            "debt_to_assets": debt / assets if assets > 0 else np.nan,
        }

    def factors(self, code: str, day: str) -> dict[str, float]:
        width, position = self.bollinger(code, day)
        return {
            "momentum_1m": self.momentum(code, day, 20),
            "momentum_3m": self.momentum(code, day, 60),
            "momentum_12m": self.momentum(code, day, 240),
            "boll_width": width,
            "boll_position": position,
            **self.report_factors(code, day),
        }

    # labels

    @cached_property
    def up_limits(self) -> pd.Series:
        return self.table("stk_limit").set_index(["ts_code", "trade_date"])["up_limit"].dropna().sort_index()

    @cached_property
    def index_opens(self) -> pd.Series:
        frame = self.table("index_daily")
        return frame[frame["ts_code"] == "000905.SH"].set_index("trade_date")["open"]

    def label(self, code: str, day: str, horizon: int) -> tuple[float, str | None]:
        """Return the excess return of a decision, NaN without one, and why there is none."""
        at = self.sessions.index(day)
        if at + horizon + 1 >= len(self.sessions):
            return np.nan, "incomplete"
        entry, leave = self.sessions[at + 1], self.sessions[at + horizon + 1]
        bars, gone = self.daily[code], self.stocks.loc[code, "delist_date"]
        if entry not in bars.index:
            return np.nan, "suspended" if pd.isna(gone) or entry < gone else "not_listed"
        if bars.loc[entry, "open"] >= self.up_limits.get((code, entry), np.inf):
            return np.nan, "limit_up"
        if not pd.isna(gone) and leave >= gone:
            sold = 0.0
        elif leave in bars.index:
            sold = bars.loc[leave, "open"] * bars.loc[leave, "adj_factor"]
        else:
            sold = self.carried(code, leave).iloc[-1]
        bought = bars.loc[entry, "open"] * bars.loc[entry, "adj_factor"]
        return sold / bought - self.index_opens[leave] / self.index_opens[entry], None

    # universe

    def risk_warned(self, code: str, day: str) -> bool:
        rows = self.names.get(code)
        rows = rows[rows["start_date"] <= day] if rows is not None else None
        if rows is None or rows.empty:
            return False
        newest = rows[rows["start_date"] == rows["start_date"].max()]["name"].iloc[-1]
        return bool(re.match(r"^[SG]?\*?ST", newest)) or "退" in newest

    def universe(self, day: str) -> list[str]:
        at = self.sessions.index(day)
        members = []
        for code, bars in self.daily.items():
            stock = self.stocks.loc[code]
            if day not in bars.index or at - self.sessions.index(bars.index[0]) + 1 < 241:
                continue
            gone = stock["delist_date"]
            if not (pd.isna(gone) or day < gone) or self.risk_warned(code, day):
                continue
            if 300_000 <= bars.loc[day, "total_mv"] <= 5_000_000:
                members.append(code)
        return sorted(members)

    def z_scores(self, values: pd.Series) -> pd.Series:
        """Winsorise at the 1st and 99th percentile, then z-score with the population deviation; null becomes 0."""
        known = values.dropna()
        clipped = known.clip(known.quantile(0.01), known.quantile(0.99))
        sd = clipped.std(ddof=0)
        scores = (clipped - clipped.mean()) / sd if sd > 0 else clipped * 0
        return scores.reindex(values.index).fillna(0.0)
