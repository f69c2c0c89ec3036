"""Accuracy against score: what each entry of the challenge bought, and at what price."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape

from autograder.leaderboard import Entry, Leaderboard

__all__ = ["describe", "pareto_front", "plot_leaderboard"]

_MOST_NAMES = 12


def pareto_front(entries: Sequence[Entry]) -> list[Entry]:
    """The entries that no other one beats in score and accuracy at once, by rising score."""
    front: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: (entry.score, -entry.accuracy)):
        if not front or entry.accuracy > front[-1].accuracy:
            front.append(entry)
    return front


def describe(board: Leaderboard) -> str:
    """What the plot shows, in words."""
    entries, front = board.entries, pareto_front(board.entries)
    best = next((entry for entry in entries if entry.qualified), None)
    on_front = ", ".join(f"{entry.student} ({entry.score:.4f}, {100 * entry.accuracy:.1f} %)" for entry in front[:10])
    said = [
        f"Accuracy against score of {len(entries)} entries, scores from {min(e.score for e in entries):.4f} to "
        f"{max(e.score for e in entries):.4f}, accuracies from {100 * min(e.accuracy for e in entries):.1f} % to "
        f"{100 * max(e.accuracy for e in entries):.1f} %.",
        f"A line marks the threshold of {entries[0].threshold_percent} %.",
        f"On the Pareto front: {on_front}{' and others' if len(front) > 10 else ''}.",
    ]
    if best is not None:
        said.append(f"In the lead: {best.student}.")
    return " ".join(said)


def plot_leaderboard(board: Leaderboard) -> str:
    """The plot as an SVG element with a title and a description; the same entries give the same text."""
    import matplotlib as mpl
    from matplotlib.figure import Figure  # not pyplot: nothing of the caller's settings or figures is touched

    entries, front = board.entries, pareto_front(board.entries)
    style = {"svg.hashsalt": board.lab, "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10}
    with mpl.rc_context(style):
        figure = Figure(figsize=(7.5, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for chosen, marker, color, label in (
            (True, "o", "#0b5cad", "qualified"),
            (False, "x", "#8a4b00", "below the threshold"),
        ):
            found = [entry for entry in entries if entry.qualified is chosen]
            if found:
                x, y = [entry.score for entry in found], [100 * entry.accuracy for entry in found]
                axes.plot(x, y, marker, color=color, label=label)
        axes.plot(
            [entry.score for entry in front],
            [100 * entry.accuracy for entry in front],
            drawstyle="steps-post",
            color="#0b5cad",
            linewidth=1,
            label="Pareto front",
        )
        threshold = entries[0].threshold_percent
        axes.axhline(threshold, color="#a3211b", linestyle="--", linewidth=1, label=f"threshold, {threshold} %")
        for entry in entries if len(entries) <= _MOST_NAMES else front[:_MOST_NAMES]:
            name = entry.student if len(entry.student) <= 24 else entry.student[:23] + "…"
            place = (entry.score, 100 * entry.accuracy)
            axes.annotate(name, place, xytext=(4, 4), textcoords="offset points", fontsize=8, parse_math=False)
        axes.set(xlabel="score (lower is better)", ylabel="accuracy (%)")
        axes.margins(x=0.18, y=0.12)
        axes.grid(color="#e3e6ea", linewidth=0.8)
        axes.legend(frameon=False, fontsize=8)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return _described(file.getvalue(), board)


def _described(svg: str, board: Leaderboard) -> str:
    """The drawing as an element of a page, with names for those who do not see it."""
    element = svg[svg.index("<svg") :].strip()
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    name = "plot-" + re.sub(r"\W", "-", board.lab)
    words = f'<title id="{name}-title">Accuracy against score, {escape(board.lab)}</title>'
    words += f'<desc id="{name}-words">{escape(describe(board))}</desc>'
    opening = element[: element.index(">") + 1]
    labelled = opening[:-1] + f' role="img" aria-labelledby="{name}-title" aria-describedby="{name}-words">'
    return labelled + words + element[len(opening) :]
