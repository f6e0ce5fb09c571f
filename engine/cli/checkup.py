"""What ``ashare doctor`` looks at in the engine's own house: machine, packages, settings, files, bundle, accounts."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

from engine.cli.findings import Check, Finding, Level, Patient

OURS = "zipline-ashare"
PACKAGES = (OURS, "zipline-reloaded", "pandas", "numpy", "torch")
LOW, FULL = 10, 1
"""Free GB below which the disk is a warning, and a problem."""
AHEAD = dt.timedelta(minutes=5)
"""How far in the future a file may be before the clock is to blame."""
LEFT = dt.timedelta(hours=1)
"""How old a half-written file is that nobody is writing any more."""
BEHIND = 1
"""Sessions that the data may be behind without a word."""
MODEL_SECTIONS = ("universe", "factors", "labels", "model")
"""The settings a model depends on, as the registry has them."""


# --- packages ---------------------------------------------------------------------------------------------------


def versions(patient: Patient) -> Iterator[Finding]:
    """Look at the versions of Python and of every package the engine needs; those it leans on most are named."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    python = ".".join(map(str, sys.version_info[:3]))
    found = {name: _version(name) for name in PACKAGES}
    shown = ", ".join(f"{name} {version or '-'}" for name, version in found.items())
    yield Finding("versions", Level.OK, f"python {python}, {shown}")
    wanted = metadata.metadata(OURS)["Requires-Python"]
    if not SpecifierSet(wanted).contains(python):
        said = patient.say("python {version} is not supported: it must be {wanted}", version=python, wanted=wanted)
        yield Finding("versions", Level.PROBLEM, said, patient.say("Make a new environment with such a Python."))
    for requirement in map(Requirement, metadata.requires(OURS) or ()):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        if version and requirement.specifier.contains(version, prereleases=True):
            continue
        shown = version or patient.say("missing")
        said = patient.say("{name} is {version}, and must be {wanted}", name=requirement.name, version=shown,
                           wanted=str(requirement.specifier))  # fmt: skip
        yield Finding("versions", Level.PROBLEM, said, f'pip install "{requirement.name}{requirement.specifier}"')


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def empyrical(patient: Patient) -> Iterator[Finding]:
    """Look whether the abandoned ``empyrical`` lies over ``empyrical-reloaded``: both install the same folder."""
    old, ours = _version("empyrical"), _version("empyrical-reloaded")
    again = "pip uninstall -y empyrical empyrical-reloaded && pip install empyrical-reloaded"
    if old is not None:
        said = patient.say("empyrical {version} is installed, and writes over empyrical-reloaded", version=old)
        yield Finding("empyrical", Level.PROBLEM, said, again)
    elif ours is None:
        yield Finding("empyrical", Level.PROBLEM, patient.say("empyrical-reloaded is missing"), again)
    elif altered := _altered("empyrical-reloaded"):
        said = patient.say("{file} of empyrical-reloaded is not what was installed", file=altered)
        yield Finding("empyrical", Level.PROBLEM, said, again)
    else:
        yield Finding("empyrical", Level.OK, f"empyrical-reloaded {ours}")


def _altered(name: str) -> str:
    """Return the first module of a package that is gone or differs from its record; empty where none does."""
    for file in metadata.files(name) or ():
        if file.suffix != ".py" or file.hash is None or file.hash.mode != "sha256":
            continue
        path = Path(str(file.locate()))
        content = path.read_bytes() if path.is_file() else b""
        if urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode() != file.hash.value:
            return str(file)
    return ""


# --- machine and settings ---------------------------------------------------------------------------------------


def settings_in_force(patient: Patient) -> Iterator[Finding]:
    """Say where the settings come from, or what is wrong with them."""
    from engine import settings

    path, home = settings.settings_file(), patient.settings.home / "ashare.toml"
    settings.load()
    if path is None:
        said = patient.say("there is no ashare.toml here or in {home}: the defaults hold", home=patient.settings.home)
        yield Finding("settings", Level.OK, said)
    elif path != home and home.is_file():
        said = patient.say("{path} is read, {other} is not", path=path, other=home)
        yield Finding("settings", Level.WARNING, said, patient.say("Keep one of them, or mind where you stand."))
    else:
        yield Finding("settings", Level.OK, patient.say("{path} is read", path=path))


def extension(patient: Patient) -> Iterator[Finding]:
    """Look whether the stock zipline command loads the engine."""
    from engine.cli.setup import LINE, extension_file

    path = extension_file()
    if path.is_file() and LINE in path.read_text("utf-8").splitlines():
        yield Finding("extension", Level.OK, patient.say("{path} loads the engine", path=path))
    else:
        said = patient.say("{path} does not load the engine: zipline knows no bundle of ours", path=path)
        yield Finding("extension", Level.PROBLEM, said, "ashare init")


def disk(patient: Patient) -> Iterator[Finding]:
    """Look at the free space where the home is, or will be."""
    home = patient.settings.home
    there = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(there).free / 1e9
    said = patient.say("{free:.1f} GB are free at {path}", free=free, path=there)
    level = Level.PROBLEM if free < FULL else Level.WARNING if free < LOW else Level.OK
    yield Finding("disk", level, said, "" if level is Level.OK else patient.say("Free space there."))


def the_clock(patient: Patient) -> Iterator[Finding]:
    """Hold the clock against the newest file, and name the machine's time zone."""
    now, newest = patient.now, max(_written(patient.settings.home), default=None)
    if newest is not None and newest[0] > (now + AHEAD).timestamp():
        when = dt.datetime.fromtimestamp(newest[0], now.tzinfo)
        said = patient.say("the clock says {now}, and {path} was written {when}", now=f"{now:%Y-%m-%d %H:%M}",
                           path=newest[1], when=f"{when:%Y-%m-%d %H:%M}")  # fmt: skip
        yield Finding("clock", Level.PROBLEM, said, patient.say("Set the clock right: timedatectl set-ntp true"))
        return
    offset, zone = now.astimezone().utcoffset(), now.astimezone().tzname()
    said = patient.say("it is {now} in Shanghai", now=f"{now:%Y-%m-%d %H:%M}")
    if offset != now.utcoffset():
        said += patient.say("; this machine is set to {zone}, so a crontab needs CRON_TZ=Asia/Shanghai", zone=zone)
    yield Finding("clock", Level.OK, said)


def _written(home: Path) -> Iterator[tuple[float, str]]:
    """Yield when files of the home were written that every kind of work leaves behind."""
    patterns = ("lake/versions/*.json", "models/*/manifest.json", "runs/*/manifest.json", "paper/*/journal.jsonl")
    for path in chain.from_iterable(home.glob(pattern) for pattern in patterns):
        yield path.stat().st_mtime, str(path)


def secrets(patient: Patient) -> Iterator[Finding]:
    """Look whether others may read a file with a secret in it."""
    from engine.private import ADDRESSES_FILE, TOKEN_FILE, is_private

    there = [path for name in (TOKEN_FILE, ADDRESSES_FILE) if (path := patient.settings.home / name).exists()]
    for path in (path for path in there if not is_private(path)):
        said = patient.say("others may read {path}", path=path)
        yield Finding("secrets", Level.PROBLEM, said, f"chmod 600 {path}")
    if all(map(is_private, there)):
        names = ", ".join(map(str, there)) or "-"
        yield Finding(
            "secrets", Level.OK, patient.say("only you may read the files with secrets: {names}", names=names)
        )


def messages(patient: Patient) -> Iterator[Finding]:
    """Count the receivers of messages."""
    from engine.paper.channels import receivers

    found = receivers(patient.settings.home, patient.settings.messages.language)
    said = patient.say("messages go to {names}", names=", ".join(one.label for one in found))
    yield Finding("messages", Level.OK, said if found else patient.say("nobody is sent messages (docs/messages.md)"))


# --- data -------------------------------------------------------------------------------------------------------


def calendar_horizon(patient: Patient) -> Iterator[Finding]:
    """Look how far the calendar goes."""
    from engine import calendar

    end = calendar.AShareCalendar.bound_max().date()
    left = (end - patient.now.date()).days
    said = patient.say("the calendar ends {end}, in {days} days", end=end, days=left)
    if left > calendar.NEAR.days:
        yield Finding("calendar", Level.OK, said)
        return
    remedy = patient.say("ashare data sync once next year is published (in December), or upgrade exchange-calendars")
    yield Finding("calendar", Level.PROBLEM if left < 0 else Level.WARNING, said, remedy)


def bundle(patient: Patient) -> Iterator[Finding]:
    """Say which data the commands open, and how old they are."""
    from engine.panels.places import DEFAULT, bundle_root, ingestions
    from engine.panels.reader import Panels
    from engine.panels.store import SUBFOLDER

    found = ingestions(bundle_root(DEFAULT))
    if not found:
        said = patient.say("the bundle {name} was never built", name=DEFAULT)
        yield Finding("bundle", Level.WARNING, said, patient.say("ashare data build (needs data in the lake)"))
        return
    made, folder = found[-1]
    panels = Panels(folder / SUBFOLDER)
    last = panels.days[-1].item()
    behind = sessions_behind(patient, last)
    said = patient.say(
        "{folder}: data id {id}, {sessions:,} sessions to {last}, {behind} behind, built {made} UTC",
        folder=folder, id=panels.data_id, sessions=len(panels.days), last=last, behind=behind,
        made=f"{made:%Y-%m-%d %H:%M}",
    )  # fmt: skip
    label = panels.manifest.get("label", "")
    late = behind > BEHIND
    remedy = "ashare data sync --build" if late else ""
    yield Finding("bundle", Level.WARNING if late else Level.OK, said + (f" ({label})" if label else ""), remedy)


def sessions_behind(patient: Patient, last: dt.date) -> int:
    """Return how many sessions after a day have closed and are ready at the vendor's."""
    import numpy as np

    from engine import calendar
    from engine.paper.due import last_session

    expected = last_session(patient.now, patient.settings.paper.ready)
    known = calendar.sessions()
    return int(((known > np.datetime64(last)) & (known <= np.datetime64(expected))).sum())


def models(patient: Patient) -> Iterator[Finding]:
    """Count the models, those that cannot be read, and those that fit the settings."""
    root = patient.settings.models
    found, damaged = list[Mapping[str, Any]](), list[Path]()
    for path in sorted(root.glob("[!.]*/manifest.json")):
        manifest = _manifest(path)
        if manifest is None:
            damaged.append(path)
        else:
            found.append(manifest)
    for path in damaged:
        said = patient.say("the model {name} is damaged: {path}", name=path.parent.name, path=path)
        yield Finding("models", Level.PROBLEM, said, f"rm -r {path.parent}")
    under = patient.settings.fingerprint(*MODEL_SECTIONS)
    fitting = sorted(str(one["known_until"]) for one in found if one["settings"] == under)
    if not found:
        said = patient.say("there is no model; only a strategy that asks for scores needs one")
        yield Finding("models", Level.WARNING, said, "ashare train --start YYYY-MM --end YYYY-MM")
    elif not fitting:
        said = patient.say("none of {count:,} models was trained with the settings in force", count=len(found))
        yield Finding("models", Level.WARNING, said, "ashare train --start YYYY-MM --end YYYY-MM")
    else:
        said = patient.say("{fitting:,} of {count:,} models fit the settings, the newest knows until {day}",
                           fitting=len(fitting), count=len(found), day=fitting[-1])  # fmt: skip
        yield Finding("models", Level.OK, said)


def _manifest(path: Path) -> Mapping[str, Any] | None:
    """Return what a model says of itself, None where that cannot be read; the registry looks closer."""
    from engine.files import read_json

    try:
        value = read_json(path)
        return {name: value[name] for name in ("settings", "known_until")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def accounts(patient: Patient) -> Iterator[Finding]:
    """Look at every paper account: whether it can be read, is halted, or has missed sessions."""
    from engine.paper.account import accounts_in

    folders = accounts_in(patient.settings.accounts)
    if not folders:
        yield Finding("paper", Level.OK, patient.say("there is no paper account"))
    for folder in folders:
        yield _account(patient, folder)


def _account(patient: Patient, folder: Path) -> Finding:
    from engine.errors import AshareError
    from engine.paper.account import Account
    from engine.paper.due import missed

    check = f"paper {folder.name}"
    try:
        account = Account(folder, reading=True)
        late = missed(account, patient.now)
    except AshareError as error:
        return Finding(check, Level.PROBLEM, f"{error.what}: {error.why}", error.mend)
    if account.now.halts:
        why = "; ".join(f"{halt.what}: {halt.why}" for halt in account.now.halts)
        return Finding(
            check, Level.WARNING, patient.say("halted ({why})", why=why), f"ashare paper resume {folder.name}"
        )
    if late:
        said = patient.say("{count:,} sessions were not run, the first is {day}", count=len(late), day=late[0])
        return Finding(check, Level.WARNING, said, f"ashare paper run {folder.name}")
    return Finding(check, Level.OK, patient.say("the last session was {day}", day=account.now.last or "-"))


# --- what processes hold and leave -------------------------------------------------------------------------------

_LOCKS = ("lake/.lock", "models/.lock", "runs/.trials.lock", "paper/.lock", "paper/*/.lock", "paper/*/outbox/.*.lock")
_HALF = (
    ".*.partial",
    "lake/.staging",
    "models/.*.partial",
    "runs/.*.partial",
    "paper/.*.partial",
    "paper/*/.*.partial",
)
LOCK_TABLE = Path("/proc/locks")


def locks(patient: Patient) -> Iterator[Finding]:
    """Name the locks that are held, by whom, and what dead processes left half-written."""
    from engine.panels.places import DEFAULT, bundle_root

    home, ingested = patient.settings.home, bundle_root(DEFAULT)
    held = dict(_held([*chain.from_iterable(map(home.glob, _LOCKS)), *ingested.glob(".ingest.lock")]))
    for path, pid in held.items():
        said = patient.say("{path} is held by process {pid} ({name})", path=path, pid=pid, name=_process(pid))
        yield Finding("locks", Level.WARNING, said, patient.say("Wait until it ends; if it hangs: kill {pid}", pid=pid))
    before = (patient.now - LEFT).timestamp()
    half = [*chain.from_iterable(map(home.glob, _HALF)), *ingested.glob(".*.partial")]
    left = [path for path in half if path.lstat().st_mtime < before]
    for path in left:
        said = patient.say("{path} was left behind by a process that died", path=path)
        yield Finding("locks", Level.WARNING, said, f"rm -r {path}")
    if not held and not left:
        yield Finding("locks", Level.OK, patient.say("no lock is held, nothing was left half-written"))


def _held(paths: list[Path]) -> Iterator[tuple[Path, int]]:
    """Yield the lock files that are held, each with the process, by the system's table: nobody is disturbed by it."""
    if not LOCK_TABLE.is_file():
        return
    holders: dict[str, int] = {}
    for line in LOCK_TABLE.read_text("ascii", "replace").splitlines():
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK":
            holders[words[5]] = int(words[4])
    for path in paths:
        state = path.stat()
        place = f"{os.major(state.st_dev):02x}:{os.minor(state.st_dev):02x}:{state.st_ino}"
        if place in holders:
            yield path, holders[place]


def _process(pid: int) -> str:
    """Return the name of a process, without its arguments."""
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", errors="replace").strip()
    except OSError:
        return "?"


CHECKS: Mapping[str, Check] = {
    "versions": versions,
    "empyrical": empyrical,
    "settings": settings_in_force,
    "extension": extension,
    "disk": disk,
    "clock": the_clock,
    "secrets": secrets,
    "messages": messages,
    "locks": locks,
    "calendar": calendar_horizon,
    "bundle": bundle,
    "models": models,
    "paper": accounts,
}
"""In the order they are shown; lake, token and vendor are the bundles' to look at."""
