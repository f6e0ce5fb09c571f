"""A Tushare-shaped folder as the vendor would hold it: newest first, dates as text, asked by parameters."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl

from bundles.endpoints import ENDPOINTS
from bundles.importer import endpoint_files, read_table
from bundles.intake import coded
from bundles.tushare.caps import TERMS, Terms

HIDDEN: Mapping[str, frozenset[str]] = {
    "stock_basic": frozenset({"fullname", "enname", "exchange", "curr_type", "list_status", "delist_date", "is_hs"}),
    "daily": frozenset({"ah_vol", "ah_amount"}),
    "stk_limit": frozenset({"pre_close"}),
    "dividend": frozenset({"base_date", "base_share"}),
}
"""Columns that come only when they are asked for by name."""
_EVERY_NAME = {"period": "end_date"}
_CONTROL = frozenset({"limit", "offset", "start_date", "end_date", "ts_type_name"})


class NoSuchField(Exception):
    """A column or parameter the endpoint does not have; its argument is the name."""


class Shelf:
    """The tables of a folder, read when they are first asked for.

    Parameters
    ----------
    folder : Path
        One sub-folder an endpoint, Parquet or CSV, as ``ashare data import`` takes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tables: dict[str, pl.DataFrame] = {}
        self._days: dict[str, dict[str, tuple[int, int]]] = {}
        self._lock = threading.Lock()

    def table(self, terms: Terms) -> pl.DataFrame:
        """Return the whole table of an endpoint, newest first; empty where the folder has none."""
        with self._lock:
            if terms.name not in self._tables:
                self._tables[terms.name] = self._read(terms)
            return self._tables[terms.name]

    def rows(self, terms: Terms, params: Mapping[str, Any]) -> pl.DataFrame:
        """Return the rows that answer a question, newest first.

        Raises
        ------
        NoSuchField
            It has a parameter the endpoint does not have.
        """
        table = self.table(terms)
        given = {name: str(value) for name, value in params.items() if value not in (None, "")}
        if terms.day in given and "," not in given[terms.day]:  # the table is sorted by it
            table = table.slice(*self._places(terms, table).get(given.pop(terms.day), (0, 0)))
        if terms.name == "stock_basic" and "list_status" not in given:
            given["list_status"] = "L"
        for name, value in given.items():
            if name not in _CONTROL:
                table = table.filter(_equals(table, _EVERY_NAME.get(name, name), value))
        if terms.day in table.columns:
            first, last = given.get("start_date"), given.get("end_date")
            bounds = ([pl.col(terms.day) >= first] if first else []) + ([pl.col(terms.day) <= last] if last else [])
            table = table.filter(*bounds) if bounds else table
        return table

    def _places(self, terms: Terms, table: pl.DataFrame) -> dict[str, tuple[int, int]]:
        """Return where the rows of each day begin, and how many there are."""
        if terms.name not in self._days:
            assert terms.day is not None
            days = table.with_row_index().group_by(terms.day).agg(pl.col("index").min(), pl.len())
            self._days[terms.name] = {day: (first, length) for day, first, length in days.iter_rows()}
        return self._days[terms.name]

    def session_before(self, terms: Terms, params: Mapping[str, Any]) -> pl.DataFrame:
        """Return the answer to the same question for the session before; empty if none was asked."""
        table, day = self.table(terms), str(params.get("trade_date") or "")
        if not day or "trade_date" not in table.columns:
            return table.clear()
        earlier = table.filter(pl.col("trade_date") < day)["trade_date"].max()
        return self.rows(terms, {**params, "trade_date": earlier}) if earlier else table.clear()

    def newest(self) -> str:
        """Return the last session there is a bar of."""
        return str(self.table(TERMS["daily"])["trade_date"].max() or "")

    def newcomers(self) -> frozenset[str]:
        """Return the stocks listed on that session or later: whatever is said of them, a lake of before has nothing."""
        stocks = self.table(TERMS["stock_basic"])
        return frozenset(stocks.filter(pl.col("list_date").cast(pl.String) >= self.newest())["ts_code"])

    def fields(self, terms: Terms, asked: Sequence[str]) -> list[str]:
        """Return the columns of an answer: those asked, by default the visible ones.

        Raises
        ------
        NoSuchField
            The endpoint does not have one of them.
        """
        table = self.table(terms)
        for name in asked:
            if name not in table.columns:
                raise NoSuchField(name)
        return list(asked) or [name for name in table.columns if name not in HIDDEN.get(terms.name, ())]

    def _read(self, terms: Terms) -> pl.DataFrame:
        schema = ENDPOINTS[terms.belongs_to].schema.columns() if terms.belongs_to in ENDPOINTS else {}
        tables = [_typed(read_table(path), schema) for path in endpoint_files(self._folder, terms.belongs_to)]
        if tables:
            table = pl.concat(tables, how="diagonal_relaxed")
        else:
            table = pl.DataFrame(schema={name: _dtype(column) for name, column in schema.items()})
        lacking = [pl.lit(None, dtype=_dtype(column)).alias(name) for name, column in schema.items()]
        table = table.with_columns(one for one in lacking if one.meta.output_name() not in table.columns)
        codes = [name for name in ("ts_code",) if name in table.columns]
        if terms.day in table.columns:
            return table.sort(terms.day, *codes, descending=[True, *(False for _ in codes)], maintain_order=True)
        return table.sort(*codes, maintain_order=True) if codes else table


def _dtype(column: dy.Column) -> Any:
    return column.dtype if isinstance(column, dy.Float64 | dy.Int64) else pl.String()


def _typed(raw: pl.DataFrame, schema: Mapping[str, dy.Column]) -> pl.DataFrame:
    """Return a file's columns in the vendor's types: numbers, and text for everything else."""
    expressions = []
    for name, dtype in raw.schema.items():
        column = schema.get(name)
        if dtype == pl.Date:
            expressions.append(pl.col(name).dt.strftime("%Y%m%d"))
        elif isinstance(column, dy.Float64 | dy.Int64):
            expressions.append(pl.col(name).cast(pl.Float64).cast(_dtype(column)))
        elif column is not None:
            expressions.append(coded(name, dtype))
    return raw.with_columns(expressions)


def _equals(table: pl.DataFrame, name: str, value: str) -> pl.Expr:
    """Return where a column has one of the values of a parameter."""
    if name not in table.columns:
        raise NoSuchField(name)
    column = pl.col(name) if table.schema[name] == pl.String else pl.col(name).cast(pl.String)
    values = value.split(",")
    return column == values[0] if len(values) == 1 else column.is_in(values)
