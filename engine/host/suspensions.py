"""``data.can_trade`` tells the truth: a suspended stock cannot be traded, whatever its last price was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from zipline.assets import Asset
from zipline.finance.asset_restrictions import Restrictions

from engine.panels.reader import Panels
from engine.panels.store import TRADED


class Suspended(Restrictions):
    """Restricts the assets without a bar in the session asked for; zipline itself goes by the carried price.

    Parameters
    ----------
    panels : Panels
        The bundle.
    """

    def __init__(self, panels: Panels) -> None:
        self._panels, self._status = panels, panels.field("status")

    def is_restricted(self, assets: Any, dt: pd.Timestamp) -> Any:
        """Return whether an asset, or each of several, has no bar in the session of ``dt``."""
        status = self._status[self._panels.row(pd.Timestamp(dt.date()))]
        if isinstance(assets, Asset):
            return not status[assets.sid] & TRADED
        sids = np.array([asset.sid for asset in assets], dtype=np.int64)
        return pd.Series((status[sids] & TRADED) == 0, index=pd.Index(assets))
