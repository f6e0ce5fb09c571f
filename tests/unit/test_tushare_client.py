"""The client: what each reply means, how long it waits, how it pages, and that nobody ever sees the token."""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from bundles.demo.faults import KINDS, Fault
from bundles.demo.server import LocalTushare
from bundles.tushare.caps import TERMS, Terms
from bundles.tushare.client import Client
from bundles.tushare.errors import (
    BadQuestion,
    BadToken,
    Inconsistent,
    Malformed,
    MissingRight,
    NoRows,
    NoToken,
    RateLimited,
    Refused,
    TooManyAddresses,
    Transient,
    Truncated,
    VendorError,
)
from bundles.tushare.pace import Pace
from bundles.tushare.replies import of_message, read_reply
from bundles.tushare.tables import frame_of
from bundles.tushare.token import read_token, scrub
from engine import settings
from engine.errors import AshareError, SettingsError
from tests.vendor import DAILY, SMALL, TOKEN, Time, client_of, forty_stocks

DAY = {"trade_date": "20180306"}


def same(text: str) -> str:
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return forty_stocks(tmp_path_factory.mktemp("vendor") / "market")


@pytest.fixture
def server(folder):
    with LocalTushare(folder, TOKEN) as server:
        yield server


# --- what replies mean ------------------------------------------------------------------------------------------

MEANINGS = [
    (40101, "您的token不对，请确认。", BadToken, None),
    (40203, "抱歉，您每分钟最多访问该接口500次，权限的具体详情访问：…doc_id=108。", RateLimited, 60),
    (40203, "抱歉，您每小时最多访问该接口10次，权限的具体详情访问：…", RateLimited, 3600),
    (40203, "抱歉，您每天最多访问该接口8000次，权限的具体详情访问：…", RateLimited, math.inf),
    (40203, "抱歉，您访问接口(fina_audit)频率超限(400次/分钟)，具体频次详情：…doc_id=108。", RateLimited, 60),
    (-2002, "抱歉，您访问接口(fina_audit)频率超限(5次/天)，具体频次详情：…", RateLimited, math.inf),
    (-2002, "频率超限", RateLimited, 60),
    (40203, "抱歉，您没有接口访问权限，权限的具体详情访问：…", MissingRight, None),
    (2002, "抱歉，您没有接口(stk_limit)访问权限", MissingRight, None),
    (40203, "您的积分不足", MissingRight, None),
    (1, "您的IP数量超限，最大数量为2个！", TooManyAddresses, None),
    (-2001, "接口trade_cal不包含字段exchange_id", BadQuestion, None),
    (-2001, "", BadQuestion, None),
    (-1000, "系统内部错误", Transient, None),
    (-1000, "", Transient, None),
    (99, "新的消息", Refused, None),
]


@pytest.mark.parametrize(("code", "message", "kind", "wait"), MEANINGS)
def test_a_message_has_one_meaning(code, message, kind, wait):
    error = of_message("stk_limit", code, message, same)
    assert type(error) is kind
    assert error.endpoint == "stk_limit"
    assert error.exit_code == 3
    assert message in str(error)
    if wait is not None:
        assert error.wait == wait


def test_what_a_message_teaches():
    error = of_message("daily", 40203, "频率超限(400次/分钟)", same)
    assert (error.calls, error.period) == (400, 60)
    assert "2,000 points" in str(of_message("stk_limit", 40203, "没有接口访问权限", same))
    assert of_message("stock_st", 40203, "没有接口访问权限", same).points == 3000


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Transient) for status in (408, 500, 502, 503, 504)),
        (429, RateLimited),
        *((status, Refused) for status in (204, 301, 302, 307, 400, 401, 403, 404)),
    ],
)
def test_an_http_error_is_an_error(status, kind):
    with pytest.raises(kind):
        read_reply("daily", status, b'{"code": 0, "data": {"fields": ["a"], "items": []}}', same)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"1",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"code": 0}',
        b'{"code": 0, "data": null}',
        b'{"code": "0", "data": {"fields": ["a"], "items": []}}',
        b'{"code": false, "data": {"fields": ["a"], "items": []}}',
        b'{"code": 0, "data": []}',
        b'{"code": 0, "data": {"items": []}}',
        b'{"code": 0, "data": {"fields": ["a"]}}',
        b'{"code": 0, "data": {"fields": ["a", "a"], "items": []}}',
        b'{"code": 0, "data": {"fields": ["a", 1], "items": []}}',
        b'{"code": 0, "data": {"fields": ["a"], "items": [1]}}',
        b'{"code": 0, "data": {"fields": ["a"], "items": [[1, 2]]}}',
        b'{"code": 0, "data": {"fields": ["a"], "items": [[1], []]}}',
        b'{"code": 0, "data": {"fields": ["a"], "items": [[Infinity]]}}',
        b'{"code": 0, "data": {"fields": ["a"], "items": [[' + b"9" * 5000 + b"]]}}",
    ],
)
def test_what_is_no_table_is_malformed(body):
    with pytest.raises(Malformed) as error:
        read_reply("daily", 200, body, same)
    assert "\n" not in str(error.value)


def test_an_empty_table_is_an_answer():
    page = read_reply("daily", 200, b'{"code": 0, "msg": null, "data": {"fields": ["a"], "items": []}}', same)
    assert (page.fields, page.items, page.has_more) == (("a",), [], False)


@pytest.mark.parametrize("kind", [BadToken, RateLimited, MissingRight, NoRows, Truncated, VendorError])
def test_errors_cross_processes(kind):
    error = pickle.loads(pickle.dumps(kind("what", "why", "Mend.", "daily")))
    assert (type(error), error.endpoint, str(error)) == (kind, "daily", "what: why. Mend.")
    assert isinstance(error, AshareError)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=4)
)

NAMES = st.lists(st.text(max_size=2), max_size=3)


@hypothesis_settings(max_examples=300, deadline=None)
@given(
    st.binary()
    | st.fixed_dictionaries(
        {},
        optional={
            "code": st.sampled_from([0, 0, 0, 40203, -1000, "0", None]),
            "msg": JSON,
            "data": st.fixed_dictionaries({}, optional={"fields": NAMES | JSON, "items": JSON, "has_more": JSON}),
        },
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_comes_is_a_table_or_our_error(body):
    try:
        page = read_reply("daily", 200, body, same)
        frame = frame_of(TERMS["daily"], page.fields, page.items)
    except VendorError:
        return
    assert frame.columns == list(page.fields)


# --- frames -----------------------------------------------------------------------------------------------------


def frame(rows, columns=("x",), terms=TERMS["daily"]):
    return frame_of(terms, columns, rows)


def test_numbers_are_exact_and_text_is_text():
    rows = [["000001", 0.1 + 0.2, 2**62, None, "1"], ["600000", 1e22, -1, None, None]]
    got = frame(rows, ("code", "a", "b", "c", "d"))
    assert got.rows() == [("000001", 0.1 + 0.2, 2**62, None, "1"), ("600000", 1e22, -1, None, None)]
    assert got.dtypes == [pl.String, pl.Float64, pl.Int64, pl.Null, pl.String]


def test_columns_the_lake_knows_have_its_types():
    got = frame([[10, None, None], [10, None, None]], ("close", "open", "trade_date"))
    assert got.dtypes == [pl.Float64, pl.Float64, pl.String]
    assert frame([], ("close", "trade_date")).dtypes == [pl.Float64, pl.String]


@pytest.mark.parametrize(
    "cells",
    [["a", 1], [True], [1, False], [[1]], [{}], [2**63], [1.5, 2**53 + 1], [math.inf], ["\ud800"]],
)
def test_a_column_of_two_minds_is_malformed(cells):
    with pytest.raises(Malformed):
        frame([[cell] for cell in cells])


# --- waits ------------------------------------------------------------------------------------------------------


def test_calls_keep_below_the_quota(server):
    time = Time()
    client = client_of(server, time, calls_per_minute=10, quota_share=0.65)
    for _ in range(13):
        client.fetch("daily", DAY, DAILY)
    assert client.calls == 13
    assert 120 <= sum(time.slept) < 121  # six at once, six a minute later, the last after another


def test_threads_share_one_pace(server):
    time = Time()
    client = client_of(server, time, calls_per_minute=20, quota_share=0.5)
    with ThreadPoolExecutor(4) as pool:
        frames = list(pool.map(lambda _: client.fetch("daily", DAY, DAILY), range(25)))
    assert all(one.equals(frames[0]) for one in frames)
    assert time.now - 1000 >= 120


def test_endpoints_have_their_own_pace():
    time = Time()
    pace = Pace(time.clock, time.sleep)
    for name in ("a", "b"):
        pace.limit(name, 1)
        pace.wait(name)
    assert time.slept == []
    pace.limit("a", 100)  # a looser limit does not count
    assert pace.allowed("a") == 1
    pace.hold("b", 90)
    pace.wait("a")
    assert time.slept == [pytest.approx(60, abs=0.01)]


def test_a_rate_limit_is_waited_out_and_learnt(server):
    told, time = [], Time()
    server.plant(Fault("rate_limit", seed=0, at=0))
    client = client_of(server, time, calls_per_minute=1000, on_wait=lambda *what: told.append(what))
    assert client.fetch("daily", DAY, DAILY).height == 40
    assert 60 <= sum(time.slept) < 61
    [(name, seconds, error)] = told
    assert (name, seconds, type(error)) == ("daily", 60, RateLimited)
    assert client._pace.allowed("daily") == int(error.calls * 0.65)
    assert client._pace.allowed("adj_factor") == 650


def test_a_rate_that_never_ends_is_raised(server):
    time = Time()
    server.plant(Fault("rate_limit", lasting=True))
    with pytest.raises(RateLimited):
        client_of(server, time).fetch("daily", DAY, DAILY)
    assert len(server.asked) == 5
    assert 240 <= sum(time.slept) < 241


@pytest.mark.parametrize("text", ["每天最多访问该接口8000次", "每小时最多访问该接口10次"])
def test_a_long_wait_stops_at_once(canned, text):
    time = Time()
    canned.bodies = [{"code": 40203, "msg": text, "data": None}]
    with pytest.raises(RateLimited):
        canned.client(time).fetch("daily", DAY, ["close"])
    assert (canned.asked, time.slept) == (1, [])


@pytest.mark.parametrize(
    ("fault", "kind", "calls", "slept"),
    [("http_5xx", Transient, 5, 30), ("broken_json", Malformed, 3, 6), ("missing_right", MissingRight, 2, 2)],
)
def test_repetitions_are_bounded(server, fault, kind, calls, slept):
    time = Time()
    server.plant(Fault(fault, lasting=True))
    with pytest.raises(kind):
        client_of(server, time).fetch("daily", DAY, DAILY)
    assert (len(server.asked), sum(time.slept)) == (calls, slept)


def test_a_bad_token_is_asked_once(server):
    time = Time()
    client = Client(SecretStr("another-token"), server.url, clock=time.clock, sleep=time.sleep)
    with pytest.raises(BadToken):
        client.fetch("daily", DAY, DAILY)
    assert (client.calls, time.slept) == (1, [])


def test_nobody_there():
    client = Client(SecretStr(TOKEN), "http://127.0.0.1:9", sleep=lambda _: None)
    with pytest.raises(Transient, match=r"http://127.0.0.1:9 could not be reached"):
        client.fetch("daily", DAY, DAILY)


# --- paging, caps -----------------------------------------------------------------------------------------------


class Canned:
    """Answers with what a test says, by offset if that is a function."""

    def __init__(self, monkeypatch):
        self.bodies, self.asked, self.status = [], 0, 200
        monkeypatch.setattr(Client, "_exchange", self.exchange)

    def exchange(self, _, params, fields):
        self.asked += 1
        body = self.bodies(params) if callable(self.bodies) else self.bodies[min(self.asked, len(self.bodies)) - 1]
        return self.status, body if isinstance(body, bytes) else json.dumps(body).encode()

    def client(self, time=None, **more):
        time = time or Time()
        return Client(SecretStr(TOKEN), clock=time.clock, sleep=time.sleep, **more)


@pytest.fixture
def canned(monkeypatch):
    return Canned(monkeypatch)


def table(rows, columns=("ts_code", "trade_date", "close"), has_more=False):
    return {"code": 0, "msg": "", "data": {"fields": list(columns), "items": rows, "has_more": has_more}}


def stocks(count):
    return [[f"{600000 + n}.SH", "20180306", 10.0 + n] for n in range(count)]


COLUMNS = ("ts_code", "trade_date", "close")


@pytest.mark.parametrize("count", [0, 1, 29, 30, 31, 50, 51, 99, 100, 101, 200, 345])
def test_all_pages_come_once_each_in_order(canned, count):
    rows = stocks(count)
    terms = {"daily": replace(TERMS["daily"], cap=30)}
    canned.bodies = lambda p: table(rows[p["offset"] :][: p["limit"]], has_more=len(rows) > p["offset"] + p["limit"])
    got = canned.client(terms=terms).fetch("daily", DAY, COLUMNS)
    assert got.rows() == [tuple(row) for row in rows]


@pytest.mark.parametrize("cap", [1, 2, 3, 10, 40, 100])
@pytest.mark.parametrize("said", [True, False])
def test_a_lower_cap_than_we_know_is_found(canned, cap, said):
    """A server that cuts at a round number without a word, or at any number with one."""
    rows = stocks(250)
    hundred = cap * 100
    length = cap if said else hundred
    canned.bodies = lambda p: table(rows[p["offset"] :][:length], has_more=said and len(rows) > p["offset"] + length)
    try:
        got = canned.client().fetch("daily", DAY, COLUMNS)
    except Inconsistent:
        assert length <= 20  # too short to join pages
    else:
        assert got.rows() == [tuple(row) for row in rows]


@pytest.mark.parametrize("offset", ["ignored", "late", "early"])
def test_pages_that_do_not_join_are_refused(canned, offset):
    rows = stocks(75)
    terms = {"daily": replace(TERMS["daily"], cap=30)}
    shift = {"ignored": lambda at: 0, "late": lambda at: at + 3 if at else 0, "early": lambda at: max(0, at - 3)}
    canned.bodies = lambda p: table(rows[shift[offset](p["offset"]) :][:30])
    with pytest.raises(Inconsistent, match="do not join"):
        canned.client(terms=terms).fetch("daily", DAY, COLUMNS)


def test_an_answer_without_end_is_given_up(canned, monkeypatch):
    monkeypatch.setattr("bundles.tushare.client._MOST_PAGES", 5)
    canned.bodies = lambda p: table([[f"{n:06d}.SH", "20180306", 1.0] for n in range(p["offset"], p["offset"] + 6000)])
    with pytest.raises(Malformed, match="no end"):
        canned.client().fetch("daily", DAY, COLUMNS)


def whole(cap=10):
    return {"daily": Terms("daily", cap, "trade_date", pages=False)}


def test_without_pages_the_days_are_halved(canned):
    def answer(params):
        first, last = int(params["start_date"]), int(params["end_date"])
        rows = [[f"60000{n}.SH", str(day), 1.0] for day in range(last, first - 1, -1) for n in range(3)]
        return table(rows[:10])

    canned.bodies = answer
    got = canned.client(terms=whole()).fetch("daily", {"start_date": "20180301", "end_date": "20180309"}, COLUMNS)
    assert got.height == 27
    assert got["trade_date"].is_sorted(descending=True)


@pytest.mark.parametrize("params", [DAY, {"start_date": "20180306", "end_date": "20180306"}, {"start_date": "x"}])
def test_a_cut_reply_that_cannot_be_divided_is_raised(canned, params):
    canned.bodies = lambda _: table(stocks(10))
    with pytest.raises(Truncated):
        canned.client(terms=whole()).fetch("daily", params, COLUMNS)


def test_what_was_not_asked_cannot_be_an_answer(canned):
    for body, word in [
        (table([["600000.SH", "20180305", 1.0]]), "trade_date 20180305"),
        (table([["600000.SH", "20180306", 1.0], ["600000.SH", "20180306", 2.0]]), "share their key"),
        (table([["600000.SH", None, 1.0]]), "no trade_date"),
    ]:
        canned.asked, canned.bodies = 0, [body]
        with pytest.raises(Inconsistent, match=word):
            canned.client().fetch("daily", DAY, COLUMNS)
        assert canned.asked == 3  # it was asked again, whole
    canned.bodies = [table([["600000.SH", "20180301", 1.0]])]
    with pytest.raises(Inconsistent, match="trade_date 20180301"):
        canned.client().fetch("daily", {"start_date": "20180302"}, COLUMNS)


def test_the_vendors_own_repetitions_pass(canned):
    canned.bodies = [table([["600000.SH", "20171231"], ["600000.SH", "20171231"]], ("ts_code", "end_date"))]
    got = canned.client().fetch("dividend", {"ts_code": "600000.SH"}, ["ts_code", "end_date"])
    assert got.height == 2


def test_columns_are_put_by_name_and_missing_ones_noticed(canned):
    canned.bodies = [table([["x", 1.0, "600000.SH"]], ("more", "close", "ts_code"))]
    client = canned.client()
    assert client.fetch("daily", {}, ["ts_code", "close"]).rows() == [("600000.SH", 1.0)]
    with pytest.raises(Malformed, match="the column open is missing"):
        client.fetch("daily", {}, ["ts_code", "open"])


def test_rows_that_must_be_there(canned):
    canned.bodies = [table([]), table(stocks(1))]
    assert canned.client().fetch("daily", DAY, COLUMNS, rows_expected=True).height == 1
    canned.bodies = [table([])]
    with pytest.raises(NoRows):
        canned.client().fetch("daily", DAY, COLUMNS, rows_expected=True)
    empty = canned.client().fetch("daily", DAY, COLUMNS)
    assert (empty.height, empty.columns) == (0, list(COLUMNS))


@pytest.mark.parametrize(("name", "fields"), [("nonsense", ["a"]), ("daily", [])])
def test_a_question_we_cannot_ask(canned, name, fields):
    with pytest.raises(BadQuestion):
        canned.client().fetch(name, {}, fields)
    assert canned.asked == 0


def test_the_real_thing_over_http(server):
    client = client_of(server)
    got = client.fetch("income_vip", {"period": "20171231"}, ["ts_code", "revenue", "report_type"])
    assert got["revenue"].to_list() == [1e10 / 3 + n for n in range(40)]
    assert got["report_type"].to_list() == ["1"] * 40
    with pytest.raises(BadQuestion):
        client.fetch("daily", {}, ["nonsense"])


# --- the token --------------------------------------------------------------------------------------------------


def test_the_token_is_found_in_order(tmp_path):
    (tmp_path / "token").write_text("from-the-file\n")
    (tmp_path / "token").chmod(0o600)
    assert read_token(tmp_path, {}).get_secret_value() == "from-the-file"
    assert read_token(tmp_path, {"TUSHARE_TOKEN": "second"}).get_secret_value() == "second"
    both = {"TUSHARE_TOKEN": "second", "ASHARE_TUSHARE_TOKEN": " first "}
    assert read_token(tmp_path, both).get_secret_value() == "first"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o601])
def test_an_open_file_is_refused_with_what_mends_it(tmp_path, mode):
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(mode)
    with pytest.raises(NoToken, match=f"chmod 600 {path}") as error:
        read_token(tmp_path, {})
    assert TOKEN not in str(error.value)
    assert error.value.exit_code == 2


def test_no_token_says_where_to_put_it(tmp_path):
    with pytest.raises(NoToken, match="ASHARE_TUSHARE_TOKEN"):
        read_token(tmp_path, {"TUSHARE_TOKEN": " "})
    (tmp_path / "token").mkdir(mode=0o700)
    with pytest.raises(NoToken, match="no file"):
        read_token(tmp_path, {})


@pytest.mark.parametrize("value", ["a b c d e", 'abc"def', "abc", "x" * 300, "令牌令牌令牌"])
def test_what_cannot_be_a_token_is_not_shown(tmp_path, value):
    with pytest.raises(NoToken) as error:
        read_token(tmp_path, {"TUSHARE_TOKEN": value})
    assert value not in str(error.value)
    (tmp_path / "token").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(NoToken):
        read_token(tmp_path, {})


def test_the_variable_is_no_setting_and_never_shown(home, monkeypatch):
    monkeypatch.setenv("ASHARE_TUSHARE_TOKEN", TOKEN)
    values = settings.load()
    client = Client.from_settings(values)
    assert TOKEN not in repr(values) + values.model_dump_json() + values.fingerprint("tushare") + repr(client)
    assert values.tushare.base_url.startswith("https://")
    assert values.tushare.quota_share == 0.65


@pytest.mark.parametrize(
    "toml",
    [
        '[tushare]\ntoken = "{}"',
        'tushare = "{}"',
        'token = "{}"',
        '[data]\ntoken = "{}"',
        '[tushare]\nbase_url = "http://x/?token={}"',
        '[tushare]\ntimeout = "{}"',
    ],
)
def test_a_token_among_the_settings_is_refused_unshown(home, toml):
    home.mkdir()
    (home / "ashare.toml").write_text(toml.format(TOKEN))
    with pytest.raises(SettingsError) as error:
        settings.load()
    assert TOKEN not in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize("name", ["ASHARE_TUSHARE__TOKEN", "ASHARE_TUSHARE", "ASHARE_TUSHARE__TIMEOUT", "ASHARE_TOKEN"])
def test_a_token_in_a_wrong_variable_is_refused_unshown(home, monkeypatch, name):
    monkeypatch.setenv(name, TOKEN)
    with pytest.raises(SettingsError) as error:
        settings.load()
    assert TOKEN not in "".join(traceback.format_exception(error.value))


def everything_of(error: BaseException) -> str:
    """Return all one could see of an exception: text, traceback, attributes, what it is chained to."""
    seen, todo = [], [error]
    while todo:
        one = todo.pop()
        seen += [str(one), repr(one), repr(one.__dict__), repr(one.args), *traceback.format_exception(one)]
        todo += [link for link in (one.__cause__, one.__context__) if link is not None]
    return "\n".join(seen) + repr(pickle.dumps(error))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_the_canary_is_never_seen(folder, kind, seed, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with LocalTushare(folder, TOKEN, faults=[Fault(kind, seed, lasting=True)], terms=SMALL, hang=0.3) as server:
        client = client_of(server, timeout=0.1)
        try:
            client.fetch("daily", DAY, DAILY, rows_expected=True)
            seen = ""
        except VendorError as error:
            seen = everything_of(error)
    out = capfd.readouterr()
    assert TOKEN not in seen + repr(client) + caplog.text + out.out + out.err


@pytest.mark.parametrize(("code", "message", "kind", "wait"), MEANINGS)
def test_a_vendor_that_repeats_the_canary(canned, code, message, kind, wait):
    canned.bodies = [{"code": code, "msg": f"{TOKEN} {message} {TOKEN}", "data": None}]
    with pytest.raises(kind) as error:
        canned.client().fetch("daily", DAY, ["close"])
    assert TOKEN not in everything_of(error.value)


def test_a_table_that_holds_the_canary_is_refused(canned):
    canned.bodies = [table([[TOKEN, "20180306", 1.0]])]
    with pytest.raises(Malformed, match="repeats the token") as error:
        canned.client().fetch("daily", DAY, COLUMNS)
    assert TOKEN not in everything_of(error.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "http://nowhere.invalid", "https://127.0.0.1:9/x", "http://[::1]:9"]
)
def test_the_canary_and_an_unreachable_server(url):
    client = Client(SecretStr(TOKEN), url, timeout=0.2, sleep=lambda _: None)
    with pytest.raises(Transient) as error:
        client.fetch("daily", DAY, DAILY)
    assert TOKEN not in everything_of(error.value)


def test_a_text_is_shown_in_one_line():
    assert scrub(f"a\n{TOKEN}\x00\ud800 b", SecretStr(TOKEN)) == "a ********** b"


def test_a_redirection_gets_no_token(canned):
    canned.status, canned.bodies = 302, [b""]
    with pytest.raises(Refused, match="redirection"):
        canned.client().fetch("daily", DAY, DAILY)


def test_the_environment_is_not_changed(server):
    before = dict(os.environ)
    client_of(server).fetch("daily", DAY, DAILY)
    assert dict(os.environ) == before
