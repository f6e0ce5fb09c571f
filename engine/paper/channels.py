"""The receivers of letters: addresses as apprise writes them, each of them a secret.

They come from the variable ``ASHARE_MESSAGES`` (separated by spaces) or else from the file ``messages`` of the home,
one a line, which only its owner may read. Of an address only the scheme and a short hash are ever shown.

What apprise has no way to do, or gets wrong, for the robots of DingTalk, Feishu and WeCom is done here: signing, and
telling a refusal that comes with HTTP status 200 from a success (ADR 18).
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import logging
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

from engine import clock
from engine.errors import UsageError
from engine.paper.letters import Language, Message, cut
from engine.paper.outbox import Delivery, Outbox
from engine.paper.sending import NotSent
from engine.private import ADDRESSES_FILE, ADDRESSES_VARIABLE, read_private
from engine.settings import Settings

VARIABLE = ADDRESSES_VARIABLE
FILE = ADDRESSES_FILE
_AT_MOST = 64 * 1024
"""Bytes that are read of the file, and of an answer."""
_LIMITS = {"dingtalk": 19_000, "feishu": 19_000, "lark": 19_000, "wecombot": 2_048}
"""Bytes of a text, where apprise does not say it or counts letters."""


class BadReceiver(UsageError):
    """An address of a receiver cannot be read, or its file is open to others."""


@dataclass(frozen=True, repr=False)
class Receiver:
    """Somebody who is sent letters: a `engine.paper.sending.Channel`.

    Attributes
    ----------
    scheme : str
        What kind it is, as apprise names it.
    mark : str
        A short hash of the address.
    language : str
        In which it is told that a text was cut.
    """

    scheme: str
    mark: str
    language: Language
    _url: SecretStr = field(compare=False)

    @property
    def label(self) -> str:
        """What may be shown of it."""
        return f"{self.scheme} {self.mark}"

    def __repr__(self) -> str:
        return f"Receiver({self.label})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a receiver knows a secret and is not pickled")

    def send(self, message: Message, seconds: float) -> None:
        """Send a letter: its title, its text as far as there is room, its id.

        Raises
        ------
        NotSent
            It was not taken. A server that has not answered after ``seconds`` may go on keeping us: call this in a
            thread that can be left behind.
        """
        with _Silence():
            plugin = _plugin(self._url)
            if plugin is None:
                raise NotSent("its address cannot be read any more")
            plugin.socket_connect_timeout = min(plugin.socket_connect_timeout, seconds)
            plugin.socket_read_timeout = min(plugin.socket_read_timeout, seconds)
            text = self._text(message, min(_LIMITS.get(self.scheme, 30_000), plugin.body_maxlen))
            if robot := _ROBOTS.get(self.scheme):
                _post(robot(plugin, f"{message.title}\n{text}", self._url), plugin)
            else:
                _notify(plugin, message.title, text)

    def _text(self, message: Message, limit: int) -> str:
        around = len(f"{message.title}\r\n\n({message.id})".encode())
        return f"{cut(message.body, max(0, limit - around), self.language)}\n({message.id})"


def receivers(home: Path, language: Language = "zh", environ: Mapping[str, str] = os.environ) -> list[Receiver]:
    """Return the receivers, in the order they are written; none where none is set up.

    Parameters
    ----------
    home : Path
        ``ASHARE_HOME``; its file ``messages`` is read if the variable is not set.
    language : str
        In which a receiver is told that a text was cut.
    environ : mapping
        The environment.

    Raises
    ------
    BadReceiver
        An address cannot be read, or the file is open to others.
    """
    found, refused = _read(home, language, environ)
    for error in refused:
        raise error
    return found


def post(
    outbox: Outbox, messages: Sequence[Message], settings: Settings, environ: Mapping[str, str] = os.environ
) -> Delivery:
    """Put letters into an outbox and deliver what waits there: all that a day of paper trading calls.

    Nothing a receiver does, and no mistake in its address, ends in an error here; they are told in the result. Without
    any receiver nothing is put in: who sets one up in spring does not want the letters of the winter.

    Parameters
    ----------
    outbox : Outbox
        Of the account.
    messages : sequence of Message
        New letters, or old ones once more; kinds that the settings leave out are dropped.
    settings : Settings
        The settings in force.
    environ : mapping
        The environment.
    """
    put(outbox, messages, settings, environ)
    values = settings.messages
    found, refused = _read(settings.home, values.language, environ)
    problems = tuple(map(str, refused))
    if not found and not refused:
        return Delivery(0, 0)
    if not found:  # a mistake in an address will be mended, and the letters are wanted then
        return Delivery(0, len(outbox.waiting()), problems)
    delivery = outbox.deliver(found, clock.now(), values.timeout)
    return replace(delivery, problems=problems + delivery.problems)


def put(
    outbox: Outbox, messages: Iterable[Message], settings: Settings, environ: Mapping[str, str] = os.environ
) -> None:
    """Put letters into an outbox for `post` to deliver later; without any receiver nothing is put in.

    Parameters
    ----------
    outbox, messages, settings, environ
        See `post`.
    """
    if any(_read(settings.home, settings.messages.language, environ)):
        for message in messages:
            if message.kind in settings.messages.kinds:
                outbox.put(message)


# --- addresses --------------------------------------------------------------------------------------------------


def _read(home: Path, language: Language, environ: Mapping[str, str]) -> tuple[list[Receiver], list[UsageError]]:
    """Return the receivers, each once, and the errors of the addresses that are none."""
    found: dict[str, Receiver] = {}
    refused: list[UsageError] = []
    try:
        addresses = _addresses(home, environ)
    except BadReceiver as error:
        return [], [error]
    for where, url in addresses:
        try:
            receiver = _receiver(url, language, where)
        except BadReceiver as error:
            refused.append(error)
        else:
            found[receiver.mark] = receiver
    return list(found.values()), refused


def _addresses(home: Path, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the addresses as they are written, each with its place."""
    if words := environ.get(VARIABLE, "").split():
        return [(f"address {number} of the variable {VARIABLE}", word) for number, word in enumerate(words, 1)]
    path = home / FILE
    text = read_private(path, "the addresses of messages", f"Set {VARIABLE} instead.", BadReceiver, _AT_MOST)
    numbered = enumerate((line.strip() for line in (text or "").splitlines()), 1)
    return [(f"line {number} of {path}", line) for number, line in numbered if line and not line.startswith("#")]


_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_PASTED = {
    "oapi.dingtalk.com": ("/robot/send", "access_token", "dingtalk"),
    "open.feishu.cn": ("/open-apis/bot/v2/hook/", "", "feishu"),
    "open.larksuite.com": ("/open-apis/bot/v2/hook/", "", "lark"),
    "qyapi.weixin.qq.com": ("/cgi-bin/webhook/send", "key", "wecombot"),
}
"""Hosts of addresses as their makers give them: the path, the parameter that holds the token, and apprise's scheme."""


def _receiver(written: str, language: Language, where: str) -> Receiver:
    url = _as_apprise_writes_it(written)
    with _Silence():
        plugin = _plugin(SecretStr(url))
    known = _known_scheme(url)
    if plugin is None:
        raise BadReceiver(
            f"{where} is refused",
            f"apprise cannot read the rest of this {known}:// address"
            if known
            else "it begins with no known scheme://",
            "Correct it by docs/messages.md.",
        )
    # slow on purpose: a mark is shown, and a weak password in an address must not be found by trying
    salt = b"zipline-ashare messages"
    mark = hashlib.scrypt(url.encode("utf-8", "replace"), salt=salt, n=2**13, r=8, p=1, dklen=4).hex()
    return Receiver(known or str(plugin.schema), mark, language, SecretStr(url))


def _as_apprise_writes_it(url: str) -> str:
    """Return an address; one that was copied from DingTalk, Feishu, Lark or WeCom in apprise's form."""
    try:
        parts = urlsplit(url)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        path, key, scheme = _PASTED[parts.hostname or ""]
    except (ValueError, KeyError):
        return url
    if parts.scheme != "https" or not parts.path.startswith(path):
        return url
    token = asked.get(key, "") if key else parts.path.removeprefix(path).strip("/")
    secret = asked.get("secret", "")
    return f"{scheme}://{token}/" + (f"?secret={secret}" if secret else "")


def _known_scheme(url: str) -> str:
    """Return the scheme of an address if it is one of apprise's: else it may be a piece of a secret."""
    _load_apprise()
    from apprise.plugins import N_MGR

    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else ""
    return scheme if scheme and scheme in N_MGR else ""


@functools.cache
def _load_apprise() -> None:
    """Import apprise with all its plug-ins, which takes a second; some use what Python will drop, and it warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from apprise.plugins import N_MGR

        assert "mailto" in N_MGR  # asking loads them


def _plugin(url: SecretStr) -> Any:
    """Return apprise's plug-in for an address, None where it cannot be read."""
    from apprise import Apprise, AppriseAsset

    # a redirect would carry a token to wherever a server says
    asset = AppriseAsset(app_id="ashare", app_desc="ashare", app_url="", http_redirects=False, storage_mode="memory")
    try:
        return Apprise.instantiate(url.get_secret_value(), asset=asset)
    except Exception:  # of an address nobody foresaw
        return None


# --- sending ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Request:
    """What a robot is asked: how its answer names the outcome, too."""

    url: str = field(repr=False)
    payload: Mapping[str, Any]
    codes: tuple[str, ...]
    params: Mapping[str, str] = field(default_factory=dict, repr=False)


def _notify(plugin: Any, title: str, text: str) -> None:
    """Send through apprise, which says only whether it worked."""
    from apprise import NotifyFormat

    if not plugin.notify(body=text, title=title, body_format=NotifyFormat.TEXT):
        raise NotSent(_Silence.last_code() or "it could not be reached, or refused the letter")


def _post(request: _Request, plugin: Any) -> None:
    """Ask a robot; it took the letter only if it says so."""
    import requests

    problem, content = "", b""
    try:
        with requests.post(
            request.url,
            params=dict(request.params),
            data=json.dumps(request.payload, ensure_ascii=False).encode(),  # escapes would double the size of Chinese
            headers={"Content-Type": "application/json; charset=utf-8", "User-Agent": "ashare"},
            timeout=plugin.request_timeout,
            verify=plugin.verify_certificate,
            allow_redirects=plugin.redirects,
            stream=True,
        ) as response:
            status = response.status_code
            content = response.raw.read(_AT_MOST, decode_content=True)
    except Exception as error:  # its text holds the address
        problem = f"it could not be reached ({type(error).__name__})"
    if problem:
        raise NotSent(problem)
    _require_taken(status, content, request.codes)


def _require_taken(status: int, content: bytes, codes: Sequence[str]) -> None:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    said = [answer[name] for name in codes if name in answer] if isinstance(answer, dict) else []
    code = said[0] if said and isinstance(said[0], int) else None
    if status == 200 and code == 0:
        return
    if not code:
        raise NotSent(f"HTTP {status}" if status != 200 else "its answer is none of a robot", overloaded=status == 429)
    raise NotSent(f"code {code}" + (f": {_MEANT[code]}" if code in _MEANT else ""), overloaded=code in _OVERLOADED)


_OVERLOADED = frozenset({130101, 90030, 11232, 9499, 45009})
_MEANT = {
    300001: "the token is not known",
    310000: "keyword, signature or address of the sender is not as the robot's security settings want it",
    130101: "too many messages, it blocks for ten minutes",
    90030: "too many messages",
    11232: "too many messages",
    9499: "too many messages, or a request it does not like",
    19001: "the token is not known",
    19021: "the signature is wrong, or this machine's clock is",
    19022: "the address of the sender is not allowed",
    19024: "the keyword is missing",
    45009: "too many messages",
    93000: "the key is not known",
}
"""What the numbers mean; the words of the answer are not shown, since they may repeat what was asked."""


def _dingtalk(plugin: Any, text: str, url: SecretStr) -> _Request:
    at = {"atMobiles": plugin.targets, "isAtAll": False}
    params = {}
    if plugin.secret:
        now = str(_milliseconds())
        params = {"timestamp": now, "sign": dingtalk_signature(plugin.secret, now)}
    payload = {"msgtype": "text", "text": {"content": text}, "at": at}
    return _Request(plugin.notify_url.format(token=plugin.token), payload, ("errcode",), params)


def _feishu(plugin: Any, text: str, url: SecretStr) -> _Request:
    payload: dict[str, Any] = {"msg_type": "text", "content": {"text": text}}
    if secret := parse_qs(urlsplit(url.get_secret_value()).query).get("secret"):  # apprise knows no such thing
        now = str(_milliseconds() // 1000)
        payload |= {"timestamp": now, "sign": feishu_signature(secret[-1], now)}
    address = plugin.notify_url.removesuffix("{token}/") + plugin.token
    return _Request(address, payload, ("code", "StatusCode"))


def _wecom(plugin: Any, text: str, url: SecretStr) -> _Request:
    return _Request(plugin.api_url, {"msgtype": "text", "text": {"content": text}}, ("errcode",))


_ROBOTS: Mapping[str, Callable[[Any, str, SecretStr], _Request]] = {
    "dingtalk": _dingtalk,
    "feishu": _feishu,
    "lark": _feishu,
    "wecombot": _wecom,
}


def dingtalk_signature(secret: str, milliseconds: str) -> str:
    """Return the signature of a DingTalk robot, before it is escaped for an address."""
    digest = hmac.new(secret.encode(), f"{milliseconds}\n{secret}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def feishu_signature(secret: str, seconds: str) -> str:
    """Return the signature of a Feishu or Lark robot: time and secret are the key, the text is empty."""
    digest = hmac.new(f"{seconds}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def _milliseconds() -> int:
    return round(clock.now().timestamp() * 1000)


# --- silence ----------------------------------------------------------------------------------------------------


class _Silence(logging.Filter):
    """While one holds, libraries log nothing from this thread: addresses stand in what they log.

    It keeps the number of the last failure: three digits, which are no secret.
    """

    _here = threading.local()
    _FAMILIES = ("apprise", "urllib3", "requests", "requests_oauthlib", "oauthlib", "charset_normalizer")
    _CODE = re.compile(r"error=(\d{3})\b|Socket Exception: \((\d{3}), ")

    def __enter__(self) -> None:
        _load_apprise()
        import apprise

        self._here.depth = getattr(self._here, "depth", 0) + 1
        self._here.code = ""
        for name, logger in list(logging.root.manager.loggerDict.items()):
            if isinstance(logger, logging.Logger) and name.split(".")[0] in self._FAMILIES:
                logger.addFilter(_FILTER)  # once: filters are a set by identity
        warnings.filterwarnings("ignore", module=rf"({'|'.join(self._FAMILIES)})(\.|$)")  # their warnings tell, too
        if apprise.logger.level == logging.NOTSET:
            apprise.logger.setLevel(logging.DEBUG)  # a mail server's number is told only there

    def __exit__(self, *exception: object) -> None:
        self._here.depth -= 1

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop what a library says while we send; elsewhere what the root would not have let through either."""
        ours = record.name.split(".")[0] == "apprise"
        if not getattr(self._here, "depth", 0):
            return not ours or record.levelno >= logging.root.level
        if ours and (found := self._CODE.search(record.getMessage())):
            self._here.code = f"HTTP {found[1]}" if found[1] else f"SMTP {found[2]}"
        return False

    @classmethod
    def last_code(cls) -> str:
        """Return the number of the failure, in words, empty where there was none."""
        return str(getattr(cls._here, "code", ""))


_FILTER = _Silence()
