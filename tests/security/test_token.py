"""The token is found nowhere: not in what commands say, not in what they write, whatever happens to them."""

from __future__ import annotations

import base64
import copy
import datetime as dt
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import polars as pl
import pytest
from pydantic import SecretStr

from bundles.demo.server import LocalTushare
from bundles.tushare import client as client_module
from bundles.tushare.client import Client
from engine import calendar, clock, settings
from engine.cli.main import ashare, main
from engine.errors import AshareError
from tests.vendor import FREE, TOKEN, Time, a_quarter

NOW = dt.datetime(2018, 4, 27, 20, tzinfo=clock.SHANGHAI)
FORMS = (TOKEN[:16], TOKEN[-16:], base64.b64encode(TOKEN.encode()).decode()[:20], TOKEN.encode().hex()[:32])
"""Parts of the token, and other ways to write it."""
SCRIPT = """
from zipline.api import order, sid
def initialize(context): context.done = False
def handle_data(context, data):
    if not context.done:
        order(sid(0), 100)
        context.done = True
"""
LINES = {
    "init": "init --yes",
    "doctor": "doctor --online",
    "completion": "completion bash",
    "data findings": "data findings --online",
    "data import": "data import {market}",
    "data sync": "data sync",
    "data build": "data build",
    "data status": "data status",
    "data verify": "data verify --json",
    "data quarantine": "data quarantine --json",
    "data perturb": "data perturb other --after 2018-04-02 --kind scaled",
    "factor export": "factor export --from 2018-04-02 --to 2018-04-20 --out factors.parquet",
    "factor ic": "factor ic --from 2018-03-12 --to 2018-04-20 --horizons 1,5 --out ic.parquet",
    "train": "train --start 2018-04 --end 2018-04 --jobs 1",
    "models list": "models list",
    "backtest": "backtest mine.py -s 2018-03-05 -e 2018-04-20",
    "models show": "models show 2018-04-12345678",
    "models promote": "models promote 2018-04-12345678",
    "models rollback": "models rollback 2018-04",
    "models export": "models export 2018-04-12345678 --out model.pt2",
    "models evaluate": "models evaluate --start 2018-04 --end 2018-04",
    "report": "report",
    "compare": "compare {run} {run}",
    "reproduce": "reproduce {run}",
    "why": "why 600000.SH 2018-04-02",
    "audit-design": "audit-design -s 2018-03-05 -e 2018-03-09 -f mine.py",
    "prove rules": "prove rules --out rules.csv",
    "prove lookahead": "prove lookahead --dates 2018-04-02 --kinds dropped --no-models",
    "prove warmup": "prove warmup --count 1",
    "prove parity": "prove parity --strategy mine.py --sessions 2",
    "rules": "rules 600000.SH 2018-04-02",
    "paper init": "paper init mine -f mine.py --first 2018-04-24",
    "paper run": "paper run mine --no-sync",
    "paper status": "paper status mine",
    "paper list": "paper list",
    "paper halt": "paper halt mine --why holiday",
    "paper resume": "paper resume mine",
    "paper check": "paper check mine",
    "paper serve": "",
    "paper tickets": "paper tickets mine",
    "paper fills": "paper fills mine --none",
    "messages list": "messages list",
    "messages test": "messages test",
    "demo": "",
    "demo-server": "",
}
"""How each command is tried; those without a line are tried as processes."""


TOO_SHORT = (
    *("train", "prove warmup", "models evaluate"),
    *("models show", "models promote", "models rollback", "models export"),
)
"""Commands that two months are too short for."""
REFUSED = ("paper fills", "doctor")
"""Commands that the account that is tried has no use for; and the doctor sees that its clock is years behind."""


def found_in(text: str) -> list[str]:
    """Return what of the token stands in a text."""
    return [form for form in FORMS if form.lower() in text.lower()]


def require_unseen(text: str, *folders: Path) -> int:
    """Complain about the token in a text, or in a name or the content of a file; return how many were looked at."""
    assert not found_in(text), text
    count = 0
    for path in (path for folder in folders for path in folder.rglob("*")):
        assert not found_in(str(path)), path
        if path.is_file() and not path.is_symlink():
            assert not found_in(_content(path)), path
            count += 1
    return count


def _content(path: Path) -> str:
    content = path.read_bytes().decode("latin-1")
    if path.suffix != ".parquet":
        return content
    frame = pl.read_parquet(path)
    return content + " ".join(map(str, frame.columns)) + frame.select(pl.selectors.string()).write_csv()


def command_names(command: click.Command, ctx: click.Context, before: str = "") -> Iterator[str]:
    """Yield the full name of every command below one."""
    if not isinstance(command, click.Group):
        yield before
        return
    for name in command.list_commands(ctx):
        below = command.get_command(ctx, name)
        assert below is not None
        yield from command_names(below, ctx, f"{before} {name}".strip())


def test_every_command_is_tried():
    assert set(command_names(ashare, click.Context(ashare))) == set(LINES)


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return a_quarter(tmp_path_factory.mktemp("vendor") / "market")


@pytest.fixture
def set_up(home, monkeypatch):
    """Let a home use the token; time stands still but for sleep."""
    time_ = Time()
    for name, value in {"clock": time_.clock, "sleep": time_.sleep, "terms": FREE}.items():
        monkeypatch.setitem(client_module.Client.__init__.__kwdefaults__, name, value)
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setenv("ASHARE_TUSHARE_TOKEN", TOKEN)
    monkeypatch.setenv("ASHARE_TUSHARE__ANSWERS", "1")
    monkeypatch.setenv("ASHARE_TUSHARE__START", "2018-03-01")
    monkeypatch.setenv("ASHARE_TUSHARE__TIMEOUT", "0.3")
    monkeypatch.setenv("ASHARE_TUSHARE__POINTS", "5000")
    monkeypatch.setenv("ASHARE_UNIVERSE__MINIMUM_SESSIONS", "1")
    monkeypatch.setenv("ASHARE_UNIVERSE__MINIMUM_TOTAL_MV", "0")
    yield
    calendar.refresh()


Say = Callable[[str], tuple[int, str]]


@pytest.fixture
def say(set_up, capfd, caplog) -> Say:
    """Return a function that runs a command line and returns its code and all it said, the traceback too."""

    def run(line: str) -> tuple[int, str]:
        capfd.readouterr()
        caplog.clear()
        trace, code = "", 0
        try:
            main(line.split())
        except SystemExit as end:
            trace, code = (end.code, 1) if isinstance(end.code, str) else ("", int(end.code or 0))
        except BaseException as error:
            trace, code = "".join(traceback.format_exception(error)) + repr(error), 99
        said = capfd.readouterr()
        return code, f"{said.out}{said.err}{caplog.text}{trace}"

    return run


def test_every_command_keeps_the_token_to_itself(say, home, tmp_path, market, monkeypatch):
    Path("mine.py").write_text(SCRIPT)
    with LocalTushare(market, TOKEN, calls_per_minute=10**6, terms=FREE) as server, Echo(200, TOKEN.encode()) as told:
        monkeypatch.setenv("ASHARE_TUSHARE__BASE_URL", server.url)
        monkeypatch.setenv("ASHARE_MESSAGES", f"json://{TOKEN}@{told.url.removeprefix('http://')}/{TOKEN}")
        codes = {}
        for name in dict.fromkeys(["init", "data sync", "data build", *LINES]):
            if LINES[name]:
                run = next(home.glob("runs/*/manifest.json"), home / "none").parent
                codes[name], said = say(LINES[name].format(market=market, run=run))
                require_unseen(said)
                assert not codes[name] or name in (*TOO_SHORT, *REFUSED), (name, said)
        assert server.asked
    served = {name for name, code in codes.items() if code == 0}
    assert served >= {
        "data sync",
        "data build",
        "backtest",
        "report",
        "factor export",
        "data verify",
        "data quarantine",
        "paper run",
    }
    assert list(home.glob("runs/*/manifest.json"))
    assert require_unseen("", tmp_path) > 50


@pytest.mark.parametrize("line", [line for line in LINES.values() if line])
def test_no_command_in_an_empty_home_shows_the_token(say, tmp_path, line, monkeypatch):
    monkeypatch.setenv("ASHARE_TUSHARE__BASE_URL", "http://127.0.0.1:9")
    Path("mine.py").write_text(SCRIPT)
    for debug in ("", "--debug "):
        require_unseen(say(debug + line.format(market=tmp_path / "none", run=tmp_path / "none"))[1])
    require_unseen("", tmp_path)


class Echo:
    """A server that answers every question with the token."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str] | None = None, hangs: bool = False) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["Content-Length"]))
                echo.got_token |= TOKEN.encode() in asked
                if hangs:
                    time.sleep(0.6)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: Any) -> None:
                pass

        echo = self
        self.got_token = False
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Echo:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def refusal(code: int, message: str) -> bytes:
    return json.dumps({"code": code, "msg": message, "data": None}, ensure_ascii=False).encode()


def page(*rows: list[object]) -> bytes:
    fields = ["exchange", "cal_date", "is_open"]
    return json.dumps({"code": 0, "msg": TOKEN, "data": {"fields": fields, "items": rows, "has_more": False}}).encode()


ECHOES = {
    "bad token": (200, refusal(40101, f"您的token不对，请确认。{TOKEN}")),
    "unknown refusal": (200, refusal(-7, f"{TOKEN} is {TOKEN}\n{TOKEN}")),
    "a refusal that is cut": (200, refusal(-7, "x" * 150 + TOKEN * 9)),
    "rate limit": (200, refusal(40203, f"抱歉，您每分钟最多访问该接口500次 {TOKEN}")),
    "no right": (200, refusal(40203, f"抱歉，您没有访问该接口的权限 {TOKEN}")),
    "server error": (500, TOKEN.encode()),
    "redirect": (302, TOKEN.encode(), {"Location": f"http://127.0.0.1:9/{TOKEN}"}),
    "not found": (404, f"<html>{TOKEN}</html>".encode()),
    "broken JSON": (200, f'{{"code": 0, "token": "{TOKEN}", "data": '.encode()),
    "no object": (200, json.dumps([TOKEN]).encode()),
    "a cell": (200, page(["SSE", TOKEN, 1])),
    "a column": (200, page(["SSE", "20180305", 1]).replace(b"is_open", TOKEN.encode())),
    "no gzip": (200, TOKEN.encode(), {"Content-Encoding": "gzip"}),
    "cut short": (200, TOKEN.encode(), {"Content-Length": "100000"}),
    "a strange head": (200, b"{}", {"X-Token": TOKEN, "Set-Cookie": f"a={TOKEN}"}),
    "silence": (200, TOKEN.encode(), {}, True),
}


@pytest.mark.parametrize("debug", ["", "--debug "])
@pytest.mark.parametrize("name", ECHOES)
def test_a_vendor_that_repeats_the_token_gets_it_into_no_message(say, tmp_path, monkeypatch, name, debug):
    with Echo(*ECHOES[name]) as echo:
        monkeypatch.setenv("ASHARE_TUSHARE__BASE_URL", echo.url)
        code, said = say(f"{debug}data sync")
        assert echo.got_token
    assert code == (99 if debug else 3), said
    require_unseen(said, tmp_path)


@pytest.mark.parametrize("name", ECHOES)
def test_the_doctor_asks_such_a_vendor_and_says_nothing_of_it(say, tmp_path, monkeypatch, name):
    with Echo(*ECHOES[name]) as echo:
        monkeypatch.setenv("ASHARE_TUSHARE__BASE_URL", echo.url)
        monkeypatch.setattr("bundles.doctor.TIMEOUT", 0.3)
        _, said = say("-v --log log.txt doctor --online --json")
        assert echo.got_token
    require_unseen(said, tmp_path)


@pytest.mark.parametrize("debug", ["", "--debug "])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("unforeseen"), MemoryError()])
def test_what_nobody_foresaw_shows_no_token(say, tmp_path, monkeypatch, error, debug):
    def post(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("requests.Session.post", post)
    code, said = say(f"{debug}data sync")
    assert code
    assert "Aborted" in said or type(error).__name__ in said
    require_unseen(said, tmp_path)


def misplaced(home: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the token where it does not belong."""
    home.mkdir()
    monkeypatch.delenv("ASHARE_TUSHARE_TOKEN")
    variables = {
        "url": f"http://127.0.0.1:9/{TOKEN}",
        "user": f"http://{TOKEN}@127.0.0.1:9",
        "query": f"http://x/?{TOKEN}",
    }
    if where in variables:
        monkeypatch.setenv("ASHARE_TUSHARE_TOKEN", TOKEN)
        monkeypatch.setenv("ASHARE_TUSHARE__BASE_URL", variables[where])
    elif where == "open file":
        (home / "token").write_text(TOKEN)
        (home / "token").chmod(0o644)
    else:
        (home / "ashare.toml").write_text(where.format(TOKEN))


PLACES = [
    "url",
    "user",
    "query",
    "open file",
    "tushare.token = '{}'",
    "token = '{}'",
    "{} = 1",
    "[tushare\ntoken = '{}'",
]
PLACES += ["[tushare]\npoints = '{}'", "tushare = '{}'", "[{}]\nx = 1", "profile = '{}'", "[tushare]\n{} = 1"]
PLACES += ["[execution]\nfill = '{}'", "[{0}]\n[{0}]", "labels.index = '{}'"]


@pytest.mark.parametrize("where", PLACES)
def test_a_token_in_a_wrong_place_is_refused_unshown(say, home, monkeypatch, where):
    misplaced(home, where, monkeypatch)
    for line in ("data sync", "--debug data sync", *(["data status"] if where != "open file" else [])):
        code, said = say(line)
        assert code, said
        require_unseen(said)
    for line in ("doctor", "doctor --online", "init", "init --yes"):
        require_unseen(say(line)[1])


def test_objects_that_know_the_token_do_not_tell(set_up, home, monkeypatch):
    home.mkdir()
    values = settings.load()
    with Echo(200, refusal(-7, TOKEN)) as echo:
        client = Client(SecretStr(TOKEN), echo.url)
        with pytest.raises(AshareError) as failure:
            client.fetch("trade_cal", {}, ["cal_date"])
    error = failure.value
    again = pickle.loads(pickle.dumps(error))
    for thing in (
        client,
        vars(client),
        vars(client._session),
        values,
        values.model_dump(),
        error,
        error.args,
        vars(error),
        again,
    ):
        require_unseen(f"{thing!r} {thing!s}")
    require_unseen(pickle.dumps(error).decode("latin-1") + values.model_dump_json())
    assert error.__context__ is None or not found_in(repr(error.__context__))
    for leaves in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leaves(client)


def arguments_of_all() -> str:
    """Return the command lines of all processes there are."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().decode("utf-8", "replace"))
        except OSError:
            continue
    return "\n".join(lines)


def watched(command: list[str], environment: dict[str, str], ends: Callable[[str], bool] = lambda _: False) -> str:
    """Run a command, look at all command lines while it runs, and return what it said."""
    program = Path(sys.executable).with_name(command[0])
    process = subprocess.Popen(
        [str(program), *command[1:]], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            seen.update(found_in(arguments_of_all()))

    seen: set[str] = set()
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        said = ""
        with process.stdout:
            for line in process.stdout:
                said += line
                if ends(line):
                    process.send_signal(signal.SIGINT)
        process.wait(60)
    finally:
        process.kill()
        over.set()
        watcher.join()
    assert not seen
    return said


def test_processes_have_no_token_among_their_arguments(home, tmp_path, market):
    home.mkdir()
    (home / "token").write_text(TOKEN)
    (home / "token").chmod(0o600)
    with LocalTushare(market, TOKEN, calls_per_minute=10**6) as server:
        said = watched(["ashare", "data", "sync"], {**os.environ, "ASHARE_TUSHARE__BASE_URL": server.url, **SHORT})
        assert server.asked
    require_unseen(said)
    (home / "token").unlink()
    secret = {**os.environ, "ASHARE_TUSHARE_TOKEN": TOKEN}
    served = watched(["ashare", "demo-server", "--folder", str(market)], secret, lambda line: "protocol at" in line)
    assert "protocol at" in served
    require_unseen(served, tmp_path)


SHORT = {"ASHARE_TUSHARE__ANSWERS": "1", "ASHARE_TUSHARE__START": "2026-11-02", "ASHARE_TUSHARE__TIMEOUT": "0.5"}


@pytest.mark.slow
def test_the_demo_keeps_the_token_to_itself(home, tmp_path):
    said = watched(["ashare", "demo"], {**os.environ, "ASHARE_TUSHARE_TOKEN": TOKEN, "TUSHARE_TOKEN": TOKEN})
    assert "Done in" in said, said
    assert require_unseen(said, tmp_path) > 100
