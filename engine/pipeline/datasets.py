"""What a pipeline can ask for. **Row T holds T's close**: known to a decision after the close of T, not before.

zipline's own ``EquityPricing`` shows T-1 at T and keeps doing so. A ``before_trading_start`` runs before
T's open, so the host refuses it pipelines over these datasets.
"""

from __future__ import annotations

import numpy as np
from zipline.pipeline.data import Column, DataSet
from zipline.pipeline.domain import CN_EQUITIES


class Daily(DataSet):
    """Market data of a session, one row a session of the exchange.

    Prices without ``adj_`` are raw, in CNY, NaN on a session without a bar. ``adj_`` prices are unrounded
    ``price * adj_factor``; ``adj_close`` carries the last one through sessions without a bar, the others do not.
    """

    domain = CN_EQUITIES

    open = Column(np.float64, missing_value=np.nan)
    high = Column(np.float64, missing_value=np.nan)
    low = Column(np.float64, missing_value=np.nan)
    close = Column(np.float64, missing_value=np.nan)
    pre_close = Column(np.float64, missing_value=np.nan)
    volume = Column(np.float64, missing_value=np.nan)
    """Shares; 0 on a session without a bar."""
    amount = Column(np.float64, missing_value=np.nan)
    """CNY; 0 on a session without a bar."""
    up_limit = Column(np.float64, missing_value=np.nan)
    """Limit-up of this session, CNY; NaN where there is no limit."""
    down_limit = Column(np.float64, missing_value=np.nan)
    """Limit-down of this session, CNY; NaN where there is no limit."""
    last_close = Column(np.float64, missing_value=np.nan)
    """Raw close of the last bar so far, CNY."""
    adj_factor = Column(np.float64, missing_value=np.nan)
    adj_open = Column(np.float64, missing_value=np.nan)
    adj_close = Column(np.float64, missing_value=np.nan)
    turnover_rate = Column(np.float64, missing_value=np.nan)
    """Percent of the float."""
    total_mv = Column(np.float64, missing_value=np.nan)
    """Total market cap, 10k CNY."""
    traded = Column(np.bool_, missing_value=False)
    """There is a bar with volume."""
    suspended = Column(np.bool_, missing_value=False)
    """The exchange's list says so; ``traded`` decides."""
    risk_warned = Column(np.bool_, missing_value=False)
    """The name of the day marks special treatment or a delisting period."""
    listed = Column(np.bool_, missing_value=False)
    at_limit = Column(np.bool_, missing_value=False)
    """The close stands at or beyond a price limit."""
    age = Column(np.float64, missing_value=np.nan)
    """Market sessions since the first bar, that one counted: 1 on it, NaN before."""


class Reports(DataSet):
    """The newest report known after the close of the session, by announcement date, in CNY.

    ``*_prior`` is the same item a year earlier; ``profit`` is net profit attributable to the parent.
    """

    domain = CN_EQUITIES

    report_age = Column(np.float64, missing_value=np.nan)
    """Calendar days from the end of the report's period to the session."""
    profit_ytd = Column(np.float64, missing_value=np.nan)
    profit_ytd_prior = Column(np.float64, missing_value=np.nan)
    profit_ttm = Column(np.float64, missing_value=np.nan)
    equity = Column(np.float64, missing_value=np.nan)
    equity_prior = Column(np.float64, missing_value=np.nan)
    revenue = Column(np.float64, missing_value=np.nan)
    oper_cost = Column(np.float64, missing_value=np.nan)
    total_assets = Column(np.float64, missing_value=np.nan)
    total_liab = Column(np.float64, missing_value=np.nan)
    is_financial = Column(np.float64, missing_value=np.nan)


END_OF_DAY = (Daily, Reports)
"""The datasets the host refuses before the open."""
