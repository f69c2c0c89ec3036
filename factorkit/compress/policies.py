"""How ranks are chosen for a whole network: each layer by itself, or all so that the network meets a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from factorkit.compress.candidates import Candidate

__all__ = ["LEAST_ERROR", "RANK_ONE", "Choice", "Policy", "at_error", "choose", "parse_policy"]

Rank = int | tuple[int, ...]
LEAST_ERROR = 1e-3
RANK_ONE = 2.0  # a relative error that no bond of a tensor train exceeds, even at rank 1


@dataclass(frozen=True)
class Policy:
    """A policy by its name, and the number after the colon."""

    name: str
    number: float = 0.0


@dataclass(frozen=True)
class Choice:
    """The rank of a layer, or why it has none."""

    rank: Rank | None
    refused: str = ""
    note: str = ""


def parse_policy(ranks: str) -> Policy:
    """Read ``"vbmf"``, ``"energy:0.9"``, ``"macs:0.5"`` or ``"latency:2x"``.

    Raises
    ------
    ValueError
        If it is none of these, or the number is not above 0 and below 1, or above 1 and finite for a speed-up.

    Examples
    --------
    >>> parse_policy("macs:0.5")
    Policy(name='macs', number=0.5)
    """
    if ranks == "vbmf":
        return Policy("vbmf")
    name, _, number = str(ranks).partition(":")
    least, most = (1, math.inf) if name == "latency" else (0, 1)
    try:
        value = float(number.removesuffix("x") if name == "latency" else number)
    except ValueError:
        value = math.nan
    if name not in ("energy", "macs", "latency") or not least < value < most:
        raise ValueError(
            f"ranks={ranks!r}: choose 'vbmf', the energy that each layer keeps as in 'energy:0.9', the part of the "
            "network's multiply-accumulates that is left as in 'macs:0.5', how many times as fast it is to run as in "
            "'latency:2x', or give a mapping from layers to ranks."
        )
    return Policy(name, value)


def choose(candidates: Mapping[str, Candidate], ranks: str | Mapping[str, Rank], total_macs: int) -> dict[str, Choice]:
    """The rank of each layer, by a policy that measures no time or as given.

    Parameters
    ----------
    candidates : mapping of str to Candidate
    ranks : str or mapping of str to int or tuple of int
        Layers that a mapping does not name are left out.
    total_macs : int
        Of the network.

    Raises
    ------
    ValueError
        If the policy is unknown or no ranks meet it, or the mapping names a layer that is no candidate.
    """
    if isinstance(ranks, Mapping):
        unknown = [name for name in ranks if name not in candidates]
        if unknown or not ranks:
            raise ValueError(
                f"ranks names {', '.join(map(repr, unknown)) or 'no layer'}: the layers that can be decomposed here "
                f"are {', '.join(map(repr, candidates))}."
            )
        return {name: _given(candidates[name], ranks[name]) for name in candidates if name in ranks}
    policy = parse_policy(ranks)
    if policy.name == "vbmf":
        return {name: _checked(layer, Candidate.vbmf_ranks) for name, layer in candidates.items()}
    if policy.name == "energy":
        error = math.sqrt(1 - policy.number)
    else:
        error = _error_for(list(candidates.values()), total_macs, policy.number)
    return at_error(candidates, error)


def at_error(candidates: Mapping[str, Candidate], error: float) -> dict[str, Choice]:
    """The rank of each layer with one relative error for all."""
    return {name: _checked(layer, lambda layer: (layer.ranks_at(error), "")) for name, layer in candidates.items()}


def _checked(layer: Candidate, ranks_of: Callable[[Candidate], tuple[tuple[int, ...], str]]) -> Choice:
    if layer.unfit:
        return Choice(None, layer.unfit)
    ranks, note = ranks_of(layer)
    return Choice(layer.rank_of(ranks), layer.grows(ranks), note)


def _given(layer: Candidate, rank: Rank) -> Choice:
    if layer.unfit:
        return Choice(None, layer.unfit)
    ranks = layer.ranks_of(layer.decompose(tuple(rank) if isinstance(rank, list) else rank))
    return Choice(layer.rank_of(ranks), layer.grows(ranks))


def _error_for(layers: list[Candidate], total: int, fraction: float) -> float:
    """The smallest common relative error at which the network takes at most this part of its MACs, by bisection."""
    others, target = total - sum(layer.macs for layer in layers), fraction * total

    def macs(error: float) -> int:
        return others + sum(layer.macs_at(error) for layer in layers)

    enough = RANK_ONE
    if macs(enough) > target:
        raise ValueError(
            f"ranks='macs:{fraction:g}': even ranks of 1 leave {macs(enough) / total:.3g} of the {total:,} MACs; allow "
            "more, or skip fewer layers."
        )
    while enough > LEAST_ERROR and macs(0.8 * enough) <= target:
        enough *= 0.8
    too_small = 0.8 * enough
    for _ in range(20):
        middle = math.sqrt(too_small * enough)
        if macs(middle) <= target:
            enough = middle
        else:
            too_small = middle
    return enough
