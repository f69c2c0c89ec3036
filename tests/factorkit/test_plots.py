"""Every figure returns labeled Axes and refuses what it cannot draw."""

import os
import subprocess
import sys

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from factorkit.costs import ConvCost
from factorkit.plots import plot_costs, plot_history, plot_images, plot_kernels, plot_tradeoff, use_style


@pytest.fixture(autouse=True)
def figures():
    before = plt.rcParams.copy()
    use_style()
    yield
    plt.close("all")
    plt.rcParams.update(before)


HISTORY = pd.DataFrame({"epoch": [1, 2, 3], "test_accuracy": [0.5, 0.7, 0.8], "train_loss": [2.0, 1.0, 0.5]})


def test_history_is_drawn_in_percent():
    ax = plot_history({"dense": HISTORY, "separable": HISTORY})
    assert ax.get_ylabel() == "test accuracy (%)"
    assert list(ax.lines[0].get_ydata()) == [50, 70, 80]
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    with pytest.raises(ValueError, match="column='val_loss'.*'train_loss'"):
        plot_history({"dense": HISTORY}, "val_loss")


def test_tradeoff_labels_points_and_draws_the_spread():
    points = pd.DataFrame({"macs": [1e7, 1e6], "accuracy": [0.95, 0.9], "accuracy_std": [0.01, 0.02]}, ["a", "b"])
    ax = plot_tradeoff(points, baseline="a")
    assert {text.get_text() for text in ax.texts} == {"a", "b"}
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "MACs per image", "test accuracy (%)")
    with pytest.raises(ValueError, match="no column 'params'"):
        plot_tradeoff(points, "params")
    with pytest.raises(ValueError, match="must be positive"):
        plot_tradeoff(points.assign(macs=[0, 1]))


def test_costs_are_relative_to_the_first():
    ax = plot_costs({"dense": ConvCost(3456, 86400), "separable": ConvCost(411, 10275)})
    assert [round(bar.get_width(), 2) for bar in ax.patches] == [100, 11.89, 100, 11.89]
    assert ax.get_xlabel() == "share of dense (%)"
    with pytest.raises(ValueError, match="at least one"):
        plot_costs({})


def test_kernels_share_one_scale():
    ax = plot_kernels({"sobel": torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]), "box": torch.ones(3, 3)})
    assert [image.get_clim() for image in ax.images] == [(-2, 2), (-2, 2)]
    with pytest.raises(ValueError, match=r"\(2, 2\), \(3, 3\)"):
        plot_kernels([torch.ones(2, 2), torch.ones(3, 3)])


def test_images_are_drawn_with_class_names_on_given_axes():
    own = plt.figure().add_subplot()
    images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    ax = plot_images(images, [0, 1, 1], ["disc", "star"], columns=2, ax=own)
    assert ax is own
    assert [text.get_text() for text in ax.texts] == ["disc", "star", "star"]
    with pytest.raises(ValueError, match="2 labels for 3 images"):
        plot_images(images, [0, 1])
    with pytest.raises(ValueError, match="expected N x C x H x W"):
        plot_images(images[0])


SHELL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
done = shell.run_cell('''
from factorkit.plots import use_style
use_style({})
import matplotlib.pyplot as plt
figure, ax = plt.subplots(figsize=(2, 1))
figure.savefig('figure.png')
''')
done.raise_error()
print(*sorted(shell.display_formatter.format(shell.user_ns['figure'])[0]))
"""


@pytest.mark.parametrize(
    ("graded", "arguments", "expected"),
    [
        ("", "", "image/png text/plain"),
        ("autograde", "", "text/plain"),
        ("autograde", "draw_when_graded=True", "image/png text/plain"),
    ],
)
def test_figures_stand_as_text_while_a_lab_is_graded(graded, arguments, expected, tmp_path):
    inline = "module://matplotlib_inline.backend_inline"  # as in a kernel
    environment = {**os.environ, "NBGRADER_EXECUTION": graded, "IPYTHONDIR": str(tmp_path), "MPLBACKEND": inline}
    command = [sys.executable, "-c", SHELL.format(arguments)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == expected
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")  # a file that a cell asks for is drawn
