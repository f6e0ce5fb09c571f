"""What ``ashare doctor`` looks at in the lake and at the vendor's: freshness, token, what the token may ask."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bundles.endpoints import ENDPOINTS
from bundles.lake import Lake, Version
from bundles.status import ALWAYS
from bundles.tushare.caps import TERMS, Terms
from bundles.tushare.client import Client, open_to_all, server_time
from bundles.tushare.errors import BadToken, MissingRight, RateLimited, TooManyAddresses, Transient, VendorError
from bundles.tushare.tables import Params
from bundles.tushare.token import FILE, VARIABLES, read_token
from engine.cli.checkup import BEHIND, sessions_behind
from engine.cli.common import progress_bar
from engine.cli.findings import Check, Finding, Level, Patient

SILENT = 31
"""Days without news of a table that has no session of its own, while the bars go on."""
APART = dt.timedelta(minutes=2)
"""How far the clock and the vendor's may differ."""
TIMEOUT = 5.0
"""Seconds for an answer of the vendor."""
TOGETHER = 6
"""Questions under way at once."""


# --- lake -------------------------------------------------------------------------------------------------------


def lake(patient: Patient) -> Iterator[Finding]:
    """Say what the lake holds, whether the bundle was built from it, and how fresh each endpoint is."""
    lake = Lake(patient.settings.lake)
    version = lake.version()
    if not version.number:
        said = patient.say("the lake {root} is empty", root=lake.root)
        remedy = patient.say("ashare data sync --build with a token, or ashare data import FOLDER")
        yield Finding("lake", Level.WARNING, said, remedy)
        return
    label = f" ({version.label})" if version.label else ""
    said = patient.say("version {number}, data id {id}", number=version.number, id=version.data_id) + label
    stale = _not_built(version)
    yield Finding("lake", Level.WARNING if stale else Level.OK, said + (f": {patient.say(stale)}" if stale else ""),
                  "ashare data build" if stale else "")  # fmt: skip
    newest = max((_came(version, name) for name in version.parts), default=dt.date.min)
    for name in version.parts:
        yield _fresh(patient, version, name, newest)


def _not_built(version: Version) -> str:
    """Return why the bundle is not of these data; empty where it is, or where there is none."""
    from engine.files import read_json
    from engine.panels.places import DEFAULT, bundle_root, ingestions
    from engine.panels.store import SUBFOLDER

    found = ingestions(bundle_root(DEFAULT))
    if not found:
        return ""
    built = read_json(found[-1][1] / SUBFOLDER / "manifest.json")["data_id"]
    return "" if str(built).startswith(version.data_id) else "the bundle was built from other data"


def _fresh(patient: Patient, version: Version, name: str, newest: dt.date) -> Finding:
    """Say how fresh an endpoint is: by its last session, or where it has none by the day it last came or was asked."""
    check, last, came = f"lake {name}", _last_session(version, name), _came(version, name)
    if name in ALWAYS and last is not None:
        behind = sessions_behind(patient, last)
        said = patient.say("to {last}, {behind} sessions behind, came {came}", last=last, behind=behind, came=came)
        late = behind > BEHIND
    else:
        said = patient.say("came or asked until {came}", came=came)
        late = (newest - came).days > SILENT
    return Finding(check, Level.WARNING if late else Level.OK, said, "ashare data sync --build" if late else "")


def _last_session(version: Version, name: str) -> dt.date | None:
    return max((part.span[1] for part in version.parts.get(name, ()) if part.span), default=None)


def _came(version: Version, name: str) -> dt.date:
    """Return the last day an endpoint is known to have been looked at."""
    days = [part.fetched_at for part in version.parts.get(name, ())]
    return max([*days, *((version.covered[name][1],) if name in version.covered else ())], default=dt.date.min)


# --- token and vendor -------------------------------------------------------------------------------------------


def token(patient: Patient) -> Iterator[Finding]:
    """Say whether there is a token, and where it comes from; never which."""
    home = patient.settings.home
    variable = next((name for name in VARIABLES if os.environ.get(name, "").strip()), "")
    if not variable and not (home / FILE).exists():
        said = patient.say("there is no token: Tushare cannot be asked")
        yield Finding("token", Level.WARNING, said, patient.say("ashare init, or ASHARE_TUSHARE_TOKEN"))
        return
    read_token(home)
    yield Finding("token", Level.OK, patient.say("there is a token, in {place}", place=variable or home / FILE))


def rights(patient: Patient) -> Iterator[Finding]:
    """Ask one row of every endpoint: what the vendor refuses, a sync would be refused too."""
    home = patient.settings.home
    if not any(os.environ.get(name, "").strip() for name in VARIABLES) and not (home / FILE).exists():
        return
    if open_to_all(patient.settings.tushare.base_url):
        said = patient.say("over plain http everyone on the way can read the token")
        yield Finding("rights", Level.WARNING, said, patient.say("Set tushare.base_url to an address with https."))
    quick = patient.settings.tushare.model_copy(update={"timeout": TIMEOUT})
    with (
        Client.from_settings(patient.settings.model_copy(update={"tushare": quick})) as client,
        progress_bar("asking", len(TERMS)) as advance,
    ):
        first, *others = TERMS.values()
        ask = partial(_answer, client, today=patient.now.date(), advance=advance)
        answer = ask(first)
        if isinstance(answer, BadToken | TooManyAddresses | Transient):
            yield Finding("rights", Level.PROBLEM, f"{answer.what}: {answer.why}", answer.mend)
            return
        with ThreadPoolExecutor(TOGETHER) as pool:
            answers = [answer, *pool.map(ask, others)]
    for terms, answered in zip([first, *others], answers, strict=True):
        yield _right(patient, terms, answered)


def vendors_clock(patient: Patient) -> Iterator[Finding]:
    """Hold the clock against the vendor's; one that does not tell the time is no finding, for ``rights`` asks too."""
    there = server_time(patient.settings.tushare.base_url, TIMEOUT)
    apart = dt.timedelta(0) if there is None else abs(there - patient.now)
    if apart > APART:
        said = patient.say(
            "the clock is {minutes:,.0f} minutes off the vendor's", minutes=apart / dt.timedelta(minutes=1)
        )
        yield Finding("vendor clock", Level.PROBLEM, said, patient.say("Set the clock right: timedatectl set-ntp true"))


def _answer(client: Client, terms: Terms, today: dt.date, advance: Callable[[], None]) -> VendorError | None:
    """Return why an endpoint does not answer; None where it does."""
    spec = ENDPOINTS.get(terms.belongs_to)
    try:
        client.probe(terms.name, question(terms, today), spec.key[0] if spec else "ts_code")
    except VendorError as error:
        return error
    finally:
        advance()
    return None


def question(terms: Terms, today: dt.date) -> Params:
    """Return the smallest question an endpoint answers."""
    lately = today - dt.timedelta(days=10)
    asked: Mapping[str, Callable[[], Params]] = {
        "trade_date": lambda: {"trade_date": f"{lately:%Y%m%d}"},
        "ts_code": lambda: {"ts_code": "000905.SH" if terms.name == "index_daily" else "000001.SZ"},
        "list_status": lambda: {"list_status": "P"},
        "period": lambda: {"end_date" if terms.name == "disclosure_date" else "period": f"{today.year - 1}1231"},
        "years": lambda: {"start_date": f"{lately:%Y%m%d}", "end_date": f"{today:%Y%m%d}"},
    }
    return {**asked[terms.asked](), **({"limit": 1} if terms.pages else {})}


def _right(patient: Patient, terms: Terms, answer: VendorError | None) -> Finding:
    """Say what an endpoint answered; a right the settings do not count on is no problem."""
    check = f"rights {terms.name}"
    points = patient.settings.tushare.points
    if answer is None and terms.points > points:
        said = patient.say("answers, and a sync leaves it out: the settings do not count on it")
        return Finding(
            check, Level.WARNING, said, patient.say("Set tushare.points in ashare.toml to what your account has.")
        )
    if answer is None:
        return Finding(check, Level.OK, patient.say("answers"))
    if isinstance(answer, RateLimited):
        said = patient.say("may be asked, but not more often just now")
        return Finding(check, Level.WARNING, said, answer.mend)
    if isinstance(answer, MissingRight):
        said = patient.say("may not be asked: it needs {points:,} points", points=terms.points)
        if terms.points > points:
            return Finding(check, Level.OK, said + patient.say(", and the settings do not count on it"))
        remedy = patient.say("Set tushare.points in ashare.toml to what your account has.")
        return Finding(check, Level.PROBLEM, said, remedy)
    return Finding(check, Level.PROBLEM, f"{answer.what}: {answer.why}", answer.mend)


CHECKS: Mapping[str, Check] = {"lake": lake, "token": token}
ONLINE: Mapping[str, Check] = {"vendor clock": vendors_clock, "rights": rights}
