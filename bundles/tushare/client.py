"""The client: one question, all its rows, or one of our errors; never a part of the answer, never an empty stand-in.

1. Calls are spaced below the endpoint's quota; the vendor's own messages tighten it (``bundles.tushare.pace``).
2. A call that fails is repeated as its kind of failure deserves, a bounded number of times.
3. A question is paged until a page is short. A reply of a round number of rows counts as cut, for caps are round.
   Pages overlap by some rows, which must be the same: so a page that was shifted or repeated is found.
4. The whole answer must fit the question, else all of it is asked again.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import polars as pl
from pydantic import SecretStr

from bundles.tushare.caps import TERMS, Terms
from bundles.tushare.errors import (
    BadQuestion,
    Inconsistent,
    Malformed,
    MissingRight,
    RateLimited,
    Refused,
    Transient,
    Truncated,
    VendorError,
)
from bundles.tushare.replies import Page, malformed, read_reply
from bundles.tushare.tables import Params, frame_of, repeated_page, require_answer, shown
from bundles.tushare.token import read_token, scrub

if TYPE_CHECKING:
    import requests
    from tenacity import RetryCallState

    from engine.settings import Settings

_ATTEMPTS: Mapping[type[VendorError], int] = {
    RateLimited: 5,
    Transient: 5,
    Malformed: 3,
    Inconsistent: 3,
    Refused: 3,
    MissingRight: 2,
}
"""How many failures of a kind make it a lasting one: of a call, or for ``Inconsistent`` of a whole question."""
_SHORTEST, _LONGEST = 2.0, 16.0
"""Seconds before the first repetition and at most, doubling; a rate limit has its own wait."""
_ROUND = 100
_OVERLAP = 20
_MOST_PAGES = 1000
_MOST_BYTES = 256 * 2**20
_SLOWEST = 10
"""A reply may take so many time-outs in all."""

_T = TypeVar("_T")
Rows = list[list[Any]]


class Client:
    """Asks Tushare, or whoever speaks its protocol.

    Parameters
    ----------
    token : SecretStr
        Of the account (``bundles.tushare.token.read_token``).
    base_url : str
        Where questions are posted.
    calls_per_minute : int
        The account's nominal quota for an endpoint.
    quota_share : float
        The part of a nominal quota that is used.
    timeout : float
        Seconds to wait for a connection, and for the next bytes of a reply.
    longest_wait : float
        A rate limit that asks for more seconds than this is raised at once.
    terms : mapping of str to Terms
        What each endpoint allows.
    clock, sleep : callable
        The time; tests bring their own.
    on_wait : callable
        Told the endpoint, the seconds and the error before a failed call is made again.
    """

    def __init__(
        self,
        token: SecretStr,
        base_url: str = "https://api.tushare.pro",
        *,
        calls_per_minute: int = 200,
        quota_share: float = 0.65,
        timeout: float = 30.0,
        longest_wait: float = 120.0,
        terms: Mapping[str, Terms] = TERMS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        on_wait: Callable[[str, float, VendorError], None] = lambda *_: None,
    ) -> None:
        from bundles.tushare.pace import Pace

        self._token = token
        self._base_url = base_url
        self._share = quota_share
        self._timeout = timeout
        self._longest_wait = longest_wait
        self._terms = terms
        self._sleep = sleep
        self._on_wait = on_wait
        self._session = _session(base_url)
        self._pace = Pace(clock, sleep)
        for name, entry in terms.items():
            self._pace.limit(name, min(calls_per_minute, entry.calls_per_minute or calls_per_minute) * quota_share)

    @classmethod
    def from_settings(cls, settings: Settings, **more: Any) -> Client:
        """Return the client that settings and environment describe.

        Parameters
        ----------
        settings : Settings
            Section ``tushare``, and the home whose file may hold the token.
        **more
            Further arguments of the class.

        Raises
        ------
        NoToken
            There is no token, or its file is open to others.
        """
        values = settings.tushare
        return cls(
            read_token(settings.home),
            values.base_url,
            calls_per_minute=values.calls_per_minute,
            quota_share=values.quota_share,
            timeout=values.timeout,
            **more,
        )

    @property
    def calls(self) -> int:
        """Calls made so far."""
        return self._pace.calls

    def __repr__(self) -> str:
        return f"Client({self._base_url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def fetch(
        self, api_name: str, params: Params | None = None, fields: Sequence[str] = (), *, rows_expected: bool = False
    ) -> pl.DataFrame:
        """Return all rows of one question.

        Safe to call from several threads at once.

        Parameters
        ----------
        api_name : str
            The endpoint.
        params : mapping
            Its parameters, dates as ``YYYYMMDD``; without ``limit`` and ``offset``.
        fields : sequence of str
            The columns, in the order of the result; at least one.
        rows_expected : bool
            Whether an empty answer cannot be true, as that of a session for ``daily``.

        Returns
        -------
        DataFrame
            In the vendor's order. Numbers are Float64 or Int64, everything else is text as it came, dates too; a
            column of nulls has the type the lake gives it.

        Raises
        ------
        VendorError
            After a bounded number of attempts; its class says what happened. ``Inconsistent`` and ``NoRows`` only
            after the whole question was asked several times.
        """
        terms = self._terms.get(api_name)
        if terms is None or not fields:
            problem = "it names no columns" if terms else "we do not know this endpoint"
            raise BadQuestion(f"{api_name} cannot be asked", problem, "Report it: the question is ours.", api_name)
        asked = dict(params or {})
        return self._again(api_name, Inconsistent, lambda: self._answer(terms, asked, tuple(fields), rows_expected))

    def probe(self, api_name: str, params: Params, column: str) -> None:
        """Ask once, for one column, and look at nothing but whether the vendor answers with a table.

        Raises
        ------
        VendorError
            It does not; its class says why.
        """
        terms = self._terms[api_name]
        _ordered(terms, self._post(terms, params, (column,)), (column,))

    def _answer(self, terms: Terms, params: Params, fields: tuple[str, ...], rows_expected: bool) -> pl.DataFrame:
        """Ask a question once and check the whole of its answer."""
        frame = frame_of(terms, fields, self._rows(terms, params, fields))
        require_answer(terms, params, frame, rows_expected)
        return frame

    def _rows(self, terms: Terms, params: Params, fields: tuple[str, ...]) -> Rows:
        """Return all rows, by pages, or by halves of the days asked where there are no pages."""
        if terms.pages:
            return self._paged(terms, params, fields)
        page = self._call(terms, params, fields)
        if not page.has_more and len(page.items) < terms.cap:
            return page.items
        return [row for half in _halves(terms, params) for row in self._rows(terms, half, fields)]

    def _paged(self, terms: Terms, params: Params, fields: tuple[str, ...]) -> Rows:
        """Return all pages as one; each begins with the last rows of the one before."""
        rows: Rows = []
        overlap = min(_OVERLAP, terms.cap // 2)
        for _ in range(_MOST_PAGES):
            offset = max(0, len(rows) - overlap)
            page = self._call(terms, {**params, "limit": terms.cap, "offset": offset}, fields)
            known = len(rows) - offset
            if page.items[:known] != rows[offset:]:
                raise repeated_page(terms, params, offset)
            rows += page.items[known:]
            if not _may_be_cut(page, terms.cap):
                return rows
            if len(page.items) == known and known:
                if page.has_more:
                    raise repeated_page(terms, params, offset)
                return rows
        raise malformed(terms.name, f"the answer to {shown(params)} has no end")

    def _call(self, terms: Terms, params: Params, fields: tuple[str, ...]) -> Page:
        """Make one call, again where its failure may pass, and return its columns in the order asked."""
        return self._again(terms.name, VendorError, lambda: _ordered(terms, self._post(terms, params, fields), fields))

    def _again(self, api_name: str, kind: type[VendorError], action: Callable[[], _T]) -> _T:
        """Run an action until it succeeds or a failure counts as lasting; other kinds of error are raised at once."""
        from tenacity import Retrying, retry_if_exception

        def passing(error: BaseException) -> bool:
            return isinstance(error, kind) and not (isinstance(error, RateLimited) and error.wait > self._longest_wait)

        failures: Counter[type[VendorError]] = Counter()

        def enough(state: RetryCallState) -> bool:
            sort = next((sort for sort in type(_failure(state)).__mro__ if sort in _ATTEMPTS), VendorError)
            failures[sort] += 1
            return failures[sort] >= _ATTEMPTS.get(sort, 1)

        return Retrying(
            retry=retry_if_exception(passing),
            stop=enough,
            wait=_pause,
            sleep=self._sleep,
            before_sleep=lambda state: self._tell(api_name, state),
            reraise=True,
        )(action)

    def _tell(self, api_name: str, state: RetryCallState) -> None:
        """Hold the endpoint back for all threads after a rate limit, and tell who wants to know."""
        error = _failure(state)
        seconds = _pause(state)
        if isinstance(error, RateLimited):
            seconds = error.wait
            self._pace.hold(api_name, error.wait)
            if error.calls:
                self._pace.limit(api_name, error.calls * 60 / error.period * self._share)
        self._on_wait(api_name, seconds, error)

    def _post(self, terms: Terms, params: Params, fields: tuple[str, ...]) -> Page:
        """Post one question and read the reply."""
        self._pace.wait(terms.name)
        status, body = self._exchange(terms.name, params, fields)
        page = read_reply(terms.name, status, body, lambda text: scrub(text, self._token))
        if self._token.get_secret_value().encode() in body:
            raise malformed(terms.name, "it repeats the token")
        return page

    def _exchange(self, api_name: str, params: Params, fields: tuple[str, ...]) -> tuple[int, bytes]:
        """Return status and body of a reply; the library's errors, which hold the question, are left behind."""
        import requests
        from urllib3.exceptions import HTTPError

        question = {"api_name": api_name, "token": self._token.get_secret_value(), "params": dict(params)}
        try:
            with self._session.post(
                self._base_url,
                data=json.dumps({**question, "fields": ",".join(fields)}).encode(),
                headers={"Content-Type": "application/json"},
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as reply:
                return reply.status_code, b"".join(self._chunks(api_name, reply))
        except (requests.RequestException, HTTPError, OSError) as error:
            problem = type(error).__name__
        raise Transient(
            f"{api_name} was not answered",
            f"{_server(self._base_url)} could not be reached ({problem})",
            "Check the network and the setting tushare.base_url, then run it again.",
            api_name,
        )

    def _chunks(self, api_name: str, reply: requests.Response) -> Iterator[bytes]:
        """Yield the body; one that never ends is given up."""
        size, started = 0, time.monotonic()
        for chunk in reply.iter_content(2**20):
            size += len(chunk)
            if size > _MOST_BYTES:
                raise malformed(api_name, f"it is longer than {_MOST_BYTES >> 20} MiB")
            if time.monotonic() - started > _SLOWEST * self._timeout:
                raise TimeoutError
            yield chunk


def server_time(base_url: str, seconds: float) -> dt.datetime | None:
    """Return the time by a server's own clock, with its zone; None where it does not tell it in time.

    Parameters
    ----------
    base_url : str
        Where questions are posted; this one says nothing of the account.
    seconds : float
        To wait for a connection, and for the answer.
    """
    import requests

    try:
        with _session(base_url) as session, session.head(base_url, timeout=seconds, allow_redirects=False) as reply:
            return parsedate_to_datetime(reply.headers.get("Date", "")).astimezone(dt.UTC)
    except (requests.RequestException, OSError, ValueError):
        return None


def open_to_all(base_url: str) -> bool:
    """Say whether everyone on the way to an address can read what is sent there."""
    parts = urlsplit(base_url)
    return parts.scheme == "http" and parts.hostname not in HERE


HERE = ("127.0.0.1", "localhost", "::1")


def _session(base_url: str) -> requests.Session:
    """Return a session; what is asked of this machine itself goes through no proxy."""
    import requests

    session = requests.Session()
    session.trust_env = urlsplit(base_url).hostname not in HERE
    return session


def _server(base_url: str) -> str:
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _failure(state: RetryCallState) -> VendorError:
    """Return the error of the attempt just made."""
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, VendorError)
    return error


def _pause(state: RetryCallState) -> float:
    """Return the seconds before the next attempt; after a rate limit the endpoint is held back instead."""
    if isinstance(_failure(state), RateLimited):
        return 0.0
    return float(min(_SHORTEST * math.pow(2, state.attempt_number - 1), _LONGEST))


def _ordered(terms: Terms, page: Page, fields: tuple[str, ...]) -> Page:
    """Return a page with the columns asked, by name."""
    missing = [name for name in fields if name not in page.fields]
    if missing:
        raise malformed(terms.name, f"the column {missing[0]} is missing")
    if page.fields == fields:
        return page
    at = [page.fields.index(name) for name in fields]
    return Page(fields, [[row[i] for i in at] for row in page.items], page.has_more)


def _may_be_cut(page: Page, cap: int) -> bool:
    """Say whether rows may be missing: more are announced, or there are as many as a cap, known or not, would leave."""
    rows = len(page.items)
    return page.has_more or rows >= cap or (rows > 0 and rows % _ROUND == 0)


def _halves(terms: Terms, params: Params) -> list[Params]:
    """Return two questions that are one, newest first; a question of one day has no halves."""
    first, last = None, None
    with contextlib.suppress(KeyError, ValueError):
        first, last = (dt.datetime.strptime(str(params[name]), "%Y%m%d").date() for name in ("start_date", "end_date"))  # noqa: DTZ007
    if first is None or last is None or first >= last:
        raise Truncated(
            f"{terms.name} gave only a part of {shown(params)}",
            f"a reply holds {terms.cap:,} rows at most, and this question cannot be divided",
            "Ask for less at once.",
            terms.name,
        )
    middle = first + (last - first) // 2
    later = {**params, "start_date": f"{middle + dt.timedelta(1):%Y%m%d}"}
    return [later, {**params, "end_date": f"{middle:%Y%m%d}"}]
