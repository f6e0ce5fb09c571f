"""``ashare init``: everything a new user needs before the first download, and nothing twice."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from engine.words import Say

LINE = "import engine.extension"
SETTINGS, STRATEGY = "ashare.toml", "my_strategy.py"
CAPITAL = 1_000_000.0


@dataclass(frozen=True)
class Answers:
    """What a user told; nothing is written before all of it is known.

    Attributes
    ----------
    token : str
        Of the vendor; empty where there is none, or none is wanted.
    capital : float
        CNY.
    addresses : tuple of str
        Whom messages go to.
    """

    token: str = ""
    capital: float = CAPITAL
    addresses: tuple[str, ...] = ()


@click.command()
@click.option("-y", "--yes", is_flag=True, help="Ask nothing: the defaults where no option says otherwise.")
@click.option("--token-file", type=click.File(), help="Take the Tushare token from this file; - is standard input.")
@click.option("--capital", type=click.FloatRange(min=1), help="Starting capital, CNY.  [default: 1,000,000]")
@click.option("--messages-file", type=click.File(), help="Take the addresses of messages from it, one a line.")
def init(yes: bool, token_file: TextIO | None, capital: float | None, messages_file: TextIO | None) -> None:
    """Set everything up: token, capital, messages, settings, a strategy to start from.

    Makes the stock zipline command load the engine: one line in extension.py in zipline's root ($ZIPLINE_ROOT, by
    default ~/.zipline). Secrets become files in ASHARE_HOME that only you may read. What is there already stays, so it
    can be run again. Where nobody can be asked and no option is given, extension.py is all that is touched.
    """
    from engine.cli.common import sayer

    say = sayer()
    asked = not yes and someone_there()
    answers = Answers(
        _token(say, token_file, asked),
        capital if capital is not None else _capital(say, asked),
        _addresses(say, messages_file, asked),
    )
    _register(say)
    if yes or asked or token_file or messages_file or capital is not None:
        _write(say, answers)
        _next(say)


def someone_there() -> bool:
    """Say whether somebody can be asked, and sees the question: a program that reads what we say is nobody."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


# --- questions --------------------------------------------------------------------------------------------------


def _token(say: Say, given: TextIO | None, asked: bool) -> str:
    """Return the token that is to be kept; empty where one is there already, or nobody gives one."""
    from engine.errors import UsageError
    from engine.private import TOKEN_SHAPE, TOKEN_SIGNS

    if given is not None:
        if token := given.read(4096).strip():
            _require_free(_token_place(), say("the token"))
        if not TOKEN_SHAPE.fullmatch(token):
            raise UsageError(say("the file holds no token"), TOKEN_SIGNS, say("Copy it again from tushare.pro."))
        return token
    if not asked or _token_place():
        return ""
    while True:
        question = say("Tushare token (not shown; Enter: later)")
        token = click.prompt(question, default="", show_default=False, hide_input=True).strip()
        if not token or TOKEN_SHAPE.fullmatch(token):
            return str(token)
        click.echo(say("That is no token. Copy it again from tushare.pro."), err=True)


def _token_place() -> str:
    """Return where the token is; empty where it is nowhere."""
    from engine.private import TOKEN_FILE, TOKEN_VARIABLES

    return _place(TOKEN_VARIABLES, TOKEN_FILE)


def _addresses_place() -> str:
    from engine.private import ADDRESSES_FILE, ADDRESSES_VARIABLE

    return _place((ADDRESSES_VARIABLE,), ADDRESSES_FILE)


def _place(variables: tuple[str, ...], file: str) -> str:
    """Return the variable that is set, or the file that is there; empty where there is neither."""
    from engine.settings import home_folder

    set_ = next((name for name in variables if os.environ.get(name, "").strip()), "")
    path = home_folder() / file
    return set_ or (str(path) if path.exists() else "")


def _require_free(place: str, what: str) -> None:
    """Refuse to replace a secret that is there."""
    from engine.errors import UsageError

    if place:
        raise UsageError(f"{what} is not stored", f"{place} holds one already", "Remove that first.")


def _capital(say: Say, asked: bool) -> float:
    if not asked or _settings_place():
        return CAPITAL
    kind = click.FloatRange(min=1)
    return float(click.prompt(say("Starting capital, CNY"), default=CAPITAL, type=kind, show_default=f"{CAPITAL:,.0f}"))


def _settings_place() -> Path | None:
    """Return the settings file in force here, in this folder or in the home."""
    from engine.settings import settings_file

    return settings_file()


def _addresses(say: Say, given: TextIO | None, asked: bool) -> tuple[str, ...]:
    """Return the addresses that are to be kept, each checked as a receiver."""
    if given is not None:
        _require_free(_addresses_place(), say("the file of addresses"))
        lines = (line.strip() for line in given.read(64 * 1024).splitlines())
        found = tuple(line for line in lines if line and not line.startswith("#"))
        for address in found:
            _require_receiver(address)
        return found
    return _asked_addresses(say) if asked and not _addresses_place() else ()


def _asked_addresses(say: Say) -> tuple[str, ...]:
    from engine.errors import UsageError

    found: list[str] = []
    question = say("Address for messages: DingTalk, e-mail, Feishu, WeCom (not shown; Enter: no more)")
    while address := click.prompt(question, default="", show_default=False, hide_input=True).strip():
        try:
            _require_receiver(address)
        except UsageError as error:
            click.echo(str(error), err=True)
        else:
            found.append(address)
    return tuple(found)


def _require_receiver(address: str) -> None:
    """Refuse what is no address of a receiver; the error does not show it."""
    from engine.paper.channels import VARIABLE, receivers
    from engine.settings import home_folder

    receivers(home_folder(), environ={VARIABLE: address})


# --- what is written --------------------------------------------------------------------------------------------


def _register(say: Say) -> None:
    path = extension_file()
    said = "{path}: added the line '{line}'" if add_line(path) else "{path}: has the line '{line}'"
    click.echo(say(said, path=path, line=LINE))


def extension_file() -> Path:
    """Return zipline's extension file, known without importing zipline, which takes a second and a half."""
    root = os.environ.get("ZIPLINE_ROOT")
    return (Path(root) if root is not None else Path("~/.zipline").expanduser()) / "extension.py"


def add_line(path: Path) -> bool:
    """Add our line to an extension file unless it is there; say whether it was added."""
    from engine.files import write_bytes

    text = path.read_text("utf-8") if path.exists() else ""
    if LINE in text.splitlines():
        return False
    write_bytes(path, (text + ("" if not text or text.endswith("\n") else "\n") + LINE + "\n").encode())
    return True


def _write(say: Say, answers: Answers) -> None:
    """Write what is not there yet, and say of each thing whether it was written or stays."""
    from engine.cli.starter import MY_STRATEGY, settings_text
    from engine.files import write_bytes
    from engine.private import ADDRESSES_FILE, TOKEN_FILE

    _keep_secret(say, say("the token"), answers.token, TOKEN_FILE, _token_place())
    lines = "".join(f"{address}\n" for address in answers.addresses)
    _keep_secret(say, say("the addresses of messages"), lines, ADDRESSES_FILE, _addresses_place())
    if there := _settings_place():
        click.echo(say("{path}: is there, and stays as it is", path=there))
        if answers.capital != CAPITAL:
            click.echo(say("write it there yourself: capital = {capital:.0f}", capital=answers.capital))
    else:
        write_bytes(Path(SETTINGS), settings_text(answers.capital).encode())
        said = "{path}: written, with every default as a comment; starting capital {capital:,.0f} CNY"
        click.echo(say(said, path=Path(SETTINGS).absolute(), capital=answers.capital))
    strategy = Path(STRATEGY).absolute()
    if strategy.exists():
        click.echo(say("{path}: is there, and stays as it is", path=strategy))
    else:
        write_bytes(strategy, MY_STRATEGY.encode())
        click.echo(say("{path}: written, a strategy to start from", path=strategy))


def _keep_secret(say: Say, what: str, content: str, file: str, place: str) -> None:
    """Store a secret, or say where it is, or that there is none."""
    from engine.private import write_private
    from engine.settings import home_folder

    path = home_folder() / file
    if content:
        write_private(path, content if content.endswith("\n") else content + "\n")
        click.echo(say("{path}: holds {what} now, and only you may read it", path=path, what=what))
    elif place:
        click.echo(say("{place}: holds {what}", place=place, what=what))
    else:
        click.echo(say("{path}: not there; {what} can be put in later (mode 0600)", path=path, what=what))


def _next(say: Say) -> None:
    """End with the commands that come next."""
    click.echo()
    click.echo(say("Next:"))
    if _token_place():
        _command("ashare data sync --from 2016-01-01 --build", say("the data, and a bundle of them"))
    else:
        _command("ashare data import FOLDER", say("files of your own; with a token: ashare data sync --build"))
    _command(f"ashare backtest {STRATEGY} -s 2018-01-02 -e 2018-12-28", say("prints the path of its tear-sheet"))
    _command("ashare doctor", say("whether everything is in order, and what to do where it is not"))


def _command(line: str, what: str) -> None:
    click.echo(f"  {line:<60}# {what}")
