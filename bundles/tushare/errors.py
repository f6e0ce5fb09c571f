"""What can go wrong between us and the vendor.

::

    UsageError                 exit 2
    └── NoToken                        there is no token, or its file is open to others
    DataNotFit                 exit 3
    └── VendorError                    the vendor gave no table that may be used (never raised itself)
        ├── BadToken                   it does not know the token
        ├── MissingRight               the account may not ask this endpoint
        ├── TooManyAddresses           the token is used from too many addresses
        ├── RateLimited                it asks us to wait
        ├── BadQuestion                an endpoint, parameter or column it does not have
        ├── Refused                    it refuses for a reason we do not know
        ├── Transient                  no reply, or one that says "later"
        ├── Malformed                  the reply is no table
        │   └── Inconsistent           the table contradicts itself or the question
        │       └── NoRows             it is empty where rows must be
        └── Truncated                  the reply was cut at the row cap and cannot be asked in parts
"""

from __future__ import annotations

from typing import Any

from engine.errors import DataNotFit, UsageError


class NoToken(UsageError):
    """There is no token, it cannot be one, or its file is open to others."""


class VendorError(DataNotFit):
    """The vendor gave no table that may be used.

    Parameters
    ----------
    what, why, mend : str
        As in every error of ours.
    endpoint : str
        Which endpoint was asked.
    """

    def __init__(self, what: str, why: str, mend: str, endpoint: str = "") -> None:
        super().__init__(what, why, mend)
        self.endpoint = endpoint

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.why, self.mend), dict(self.__dict__)


class BadToken(VendorError):
    """The vendor does not know the token."""


class MissingRight(VendorError):
    """The account may not ask this endpoint.

    Attributes
    ----------
    points : int
        Points the endpoint needs by the vendor's page; 0 where we do not know.
    """

    points: int = 0


class TooManyAddresses(VendorError):
    """The token is used from more addresses than the vendor allows."""


class RateLimited(VendorError):
    """The vendor asks us to wait.

    Attributes
    ----------
    wait : float
        Seconds until it may be asked again; infinite where only another day helps.
    calls : int or None
        Calls the vendor says it allows within ``period``.
    period : float
        Seconds.
    """

    wait: float = 60.0
    calls: int | None = None
    period: float = 60.0


class BadQuestion(VendorError):
    """An endpoint, a parameter or a column the vendor does not have."""


class Refused(VendorError):
    """The vendor refuses for a reason we do not know."""


class Transient(VendorError):
    """No reply, or one that says "later"."""


class Malformed(VendorError):
    """The reply is no table."""


class Inconsistent(Malformed):
    """The table contradicts itself or the question: a repeated page or key, a key of nothing, rows nobody asked for."""


class NoRows(Inconsistent):
    """The table is empty where the caller knows that rows must be."""


class Truncated(VendorError):
    """The reply was cut at the row cap, and the question cannot be asked in parts."""
