"""What a reply says: a page of a table, or one of our errors by its text, rates first (the codes are ambiguous)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bundles.tushare.caps import TERMS
from bundles.tushare.errors import (
    BadQuestion,
    BadToken,
    Malformed,
    MissingRight,
    RateLimited,
    Refused,
    TooManyAddresses,
    Transient,
    VendorError,
)

Show = Callable[[str], str]
"""Makes a text of the vendor fit to be shown: one line, no token."""

_PERIODS = {"分钟": 60.0, "小时": 3600.0, "天": math.inf}
_RATE = re.compile(r"每(分钟|小时|天)|频率超限")
_PER = re.compile(r"(?:每|次\s*/\s*)(分钟|小时|天)")
_CALLS = re.compile(r"([0-9]{1,9})\s*次")
_LONGEST_SHOWN = 200
_KINDS: tuple[tuple[re.Pattern[str], type[VendorError], str], ...] = (
    (
        re.compile(r"token\s*(不对|无效|错误|过期|失效)", re.IGNORECASE),
        BadToken,
        "Copy the token again from your page at tushare.pro into ASHARE_TUSHARE_TOKEN.",
    ),
    (re.compile(r"权限|积分"), MissingRight, ""),
    (
        re.compile(r"IP\s*数量"),
        TooManyAddresses,
        "Stop the other programs that use the token, or wait until the vendor forgets their addresses.",
    ),
    (re.compile(r"不包含字段|必填参数|\[-2001\]$"), BadQuestion, "Report it: the question is ours."),
    (re.compile(r"系统内部错误|服务器繁忙|\[-1000\]$"), Transient, "Run it again later."),
)
"""What a message means, after rate limits: the first pattern that its text, with the code behind it, holds."""


@dataclass(frozen=True)
class Page:
    """One reply's rows.

    Attributes
    ----------
    fields : tuple of str
        Names of the columns, in the order of the reply.
    items : list of list
        Rows: numbers, text and None.
    has_more : bool
        Whether the vendor says that rows are left.
    """

    fields: tuple[str, ...]
    items: list[list[Any]]
    has_more: bool


def read_reply(api_name: str, status: int, body: bytes, show: Show) -> Page:
    """Return the page a reply holds.

    Parameters
    ----------
    api_name : str
        What was asked.
    status : int
        Of HTTP.
    body : bytes
        Of the reply.
    show : callable
        Makes a text of the vendor fit to be shown.

    Raises
    ------
    VendorError
        The reply holds none; which kind says what to do.
    """
    if status != 200:
        raise _of_status(api_name, status)
    reply = _json(api_name, body)
    code = reply.get("code")
    if isinstance(code, bool) or not isinstance(code, int):
        raise malformed(api_name, "it has no code")
    if code:
        message = reply.get("msg")
        raise of_message(api_name, code, message if isinstance(message, str) else "", show)
    return _page(api_name, reply.get("data"))


def of_message(api_name: str, code: int, message: str, show: Show) -> VendorError:
    """Return the error that a refusal means, by its text."""
    said = f"Tushare said {show(message)[:_LONGEST_SHOWN]!r} (code {code})"
    what = f"{api_name} was not answered"
    if _RATE.search(message):
        return _rate(api_name, what, said, message)
    for pattern, kind, mend in _KINDS:
        if pattern.search(f"{message} [{code}]"):
            return _missing_right(api_name, what, said) if kind is MissingRight else kind(what, said, mend, api_name)
    return Refused(what, said, "Look the message up at tushare.pro, then run it again.", api_name)


def _rate(api_name: str, what: str, said: str, message: str) -> RateLimited:
    per, calls = _PER.search(message), _CALLS.search(message)
    period = _PERIODS[per[1]] if per else 60.0
    mend = "Run it again tomorrow." if math.isinf(period) else "Lower tushare.calls_per_minute, or run it again later."
    error = RateLimited(what, said, mend, api_name)
    error.period = error.wait = period
    error.calls = int(calls[1]) if calls else None
    return error


def _missing_right(api_name: str, what: str, said: str) -> MissingRight:
    points = TERMS[api_name].points if api_name in TERMS else 0
    needs = f"; it needs {points:,} points" if points else ""
    error = MissingRight(what, said + needs, "See the points of your account at tushare.pro.", api_name)
    error.points = points
    return error


def _of_status(api_name: str, status: int) -> VendorError:
    what, why = f"{api_name} was not answered", f"the server replied with HTTP {status}"
    if status == 429:
        return RateLimited(what, why, "Lower tushare.calls_per_minute, or run it again later.", api_name)
    if status >= 500 or status in (408, 425):
        return Transient(what, why, "Run it again later.", api_name)
    if 300 <= status < 400:
        why += ", a redirection; it is not followed, for the token would go along"
    return Refused(what, why, "Check the setting tushare.base_url.", api_name)


def _json(api_name: str, body: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(body, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        problem = f"it is no JSON ({type(error).__name__}, {len(body):,} bytes)"
    else:
        if isinstance(reply, dict):
            return reply
        problem = "it is JSON, but no object"
    raise malformed(api_name, problem)


def _constant(text: str) -> None:
    """Read NaN, with which pandas says that there is no value; infinities are nothing a vendor can know."""
    if text != "NaN":
        raise ValueError(text)


def _page(api_name: str, data: Any) -> Page:
    """Return the table of a reply, each row as wide as its head."""
    if not isinstance(data, dict):
        raise malformed(api_name, "it says success and holds no data")
    fields, items, has_more = data.get("fields"), data.get("items"), data.get("has_more", False)
    if not isinstance(fields, list) or not all(isinstance(name, str) and name for name in fields):
        raise malformed(api_name, "its fields are no list of names")
    if len(set(fields)) != len(fields):
        raise malformed(api_name, "it names a column twice")
    if not isinstance(items, list) or set(map(type, items)) - {list}:
        raise malformed(api_name, "its items are no list of rows")
    if widths := set(map(len, items)) - {len(fields)}:
        raise malformed(api_name, f"a row of {min(widths)} values stands under {len(fields)} columns")
    return Page(tuple(fields), items, has_more is True)


def malformed(api_name: str, problem: str) -> Malformed:
    """Return the error of a reply that is no table."""
    return Malformed(f"the reply to {api_name} cannot be used", problem, "Run it again later.", api_name)
