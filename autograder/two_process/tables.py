"""pandas tables as plain columns; pandas is loaded only when a table crosses."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from autograder.two_process.wire import Fault

__all__ = ["is_table", "table_from", "table_parts"]

_PLAIN = "biufcMm"
# Types of columns that are rebuilt from their values and their name.
_NAMED = ("category", "string", "str", "boolean", "Int64", "Int32", "Int16", "Int8", "Float64", "Float32")


def is_table(kind: type) -> bool:
    """Whether it is pandas' own DataFrame, Series or Index."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and kind in (pandas.DataFrame, pandas.Series, pandas.Index, pandas.RangeIndex)


def table_parts(table: Any) -> list[Any] | None:
    """The parts of a table, as values that cross; None if it has parts that do not."""
    kind = type(table).__name__
    if kind in ("Index", "RangeIndex"):
        return ["Index", _index_parts(table)]
    if kind == "Series":
        return ["Series", _column_parts(table), _index_parts(table.index), table.name]
    columns = [_column_parts(table.iloc[:, number]) for number in range(table.shape[1])]
    return ["DataFrame", columns, _index_parts(table.index), _index_parts(table.columns)]


def table_from(parts: Any) -> Any:
    """The table that `table_parts` took apart."""
    import pandas as pd

    match parts:
        case ["Index", index]:
            return _index_from(index)
        case ["Series", column, index, name]:
            return pd.Series(_column_from(column), index=_index_from(index), name=name)
        case ["DataFrame", columns, index, names]:
            data = dict(enumerate(map(_column_from, columns)))
            table = pd.DataFrame(data, index=_index_from(index))
            table.columns = _index_from(names)
            return table
    raise Fault("protocol", "bad table")


def _column_parts(column: Any) -> list[Any]:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in _PLAIN:
        return [None, np.asarray(column)]
    return [str(column.dtype), [None if _is_missing(item) else item for item in column.tolist()]]


def _column_from(parts: Any) -> Any:
    import pandas as pd

    dtype, values = parts
    if dtype is None and type(values) is np.ndarray:
        return values
    if type(values) is not list:
        raise Fault("protocol", "bad column")
    return pd.array(values, dtype=dtype) if dtype in _NAMED else np.array([*values, None], dtype=object)[:-1]


def _index_parts(index: Any) -> list[Any]:
    if index.nlevels > 1:
        return ["levels", [tuple(item) for item in index.tolist()], list(index.names)]
    if type(index).__name__ == "RangeIndex":
        return ["range", range(index.start, index.stop, index.step), index.name]
    return ["values", _column_parts(index), index.name]


def _index_from(parts: Any) -> Any:
    import pandas as pd

    match parts:
        case ["levels", items, names]:
            return pd.MultiIndex.from_tuples(items, names=names)
        case ["range", range() as numbers, name]:
            return pd.RangeIndex(numbers, name=name)
        case ["values", column, name]:
            return pd.Index(_column_from(column), name=name)
    raise Fault("protocol", "bad index")


def _is_missing(item: Any) -> bool:
    return item is None or type(item).__name__ in ("NAType", "NaTType")
