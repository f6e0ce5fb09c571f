"""What a run paid, what it would have had without, and how much it traded and held: functions of its frames."""

from __future__ import annotations

from collections.abc import Mapping

import empyrical
import numpy as np
import numpy.typing as npt
import polars as pl

from engine.report import statistics as stats
from engine.types import Side

Floats = npt.NDArray[np.float64]

FEES = ("commission", "stamp_duty", "transfer_fee")
KINDS = (*FEES, "slippage", "dividend_tax")
"""What is counted as a cost. The commission holds handling and regulatory fee where the settings charge them."""
_TAXES = ("dividend_tax", "tax_withheld")


def daily_costs(perf: pl.DataFrame, orders: pl.DataFrame, actions: pl.DataFrame, slippage: float) -> pl.DataFrame:
    """Return what was paid in each session, CNY: session, ``KINDS`` and their sum ``all``.

    Parameters
    ----------
    perf, orders, actions : DataFrame
        Of the run.
    slippage : float
        The setting ``execution.slippage``: what fills were made dearer by it is reckoned back from their prices. Where
        a price limit cut it, it was less; slippage of the script's own is part of the price and not seen.
    """
    buy, value = pl.col("side") == str(Side.BUY), pl.col("filled") * pl.col("price")
    slipped = value * slippage / pl.when(buy).then(1.0 + slippage).otherwise(1.0 - slippage)
    filled = orders.filter(pl.col("filled") > 0)
    paid = filled.group_by("session").agg(*(pl.col(name).sum() for name in FEES), slipped.sum().alias("slippage"))
    taxed = actions.filter(pl.col("kind").is_in(_TAXES)).group_by("session").agg(-pl.col("cash").sum())
    return (
        perf.select("session")
        .join(paid, on="session", how="left", maintain_order="left")
        .join(taxed.rename({"cash": "dividend_tax"}), on="session", how="left", maintain_order="left")
        .with_columns(pl.col(name).fill_null(0.0) for name in KINDS)
        .with_columns(pl.sum_horizontal(*KINDS).alias("all"))
    )


def before_trading(perf: pl.DataFrame, capital: float) -> Floats:
    """Return the net value each session began with, flows of capital included, CNY."""
    closes: Floats = perf["net_value"].to_numpy()
    return np.concatenate([[capital], closes[:-1]]) + perf["flow"].to_numpy()


def gross_returns(perf: pl.DataFrame, costs: pl.DataFrame, capital: float) -> Floats:
    """Return daily returns with what was paid in a session added back to it: the same trades without any cost.

    What is saved is not reinvested: each session begins with the net value it had.
    """
    flows = perf["flow"].to_numpy()
    net = stats.returns(perf["net_value"].to_numpy(), capital, flows)
    return net + costs["all"].to_numpy() / before_trading(perf, capital)


def cost_table(perf: pl.DataFrame, costs: pl.DataFrame, year: float) -> pl.DataFrame:
    """Return a row a kind of cost and one of all: cost, cny, a_year (share of the mean net value).

    Parameters
    ----------
    perf, costs : DataFrame
        Of the run; of ``daily_costs``.
    year : float
        Sessions a year.
    """
    names = [*KINDS, "all"]
    cny = [float(costs[name].sum()) for name in names]
    mean, years = float(perf["net_value"].to_numpy().mean()), perf.height / year
    return pl.DataFrame({"cost": names, "cny": cny, "a_year": [value / mean / years for value in cny]})


def gross_and_net(perf: pl.DataFrame, costs: pl.DataFrame, capital: float, year: float) -> pl.DataFrame:
    """Return figures before and after costs: figure, gross, net, cost (gross less net)."""
    index = perf["benchmark_return"].to_numpy()
    flows = perf["flow"].to_numpy()
    net = stats.figures(stats.returns(perf["net_value"].to_numpy(), capital, flows), index, year)
    gross = stats.figures(gross_returns(perf, costs, capital), index, year)
    names = ["total return", "annual return", "annual volatility", "Sharpe ratio", "maximum drawdown"]
    frame = pl.DataFrame({"figure": names, "gross": [gross[one] for one in names], "net": [net[one] for one in names]})
    return frame.with_columns(cost=pl.col("gross") - pl.col("net"))


def costs_times(perf: pl.DataFrame, costs: pl.DataFrame, capital: float, year: float, times: float) -> float:
    """Return the annual return if every cost were so many times what it was."""
    net = gross_returns(perf, costs, capital) - times * costs["all"].to_numpy() / before_trading(perf, capital)
    return float(empyrical.annual_return(net, annualization=year))


def turnover(perf: pl.DataFrame, orders: pl.DataFrame, year: float) -> Mapping[str, float]:
    """Return how often a year the mean net value was turned over: one-sided (half of all fills), buys, sells."""
    mean, years = float(perf["net_value"].to_numpy().mean()), perf.height / year
    filled = orders.filter(pl.col("filled") > 0)
    sides = {side: filled.filter(pl.col("side") == str(side)) for side in Side}
    buys, sells = (stats.traded_value(sides[side]) / mean / years for side in (Side.BUY, Side.SELL))
    return {"one-sided": (buys + sells) / 2, "buys": buys, "sells": sells}


def exposure(perf: pl.DataFrame) -> pl.DataFrame:
    """Return mean, least and most of what was held and of cash, as shares of the net value."""
    shares = {"held": perf["gross"].to_numpy(), "cash": (perf["cash"] / perf["net_value"]).to_numpy()}
    rows = [(name, float(at.mean()), float(at.min()), float(at.max())) for name, at in shares.items()]
    return pl.DataFrame(rows, schema=["share", "mean", "least", "most"], orient="row")
