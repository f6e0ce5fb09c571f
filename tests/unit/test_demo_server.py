"""The local Tushare keeps the vendor's manners, seen without our client: plain requests, the official client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import requests

from bundles.demo.faults import KINDS, Fault
from bundles.demo.server import LocalTushare
from bundles.tushare.caps import TERMS
from tests.vendor import DAILY, SMALL, TOKEN, Time, forty_stocks


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return forty_stocks(tmp_path_factory.mktemp("vendor") / "market")


@pytest.fixture
def server(folder):
    with LocalTushare(folder, TOKEN) as server:
        yield server


def ask(server, api_name, params=None, fields="", token=TOKEN):
    question = {"api_name": api_name, "token": token, "params": params or {}, "fields": fields}
    return requests.post(server.url, json=question, timeout=5).json()


def test_newest_first_with_the_visible_columns(server):
    data = ask(server, "daily")["data"]
    assert set(data["fields"]) == set(DAILY)
    days = [row[data["fields"].index("trade_date")] for row in data["items"]]
    assert days == sorted(days, reverse=True)
    assert len(days) == 160
    assert data["has_more"] is False


def test_only_listed_stocks_unless_told_otherwise(server):
    data = ask(server, "stock_basic")["data"]
    assert len(data["items"]) == 40
    assert not {"list_status", "delist_date"} & set(data["fields"])
    gone = ask(server, "stock_basic", {"list_status": "D"}, "ts_code,delist_date")["data"]
    assert gone["items"] == [["600999.SH", "20180101"]]


def test_columns_asked_by_name_come_in_their_order(server):
    data = ask(server, "daily", {"trade_date": "20180306", "ts_code": "600003.SH"}, "close,ts_code")["data"]
    assert (data["fields"], data["items"]) == (["close", "ts_code"], [[10.1, "600003.SH"]])


@pytest.mark.parametrize(
    ("api", "params", "rows"),
    [
        ("daily", {"start_date": "20180306", "end_date": "20180307"}, 80),
        ("daily", {"ts_code": "600001.SH,600002.SH"}, 8),
        ("income_vip", {"period": "20171231"}, 40),
        ("income_vip", {"start_date": "20180307"}, 0),
        ("trade_cal", {"exchange": "SSE"}, 0),
        ("stock_st", {"trade_date": "20180306"}, 0),  # the folder has none
        ("daily", {"limit": 7, "offset": 158}, 2),
    ],
)
def test_parameters_choose_rows(server, api, params, rows):
    reply = ask(server, api, params)
    assert reply["code"] == 0
    assert len(reply["data"]["items"]) == rows
    assert reply["data"]["fields"]


@pytest.mark.parametrize(
    ("api", "params", "fields", "token", "code", "word"),
    [
        ("daily", {}, "", "other", 40101, "token不对"),
        ("daily", {}, "nonsense", TOKEN, -2001, "接口daily不包含字段nonsense"),
        ("daily", {"nonsense": "1"}, "", TOKEN, -2001, "nonsense"),
        ("dailly", {}, "", TOKEN, -2001, "接口名"),
        ("income", {}, "", TOKEN, -2001, "必填参数"),
        ("daily", {"limit": "x"}, "", TOKEN, -2001, "limit"),
    ],
)
def test_refusals_are_in_the_vendors_words(server, api, params, fields, token, code, word):
    reply = ask(server, api, params, fields, token)
    assert reply["code"] == code
    assert word in reply["msg"]
    assert reply["data"] is None


def test_points_rates_and_caps(folder):
    time = Time()
    terms = {**SMALL, "stock_basic": replace(TERMS["stock_basic"], calls_per_minute=1)}
    with LocalTushare(folder, TOKEN, points=2000, calls_per_minute=2, terms=terms, clock=time.clock) as server:
        assert "权限" in ask(server, "income_vip", {"period": "20171231"})["msg"]
        page = ask(server, "daily", {"trade_date": "20180306"})["data"]
        assert (len(page["items"]), page["has_more"]) == (30, True)
        assert len(ask(server, "daily", {"trade_date": "20180306", "offset": 30})["data"]["items"]) == 10
        assert "每分钟最多访问该接口2次" in ask(server, "daily")["msg"]
        assert ask(server, "stock_basic")["code"] == 0  # each endpoint has its own count
        assert "每分钟最多访问该接口1次" in ask(server, "stock_basic")["msg"]
        time.sleep(60)
        assert ask(server, "daily")["code"] == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b"[" * 50_000, b'{"api_name": ["daily"]}', b"null"])
def test_what_is_no_question_is_refused(server, body):
    assert requests.post(server.url, data=body, timeout=5).json()["code"] in (-1000, 40101)


def test_the_official_client_can_read_it(server, monkeypatch):
    import tushare

    pro = tushare.pro_api(TOKEN)
    monkeypatch.setattr(pro, "_DataApi__http_url", f"{server.url}/dataapi")
    frame = pro.daily(trade_date="20180306")
    assert len(frame) == 40
    with pytest.raises(Exception, match="不包含字段"):
        pro.daily(fields="nonsense")


def test_numbers_keep_every_digit(server):
    data = ask(server, "income_vip", {"period": "20171231", "ts_code": "600001.SH"}, "revenue,report_type")["data"]
    assert data["items"] == [[1e10 / 3 + 1, "1"]]


# --- faults -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lasting", [False, True])
def test_a_fault_begins_at_its_call(folder, lasting):
    with LocalTushare(folder, TOKEN, faults=[Fault("empty_day", at=1, lasting=lasting, api="daily")]) as server:
        ask(server, "stock_basic")
        rows = [len(ask(server, "daily", {"trade_date": "20180306"})["data"]["items"]) for _ in range(4)]
    assert rows == ([40, 0, 0, 0] if lasting else [40, 0, 40, 40])


def cells(rows):
    return [sorted(map(str, row)) for row in rows]


CHANGES = {
    "missing_stocks": ("daily", lambda old, new: len(new) < len(old) and all(row in old for row in new)),
    "unit_flip": ("daily", lambda old, new: {a[0] for a in old} == {b[0] for b in new} and old != new),
    "stale_day": ("daily", lambda old, new: old != new and [r[:2] for r in old] == [r[:2] for r in new]),
    "restatement": ("daily", lambda old, new: 0 < sum(a != b for a, b in zip(old, new, strict=True)) <= 4),
    "late_adj_factor": ("adj_factor", lambda old, new: old != new and len(new) <= len(old)),
    "code_change": ("daily", lambda old, new: len({a[0] for a in old} ^ {b[0] for b in new}) == 2),
    "wrong_ann_date": ("income_vip", lambda old, new: old != new and len(old) == len(new)),
    "nulls": ("daily", lambda old, new: old != new and any(None in row for row in new)),
    "duplicates": ("daily", lambda old, new: len(new) > len(old)),
    "shuffled_columns": ("daily", lambda old, new: cells(old) == cells(new)),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", CHANGES)
def test_a_fault_of_the_content_is_what_it_says(folder, kind, seed):
    api, changed = CHANGES[kind]
    params = {"period": "20171231"} if api == "income_vip" else {"trade_date": "20180306"}
    with LocalTushare(folder, TOKEN) as server:
        old = ask(server, api, params)["data"]["items"]
        server.plant(Fault(kind, seed))
        new = ask(server, api, params)["data"]["items"]
        server.plant(Fault(kind, seed))
        assert ask(server, api, params)["data"]["items"] == new  # a seed says it all
    assert changed(old, new)


def test_every_kind_of_the_promise_is_there():
    assert len(KINDS) == len(set(KINDS)) == 18


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timeout", Fault("timeout")),
        ("nulls:7", Fault("nulls", 7)),
        ("nulls:7:2:lasting:daily", Fault("nulls", 7, 2, True, "daily")),
        ("nonsense", None),
        ("nulls:x", None),
        ("nulls:1:2:forever", None),
        ("nulls:1:2:lasting:daily:more", None),
    ],
)
def test_a_fault_is_read_from_a_word(text, expected):
    if expected:
        assert Fault.parse(text) == expected
    else:
        with pytest.raises(ValueError, match=r".+"):
            Fault.parse(text)


# --- the command ------------------------------------------------------------------------------------------------

COMMAND = "import sys; from bundles.demo.cli import demo_server; demo_server(sys.argv[1:])"


def test_the_command_serves_until_ctrl_c(folder):
    words = [sys.executable, "-c", COMMAND, "--folder", str(folder), "--token", TOKEN]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    try:
        line = process.stdout.readline()
        url = line.split(" at ")[1].split()[0]
        question = {"api_name": "daily", "token": TOKEN, "params": {"trade_date": "20180306"}, "fields": "ts_code"}
        assert len(requests.post(url, data=json.dumps(question), timeout=5).json()["data"]["items"]) == 40
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, rest, errors) == (0, "stopped\n", "")
    assert TOKEN not in line


@pytest.mark.parametrize(("option", "word"), [("--fault=nonsense", "no kind of fault"), ("--port=0", "")])
def test_the_command_refuses_in_one_line(folder, option, word):
    from click.testing import CliRunner

    from bundles.demo.cli import demo_server

    if not word:
        with LocalTushare(folder, TOKEN) as taken:
            done = CliRunner().invoke(demo_server, ["--folder", str(folder), f"--port={taken.port}"])
        word = "cannot be used"
    else:
        done = CliRunner().invoke(demo_server, ["--folder", str(folder), option])
    assert done.exit_code == 2
    assert word in done.output
