"""A local Tushare: a Tushare-shaped folder over HTTP on loopback, with the vendor's manners and faults on demand.

It checks the token and the points, limits the calls a minute, cuts at the row cap, pages, answers newest first with the
default-visible columns, gives only listed stocks unless told otherwise, and refuses in the vendor's words.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bundles.demo.faults import RATE_MESSAGES, RIGHT_MESSAGES, Answer, Fault, break_json, spoil
from bundles.demo.shelf import NoSuchField, Shelf
from bundles.endpoints import ENDPOINTS
from bundles.tushare.caps import TERMS, Terms

MOST_POINTS = 5000
_LONGEST_QUESTION = 2**20
_MINUTE = 60.0


class Refusal(Exception):
    """A refusal in the vendor's words: code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Question:
    """What a client asked.

    Attributes
    ----------
    terms : Terms
        Of the endpoint.
    params : mapping
        Its parameters.
    fields : tuple of str
        The columns asked; empty for the default.
    """

    terms: Terms
    params: Mapping[str, Any]
    fields: tuple[str, ...]

    def number(self, name: str, default: int) -> int:
        """Return a parameter that is a number."""
        try:
            return max(0, int(self.params.get(name) or default))
        except (TypeError, ValueError):
            raise Refusal(-2001, f"参数校验失败：{name}") from None


@dataclass
class LocalTushare:
    """The server; use it as a context manager, or call ``serve``.

    Attributes
    ----------
    folder : Path
        What it serves.
    token : str
        Who may ask.
    points : int
        Of the account.
    calls_per_minute : int
        Calls allowed for each endpoint.
    faults : sequence of Fault
        What goes wrong.
    terms : mapping of str to Terms
        Of the endpoints; ``faults`` apart, row caps are kept to.
    port : int
        0 for any free one.
    hang : float
        Seconds a timed-out call is left without a reply.
    clock : callable
        Seconds, for the rate limit.
    asked : list of tuple
        Endpoint and parameters of every call that reached a table, in order.
    """

    folder: Path
    token: str
    points: int = MOST_POINTS
    calls_per_minute: int = 500
    faults: Sequence[Fault] = ()
    terms: Mapping[str, Terms] = field(default_factory=lambda: TERMS)
    port: int = 0
    hang: float = 1.0
    clock: Callable[[], float] = time.monotonic
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._shelf = Shelf(self.folder)
        self._lock = threading.Lock()
        self._recent: dict[str, deque[float]] = defaultdict(deque)
        self._counts: dict[Fault, int] = dict.fromkeys(self.faults, 0)
        self._over = threading.Event()
        self._server = _Server(("127.0.0.1", self.port), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> LocalTushare:
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> None:
        """Answer until the process is interrupted."""
        self._server.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        """Give the port back."""
        self._over.set()
        self._server.server_close()

    def plant(self, *faults: Fault) -> None:
        """Exchange the faults; their calls are counted from now."""
        with self._lock:
            self.faults, self._counts = faults, dict.fromkeys(faults, 0)

    def reply(self, body: bytes) -> tuple[int, bytes] | None:
        """Return status and body for a question's body; None where no reply is given."""
        try:
            question = self._question(body)
            faults = self._due(question)
            for fault in faults:
                if fault.kind == "timeout":
                    self._keep_silent(fault)
                    return None
                if fault.kind == "http_5xx":
                    return fault.chance().choice((500, 502, 503, 504)), b"<html>Bad Gateway</html>"
                _refuse(fault, question)
            content = {"code": 0, "msg": "", "data": self._data(question, faults)}
        except Refusal as refusal:
            faults = []
            content = {"code": refusal.code, "msg": refusal.message, "data": None}
        reply = json.dumps({"request_id": "local", **content}, ensure_ascii=False).encode()
        for fault in faults:
            if fault.kind == "broken_json":
                reply = break_json(fault, reply)
        return 200, reply

    def _keep_silent(self, fault: Fault) -> None:
        """Leave a caller without a reply, or hang up on him."""
        if fault.chance().random() < 0.5:
            self._over.wait(self.hang)

    def _question(self, body: bytes) -> Question:
        """Return a question that may be asked."""
        try:
            asked = json.loads(body)
            name, params = asked["api_name"], dict(asked.get("params") or {})
            fields = tuple(part.strip() for part in str(asked.get("fields") or "").split(",") if part.strip())
            token = str(asked.get("token") or "")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Refusal(-1000, "系统内部错误") from None
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode()):
            raise Refusal(40101, "您的token不对，请确认。")
        terms = self.terms.get(name) if isinstance(name, str) else None
        if terms is None:
            raise Refusal(-2001, "请指定正确的接口名")
        if terms.points > self.points:
            raise Refusal(40203, RIGHT_MESSAGES[0])
        self._limit(name)
        if terms.needs and not params.get(terms.needs):
            raise Refusal(-2001, f"必填参数,{terms.needs}")
        return Question(terms, params, fields)

    def _limit(self, api: str) -> None:
        """Refuse a call above the rate."""
        now = self.clock()
        allowed = min(self.calls_per_minute, self.terms[api].calls_per_minute or self.calls_per_minute)
        with self._lock:
            recent = self._recent[api]
            while recent and now - recent[0] >= _MINUTE:
                recent.popleft()
            if len(recent) >= allowed:
                raise Refusal(40203, RATE_MESSAGES[0].replace("500", str(allowed)))
            recent.append(now)

    def _due(self, question: Question) -> list[Fault]:
        """Count the call for every fault it may meet, and return those it meets."""
        name = question.terms.name
        with self._lock:
            self.asked.append((name, dict(question.params)))
            due = []
            for fault in self.faults:
                if fault.api not in ("", name) or (fault.kind == "page_overlap" and not question.params.get("offset")):
                    continue
                count = self._counts[fault]
                self._counts[fault] = count + 1
                if count == fault.at or (fault.lasting and count > fault.at):
                    due.append(fault)
        return due

    def _data(self, question: Question, faults: Sequence[Fault]) -> dict[str, Any]:
        """Return the page that answers a question."""
        terms, shelf = question.terms, self._shelf
        restates = any(fault.kind == "restatement" for fault in faults)
        try:
            fields = shelf.fields(terms, question.fields)
            rows = shelf.rows(terms, question.params)
        except NoSuchField as error:
            raise Refusal(-2001, f"接口{terms.name}不包含字段{error}") from None
        offset = _shifted(question.number("offset", 0), faults)
        length = min(question.number("limit", terms.cap), terms.cap)
        answer = Answer(
            api=terms.name,
            fields=fields,
            rows=[list(row) for row in rows.slice(offset, length).select(fields).iter_rows()],
            has_more=offset + length < rows.height,
            key=ENDPOINTS[terms.belongs_to].key if terms.belongs_to in ENDPOINTS else (),
            needed=_needed(terms),
            previous=lambda: [
                list(row)
                for row in shelf.session_before(terms, question.params).slice(offset, length).select(fields).iter_rows()
            ],
            newest=shelf.newest() if restates else "",
            newcomers=shelf.newcomers() if restates else frozenset(),
        )
        for fault in faults:
            spoil(fault, answer)
        return {"fields": answer.fields, "items": answer.rows, "has_more": answer.has_more}


def _shifted(offset: int, faults: Sequence[Fault]) -> int:
    """Return where a page begins: some rows too early if its fault is there."""
    for fault in faults:
        if fault.kind == "page_overlap":
            return max(0, offset - fault.chance().randint(1, 10))
    return offset


def _needed(terms: Terms) -> tuple[str, ...]:
    """Return the columns that are never null."""
    if terms.belongs_to not in ENDPOINTS:
        return ()
    columns = ENDPOINTS[terms.belongs_to].schema.columns()
    return tuple(name for name, column in columns.items() if not column.nullable)


def _refuse(fault: Fault, question: Question) -> None:
    messages = {"rate_limit": RATE_MESSAGES, "missing_right": RIGHT_MESSAGES}.get(fault.kind)
    if messages:
        raise Refusal(40203, fault.chance().choice(messages).format(api=question.terms.name))


class _Server(ThreadingHTTPServer):
    """A server that says nothing of callers who hang up."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong, but for a connection that broke."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(tushare: LocalTushare) -> type[BaseHTTPRequestHandler]:
    """Return the handler that lets a server answer."""

    class Handler(BaseHTTPRequestHandler):
        """Answers a POST at any path, as the vendor does at its root and at ``/dataapi/<api_name>``."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 60

        def do_POST(self) -> None:
            """Answer one question."""
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > _LONGEST_QUESTION:
                self.send_error(400)
                self.close_connection = True
                return
            reply = tushare.reply(self.rfile.read(int(length)))
            if reply is None:
                self.close_connection = True
                return
            status, body = reply
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            with contextlib.suppress(ConnectionError):  # the caller may have given up
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler
