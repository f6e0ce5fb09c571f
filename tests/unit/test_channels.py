"""Receivers: who they are, what reaches them, what is said of them; an address is shown nowhere."""

from __future__ import annotations

import base64
import copy
import datetime as dt
import json
import logging
import os
import pickle
import socket
import time
import traceback
import warnings
from pathlib import Path
from urllib.parse import unquote

import pytest

from engine import clock, settings
from engine.cli.main import main
from engine.paper import channels
from engine.paper.channels import BadReceiver, Receiver, dingtalk_signature, feishu_signature, post, receivers
from engine.paper.letters import Message
from engine.paper.outbox import Outbox
from engine.paper.sending import LATE, NotSent, tell
from tests.receivers import MailServer, Robot

CANARY = "SECc4n4rysecret0123456789abcdef"
FORMS = (CANARY[:14], CANARY[-14:], base64.b64encode(CANARY.encode()).decode()[:18], CANARY.encode().hex()[:28])
LETTER = Message(
    "mine-20180305-orders", dt.date(2018, 3, 5), "orders", "[ashare mine] 委托", "卖出 *ST国华 <100> 股\n买入 & 2"
)
NOW = dt.datetime.fromtimestamp(1_700_000_000, clock.SHANGHAI)


def one(url: str, **more: str) -> Receiver:
    (receiver,) = receivers(Path("/nowhere"), environ={"ASHARE_MESSAGES": url}, **more)
    return receiver


def problem(receiver: Receiver, letter: Message = LETTER, seconds: float = 5.0) -> str:
    with pytest.raises(NotSent) as error:
        receiver.send(letter, seconds)
    return error.value.reason


def private(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def robots(monkeypatch):
    """Lead the robots' addresses to a server here; return how."""
    from apprise.plugins.dingtalk import NotifyDingTalk
    from apprise.plugins.feishu import NotifyFeishu
    from apprise.plugins.lark import NotifyLark
    from apprise.plugins.wecombot import NotifyWeComBot

    def lead(address: str) -> None:
        here = f"http://{address}"
        monkeypatch.setattr(NotifyDingTalk, "notify_url", here + "/robot/send?access_token={token}")
        monkeypatch.setattr(NotifyFeishu, "notify_url", here + "/open-apis/bot/v2/hook/{token}/")
        monkeypatch.setattr(NotifyLark, "notify_url", here + "/open-apis/bot/v2/hook/")
        monkeypatch.setattr(NotifyWeComBot, "notify_url", here + "/cgi-bin/webhook/send?key={key}")

    monkeypatch.setattr(clock, "now", lambda: NOW)
    return lead


# --- DingTalk, Feishu, WeCom --------------------------------------------------------------------------------------


def test_signatures_are_those_of_the_vectors():
    assert dingtalk_signature("SECtest", "1700000000000") == "aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g="
    assert feishu_signature("SECtest", "1700000000") == "G7XpBpG8NgG02fJOAhX6FRAObIljmFoxVReo8I62pEk="


@pytest.mark.parametrize(
    "url",
    [
        "dingtalk://SECtest@abc123",
        "dingtalk://abc123/?secret=SECtest",
        "https://oapi.dingtalk.com/robot/send?access_token=abc123&secret=SECtest",
    ],
)
def test_dingtalk_gets_the_signature_escaped_once(robots, url):
    with Robot({"errcode": 0, "errmsg": "ok"}) as robot:
        robots(robot.address)
        one(url).send(LETTER, 5.0)
    ((path, asked),) = robot.asked
    assert path == (
        "/robot/send?access_token=abc123&timestamp=1700000000000&sign=aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g%3D"
    )
    assert asked == {
        "msgtype": "text",
        "text": {"content": "[ashare mine] 委托\n卖出 *ST国华 <100> 股\n买入 & 2\n(mine-20180305-orders)"},
        "at": {"atMobiles": [], "isAtAll": False},
    }


def test_dingtalk_without_a_secret_and_with_somebody_to_call(robots):
    with Robot({"errcode": 0}) as robot:
        robots(robot.address)
        one("dingtalk://abc123/13812345678").send(LETTER, 5.0)
    ((path, asked),) = robot.asked
    assert path == "/robot/send?access_token=abc123"
    assert asked["at"]["atMobiles"] == ["13812345678"]


@pytest.mark.parametrize("url", ["feishu://abc-123?secret=SECtest", "lark://abc-123/?secret=SECtest",
                                 "https://open.feishu.cn/open-apis/bot/v2/hook/abc-123?secret=SECtest",
                                 "https://open.larksuite.com/open-apis/bot/v2/hook/abc-1?secret=SECtest"])  # fmt: skip
def test_feishu_gets_time_and_signature_in_the_body(robots, url):
    with Robot({"code": 0, "msg": "success", "data": {}}) as robot:
        robots(robot.address)
        one(url).send(LETTER, 5.0)
    ((path, asked),) = robot.asked
    assert path in ("/open-apis/bot/v2/hook/abc-123", "/open-apis/bot/v2/hook/abc-1")
    assert (asked["timestamp"], asked["sign"]) == ("1700000000", "G7XpBpG8NgG02fJOAhX6FRAObIljmFoxVReo8I62pEk=")
    assert asked["content"]["text"].startswith("[ashare mine] 委托\n")


@pytest.mark.parametrize("url", ["wecombot://abc-123", "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=abc-123"])
def test_wecom(robots, url):
    with Robot({"errcode": 0, "errmsg": "ok"}) as robot:
        robots(robot.address)
        receiver = one(url)
        receiver.send(LETTER, 5.0)
    ((path, asked),) = robot.asked
    assert path == "/cgi-bin/webhook/send?key=abc-123"
    assert asked["msgtype"] == "text"
    assert receiver.scheme == "wecombot"


ROBOTS = {
    "dingtalk://abc123": "errcode",
    "feishu://abc-123": "code",
    "lark://abc-123": "code",
    "wecombot://abc": "errcode",
}
REFUSALS = {
    "code 310000: keyword, signature or address": ({"errcode": 310000, "code": 310000, "msg": CANARY}, 200),
    "code 19021: the signature is wrong": ({"errcode": 19021, "code": 19021, "StatusCode": 0}, 200),
    "code -1": ({"errcode": -1, "code": -1}, 200),
    "code 4242": ({"errcode": 4242, "code": 4242}, 500),
    "HTTP 404": (b"<html>" + CANARY.encode(), 404),
    "HTTP 503": ({"errcode": 0, "code": 0}, 503),
    "HTTP 302": ({"errcode": 0, "code": 0}, 302),
    "its answer is none of a robot": (b"fine", 200),
    "its answer is none of a robot ": ({}, 200),
    "its answer is none of a robot  ": ([0], 200),
    "its answer is none of a robot   ": ({"errcode": CANARY, "code": CANARY}, 200),
    "its answer is none of a robot    ": (b"[" * 60_000, 200),
}


@pytest.mark.parametrize("url", ROBOTS)
@pytest.mark.parametrize("expected", REFUSALS)
def test_a_robot_took_a_letter_only_if_it_says_so(robots, url, expected):
    answer, status = REFUSALS[expected]
    with Robot(answer, status) as robot, Robot({"errcode": 0, "code": 0}) as elsewhere:
        robot.headers["Location"] = f"http://{elsewhere.address}/"
        robots(robot.address)
        said = problem(one(url))
    assert said.startswith(expected.rstrip())
    assert CANARY not in said
    assert len(robot.asked) == 1
    assert not elsewhere.asked  # a redirect would take the token there


def test_a_robot_with_too_many_messages_is_left_alone(robots, tmp_path):
    outbox = Outbox(tmp_path / "outbox")
    for n in range(3):
        outbox.put(Message(f"m-{n}", LETTER.session, "orders", "t", "b"))
    with Robot({"errcode": 130101, "errmsg": "send too fast"}) as robot:
        robots(robot.address)
        delivery = outbox.deliver([one("dingtalk://abc")], NOW, 5.0)
    assert len(robot.asked) == 1
    assert "code 130101" in delivery.problems[0]


@pytest.mark.parametrize(
    ("url", "limit"), [("dingtalk://abc", 20_000), ("feishu://abc", 20_000), ("wecombot://abc", 2_048)]
)
def test_a_long_letter_is_cut_to_what_a_robot_takes(robots, url, limit):
    body = "\n".join(f"{n}. 600000.SH 浦发银行 0.5" for n in range(1, 3001))
    with Robot({"errcode": 0, "code": 0}) as robot:
        robots(robot.address)
        one(url).send(Message("long", LETTER.session, "picks", "[ashare mine] 选股", body), 5.0)
        one(url, language="en").send(Message("long", LETTER.session, "picks", "[ashare mine] 选股", body), 5.0)
    for (_, asked), words in zip(robot.asked, ("条", "more"), strict=True):
        text = asked.get("text") or asked["content"]
        text = text.get("content") or text["text"]
        *kept, rest, id_ = text.split("\n")
        assert limit * 0.9 < len(text.encode()) <= limit
        assert id_ == "(long)"
        assert rest == (f"… 还有 {3001 - len(kept)} 条" if words == "条" else f"… {3001 - len(kept)} more")
    assert len(robot.raw) <= max(limit, 2_300)  # what is posted, too: nothing is written as \uXXXX


# --- the others, through apprise ----------------------------------------------------------------------------------


def test_a_web_hook_gets_the_letter():
    with Robot({}) as robot:
        one(f"json://{robot.address}/hook").send(LETTER, 5.0)
    ((path, asked),) = robot.asked
    assert path == "/hook"
    assert asked["title"] == LETTER.title
    assert asked["message"] == f"{LETTER.body}\n(mine-20180305-orders)"


def test_mail_arrives():
    with MailServer() as server:
        url = f"mailto://me:{CANARY}@{server.address}/?from=me@example.com&to=you@example.com&mode=insecure"
        one(url).send(LETTER, 5.0)
        one(f"{url}&format=html").send(LETTER, 5.0)
        (title, plain), (_, html) = server.read()
    assert title == "[ashare mine] 委托"
    assert plain.split() == f"{LETTER.body}\n(mine-20180305-orders)".split()
    assert "*ST国华 &lt;100&gt; 股<br" in html.replace("&nbsp;", " ")


def test_a_refused_password_is_told_by_its_number():
    with MailServer(refuses=True) as server:
        url = f"mailto://me:{CANARY}@{server.address}/?from=me@example.com&to=you@example.com&mode=insecure"
        assert problem(one(url)) == "SMTP 535"


def test_a_web_hook_that_fails_is_told_by_its_number():
    with Robot({}, 403) as robot:
        assert problem(one(f"json://{robot.address}/{CANARY}")) == "HTTP 403"


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_nobody_there(robots):
    robots(closed_port())
    assert problem(one("dingtalk://abc")) == "it could not be reached (ConnectionError)"
    assert problem(one(f"json://{closed_port()}/{CANARY}")) == "it could not be reached, or refused the letter"
    mail = f"mailto://me:{CANARY}@{closed_port()}/?from=me@example.com&to=you@example.com&mode=insecure"
    assert problem(one(mail)) == "it could not be reached, or refused the letter"


# --- time ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drip", [False, True])
@pytest.mark.parametrize("url", ["dingtalk://abc", "json://{address}/"])
def test_dead_receivers_keep_nobody_longer_than_the_setting(robots, tmp_path, url, drip):
    """One that does not answer, and one whose answer never ends; beside them one that is well."""
    outbox = Outbox(tmp_path / "outbox")
    outbox.put(LETTER)
    with Robot({"errcode": 0} | {"x": "y" * 500}, pause=0.0 if drip else 30.0, drip=drip) as dead, Robot({}) as live:
        robots(dead.address)
        found = [one(url.format(address=dead.address)), one(f"json://{live.address}/")]
        tell(found[1:], LETTER, 5.0)  # apprise is loaded
        live.asked.clear()
        started = time.monotonic()
        delivery = outbox.deliver(found, NOW, 0.6)
        assert time.monotonic() - started < 5.0
        assert live.asked
    assert (delivery.sent, delivery.waiting) == (0, 1)
    assert len(delivery.problems) == 1
    assert delivery.problems[0].startswith(found[0].label)


def test_a_name_that_nobody_resolves_keeps_nobody_either(monkeypatch):
    real = socket.getaddrinfo

    def slow(host, *more, **named):
        if host == "nowhere.invalid":
            time.sleep(3)
        return real(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    receiver = one("json://nowhere.invalid/hook")
    started = time.monotonic()
    assert tell([receiver], LETTER, 0.3) == {receiver.mark: LATE}
    assert time.monotonic() - started < 2.8


# --- addresses ----------------------------------------------------------------------------------------------------


def test_the_variable_wins_over_the_file(tmp_path):
    private(tmp_path / "messages", "# mine\n\njson://127.0.0.1/a\n  dingtalk://abc  \njson://127.0.0.1/a\n")
    found = receivers(tmp_path, environ={})
    assert [receiver.scheme for receiver in found] == ["json", "dingtalk"]  # each once
    again = receivers(tmp_path, environ={"ASHARE_MESSAGES": " dingtalk://abc\njson://127.0.0.1/b "})
    assert again[0] == found[1]  # the same address has the same mark
    assert again[1] != found[0]
    assert receivers(tmp_path / "none", environ={"ASHARE_MESSAGES": " "}) == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o601])
def test_a_file_open_to_others_is_refused(tmp_path, mode):
    path = private(tmp_path / "messages", f"dingtalk://{CANARY}")
    path.chmod(mode)
    with pytest.raises(BadReceiver, match=f"chmod 600 {path}") as error:
        receivers(tmp_path, environ={})
    assert CANARY not in str(error.value)
    assert error.value.exit_code == 2


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "messages").mkdir(mode=0o700)
    with pytest.raises(BadReceiver, match="it is no file"):
        receivers(tmp_path, environ={})
    (tmp_path / "messages").rmdir()
    os.mkfifo(tmp_path / "messages", 0o600)
    with pytest.raises(BadReceiver, match="it is no file"):
        receivers(tmp_path, environ={})


BAD = {
    f"dingtalk://{CANARY}-%/": "this dingtalk:// address",
    f"wecombot://{CANARY}!": "this wecombot:// address",
    "mailto://": "this mailto:// address",
    f"{CANARY}": "no known scheme",
    f"{CANARY}://abc": "no known scheme",
    f"https://example.com/{CANARY}": "no known scheme",
    f"https://oapi.dingtalk.com/{CANARY}": "no known scheme",
    f"https://[{CANARY}": "no known scheme",
    f"dingtalk:{CANARY}": "no known scheme",
    "://": "no known scheme",
}


@pytest.mark.parametrize("url", BAD)
def test_a_bad_address_is_refused_by_line_and_scheme(tmp_path, url, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    private(tmp_path / "messages", f"# first\njson://127.0.0.1/\n{url}\n")
    with pytest.raises(BadReceiver, match=f"line 3 of {tmp_path}") as error:
        receivers(tmp_path, environ={})
    assert BAD[url] in str(error.value)
    said = capfd.readouterr()
    require_unseen("".join(traceback.format_exception(error.value)) + said.out + said.err + caplog.text)
    with pytest.raises(BadReceiver, match="address 2 of the variable ASHARE_MESSAGES"):
        receivers(tmp_path, environ={"ASHARE_MESSAGES": f"json://127.0.0.1/ {url}"})


# --- a day of paper trading ---------------------------------------------------------------------------------------


def test_post_puts_and_delivers(home, monkeypatch):
    home.mkdir()
    outbox = Outbox(home / "outbox")
    quiet = Message("mine-20180305-picks", LETTER.session, "picks", "t", "b")
    assert post(outbox, [LETTER], settings.load(), {}).waiting == 0
    assert not (home / "outbox").exists()  # nobody is to be told
    monkeypatch.setenv("ASHARE_MESSAGES__KINDS", '["orders"]')
    with Robot({}) as robot:
        values, environ = settings.load(), {"ASHARE_MESSAGES": f"json://{robot.address}/"}
        assert post(outbox, [LETTER, quiet], values, environ).sent == 1
        assert post(outbox, [LETTER, quiet], values, environ).sent == 0
    assert len(robot.asked) == 1


def test_post_survives_a_bad_address_and_a_dead_receiver(home):
    home.mkdir()
    outbox = Outbox(home / "outbox")
    with Robot({}) as robot:
        environ = {"ASHARE_MESSAGES": f"json://{robot.address}/ {CANARY} json://{closed_port()}/{CANARY}"}
        delivery = post(outbox, [LETTER], settings.load(), environ)
    assert robot.asked
    assert (delivery.sent, delivery.waiting) == (0, 1)
    assert [line.split(":")[0][:15] for line in delivery.problems] == ["address 2 of th", delivery.problems[1][:13]]
    require_unseen(" ".join(delivery.problems), home)
    assert post(outbox, [LETTER], settings.load(), {"ASHARE_MESSAGES": CANARY}).waiting == 1


# --- settings -----------------------------------------------------------------------------------------------------


def test_the_variable_is_no_setting(home, monkeypatch):
    monkeypatch.setenv("ASHARE_MESSAGES", f"dingtalk://{CANARY}")
    monkeypatch.setenv("ASHARE_MESSAGES__TIMEOUT", "3")
    values = settings.load()
    assert values.messages.timeout == 3
    require_unseen(repr(values) + values.model_dump_json())


@pytest.mark.parametrize("toml", ["messages = 'dingtalk://{}'", "[messages]\nurls = ['dingtalk://{}']",
                                  "[messages]\nlanguage = 'dingtalk://{}'", "[messages]\nkinds = ['dingtalk://{}']",
                                  "messages = ['dingtalk://{}']"])  # fmt: skip
def test_an_address_in_the_settings_is_refused_unshown(home, toml):
    home.mkdir()
    (home / "ashare.toml").write_text(toml.format(CANARY))
    with pytest.raises(settings.SettingsError, match="setting messages") as error:
        settings.load()
    require_unseen("".join(traceback.format_exception(error.value)))


# --- secrets ------------------------------------------------------------------------------------------------------


def require_unseen(text: str, *folders: Path) -> None:
    texts = [text, *(f"{path} {path.read_bytes().decode('latin-1')}" for folder in folders
                     for path in folder.rglob("*") if path.is_file())]  # fmt: skip
    for form in FORMS:
        assert form.lower() not in unquote(" ".join(texts)).lower()


@pytest.fixture
def say(home, capfd, caplog):
    """Return a function that runs a command line and returns its code and all it said, logs and traceback too."""
    home.mkdir()
    caplog.set_level(logging.NOTSET)

    def run(line: str) -> tuple[int, str]:
        capfd.readouterr()
        caplog.clear()
        trace, code = "", 0
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                main(line.split())
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException as error:
                trace, code = "".join(traceback.format_exception(error)) + repr(error), 99
        said = capfd.readouterr()
        return code, f"{said.out}{said.err}{caplog.text}{trace}{[str(one.message) for one in warned]}"

    return run


ADDRESSES = {
    "dingtalk": f"dingtalk://{CANARY}@{CANARY}",
    "feishu": f"feishu://{CANARY}?secret={CANARY}",
    "wecombot": f"wecombot://{CANARY}",
    "json": f"json://user:{CANARY}@{{address}}/{CANARY}?+X-Key={CANARY}",
    "xml": f"xml://{CANARY}@{{address}}/x",
    "mailto": f"mailto://{CANARY}:{CANARY}@{{address}}/?from={CANARY}@example.com&to={CANARY}@example.com&mode=insecure",
    "mailtos": f"mailtos://{CANARY}:{CANARY}@{{address}}/?from={CANARY}@example.com&to=a@example.com",
    "jsons": f"jsons://{{address}}/{CANARY}?verify=no",
    "slack": f"slack://{CANARY}@T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "matrix": f"matrix://{CANARY}@{{address}}/%23room",
}
ANSWERS = {
    "well": ({"errcode": 0, "code": 0, "said": CANARY}, 200),
    "refused": ({"errcode": 310000, "code": 19021, "errmsg": CANARY, "msg": CANARY}, 200),
    "not found": (CANARY.encode(), 404),
    "nothing": (b"", 200),
}


@pytest.mark.parametrize("debug", ["", "--debug "])
@pytest.mark.parametrize("name", ADDRESSES)
def test_no_address_is_shown(say, robots, home, tmp_path, monkeypatch, name, debug):
    monkeypatch.setenv("ASHARE_MESSAGES__TIMEOUT", "0.7")
    web = name not in ("mailto", "mailtos", "jsons", "matrix")  # a web server makes these wait
    for answer, status in ANSWERS.values() if web else [(b"", 200)]:
        with Robot(answer, status) as robot:
            robots(robot.address)
            monkeypatch.setenv("ASHARE_MESSAGES", ADDRESSES[name].format(address=robot.address))
            code, listed = say(f"{debug}messages list")
            assert code == 0, listed
            assert name in listed
            _, said = say(f"{debug}messages test")
            assert name in said
            require_unseen(listed + said)
            outbox = Outbox(home / "outbox")
            outbox.put(LETTER)
            delivery = outbox.deliver(receivers(home), clock.now(), 0.7)
            require_unseen(" ".join(delivery.problems))
    require_unseen("", tmp_path)


@pytest.mark.parametrize("debug", ["", "--debug "])
def test_no_bad_address_is_shown(say, home, monkeypatch, debug):
    for url in BAD:
        private(home / "messages", url)
        for command in ("list", "test"):
            code, said = say(f"{debug}messages {command}")
            assert code == (99 if debug else 2), said
            require_unseen(said)
        (home / "messages").chmod(0o644)
        require_unseen(say(f"{debug}messages test")[1])


def test_objects_that_know_an_address_do_not_tell():
    receiver = one(f"dingtalk://{CANARY}")
    assert repr(receiver) == f"Receiver(dingtalk {receiver.mark})"
    require_unseen(f"{receiver!r} {receiver} {vars(receiver)} {[receiver]}")
    for leaves in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leaves(receiver)
    request = channels._Request(f"http://{CANARY}", {}, (), {"sign": CANARY})
    require_unseen(repr(request))


def test_libraries_go_on_logging_what_is_not_ours(caplog):
    one("json://127.0.0.1/")
    with caplog.at_level(logging.WARNING):
        logging.getLogger("urllib3.connectionpool").warning("theirs")
        logging.getLogger("apprise").warning("theirs too")
        logging.getLogger("apprise").debug("not this")
    assert caplog.messages == ["theirs", "theirs too"]


# --- commands -----------------------------------------------------------------------------------------------------


def test_the_test_command(say, home, monkeypatch):
    with Robot({}) as live, Robot({}, 500) as sick:
        private(home / "messages", f"json://{live.address}/a\njson://{sick.address}/b\n")
        code, said = say("messages test --account mine")
        assert code == 1
        assert [line.split()[0::2] for line in said.splitlines()[:3]] == [
            ["receiver", "result"],
            ["json", "sent"],
            ["json", "HTTP"],
        ]
        private(home / "messages", f"json://{live.address}/a\n")
        monkeypatch.setenv("ASHARE_MESSAGES__LANGUAGE", "en")
        code, said = say("messages test")
        assert code == 0
    first, second = (asked for _, asked in live.asked)
    assert first["title"].startswith("[ashare mine] ")
    assert "测试消息" in first["title"]
    assert second["title"].startswith("[ashare test] ")
    assert "-test)" in second["message"]


def test_without_receivers_the_commands_say_what_to_do(say):
    code, said = say("messages list")
    assert code == 0
    assert "No receiver is set up" in said
    code, said = say("messages test")
    assert code == 2
    assert "no receiver is set up" in said


def test_a_state_file_holds_marks_only(tmp_path):
    outbox = Outbox(tmp_path / "outbox")
    outbox.put(LETTER)
    receiver = one(f"json://{closed_port()}/{CANARY}")
    outbox.deliver([receiver], NOW, 5.0)
    state = json.loads((tmp_path / "outbox" / "state.json").read_text())
    assert list(state["letters"][LETTER.id]) == [receiver.mark]
    assert len(receiver.mark) == 8
    require_unseen("", tmp_path)
