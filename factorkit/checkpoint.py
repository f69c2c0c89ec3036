"""Checkpoints of a training run: everything that is needed to go on as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

__all__ = ["resume_checkpoint", "save_checkpoint"]


def save_checkpoint(
    path: Path,
    parts: dict[str, Any],
    generator: torch.Generator,
    settings: dict[str, Any],
    history: list[dict[str, float]],
) -> None:
    """Write everything that a run needs to go on, so that a run killed while writing leaves the last file whole."""
    state = {name: part.state_dict() for name, part in parts.items()}
    state |= {"generator": generator.get_state(), "torch_rng": torch.get_rng_state()}
    state |= {"settings": settings, "history": history}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    torch.save(state, unfinished)
    unfinished.replace(path)


def resume_checkpoint(
    path: Path, parts: dict[str, Any], generator: torch.Generator, settings: dict[str, Any]
) -> list[dict[str, float]]:
    """Load a checkpoint into its parts and return the history so far.

    Raises
    ------
    ValueError
        If the file is no checkpoint, or was written with other settings.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        saved = state["settings"]
    except Exception as error:
        raise ValueError(f"{path} is not a checkpoint of fit ({error}): delete it or give another path.") from error
    other = [
        f"{name}={saved.get(name)!r}, now {value!r}" for name, value in settings.items() if saved.get(name) != value
    ]
    if other:
        raise ValueError(
            f"{path} was written with other settings ({'; '.join(other)}): use these, or give another checkpoint path."
        )
    for name, part in parts.items():
        part.load_state_dict(state[name])
    generator.set_state(state["generator"])
    torch.set_rng_state(state["torch_rng"])
    return state["history"]
