"""Rows of replies as a frame: columns by name, numbers exact, and nothing nobody asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dataframely as dy
import polars as pl

from bundles.endpoints import ENDPOINTS, Endpoint
from bundles.tushare.caps import Terms
from bundles.tushare.errors import Inconsistent, NoRows
from bundles.tushare.replies import malformed

_EXACT = 2**53
"""Whole numbers up to here are floats without loss."""
_OWN_DAY = ("trade_date", "cal_date")
"""Days that the bounds of a question surely mean; announcements are known by several dates."""
Params = Mapping[str, str | int]


def frame_of(terms: Terms, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
    """Return rows as a frame.

    Parameters
    ----------
    terms : Terms
        Of the endpoint.
    columns : sequence of str
        Names of the values of a row.
    rows : sequence
        Of numbers, text and None.

    Raises
    ------
    Malformed
        A column holds text beside numbers, or what is neither.
    """
    known = _known_types(terms)
    values: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pl.DataFrame(
        [_series(terms.name, name, cells, known.get(name)) for name, cells in zip(columns, values, strict=True)]
    )


def _known_types(terms: Terms) -> dict[str, Any]:
    """Return what the lake makes of the columns: a float, a whole number, or text (dates are text here)."""
    if terms.belongs_to not in ENDPOINTS:
        return {}
    columns = ENDPOINTS[terms.belongs_to].schema.columns()
    return {
        name: column.dtype if isinstance(column, dy.Float64 | dy.Int64) else pl.String()
        for name, column in columns.items()
    }


def _series(api_name: str, name: str, cells: Sequence[Any], known: Any) -> pl.Series:
    """Return a column; its type follows from the values, and from the lake where they leave it open."""
    kinds = set(map(type, cells)) - {type(None)}
    if kinds <= {int, float} and kinds:
        return _numbers(api_name, name, cells, pl.Float64() if float in kinds or known == pl.Float64 else pl.Int64())
    if kinds == {str}:
        try:
            return pl.Series(name, cells, dtype=pl.String)
        except UnicodeEncodeError:
            raise malformed(api_name, f"the column {name} holds broken text") from None
    if kinds:
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise malformed(api_name, f"the column {name} holds values of type {found}")
    return pl.Series(name, cells, dtype=known or pl.Null())


def _numbers(api_name: str, name: str, cells: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    whole = [cell for cell in cells if type(cell) is int]
    largest = _EXACT if dtype == pl.Float64 else 2**63 - 1
    if whole and max(map(abs, whole)) > largest:
        raise malformed(api_name, f"the column {name} holds a number too large to be kept exactly")
    numbers = pl.Series(name, cells, dtype=dtype, strict=False)
    if dtype == pl.Float64 and not numbers.is_finite().all():
        raise malformed(api_name, f"the column {name} holds a number that is infinite")
    return numbers


def require_answer(terms: Terms, params: Params, frame: pl.DataFrame, rows_expected: bool) -> None:
    """Complain about a table that contradicts itself or the question.

    Parameters
    ----------
    terms : Terms
        Of the endpoint.
    params : mapping
        The question.
    frame : DataFrame
        All rows of the answer.
    rows_expected : bool
        Whether an empty table cannot be true.

    Raises
    ------
    Inconsistent
        It holds rows nobody asked for, a row without its key, or two rows of one key.
    NoRows
        It is empty though rows were expected.
    """
    if rows_expected and not frame.height:
        raise NoRows(
            f"{terms.name} gave no rows for {shown(params)}",
            "there must be some",
            "Run it again later; the vendor may not be ready.",
            terms.name,
        )
    for name, value in params.items():
        _require_asked(terms, params, frame, "end_date" if name == "period" else name, str(value))
    if terms.day in _OWN_DAY and terms.day in frame.columns:
        _require_inside(terms, params, frame.get_column(terms.day))
    if terms.belongs_to in ENDPOINTS:
        _require_keys(terms, ENDPOINTS[terms.belongs_to], params, frame)


def shown(params: Params) -> str:
    """Return a question as one would write it down."""
    return ", ".join(f"{name}={value}" for name, value in params.items()) or "everything"


def _require_asked(terms: Terms, params: Params, frame: pl.DataFrame, name: str, value: str) -> None:
    """Complain about rows of another day or stock than the one asked; ``start_date`` and ``end_date`` are bounds."""
    bound = name in ("start_date", "end_date") and name in params
    if not value or bound or name not in frame.columns:
        return
    other = frame.filter(~pl.col(name).cast(pl.String).is_in(value.split(",")))
    if other.height:
        raise _inconsistent(terms, params, f"{other.height:,} rows are of {name} {other[name][0]}")


def _require_inside(terms: Terms, params: Params, days: pl.Series) -> None:
    """Complain about rows outside the days asked."""
    text = days.cast(pl.String).drop_nulls()
    first, last = str(params.get("start_date") or ""), str(params.get("end_date") or "99999999")
    outside = text.filter((text < first) | (text > last))
    if outside.len():
        raise _inconsistent(terms, params, f"{outside.len():,} rows are of {days.name} {outside[0]}")


def _require_keys(terms: Terms, endpoint: Endpoint, params: Params, frame: pl.DataFrame) -> None:
    """Complain about rows without a key, and of two of one key where the vendor does not repeat rows."""
    columns = endpoint.schema.columns()
    needed = [name for name in endpoint.key if name in columns and not columns[name].nullable]
    for name in needed:
        if name in frame.columns and frame[name].null_count():
            raise _inconsistent(terms, params, f"{frame[name].null_count():,} rows have no {name}")
    if endpoint.repeats or not set(endpoint.key) <= set(frame.columns):
        return
    repeated = frame.filter(frame.select(endpoint.key).is_duplicated())
    if repeated.height:
        key = ", ".join(str(repeated[name][0]) for name in endpoint.key)
        raise _inconsistent(terms, params, f"{repeated.height:,} rows share their key, first {key}")


def _inconsistent(terms: Terms, params: Params, problem: str) -> Inconsistent:
    return Inconsistent(
        f"the answer of {terms.name} to {shown(params)} cannot be used", problem, "Run it again later.", terms.name
    )


def repeated_page(terms: Terms, params: Params, at: int) -> Inconsistent:
    """Return the error of pages that do not continue each other."""
    return _inconsistent(terms, params, f"the pages do not join at row {at:,}")
