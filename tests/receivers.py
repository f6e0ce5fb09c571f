"""Receivers of messages on this machine: a web server that is a robot, and a mail server."""

from __future__ import annotations

import json
import socket
import threading
import time
from email import message_from_bytes
from email.header import decode_header, make_header
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Robot:
    """Takes what is posted and answers ``status`` and ``answer``, after ``pause`` seconds, ``drip`` bytes at a time."""

    def __init__(self, answer: Any = None, status: int = 200, pause: float = 0.0, drip: bool = False) -> None:
        self.answer, self.status, self.pause, self.drip = answer, status, pause, drip
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, Any]] = []
        self.over = threading.Event()
        robot = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                robot.asked.append((self.path, json.loads(content)))
                robot.raw = content
                robot.over.wait(robot.pause)
                said = robot.answer if isinstance(robot.answer, bytes) else json.dumps(robot.answer).encode()
                self.send_response(robot.status)
                for name, value in {"Content-Length": str(len(said)), **robot.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                for at in range(len(said)):
                    if robot.drip and robot.over.wait(0.2):
                        return
                    self.wfile.write(said[at : at + 1])
                    self.wfile.flush()

            def log_message(self, *_: Any) -> None:
                pass

        self.raw = b""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.address = f"127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Robot:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


class MailServer:
    """Takes mail, a line of SMTP at a time; with ``refuses`` it knows nobody's password."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses
        self.mails: list[bytes] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def __enter__(self) -> MailServer:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, client.makefile("rwb", buffering=0) as line:
            line.write(b"220 here\r\n")
            while command := line.readline().strip().upper():
                if command.startswith(b"DATA"):
                    line.write(b"354 go on\r\n")
                    self.mails.append(b"".join(iter(line.readline, b".\r\n")))
                elif command.startswith(b"EHLO"):
                    line.write(b"250-here\r\n250 AUTH PLAIN LOGIN\r\n")
                    continue
                elif command.startswith(b"AUTH"):
                    line.write(b"535 secret of whom\r\n" if self.refuses else b"235 welcome\r\n")
                    continue
                elif command == b"QUIT":
                    line.write(b"221 bye\r\n")
                    return
                line.write(b"250 fine\r\n")

    def read(self) -> list[tuple[str, str]]:
        """Return subject and text of every mail."""
        read = []
        for content in self.mails:
            mail = message_from_bytes(content)
            parts = [part for part in mail.walk() if not part.is_multipart()]
            text = "\n".join((part.get_payload(decode=True) or b"").decode() for part in parts)
            read.append((str(make_header(decode_header(mail["Subject"]))), text))
        return read


def eventually(what: Any, seconds: float = 5.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)
