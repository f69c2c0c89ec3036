"""The reference networks of the tasks, trained, as challenge entries.

``patterns.onnx`` is :func:`factorkit.models.small_convnet` after ten epochs on ``patterns``: what the scores of that
task are relative to, and an example of a valid entry. To make it again (two to three minutes on one core)::

    python -m micronet_resources.references patterns.onnx
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from factorkit.data import load
from factorkit.models import small_convnet
from factorkit.training import fit, seed_everything

__all__ = ["PATTERNS_CORRECT", "reference_path", "train_patterns"]

# Images of the public test split of 2,000 that patterns.onnx classifies correctly. Another processor rounds sums
# otherwise and may decide a few images differently.
PATTERNS_CORRECT = 1_900


def reference_path(task: str = "patterns") -> Path:
    """Where the trained reference network of a task lies.

    Parameters
    ----------
    task : str, optional
        Only ``"patterns"`` comes with one.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If the task comes without a trained network.

    Examples
    --------
    >>> reference_path().name
    'patterns.onnx'
    """
    path = Path(__file__).with_name(f"{task}.onnx")
    if not path.is_file():
        known = sorted(file.stem for file in Path(__file__).parent.glob("*.onnx"))
        raise ValueError(f"no trained reference network for {task!r}: there is one for {', '.join(known)}.")
    return path


def train_patterns() -> nn.Module:
    """Train the reference network of ``patterns`` from fixed seeds.

    Returns
    -------
    nn.Module
        In evaluation mode. On the same processor and with the same number of threads it is the same each time.
    """
    data = load("patterns")
    seed_everything(0)
    network = small_convnet()
    fit(network, data, epochs=10, lr=0.01, seed=0)
    return network.eval()
