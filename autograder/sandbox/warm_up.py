"""Does once, before any fork, what takes long the first time in each process.

With one thread for numerical libraries both are safe: they leave no thread behind.
"""

from __future__ import annotations

import io

__all__ = ["convolve_once", "draw_once", "export_once"]


def draw_once() -> None:
    """Draw a figure, if matplotlib is installed: the first one loads fonts and builds the parser of formulas."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return
    figure = Figure(figsize=(2, 1), layout="constrained")
    axes = figure.subplots()
    axes.set(title=r"$10^{2}$", yscale="log")
    axes.bar(["a", "b"], [1, 100], label="bars")
    axes.legend()
    FigureCanvasAgg(figure).print_figure(io.BytesIO(), bbox_inches="tight")


def convolve_once() -> None:
    """Convolve, if torch is installed: oneDNN takes 25 ms to write its matrix product in the machine's own code."""
    try:
        import torch
    except ModuleNotFoundError:
        return
    torch.nn.functional.conv2d(torch.zeros(2, 4, 8, 8), torch.zeros(6, 2, 3, 3), groups=2)


def export_once() -> None:
    """Export a network, if torch is installed: the first one imports hundreds of modules, most of a second."""
    try:
        import torch
        from torch import nn

        from factorkit.exported import describe
    except ModuleNotFoundError:
        return
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(64, 2)).eval()
    describe(network, torch.zeros(1, 3, 8, 8))  # of two images on the network is run, and that starts a thread
    any_size = ({0: torch.export.Dim.AUTO},)
    torch.export.export(network, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=any_size, strict=False)
