"""One tree of settings: defaults, then a profile, then ``ashare.toml``, then the environment.

``./ashare.toml`` is read if it is there, else ``$ASHARE_HOME/ashare.toml``. A variable such as
``ASHARE_EXECUTION__PARTICIPATION=0.05`` overrides the file. Secrets have no place here.
"""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as Unparsable

from engine.errors import SettingsError
from engine.types import LetterKind
from engine.words import language_of

Share = Annotated[float, Field(gt=0, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]


_PREFIX = "ASHARE_"
_SINGLE = ("home", "profile", "capital", "language")
_NO_SETTINGS = ("realdata", "tushare_token", "messages")
"""Variables of ours beside the settings: where tests find private data; secrets: the vendor's token, the addresses of
messages (``ASHARE_MESSAGES__TIMEOUT`` and its like are settings)."""
_SECRETIVE = ("tushare", "messages")
"""Sections whose wrong values are not shown: a secret may have been put there."""


class Section(BaseModel):
    """Base of the sections: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Section):
    """What is made of imported data."""

    undated: Literal["six_months", "statutory", "drop"] = "six_months"
    """When a report without any announcement date counts as known in a folder import."""
    coverage: float = Field(0.995, ge=0, le=1)
    """The share of a day's expected rows that must be there; a day with less stops sync and build. 0 does not look."""


class TushareSettings(Section):
    """Where market data are asked for, and how fast; the token is no setting."""

    base_url: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~\-]{0,39})*$")] = (
        "https://api.tushare.pro"
    )
    """Where questions are posted; over plain http everyone on the way can read the token."""
    calls_per_minute: int = Field(200, ge=1)
    """The account's nominal quota for one endpoint: 200 with 2,000 points, 500 with 5,000."""
    quota_share: Share = 0.65
    """The part of it that is used: the vendor throttles well below the nominal rate."""
    timeout: float = Field(30, gt=0, le=600)
    """Seconds to wait for a reply."""
    points: int = Field(2000, ge=120)
    """Points of the account: what it may ask (statements of all stocks at once need 5,000, the ST list 3,000)."""
    connections: int = Field(8, ge=1, le=64)
    """Questions under way at once, of all endpoints together."""
    answers: int = Field(2, ge=1, le=5)
    """Answers in a row that must be equal before one is believed; 1 halves the calls, and leaves a wrong value in a
    right-looking answer to the checks."""
    start: dt.date = dt.date(2010, 1, 1)
    """First day of a first sync."""
    reread: int = Field(3, ge=0)
    """Sessions before the new ones that are asked again, for late and repaired rows."""
    late_days: int = Field(30, ge=0)
    """Calendar days back that announcements are asked again for."""


class UniverseSettings(Section):
    """Who may be bought, point in time (SPEC 3)."""

    minimum_total_mv: float = Field(300_000, ge=0)
    """Smallest total market cap, in 10k CNY, inclusive."""
    maximum_total_mv: float = Field(5_000_000, gt=0)
    """Largest total market cap, in 10k CNY, inclusive."""
    minimum_sessions: int = Field(241, ge=1)
    """Market sessions since the first bar, that one counted."""


class FactorSettings(Section):
    """How the nine factors are read (SPEC 4)."""

    roe: Literal["ttm", "ytd"] = "ttm"
    maximum_report_age: int = Field(400, gt=0)
    """Calendar days after the end of its period from which a report counts as null."""
    winsorise: Annotated[float, Field(ge=0, lt=0.5)] = 0.01
    """Share cut off at either end before the z-score."""


class LabelSettings(Section):
    """What the model learns (SPEC 5)."""

    horizon: int = Field(20, ge=1)
    """Sessions from entry to exit: open of T+1 to open of T+1+horizon."""
    up: float = 0.02
    down: float = -0.02
    index: Annotated[str, Field(pattern=r"^[0-9A-Za-z]+\.[A-Z]+$")] = "000905.SH"


class ModelSettings(Section):
    """Network and training (SPEC 6), fixed before the first run on real data."""

    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    batch: int = Field(4096, ge=2)
    epochs: int = Field(20, ge=1)
    patience: int = Field(3, ge=1)
    mse_weight: float = Field(0.1, ge=0)
    train_years: int = Field(4, ge=1)
    validation_months: int = Field(6, ge=1)
    minimum_years: int = Field(3, ge=1)
    sample_every: int = Field(1, ge=1)
    """Sessions from one that is learnt from to the next: labels of neighbours overlap; 5 takes one a week."""
    seed: int = 0
    """Of the first network of a month."""


class PredictionSettings(Section):
    """Who is asked for the scores."""

    seeds: int = Field(1, ge=1, le=100)
    """Networks a month, with the seeds from ``model.seed`` on; their probabilities are averaged."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where they are computed; ``auto`` takes a CUDA device where there is one."""


class SelectionSettings(Section):
    """Selection and sizing (SPEC 7)."""

    every: int = Field(5, ge=1)
    """Sessions between rebalances, counted from the first of the run."""
    count: Literal["sessions", "day_of_month"] = "sessions"
    """How they are counted; the design read literally takes sessions whose day of the month ``every`` divides."""
    fraction: Share = 0.05
    maximum_names: int = Field(100, ge=1)
    minimum_turnover: float = Field(1.0, ge=0)
    """Turnover of the day, in percent, below which a name is dropped."""
    cap: Share = 0.02
    """Largest weight of one name."""
    cap_at_fill: bool = True
    """Cut a buy of a rebalance that would lift its name over the cap at the fill price."""
    gross: Share = 0.80
    """Largest sum of weights."""
    rank_by: Literal["p_up", "p_up_minus_p_down", "expected_excess"] = "p_up"
    keep_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    """A held name keeps its place while it ranks in this part of the universe; 0 keeps nobody."""
    maximum_turnover: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Largest value of the buys of one rebalance, as a share of the net value; 0 sets no limit."""


class RiskSettings(Section):
    """What is checked at every close (SPEC 8); 0 switches a rule off."""

    stop: Rate = 0.10
    """A holding more than this below its average cost is sold."""
    stop_on: Literal["cost", "peak"] = "cost"
    """What a stop is measured from: the average cost, or the highest close since the purchase."""
    drawdown_on: Rate = 0.08
    """Drawdown beyond which the gross limit falls."""
    drawdown_off: Rate = 0.04
    """Drawdown under which it rises again."""
    drawdown_gross: Share = 0.40
    """Gross limit in between."""
    volatility_above: float = Field(25.0, ge=0)
    """Volatility index above which the gross limit falls, percent."""
    volatility_gross: Share = 0.50
    """Gross limit while it is above."""
    volatility_sessions: int = Field(20, ge=2)
    """Sessions of the realised volatility."""
    volatility_file: Path | None = None
    """A CSV with the columns trade_date and value: an outside index, in percent, known after each day's close."""

    @model_validator(mode="after")
    def _off_before_on(self) -> RiskSettings:
        if self.drawdown_off > self.drawdown_on:
            raise ValueError("drawdown_off is beyond drawdown_on: the switch would flap at every close between them")
        return self


class BlacklistSettings(Section):
    """Who is barred for having been wrong (SPEC 8)."""

    wrong: int = Field(3, ge=0)
    """Times running that a stock was chosen and did not go up; 0 bars nobody."""
    days: int = Field(30, ge=1)
    """Calendar days it is barred for."""


class WatchSettings(Section):
    """When the model counts as worn out (SPEC 8)."""

    ic_floor: float = Field(0.05, ge=-1, le=1)
    """Signed rank IC of momentum_1m that is expected at least."""
    sessions: int = Field(20, ge=0)
    """Sessions of the mean that is held against it; 0 switches the watch off."""
    cooldown: int = Field(20, ge=1)
    """Sessions from one retrain event to the next possible one."""
    method: Literal["threshold", "sequential"] = "threshold"
    """The mean against the floor, or a sequential test with a stated rate of false alarms."""
    false_alarms: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Chance that the sequential test ever raises an alarm while the IC's median is at the floor or above."""
    retrain: bool = False
    """Let a model that was trained on the session of an event serve from the next one on, up to the next month."""


class ExecutionSettings(Section):
    """Fills and costs (SPEC 9)."""

    fill: Literal["open", "vwap", "close"] = "open"
    scenario: Literal["optimistic", "base", "pessimistic"] = "base"
    """How the bar is read where it does not say: ``ashare backtest --fills envelope`` runs all three."""
    slippage: Rate = 0.0
    """Added to the price of a buy, taken from that of a sell, as a share of it; never beyond a limit."""
    commission_rate: Rate = 0.00025
    commission_minimum: float = Field(5.0, ge=0)
    """CNY an order."""
    stamp_duty: Rate | None = None
    """One rate for every date; by default the dated table decides."""
    transfer_fee: Rate | None = None
    """One rate of turnover for every date; by default the dated table decides."""
    exchange_fees: bool = False
    """Charge handling and regulatory fee beside the commission; a retail commission mostly holds them."""
    round_fees: bool = True
    """Round each fee of an order, and the value of a fill, to the fen."""
    dividend_tax: bool = True
    """Tax dividends by the holding period, as an individual's are."""
    rights: Literal["subscribe", "lapse"] = "subscribe"
    """What becomes of the rights issues of the user's table; without cash they lapse."""
    participation: Rate = 0.10
    """Largest share of the day's volume all orders of a stock may take; 0 means no limit."""
    order_maximum: bool = True
    """Cut an order to the largest the exchange takes."""
    cash_check: bool = True
    """Cut buys so that cash never turns negative."""
    audit: bool = False
    """Keep a second, integer book beside zipline's ledger and stop at the first session they differ in."""

    @model_validator(mode="after")
    def _audit_counts_in_fen(self) -> ExecutionSettings:
        if self.audit and not (self.round_fees and self.cash_check):
            raise ValueError("the second book counts in whole fen of cash that is there: set round_fees and cash_check")
        return self


class PaperSettings(Section):
    """Paper trading (SPEC 11)."""

    ready: dt.time = dt.time(18)
    """When the vendor's tables of a session are expected, Shanghai time; nobody asks for them before it."""
    retry: int = Field(10, ge=1)
    """Minutes from a run that was refused to the next try of ``ashare paper serve``."""
    grace: int = Field(180, ge=0)
    """Minutes after ``ready`` from which a session that was not run is called late."""
    daily_loss: Rate = 0.0
    """Loss of one session, a share of the net value before it, that stops the buys until somebody resumes; 0: none."""
    train: bool = True
    """Train a model that is missing before the decision that needs it."""
    model_days: int = Field(45, ge=1)
    """Calendar days a model may be old: since the last close it knows."""
    recheck: int = Field(20, ge=0)
    """Past sessions whose prices are compared with the vendor's of today; the journal stands, differences are told."""


class BrokerSettings(Section):
    """What may be sent to a broker, and how it is asked.

    The caps lie far below what the exchanges watch: 300 orders and cancels a second, 20,000 a day.
    """

    reported_on: dt.date | None = None
    """The day the broker confirmed the programme-trading report of the account; without it nothing is sent live."""
    account: str = ""
    """The account the report was made for; nothing is sent live to another."""
    orders_per_second: int = Field(5, ge=1, le=20)
    messages_per_day: int = Field(500, ge=1, le=5000)
    """Orders and cancels of a session together."""
    minimum_life: float = Field(10.0, ge=1, le=3600)
    """Seconds an order lives before it may be cancelled."""
    cancel_ratio: Share = 0.30
    """Cancels to orders of a session beyond which an alarm is noted."""
    order_value: Share = 0.10
    """Largest value of one order, as a share of the net value."""
    day_value: float = Field(2.0, gt=0, le=4)
    """Largest value of all orders of a session, as a share of the net value."""
    collar: float = Field(0.02, gt=0, le=0.05)
    """How far from the last close the limit lies that a market order gets before it is sent live."""
    asks: int = Field(5, ge=1, le=100)
    """How often a broker that does not answer is asked."""
    pause: float = Field(2.0, ge=0, le=60)
    """Seconds between two questions."""
    sendings: int = Field(3, ge=1, le=5)
    """How often an order is sent whose sending left no trace, to a broker that refuses a second of its id."""
    cash_tolerance: float = Field(0.0, ge=0, le=100)
    """CNY by which the broker's cash may differ from the ledger's."""


class ReportSettings(Section):
    """What a run leaves behind."""

    tearsheet: bool = True
    """Render the tear-sheet at the end of a run."""


class MessageSettings(Section):
    """What is sent to whom it concerns; the addresses are secrets and no setting."""

    timeout: float = Field(10, gt=0, le=600)
    """Seconds for all deliveries of one run; what is not delivered then waits for the next."""
    language: Literal["zh", "en"] = "zh"
    kinds: tuple[LetterKind, ...] = tuple(LetterKind)
    """Which kinds are sent."""


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=_PREFIX, env_nested_delimiter="__")

    home: Path = Path("~/.ashare")
    profile: str | None = None
    capital: float | None = Field(None, ge=1)
    """CNY a backtest and a paper account begin with where the command names none; unset: what the command says."""
    language: Literal["auto", "en", "zh"] = "auto"
    """Of what the commands and the tear-sheets say; ``auto`` is the terminal's."""
    data: DataSettings = DataSettings()
    tushare: TushareSettings = TushareSettings()
    universe: UniverseSettings = UniverseSettings()
    factors: FactorSettings = FactorSettings()
    labels: LabelSettings = LabelSettings()
    model: ModelSettings = ModelSettings()
    prediction: PredictionSettings = PredictionSettings()
    selection: SelectionSettings = SelectionSettings()
    risk: RiskSettings = RiskSettings()
    blacklist: BlacklistSettings = BlacklistSettings()
    watch: WatchSettings = WatchSettings()
    execution: ExecutionSettings = ExecutionSettings()
    paper: PaperSettings = PaperSettings()
    broker: BrokerSettings = BrokerSettings()
    report: ReportSettings = ReportSettings()
    messages: MessageSettings = MessageSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file (which arrives as arguments)."""
        if isinstance(env_settings, EnvSettingsSource):  # else addresses would be taken for the JSON of their section
            secret = {f"{_PREFIX}{name}".lower() for name in _NO_SETTINGS}
            env_settings.env_vars = {key: at for key, at in env_settings.env_vars.items() if key.lower() not in secret}
        return env_settings, init_settings

    @property
    def spoken(self) -> str:
        """The language to speak, ``en`` or ``zh``."""
        return language_of() if self.language == "auto" else self.language

    @property
    def lake(self) -> Path:
        """The folder of the lake."""
        return self.home / "lake"

    @property
    def models(self) -> Path:
        """The folder of the model registry."""
        return self.home / "models"

    @property
    def accounts(self) -> Path:
        """The folder of the paper accounts."""
        return self.home / "paper"

    @property
    def runs(self) -> Path:
        """The folder of the run folders."""
        return self.home / "runs"

    def fingerprint(self, *sections: str) -> str:
        """Return a short hash of the named sections: what was made with it may be used with it."""
        values = {name: getattr(self, name).model_dump(mode="json") for name in sections}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def home_folder() -> Path:
    """Return ``ASHARE_HOME``, by default ``~/.ashare``."""
    named = os.environ.get("ASHARE_HOME") or "~/.ashare"
    try:
        return Path(named).expanduser().absolute()
    except RuntimeError as error:
        raise SettingsError(f"ASHARE_HOME {named} cannot be used", str(error), "Write the whole path.") from None


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment for the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def settings_file() -> Path | None:
    """Return the settings file in force, if there is one."""
    candidates = Path("ashare.toml"), home_folder() / "ashare.toml"
    return next((path.absolute() for path in candidates if path.is_file()), None)


def load() -> Settings:
    """Read the settings in force.

    Raises
    ------
    SettingsError
        A file is not TOML, a key or variable is unknown, a value impossible, or the home can be no folder.
    """
    _require_home(home_folder())
    _require_known(os.environ)
    path = settings_file()
    written = _read_toml(path) if path else {}
    name = os.environ.get("ASHARE_PROFILE") or written.get("profile")
    values = _merged(_profile(name), written) if name else written
    try:
        return Settings(**{**values, "home": home_folder()})
    except ValidationError as error:
        raise _as_one_line(error, path) from None
    except Unparsable as error:
        raise SettingsError(
            "a variable of the environment cannot be read",
            _discreet(str(error)),
            "Set single values: ASHARE_SECTION__KEY=VALUE.",
        ) from None


def _require_home(home: Path) -> None:
    """Refuse a home that no folder can be made at, before anything is read from it."""
    try:
        home.is_dir()
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise SettingsError(f"ASHARE_HOME {home} cannot be used", problem, "Name another folder.") from None
    there = next(path for path in (home, *home.parents) if os.path.exists(path))
    needed = os.R_OK | os.X_OK if there == home else os.W_OK | os.X_OK
    if not there.is_dir() or not os.access(there, needed):
        raise SettingsError(
            f"ASHARE_HOME {home} cannot be {'used' if there == home else 'made'}",
            f"{there} is no folder one may {'read' if there == home else 'write to'}",
            "Name another folder.",
        )


def _require_known(environ: Mapping[str, str]) -> None:
    """Refuse a variable of ours that no setting has: a typing error would leave the default in force unseen."""
    sections: dict[str, Any] = {
        name: field.annotation for name, field in Settings.model_fields.items() if name not in _SINGLE
    }
    for name in sorted(name for name in environ if name.upper().startswith(_PREFIX)):
        section, _, key = name[len(_PREFIX) :].lower().partition("__")
        if section in sections or (section in (*_SINGLE, *_NO_SETTINGS) and not key):
            continue
        known = [f"{_PREFIX}{single.upper()}" for single in _SINGLE]
        known += [f"{_PREFIX}{title}__{key}".upper() for title, kind in sections.items() for key in kind.model_fields]
        nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0)[0]
        raise SettingsError(
            f"the variable {_discreet(name)} is refused",
            "no setting has this name",
            f"The nearest is {nearest}; or unset it.",
        )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError, OSError) as error:  # beside TOML's own: a number of 5,000 digits, deep brackets
        raise SettingsError(f"{path} cannot be read", _discreet(str(error)), "Write it as TOML.") from None


def _profile(name: str) -> dict[str, Any]:
    folder = resources.files("engine") / "profiles"
    known = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
    if name not in known:
        raise SettingsError(
            f"profile {_discreet(repr(name))} is unknown", f"there are {', '.join(known)}", "Name one of these."
        )
    return tomllib.loads((folder / f"{name}.toml").read_text("utf-8"))


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one nested mapping over another."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def _discreet(text: str) -> str:
    """Return a text without what is long enough to be a secret that was put into a wrong place."""
    return re.sub(r"[0-9A-Za-z_~+/=-]{40,}", "(hidden)", text)


def _as_one_line(error: ValidationError, path: Path | None) -> SettingsError:
    first = error.errors()[0]
    key = _discreet(".".join(str(part) for part in first["loc"]))
    given = first.get("input")
    # what stands under an unknown key may be a secret
    hidden = isinstance(given, dict) or first["type"] == "extra_forbidden" or key.startswith(_SECRETIVE)
    value = "" if hidden else f" = {_discreet(repr(given))}"
    where = f"{path} or the environment" if path else "the environment"
    return SettingsError(f"setting {key}{value} is refused", first["msg"], f"Correct it in {where}.")
