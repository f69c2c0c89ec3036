"""``python -m micronet_resources.references PATH``: train the reference network of ``patterns`` and write its entry."""

from __future__ import annotations

import argparse

import torch

from factorkit.data import load
from micronet_resources.entry import evaluate, export
from micronet_resources.references import train_patterns


def main() -> None:
    """Train, export and evaluate."""
    parser = argparse.ArgumentParser(prog="python -m micronet_resources.references", description=__doc__)
    parser.add_argument("path", help="where to write the entry, such as patterns.onnx")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums are then formed in the same order on every run
    path = export(train_patterns(), arguments.path, task="patterns")
    data = load("patterns")
    print(f"{path}: {evaluate(path, data.normalize(data.test_images), data.test_labels)}")


if __name__ == "__main__":
    main()
