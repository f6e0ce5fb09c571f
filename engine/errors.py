"""Every error a user can meet, each with what happened, why, and what mends it.

::

    AshareError                exit 1   (never raised itself)
    ├── UsageError             exit 2   the command, a setting or a script asks for what cannot be
    │   ├── SettingsError               a setting is unknown or has an impossible value
    │   ├── WrongCalendar               the bundle was run under another exchange's calendar
    │   ├── NoAccount                   there is no paper account of this name
    │   └── EndOfDayDataRefused         a script asks for today's close before today's open
    ├── DataNotFit             exit 3   the data cannot carry what was asked
    │   ├── BadInput                    a file handed to us: endpoint, column, value, key or date
    │   ├── Damaged                     a stored file is missing or altered
    │   ├── NoBundle                    nothing was ingested, or it is not ours
    │   ├── OutsideData                 a date before or after what the bundle or a rule table holds
    │   ├── StaleData                   a session's data are missing, thin or repeated
    │   ├── NotEnoughHistory            a training window is shorter than it may be
    │   └── NoModel                     no usable model for a date
    ├── ProofFailed            exit 4   the product's check of itself failed
    │   └── LookAhead                   a value would be used before it was known
    ├── ScriptFailed           exit 1   an exception in the user's own script
    ├── Halted                 exit 5   halted, or another process holds the lock
    │   └── SendingRefused              an order may not be sent: no consent, or beyond a cap
    ├── BrokerMismatch         exit 6   intended orders, broker and ledger disagree; nothing is traded until they agree
    └── DiskFailed             exit 7   the disk is full, broken or not ours to write to

They derive from ``click.ClickException``, so that the stock ``zipline`` command prints them in one line too.
"""

from __future__ import annotations

import click


class AshareError(click.ClickException):
    """Base of the tree; the message reads ``what: why. mend``.

    Parameters
    ----------
    what : str
        What could not be done.
    why : str
        The fact that stood in the way.
    mend : str
        The command or edit that mends it.
    """

    exit_code = 1

    def __init__(self, what: str, why: str, mend: str) -> None:
        self.what, self.why, self.mend = what, why, mend
        super().__init__(" ".join(f"{what}: {why}. {mend}".split()))

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type[AshareError], tuple[str, str, str]]:
        return type(self), (self.what, self.why, self.mend)


class ScriptFailed(AshareError):
    """An exception in the user's own script."""


class UsageError(AshareError):
    """The command, a setting or a script asks for what cannot be."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is unknown or has an impossible value."""


class WrongCalendar(UsageError):
    """The bundle was run under another exchange's calendar."""


class EndOfDayDataRefused(UsageError):
    """A script's ``before_trading_start`` asks for data that exist only after the close."""


class NoAccount(UsageError):
    """There is no paper account of this name."""


class DataNotFit(AshareError):
    """The data cannot carry what was asked."""

    exit_code = 3


class BadInput(DataNotFit):
    """A file handed to us is not what it should be: endpoint, column, value, key or date."""


class Damaged(DataNotFit):
    """A stored file, of the lake or of a model, is missing or altered."""


class NoBundle(DataNotFit):
    """Nothing was ingested under this name."""


class OutsideData(DataNotFit):
    """A date lies before or after what the bundle, the calendar or a rule table holds."""


class StaleData(DataNotFit):
    """A session's data are missing, thin or repeated: nothing is decided on them."""


class NotEnoughHistory(DataNotFit):
    """A training window would be shorter than it may be."""


class NoModel(DataNotFit):
    """No usable model for a date.

    Attributes
    ----------
    model : str
        The month, or the day of an event, that was never trained; empty where it is not that.
    """

    model = ""


class ProofFailed(AshareError):
    """A check of the product by itself failed."""

    exit_code = 4


class LookAhead(ProofFailed):
    """A value would be used before it was known."""


class Halted(AshareError):
    """Halted, or another process holds the lock."""

    exit_code = 5


class SendingRefused(Halted):
    """Orders may not be sent: the programme-trading report is not confirmed, or a hard cap would be passed."""


class BrokerMismatch(AshareError):
    """What was intended, what the broker says and what the ledger holds disagree, and nothing explains it."""

    exit_code = 6


class DiskFailed(AshareError):
    """The disk is full, broken or not ours to write to; what was written whole before stands."""

    exit_code = 7
