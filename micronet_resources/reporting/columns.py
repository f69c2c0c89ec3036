"""The columns of a profile's table: what each is called, how it is written and whether it adds up to a total."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from micronet_resources.reporting.layout import shapes_text

__all__ = ["COLUMNS", "NO_SCORE", "Column", "choose_columns"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    heading : str
    write : callable
        From a value to the text in its cell.
    align : str
        As in :class:`micronet_resources.reporting.layout.Table`.
    is_sum : bool
        Whether its values add up to a total.
    is_measured : bool
        Whether it comes from the values of the network's tensors, not from shapes alone.
    """

    heading: str
    write: Callable[[Any], str]
    align: str = "r"
    is_sum: bool = False
    is_measured: bool = False


def _count(value: int) -> str:
    return f"{value:,}"


def _share(value: float) -> str:
    if not value:
        return "-"
    return f"{100 * value:.1f} %" if value >= 0.0005 else "< 0.1 %"


def _widths(pair: tuple[int | None, int | None]) -> str:
    return "-" if pair == (None, None) else "/".join("-" if bits is None else str(bits) for bits in pair)


NO_SCORE = "the profile has no score: give rules, as in profile_model(model, input_shape, rules='course2025')."

# By the names that the values have in a DataFrame and in JSON; "bits" stands for weight_bits and input_bits there.
COLUMNS = {
    "name": Column("layer", str, align="l"),
    "kind": Column("kind", str, align="l"),
    "input_shape": Column("input", shapes_text, align="L"),
    "output_shape": Column("output", shapes_text, align="L"),
    "params": Column("params", _count, is_sum=True),
    "macs": Column("MACs", _count, is_sum=True),
    "multiplications": Column("mults", _count, is_sum=True),
    "additions": Column("adds", _count, is_sum=True),
    "products": Column("products", _count, is_sum=True),
    "bits": Column("bits w/a", _widths, is_measured=True),
    "score": Column("score", "{:.4f}".format, is_sum=True, is_measured=True),
    "share": Column("share", _share, is_sum=True),
}


def choose_columns(names: str | Sequence[str] | None, *, has_score: bool) -> tuple[str, ...]:
    """Check the names of columns; None stands for the few that tell most, ``"all"`` for all that are there.

    Raises
    ------
    ValueError
        If a name is unknown, if there is none, or if a score is asked for where there is none.
    """
    if names is None:
        return ("name", "kind", "output_shape", "params", "macs", *(("bits",) if has_score else ()), "share")
    if names == "all":
        return tuple(name for name in COLUMNS if has_score or name != "score")
    chosen = (names,) if isinstance(names, str) else tuple(names)
    unknown = [name for name in chosen if name not in COLUMNS]
    if unknown or not chosen:
        wrong = f"no column is called {unknown[0]!r}" if unknown else "columns is empty"
        raise ValueError(f"{wrong}: choose from {', '.join(COLUMNS)}, or 'all'.")
    if "score" in chosen and not has_score:
        raise ValueError(NO_SCORE)
    return chosen
