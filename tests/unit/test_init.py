"""``ashare init``: what it asks, what it writes, what it leaves alone, and that secrets are shown nowhere."""

from __future__ import annotations

import ast
import re
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from bundles.tushare.token import read_token
from engine import settings
from engine.cli import setup
from engine.cli.main import ashare
from engine.cli.starter import settings_text
from engine.errors import UsageError
from engine.private import is_private, write_private
from tests.markets import Market, days_between
from tests.vendor import TOKEN

ADDRESS = f"json://127.0.0.1/{TOKEN}"


def init(*words: str, typed: str | None = None) -> str:
    """Run the command and return all it said; the token must not be in it."""
    done = CliRunner().invoke(ashare, ["init", *words], input=typed)
    assert TOKEN not in done.output + str(done.exception)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def asked(monkeypatch):
    """Let somebody sit at the terminal."""
    monkeypatch.setattr(setup, "someone_there", lambda: True)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names() -> set[str]:
    return {path.name for path in Path().iterdir()}


def test_without_anybody_to_ask_only_the_extension_is_touched(home, tmp_path):
    said = init()
    assert said.splitlines() == [f"{tmp_path}/zipline/extension.py: added the line 'import engine.extension'"]
    assert names() == set()
    assert not home.exists()
    assert "has the line" in init()


@pytest.mark.parametrize(("keyboard", "screen"), [(True, True), (True, False), (False, True), (None, True)])
def test_only_who_sees_a_question_is_asked(monkeypatch, keyboard, screen):
    """The demo's ``ashare init`` has the terminal's keyboard, and the demo reads what it says."""

    class Stream:
        def __init__(self, terminal: bool) -> None:
            self.isatty = lambda: terminal

    with monkeypatch.context() as patch:
        patch.setattr("sys.stdin", None if keyboard is None else Stream(keyboard))
        patch.setattr("sys.stdout", Stream(screen))
        there = setup.someone_there()
    assert there is bool(keyboard and screen)


def test_the_extension_is_where_zipline_looks(home):
    import zipline.utils.paths as zipline_paths

    assert str(setup.extension_file()) == zipline_paths.default_extension()


def test_what_stands_in_the_extension_stays(home):
    path = setup.extension_file()
    path.parent.mkdir()
    path.write_text("import mine", "utf-8")
    init()
    assert path.read_text("utf-8").splitlines() == ["import mine", setup.LINE]


def test_yes_takes_every_default(home):
    said = init("--yes")
    assert names() == {"ashare.toml", "my_strategy.py"}
    assert settings.load().capital == 1_000_000
    assert "ashare doctor" in said.splitlines()[-1]
    assert "ashare data import FOLDER" in said  # no token, so no sync
    assert not home.exists()


def test_a_second_time_nothing_changes(home):
    init("--yes", "--capital", "500000")
    before = {name: Path(name).read_bytes() for name in names()}
    Path("my_strategy.py").write_text("# mine\n", "utf-8")
    said = init("--yes")
    assert said.count("stays as it is") == 2
    assert Path("ashare.toml").read_bytes() == before["ashare.toml"]
    assert Path("my_strategy.py").read_text("utf-8") == "# mine\n"


def test_a_settings_file_of_the_home_is_not_put_out_of_force(home):
    home.mkdir()
    (home / "ashare.toml").write_text("[execution]\nfill = 'vwap'\n")
    said = init("--yes", "--capital", "5000")
    assert f"{home}/ashare.toml: is there" in said
    assert "capital = 5000" in said  # it says what to write there
    assert names() == {"my_strategy.py"}


def test_all_that_is_asked(home, asked):
    typed = f"no token!\n{TOKEN}\n250000\nnonsense\n{ADDRESS}\n\n"
    said = init(typed=typed)
    assert "That is no token" in said
    assert (home / "token").read_text() == TOKEN + "\n"
    assert (home / "messages").read_text() == ADDRESS + "\n"
    assert [mode(home / name) for name in ("token", "messages")] == [0o600, 0o600]
    assert read_token(home, {}).get_secret_value() == TOKEN
    assert settings.load().capital == 250_000
    assert "ashare data sync" in said
    assert TOKEN not in Path("ashare.toml").read_text("utf-8")


def test_enter_skips_every_question(home, asked):
    init(typed="\n\n\n")
    assert names() == {"ashare.toml", "my_strategy.py"}
    assert not home.exists()


def test_what_is_there_is_not_asked_for(home, asked, monkeypatch):
    write_private(home / "token", TOKEN)
    Path("ashare.toml").touch()
    monkeypatch.setenv("ASHARE_MESSAGES", ADDRESS)
    said = init(typed="")  # a question would end in Abort
    assert f"{home}/token: holds the token" in said
    assert "ASHARE_MESSAGES: holds" in said


def test_who_stops_at_a_question_has_written_nothing(home, asked, tmp_path):
    done = CliRunner().invoke(ashare, ["init"], input=f"{TOKEN}\n")  # standard input ends at the second question
    assert done.exit_code == 1
    assert not home.exists()
    assert not (tmp_path / "zipline").exists()
    assert names() == set()


def test_secrets_from_files(home, tmp_path):
    (tmp_path / "addresses").write_text(f"# whom\n{ADDRESS}\n\n")
    init("--token-file", "-", "--messages-file", str(tmp_path / "addresses"), typed=f"{TOKEN}\n")
    assert (home / "token").read_text() == TOKEN + "\n"
    assert (home / "messages").read_text() == ADDRESS + "\n"


@pytest.mark.parametrize(
    ("words", "typed", "expected"),
    [
        (("--token-file", "-"), "no token!\n", "the file holds no token"),
        (("--token-file", "-"), "", "the file holds no token"),
        (("--messages-file", "-"), f"{TOKEN}\n", "address 1"),
    ],
)
def test_what_is_no_secret_is_refused_before_anything_is_written(home, tmp_path, words, typed, expected):
    done = CliRunner().invoke(ashare, ["init", *words], input=typed)
    assert done.exit_code == 2
    assert expected in done.output
    assert TOKEN not in done.output
    assert not home.exists()
    assert not (tmp_path / "zipline").exists()


def test_a_token_that_is_there_is_not_replaced(home):
    write_private(home / "token", "old-token")
    done = CliRunner().invoke(ashare, ["init", "--token-file", "-"], input=TOKEN)
    assert done.exit_code == 2
    assert (home / "token").read_text() == "old-token"


def test_a_private_file_is_never_open_and_never_half(tmp_path, monkeypatch):
    path = tmp_path / "secret"
    seen = []
    monkeypatch.setattr("os.replace", lambda source, target: seen.append(mode(Path(source))) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_private(path, "x")
    assert seen == [0o600]
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    write_private(path, "x")
    assert is_private(path)
    path.chmod(0o640)
    assert not is_private(path)


def test_every_default_of_the_settings_file_is_the_default(home):
    import tomllib

    text = settings_text(1e6)
    assert max(map(len, text.splitlines())) <= 120
    assert tomllib.loads(text) == {"capital": 1e6} | {name: {} for name in re.findall(r"^\[(\w+)\]", text, re.M)}
    live = tomllib.loads(re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.M))
    assert settings.Settings(home=home, **live) == settings.Settings(home=home, capital=1e6)
    said = {(name, key) for name, values in live.items() if isinstance(values, dict) for key in values}
    every = {
        (name, key)
        for name, kind in settings.Settings.model_fields.items()
        if hasattr(kind.annotation, "model_fields")
        for key, field in kind.annotation.model_fields.items()
        if field.default is not None
    }
    assert said == every
    assert "## Largest weight of one name.\n# cap = 0.02" in text


def test_the_first_strategy_trades(home, backtest):
    init("--yes")
    script = Path("my_strategy.py").read_text("utf-8")
    ast.parse(script)
    Path("ashare.toml").unlink()
    days = days_between("20170103", "20180315")
    market = Market(days)
    for n in range(30):
        code = f"6000{n:02d}.SH"
        market.stock(code).bars(code, [10 + 0.01 * ((n * day) % 17) for day in range(len(days))])
    market.index([5000.0] * len(days))
    run = backtest(market, script, start="20180115")
    assert run.positions["ts_code"].n_unique() >= 15
    assert run.orders.filter(side="sell")["filled"].sum() > 0


@pytest.mark.parametrize("command", [["backtest"], ["paper", "init"], ["audit-design"]])
def test_the_starting_capital_of_the_settings_is_the_default(home, monkeypatch, command):
    monkeypatch.setenv("ASHARE_CAPITAL", "123456")
    done = CliRunner().invoke(ashare, [*command, "--help"])
    assert "default: 123456" in " ".join(done.output.split())


def test_the_capital_reaches_an_account(home, monkeypatch):
    monkeypatch.setenv("ASHARE_CAPITAL", "123456")
    init("--yes")
    assert CliRunner().invoke(ashare, ["paper", "init", "first", "-f", "my_strategy.py"]).exit_code == 0
    assert '"capital": 12345600' in (home / "paper" / "first" / "journal.jsonl").read_text().replace('":1', '": 1')


def test_help_works_where_the_settings_do_not(home, monkeypatch):
    monkeypatch.setenv("ASHARE_CAPITAL", "much")
    assert CliRunner().invoke(ashare, ["backtest", "--help"]).exit_code == 0


def test_an_error_of_an_address_hides_it(home):
    with pytest.raises(UsageError) as error:
        setup._require_receiver(f"nonsense://{TOKEN}")
    assert TOKEN not in str(error.value)


def test_it_speaks_the_language_of_the_settings(home, monkeypatch):
    from engine import words

    monkeypatch.setitem(words._CATALOGUES, "zh", lambda: {"Next:": "接下来："})
    monkeypatch.setenv("ASHARE_LANGUAGE", "zh")
    assert "接下来：" in init("--yes")
    monkeypatch.setenv("ASHARE_LANGUAGE", "auto")
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert "接下来：" in init("--yes")
    monkeypatch.setenv("ASHARE_LANGUAGE", "en")
    assert "Next:" in init("--yes")
