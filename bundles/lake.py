"""The lake: append-only Parquet, every row with the day after whose close it was known.

::

    lake/
      versions/000001.json   what the lake consisted of after each append; the highest number is now
      daily/000001-2010.parquet
      ...

An append writes its files beside, moves them in, and at last writes the next version file. A file no version
names does not exist for a reader, so a process may die anywhere.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from filelock import FileLock, Timeout
from pydantic import Field, TypeAdapter, ValidationError

from bundles.endpoints import ENDPOINTS, Endpoint
from bundles.parquet import DAY, Unreadable, read_parquet
from engine.errors import Damaged, DataNotFit, Halted
from engine.files import fsync_path, sha256_of, write_json

KNOWN_AT = "known_at"
HELD_BACK = "held_back"
"""The folder of the rows that failed a check."""


@dataclass(frozen=True)
class Part:
    """One file of the lake.

    Attributes
    ----------
    path : str
        Relative to the lake.
    rows : int
        How many it holds.
    sha256 : str
        Of its bytes.
    fetched_at : date
        When it came in; outside the lake's identity.
    restates : bool
        Whether it holds keys that an earlier part holds too.
    span : (date, date) or None
        First and last ``trade_date`` of its rows; None where there is none, or the version file does not say.
    """

    path: Annotated[str, Field(pattern=r"^(held_back/)?[a-z_]+/[^/\x00]+\.parquet$")]
    rows: int
    sha256: str
    fetched_at: dt.date
    restates: bool
    span: tuple[dt.date, dt.date] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what a version file says of it."""
        span = None if self.span is None else [str(day) for day in self.span]
        return {**self.__dict__, "fetched_at": self.fetched_at.isoformat(), "span": span}


@dataclass(frozen=True)
class Version:
    """The lake after an append.

    Attributes
    ----------
    number : int
        Counted from 1; 0 is the empty lake.
    parts : dict of str to tuple of Part
        By endpoint, oldest first.
    lineage : tuple of str
        The data ids of all versions up to this one.
    label : str
        What the data are, where that must be said ("synthetic").
    notes : dict
        Counts worth keeping, by endpoint.
    covered : dict of str to (date, date)
        By endpoint, from when to when a vendor was asked for all there is; outside the lake's identity.
    held_back : dict of str to tuple of Part
        Rows that failed a check, by endpoint, with the reasons; no reader of the data sees them.
    as_known_at : date or None
        Only rows known by then are read; None reads all. ``Lake.view`` sets it.
    """

    number: int
    parts: Mapping[str, tuple[Part, ...]]
    lineage: Annotated[tuple[str, ...], Field(min_length=1)]
    label: str
    notes: Mapping[str, Any]
    covered: Mapping[str, tuple[dt.date, dt.date]] = field(default_factory=dict)
    held_back: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    as_known_at: dt.date | None = None

    @property
    def data_id(self) -> str:
        """The identity of the content: equal data, equal id, whenever they were fetched."""
        if self.as_known_at is None or self.as_known_at == self.fetched_at:
            return self.lineage[-1]
        return f"{self.lineage[-1]}-asof-{self.as_known_at:%Y%m%d}"

    @property
    def fetched_at(self) -> dt.date:
        """When its newest part came in."""
        return max((part.fetched_at for parts in self.parts.values() for part in parts), default=dt.date.min)


EMPTY = Version(0, {}, ("empty",), "", {})


def data_id(parts: Mapping[str, Sequence[Part]]) -> str:
    """Return the identity of a set of parts."""
    content = {name: [part.sha256 for part in files] for name, files in parts.items()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _read_version(path: Path) -> Version:
    """Read a version file; ``ValueError`` says what is wrong with it."""
    try:
        version = TypeAdapter(Version).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where or 'the file'}: {first['msg']}") from None
    strange = {*version.parts, *version.held_back, *version.covered} - set(ENDPOINTS)
    if strange or version.number != int(path.stem) or version.as_known_at:
        raise ValueError(f"it tells of {min(strange)!r}" if strange else f"it is not of version {int(path.stem)}")
    return version


def _shown_parts(parts: Mapping[str, Sequence[Part]]) -> dict[str, Any]:
    return {name: [part.to_json() for part in files] for name, files in sorted(parts.items())}


class Lake:
    """The lake in a folder.

    Parameters
    ----------
    root : Path
        Its folder; made at the first append.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def version(self) -> Version:
        """Return the newest version.

        Raises
        ------
        Damaged
            Its file is none of ours.
        """
        return next(self.versions(), EMPTY)

    def versions(self) -> Iterator[Version]:
        """Yield every version, newest first.

        Raises
        ------
        Damaged
            A file is none of ours.
        """
        for path in sorted((self.root / "versions").glob("[0-9]*.json"), reverse=True):
            try:
                yield _read_version(path)
            except (OSError, ValueError) as error:
                raise Damaged(
                    f"{path} of the lake cannot be read",
                    str(error),
                    "Restore it from a backup; removing it makes the version before it the newest.",
                ) from None

    def view(self, as_known_at: dt.date | None = None) -> Version:
        """Return what was known at the close of a day, by default of the day the newest rows came in.

        A day on which the lake existed already gives the version of that day as it was read then. An earlier
        day gives the newest version without the rows known later: a first download of history counts as known
        when its rows say (SPEC 1).

        Raises
        ------
        DataNotFit
            The lake is empty.
        """
        newest = self.require()
        if as_known_at is None:
            return replace(newest, as_known_at=newest.fetched_at)
        there = next((version for version in self.versions() if version.fetched_at <= as_known_at), None)
        if there is None:
            return replace(newest, as_known_at=as_known_at)
        return replace(there, as_known_at=there.fetched_at)

    def require(self) -> Version:
        """Return the newest version of a lake that has data.

        Raises
        ------
        DataNotFit
            The lake is empty.
        """
        version = self.version()
        if not version.number:
            raise DataNotFit(f"the lake {self.root} is empty", "nothing was imported", "Run `ashare data import DIR`.")
        return version

    def frames(
        self,
        version: Version,
        endpoint: str,
        columns: Sequence[str] | None = None,
        between: tuple[dt.date, dt.date] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of an endpoint, each key once unless it keeps versions; part by part where that can be.

        Parameters
        ----------
        version : Version
            What to read.
        endpoint : str
            Its name.
        columns : sequence of str, optional
            Which columns; by default all, ``known_at`` among them.
        between : (date, date), optional
            Only rows of these days and those between, of an endpoint with a ``trade_date``.
        """
        if between is not None:
            yield self._between(version, endpoint, columns, between)
            return
        spec, parts = ENDPOINTS[endpoint], version.parts.get(endpoint, ())
        if spec.keeps_versions or not any(part.restates for part in parts):
            yield from (self._read(part, columns, version.as_known_at) for part in parts)
            return
        wanted = None if columns is None else list(dict.fromkeys([*columns, *spec.key]))
        rows = pl.concat([self._read(part, wanted, version.as_known_at) for part in parts])
        last = rows.unique(spec.key, keep="last", maintain_order=True)
        yield last if columns is None else last.select(columns)

    def _between(
        self, version: Version, endpoint: str, columns: Sequence[str] | None, between: tuple[dt.date, dt.date]
    ) -> pl.DataFrame:
        """Return the rows of some sessions from the parts that may hold them."""
        spec, (first, last) = ENDPOINTS[endpoint], between
        parts = [
            part
            for part in version.parts.get(endpoint, ())
            if part.span is None or (part.span[0] <= last and first <= part.span[1])
        ]
        shown = list(columns or (*spec.types, KNOWN_AT))
        wanted = list(dict.fromkeys([*shown, DAY, *spec.key]))
        frames = [self._read(part, wanted, version.as_known_at, between) for part in parts]
        if not frames:
            return pl.DataFrame(schema={**spec.types, KNOWN_AT: pl.Date}).select(shown)
        rows = pl.concat(frames)
        if not spec.keeps_versions and any(part.restates for part in parts):
            rows = rows.unique(spec.key, keep="last", maintain_order=True)
        return rows.select(shown)

    def frame(
        self,
        version: Version,
        endpoint: str,
        columns: Sequence[str] | None = None,
        between: tuple[dt.date, dt.date] | None = None,
    ) -> pl.DataFrame:
        """Return all rows of an endpoint in one frame; empty with its columns where there are none."""
        frames = list(self.frames(version, endpoint, columns, between))
        if frames:
            return pl.concat(frames)
        empty = pl.DataFrame(schema={**ENDPOINTS[endpoint].types, KNOWN_AT: pl.Date})
        return empty if columns is None else empty.select(columns)

    def _read(
        self,
        part: Part,
        columns: Sequence[str] | None,
        as_known_at: dt.date | None,
        between: tuple[dt.date, dt.date] | None = None,
    ) -> pl.DataFrame:
        wanted = None if columns is None else list(columns)
        if as_known_at is not None and wanted is not None and KNOWN_AT not in wanted:
            wanted.append(KNOWN_AT)
        try:
            rows = read_parquet(self.root / part.path, wanted, between)
        except Unreadable as error:
            raise Damaged(
                f"{part.path} of the lake cannot be read", str(error), "Restore it from a backup, or import again."
            ) from None
        if as_known_at is not None and (rows[KNOWN_AT].max() or as_known_at) > as_known_at:  # type: ignore[operator]
            rows = rows.filter(pl.col(KNOWN_AT) <= as_known_at)
        return rows if columns is None else rows.select(columns)

    def part(self, part: Part) -> pl.DataFrame:
        """Return one file as it is; those of rows held back are read no other way.

        Raises
        ------
        Damaged
            It cannot be read.
        """
        return self._read(part, None, None)

    def column(self, part: Part, name: str) -> pl.Series:
        """Return one column of one file, and read no other.

        Raises
        ------
        Damaged
            It cannot be read.
        """
        return self._read(part, [name], None).get_column(name)

    def verify(self, version: Version, advance: Callable[[], None] = lambda: None) -> None:
        """Compare every file of a version with its hash.

        Parameters
        ----------
        version : Version
            Whose files.
        advance : callable
            Called after each of them.

        Raises
        ------
        Damaged
            A file is missing or differs.
        """
        both = (*version.parts.values(), *version.held_back.values())
        for part in (part for parts in both for part in parts):
            path = self.root / part.path
            if not path.is_file() or sha256_of(path) != part.sha256:
                state = "differs from its hash" if path.is_file() else "is missing"
                raise Damaged(f"{part.path} of the lake", state, "Restore it from a backup, or import again.")
            advance()

    def append(self) -> Append:
        """Begin an append; use it as a context manager."""
        return Append(self)


class Append:
    """One append to the lake: staged parts become the next version at ``commit``, or nothing remains.

    Raises
    ------
    Halted
        Another process is appending.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._staging = lake.root / ".staging"
        self._staged: dict[str, list[Part]] = {}
        self._held_back: dict[str, list[Part]] = {}
        self._lock = FileLock(lake.root / ".lock", timeout=0)

    def __enter__(self) -> Append:
        self.lake.root.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout:
            raise Halted("the lake is being written", "another process holds its lock", "Wait until it ends.") from None
        shutil.rmtree(self._staging, ignore_errors=True)
        self.base = self.lake.version()
        self._sweep()
        return self

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self._staging, ignore_errors=True)
        if not any(path.name != ".lock" for path in self.lake.root.iterdir()):
            shutil.rmtree(self.lake.root)  # a lake that never was leaves no trace
        self._lock.release()

    def _sweep(self) -> None:
        """Remove what a process left behind that died before its version was written."""
        both = (*self.base.parts.values(), *self.base.held_back.values())
        named = {part.path for parts in both for part in parts}
        for name in ENDPOINTS:
            for path in (
                *(self.lake.root / name).glob("*.parquet"),
                *(self.lake.root / HELD_BACK / name).glob("*.parquet"),
            ):
                if path.relative_to(self.lake.root).as_posix() not in named:
                    path.unlink()

    def add(
        self, endpoint: Endpoint, stem: str, rows: pl.DataFrame, fetched_at: dt.date, restates: bool = False
    ) -> None:
        """Stage one part.

        Parameters
        ----------
        endpoint : Endpoint
            Where it belongs.
        stem : str
            A name for the file.
        rows : DataFrame
            Checked rows with ``known_at``.
        fetched_at : date
            When they came in.
        restates : bool
            Whether an earlier part holds some of their keys.
        """
        staged = self._staged.setdefault(endpoint.name, [])
        relative = self._free_path(endpoint, stem, {part.path for part in staged})
        path = self._staging / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(path, compression="zstd", compression_level=1, statistics=False)
        fsync_path(path)
        staged.append(Part(relative, rows.height, sha256_of(path), fetched_at, restates, _span(rows)))

    def hold_back(self, endpoint: Endpoint, rows: pl.DataFrame, fetched_at: dt.date) -> None:
        """Stage rows that failed a check, as text, with the columns ``check`` and ``detail``."""
        staged = self._held_back.setdefault(endpoint.name, [])
        relative = f"{HELD_BACK}/{endpoint.name}/{self.base.number + 1:06d}-{len(staged)}.parquet"
        path = self._staging / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        rows.write_parquet(path, statistics=False)
        fsync_path(path)
        staged.append(Part(relative, rows.height, sha256_of(path), fetched_at, restates=False))

    def _free_path(self, endpoint: Endpoint, stem: str, taken: set[str]) -> str:
        """Return a path of the lake for a part; files of one name (``x.csv``, ``x.parquet``) are counted up."""
        start = f"{endpoint.name}/{self.base.number + 1:06d}-{stem}"
        names = (f"{start}.parquet" if count == 1 else f"{start}-{count}.parquet" for count in itertools.count(1))
        return next(name for name in names if name not in taken)

    def take_back(self, endpoint: Endpoint) -> pl.DataFrame | None:
        """Return the rows of an endpoint's staged parts, which are staged no more; None if there are none."""
        paths = [self._staging / part.path for part in self._staged.pop(endpoint.name, [])]
        if not paths:
            return None
        rows = pl.concat([pl.read_parquet(path) for path in paths])
        for path in paths:
            path.unlink()
        return rows

    def commit(
        self, label: str, notes: Mapping[str, Any], covered: Mapping[str, tuple[dt.date, dt.date]] | None = None
    ) -> Version:
        """Move the staged parts in and write the next version; where nothing is new the lake stays as it is.

        Parameters
        ----------
        label : str
            What the data are; the label the lake has stays where this is empty.
        notes : dict
            Counts worth keeping.
        covered : dict of str to (date, date), optional
            What a vendor has been asked for by now; by default as before.
        """
        base = self.base
        covered = base.covered if covered is None else covered
        if not self._staged and not self._held_back and covered == base.covered:
            return base
        parts, held_back = self._moved_in(base.parts, self._staged), self._moved_in(base.held_back, self._held_back)
        number, identity = base.number + 1, data_id(parts)
        lineage = base.lineage if base.number else ()
        if not lineage or lineage[-1] != identity:
            lineage = (*lineage, identity)
        version = Version(number, parts, lineage, label or base.label, dict(notes), dict(covered), held_back)
        write_json(
            self.lake.root / "versions" / f"{number:06d}.json",
            {
                "number": number,
                "parts": _shown_parts(parts),
                "lineage": list(lineage),
                "label": version.label,
                "notes": version.notes,
                "covered": {name: [str(day) for day in days] for name, days in sorted(covered.items())},
                "held_back": _shown_parts(held_back),
            },
        )
        return version

    def _moved_in(
        self, before: Mapping[str, tuple[Part, ...]], staged: Mapping[str, list[Part]]
    ) -> dict[str, tuple[Part, ...]]:
        """Move staged parts to their places and return them behind the parts there were."""
        parts = {name: tuple(files) for name, files in before.items()}
        for name, files in staged.items():
            for part in files:
                place = self.lake.root / part.path
                place.parent.mkdir(parents=True, exist_ok=True)
                (self._staging / part.path).rename(place)
            for folder in {(self.lake.root / part.path).parent for part in files}:
                fsync_path(folder)
            parts[name] = parts.get(name, ()) + tuple(files)
        return parts


def _span(rows: pl.DataFrame) -> tuple[dt.date, dt.date] | None:
    """Return the first and last trading day of some rows."""
    if DAY not in rows.columns or not rows.height:
        return None
    return rows[DAY].min(), rows[DAY].max()  # type: ignore[return-value]
