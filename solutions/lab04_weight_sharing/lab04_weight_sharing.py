# ---
# jupyter:
#   kernelspec: {display_name: Python 3 (ipykernel), language: python, name: python3}
#   lab:
#     title: "Weight sharing: few values for many weights"
#     minutes: 105
#     points: 20
#     not_imported: [factorkit.clustering, factorkit.layers, sklearn.cluster]
# ---
# %% [markdown]
# # Lab 04. Weight sharing: few values for many weights
#
# A trained layer has thousands of different weights. Does it need them to be different? Suppose that all weights of a layer
# may take only four values. Then a weight is stored as a number from 0 to 3, two bits instead of 32, and the four values
# stand in a small table, the *codebook*. In this lab you write the algorithm that chooses the values, try it on images, turn
# a network into one with codebooks, and train the codebooks. At the end you know how few bits a weight needs, and what the
# usual ways of counting leave out.
#
# **When you have finished, you can**
#
# - write k-means from scratch, with a start that does not ruin the result;
# - say how much a codebook really saves, with the bits of the indices counted;
# - share the weights of a convolution, and derive the gradient of a value that many weights share;
# - fine-tune a network whose 16,272 convolution weights are made of a handful of values;
# - find out which part of a recovered accuracy the training of these values has earned.
#
# **Time**: about 105 minutes, of which about 2 are training.
#
# | | exercise | points | minutes |
# |---|---|---:|---:|
# | | *before you start* | | 3 |
# | 1 | the nearest centroid | 2 | 8 |
# | 2 | move the centroids | 2 | 8 |
# | 3 | repeat until nothing changes | 2 | 9 |
# | 4 | a better start | 1 | 8 |
# | 5 | what a codebook really stores | 2 | 9 |
# | 6 | share the weights of a layer | 2 | 9 |
# | 7 | a layer with a codebook | 2 | 8 |
# | 8 | the gradient of a shared value | 2 | 8 |
# | 9 | share a whole network | 2 | 9 |
# | 10 | train the codebooks only | 1 | 6 |
# | | *bits against accuracy* | | 12 |
# | 11 | written: reading the table | 2 | 8 |
# | | **sum** | **20** | **105** |
#
# ## Before you start (3 minutes)
#
# **What is graded.** Exercises 1 to 10 are graded automatically, exercise 11 is read by a person. Under each exercise
# stands a *check*: it tries your answer on small numbers and says what it expected and what it got. The grader runs the
# same check, and then *hidden tests* that ask for the same property elsewhere: other sizes, other dimensions, other random
# numbers. Predictions, explorations and the training are for you; no points depend on them.
#
# **How to work.** Run the cells from top to bottom, and put your answer, one to ten lines, in the place of each
# `raise NotImplementedError("Exercise ...")`. Where the text says **Predict**, commit yourself before you run the next
# cell. Every exercise has a hint, and the next step folded away under *Next step*. `factorkit.clustering` and
# `factorkit.layers` contain what you write here, and `sklearn.cluster` has a k-means too, so **do not import these three in
# this lab**; the hidden tests check that. Do not delete, copy or rename cells; add as many of your own as you like.

# %% given="setup"
import copy
import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd
import torch
import torch.nn.functional as F
from IPython.display import display
from torch import nn

from factorkit import data, plots, training
from factorkit.checks import being_graded, hand_over, not_imported
from factorkit.models import small_convnet

plots.use_style()

# %% [markdown]
# The next cell holds helpers for the checks. You need not read it; run it.


# %% given="helpers"
def assert_number(got: object, expected: int, how: str, mistakes: dict[int, str] | None = None) -> None:
    """Compare a count with the expected one; `mistakes` explains well-known wrong numbers."""
    hints = {
        type(None): "Does the function return its result?",
        float: "This is a count, a whole number: math.ceil and // give one.",
        torch.Tensor: "Turn a tensor with one number into a Python number with .item().",
    }
    shown = f"{str(got)[:60]} of type {type(got).__name__}. {hints.get(type(got), '')}"
    assert isinstance(got, int), f"expected the int {expected:,}, got {shown}"
    hint = f" It seems that {mistakes[got]}." if mistakes and got in mistakes else ""
    assert got == expected, f"expected {how} = {expected:,}, got {got:,}.{hint}"


def assert_tensor(got: object, expected: torch.Tensor, hint: str, mistakes: dict[str, list] | None = None) -> None:
    """Compare a tensor with the expected one: type, shape, kind of numbers, values; `mistakes` explains wrong values."""
    assert isinstance(got, torch.Tensor), f"expected a tensor, got {got!r} of type {type(got).__name__}. {hint}"
    shapes = f"expected the shape {tuple(expected.shape)}, got {tuple(got.shape)}"
    assert got.shape == expected.shape, f"{shapes}. {hint}"
    kinds = f"expected numbers of type {expected.dtype}, got {got.dtype}"
    assert got.is_floating_point() == expected.is_floating_point(), f"{kinds}. {hint}"
    got = got.detach().to(expected.dtype)
    for why, wrong in (mistakes or {}).items():
        if torch.allclose(got, torch.tensor(wrong, dtype=expected.dtype), rtol=1e-3, equal_nan=True):
            hint = f"It seems that {why}."
    shown = f"the shape is right, the values are not:\nexpected\n{expected}\ngot\n{got}\n{hint}"
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5, msg=shown)


# %% [markdown]
# ## Part 1. k-means from scratch
#
# Given are $N$ points $x_1, \dots, x_N$ with $d$ coordinates each, and a number $K$. Wanted are $K$ *centroids*
# $c_1, \dots, c_K$, so that each point is close to one of them. If $q(n)$ is the number of the centroid that stands for
# point $n$, the mean squared distance
#
# $$E = \frac{1}{N} \sum_{n=1}^{N} \lVert x_n - c_{q(n)} \rVert^2$$
#
# is to be small. (Sometimes one reads a sum of distances without the square. That is another problem, and its best
# centroids are not means.) Both the centroids and the labels $q(n)$ are unknown. But with the centroids fixed the best labels
# are easy, and with the labels fixed the best centroids are. k-means takes turns.
#
# ## Exercise 1: the nearest centroid (2 points, 8 minutes)
#
# With the centroids fixed, every point chooses the one with the smallest squared distance:
# $q(n) = \arg\min_k \lVert x_n - c_k \rVert^2$.
#
# **Predict**: a point at $(0, 0)$, centroids at $(3, 3)$ and $(0, 5)$. Which one is nearer? And if one added up the
# coordinates' differences instead of their squares?
#
# **Fill** `nearest`. *Hint: `points[:, None]` has the shape $N \times 1 \times d$. What does `points[:, None] - centroids` have,
# and along which dimension are squares summed up?*
#
# <details><summary>Next step</summary>
#
# `points[:, None] - centroids` is $N \times K \times d$. Its squares, summed up along the last dimension, are the
# $N \times K$ squared distances. `argmin` along dimension 1 gives the number of the smallest one.
# </details>


# %% exercise="nearest"
def nearest(points: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Number of the nearest centroid (K x d) of each point (N x d): N integers from 0 to K - 1."""
    ### BEGIN SOLUTION stub="Exercise 1: return the number of each point's nearest centroid, N integers"
    distances = (points[:, None] - centroids).square().sum(dim=2)
    return distances.argmin(dim=1)
    ### END SOLUTION


# %% check="nearest" points=2
points = torch.tensor([[0.0, 0.0], [3.0, 4.0], [1.0, 5.0], [-2.0, 1.0]])
centroids = torch.tensor([[3.0, 3.0], [0.0, 5.0]])
got = nearest(points.clone(), centroids.clone())
mistakes = {
    "you added up differences instead of squares": [1, 0, 1, 1],
    "you added up over the points: each point has its own distances": [0, 1, 1, 1],
    "you took the farthest centroid: argmin, not argmax": [1, 1, 0, 0],
}
hint = "One whole number for each of the 4 points: the centroid with the smallest squared distance."
assert_tensor(got, torch.tensor([0, 0, 1, 1]), hint, mistakes)
### BEGIN HIDDEN TESTS
not_imported("factorkit.clustering", "factorkit.layers", "sklearn.cluster")
generator = torch.Generator().manual_seed(401)
for n, k, d in [(5, 3, 1), (40, 7, 2), (6, 6, 6), (90, 12, 20), (3, 1, 4)]:
    points = torch.randn(n, d, generator=generator)
    centroids = torch.randn(k, d, generator=generator)
    expected = []
    for point in points.double().tolist():
        distances = [sum((a - b) ** 2 for a, b in zip(point, c, strict=True)) for c in centroids.double().tolist()]
        expected.append(distances.index(min(distances)))
    given = points.clone()
    got = nearest(given, centroids.clone())
    assert got.shape == (n,), f"expected {n} labels for {n} points, got the shape {tuple(got.shape)}"
    assert not got.is_floating_point() and got.tolist() == expected, (
        f"wrong for {n} points, {k} centroids, {d} dimensions"
    )
    torch.testing.assert_close(given, points, rtol=0, atol=0, msg="nearest changed the points")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# $(3, 3)$: its squared distance is 18, that of $(0, 5)$ is 25. Added up without squares it is the other way round, 6 against 5.
# </details>
#
# ## Exercise 2: move the centroids (2 points, 8 minutes)
#
# With the labels fixed, the best place for a centroid is the **mean** of its points. But it can happen that no point has
# chosen a centroid. Such an *empty cluster* has no mean, and the centroid **stays where it is**.
#
# **Predict**: what is the mean of no numbers in PyTorch? What would become of a centroid with this value in the next
# round?
#
# **Fill** `move`: return the new centroids, and leave the old ones unchanged. *Hint: a loop over the $K$ centroids;
# `points[labels == k]` are the points of cluster $k$.*
#
# <details><summary>Next step</summary>
#
# Begin with a copy of the old centroids (`.clone()`). For each `k`, if there are members (their `len` is above 0), put their
# mean along dimension 0 into row `k` of the copy. Return the copy.
# </details>


# %% exercise="move"
def move(points: torch.Tensor, labels: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """New centroids (K x d): the mean of the points (N x d) with each label; without such points, the old one."""
    ### BEGIN SOLUTION stub="Exercise 2: return the new centroids, K x d"
    moved = centroids.clone()
    for k in range(len(centroids)):
        members = points[labels == k]
        if len(members) > 0:
            moved[k] = members.mean(dim=0)
    return moved
    ### END SOLUTION


# %% check="move" points=2
points = torch.tensor([[0.0, 2.0], [4.0, 0.0], [9.0, 1.0], [2.0, 4.0]])
labels = torch.tensor([0, 0, 2, 0])
centroids = torch.tensor([[1.0, 1.0], [7.0, 7.0], [8.0, 2.0]])
given = centroids.clone()
got = move(points.clone(), labels.clone(), given)
nan = math.nan
mistakes = {
    "you took the mean of no points: the centroid of an empty cluster stays": [[2.0, 2.0], [nan, nan], [9.0, 1.0]],
    "the centroid of an empty cluster became zero: it stays where it is": [[2.0, 2.0], [0.0, 0.0], [9.0, 1.0]],
    "you divided by the number of all points": [[1.5, 1.5], [7.0, 7.0], [2.25, 0.25]],
    "you added up the points without dividing": [[6.0, 6.0], [7.0, 7.0], [9.0, 1.0]],
    "you took one mean for all coordinates: give the dimension": [[2.0, 2.0], [7.0, 7.0], [5.0, 5.0]],
    "the centroids did not move": [[1.0, 1.0], [7.0, 7.0], [8.0, 2.0]],
}
hint = "The means of points 0, 1 and 3, of no points, and of point 2."
assert_tensor(got, torch.tensor([[2.0, 2.0], [7.0, 7.0], [9.0, 1.0]]), hint, mistakes)
assert torch.equal(given, centroids), (
    "expected the old centroids to be left as they were, got them changed: clone first"
)
### BEGIN HIDDEN TESTS
not_imported("factorkit.clustering", "factorkit.layers", "sklearn.cluster")
generator = torch.Generator().manual_seed(402)
for n, k, d in [(7, 2, 1), (50, 9, 3), (4, 6, 2), (80, 5, 16), (3, 3, 3)]:
    points = torch.randn(n, d, generator=generator)
    labels = torch.randint(k, (n,), generator=generator)
    if k > 4:
        labels[labels == 4] = 0  # nobody chose it
    centroids = 5 + torch.randn(k, d, generator=generator)
    rows = [[row for row, label in zip(points.tolist(), labels.tolist(), strict=True) if label == j] for j in range(k)]
    means = [[sum(column) / len(own) for column in zip(*own, strict=True)] if own else None for own in rows]
    expected = torch.tensor([mean or old for mean, old in zip(means, centroids.tolist(), strict=True)])
    given = centroids.clone()
    got = move(points.clone(), labels.clone(), given)
    assert got.shape == (k, d), f"expected the shape {(k, d)}, got {tuple(got.shape)}"
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(given, centroids, rtol=0, atol=0, msg="move changed the old centroids")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# `nan`, not a number: zero divided by zero. No distance to it is smaller than another one in any useful sense, and from
# then on all results are worthless. (`argmin` even counts a `nan` as the smallest, and gives all points to it.)
# </details>
#
# ## Exercise 3: repeat until nothing changes (2 points, 9 minutes)
#
# Neither step can increase the error $E$, and there are finitely many ways to label the points. So the turns come to an
# end: after some round, no label has changed. This algorithm is Lloyd's (1982; it is from 1957). The next cell gives you
# the error and a type for the result. **Read** it.


# %% given="clusters"
@dataclass(frozen=True)
class Clusters:
    """What k-means found: centroids (K x d), labels (N), and the error at the start and after each round."""

    centroids: torch.Tensor
    labels: torch.Tensor
    errors: list[float]


def mean_squared_distance(points: torch.Tensor, centroids: torch.Tensor, labels: torch.Tensor) -> float:
    """The error E of points (N x d) that are replaced by the centroids (K x d) which their labels (N) name."""
    return (points - centroids[labels]).square().sum(dim=1).mean().item()


# %% [markdown]
# One **round**: move the centroids to the means of their points, label the points anew, and append the error to `errors`.
# Stop after a round that has changed no label.
#
# **Predict**: the points are $0, 1, 2, 3, 10, 11$, and both centroids start at the far left, at $0$ and at $1$. How many
# rounds does it take? (Do it on paper; it is worth it.)
#
# **Fill** the inside of the loop. *Hint: keep the old labels under another name, so that you can compare.
# `torch.equal(a, b)` says whether two tensors are the same.*
#
# <details><summary>Next step</summary>
#
# Four steps: `centroids` becomes `move` of points, labels and centroids. `before, labels` become `labels` and the new `nearest`.
# Append `mean_squared_distance(points, centroids, labels)`. If `labels` and `before` are equal, `break`.
# </details>


# %% exercise="lloyd"
def lloyd(points: torch.Tensor, start: torch.Tensor, iterations: int = 100) -> Clusters:
    """k-means of points (N x d) from given centroids (K x d) on, for at most `iterations` rounds."""
    centroids, labels = start, nearest(points, start)
    errors = [mean_squared_distance(points, centroids, labels)]
    for _ in range(iterations):
        ### BEGIN SOLUTION stub="Exercise 3: move, label anew, append the error, and stop if no label has changed"
        centroids = move(points, labels, centroids)
        before, labels = labels, nearest(points, centroids)
        errors.append(mean_squared_distance(points, centroids, labels))
        if torch.equal(labels, before):
            break
        ### END SOLUTION
    return Clusters(centroids, labels, errors)


# %% check="lloyd" points=2
points = torch.tensor([[0.0], [1.0], [2.0], [3.0], [10.0], [11.0]])
found = lloyd(points.clone(), torch.tensor([[0.0], [1.0]]))
assert isinstance(found, Clusters), f"expected Clusters, got {found!r}"
hint = "Repeat until a round changes no label: the two groups have the means 1.5 and 10.5."
mistakes = {
    "the centroids never move": [[0.0], [1.0]],
    "it stops after one round, or never labels the points anew": [[0.0], [5.4]],
    "it stops after two rounds, although the second one has changed a label": [[1.0], [8.0]],
}
assert_tensor(found.centroids, torch.tensor([[1.5], [10.5]]), hint, mistakes)
assert_tensor(found.labels, torch.tensor([0, 0, 0, 0, 1, 1]), "The labels must belong to the last centroids.")
expected = [31.0, 10.546667, 3.166667, 0.916667]
shown = [round(error, 6) for error in found.errors]
assert len(shown) == len(expected), (
    f"expected the errors {expected}, at the start and after 3 rounds, got {shown[:8]}, {len(shown)} of them. "
    "Append one in each round, and stop after the first round that changes no label."
)
assert max(abs(a - b) for a, b in zip(shown, expected, strict=True)) < 1e-4, (
    f"expected the errors {expected}, got {shown}. Take the error after the points are labeled anew."
)
### BEGIN HIDDEN TESTS
not_imported("factorkit.clustering", "factorkit.layers", "sklearn.cluster")


def by_hand(
    points: torch.Tensor, centroids: torch.Tensor, rounds: int
) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """Centroids, labels and errors of k-means."""
    distances = torch.cdist(points, centroids, compute_mode="donot_use_mm_for_euclid_dist").square()
    labels, errors = distances.argmin(1), [distances.amin(1).mean().item()]
    for _ in range(rounds):
        member = F.one_hot(labels, len(centroids)).to(points.dtype)
        counts = member.sum(0)[:, None]
        centroids = torch.where(counts > 0, member.T @ points / counts.clamp(min=1), centroids)
        distances = torch.cdist(points, centroids, compute_mode="donot_use_mm_for_euclid_dist").square()
        before, labels = labels, distances.argmin(1)
        errors.append(distances.amin(1).mean().item())
        if labels.tolist() == before.tolist():
            break
    return centroids, labels, errors


generator = torch.Generator().manual_seed(403)
for n, k, d, rounds in [
    (60, 4, 2, 100),
    (40, 3, 1, 100),
    (80, 6, 5, 2),
    (50, 5, 3, 1),
    (30, 30, 2, 100),
    (20, 2, 4, 0),
]:
    points = torch.randn(n, d, generator=generator)
    start = points[torch.randperm(n, generator=generator)[:k]].clone()
    if k == 4:
        start[0] = 50.0  # too far away for every point: an empty cluster
    centroids, labels, errors = by_hand(points.double(), start.double(), rounds)
    given = start.clone()
    found = lloyd(points.clone(), given, rounds)
    case = f"{n} points in {d} dimensions, {k} centroids, at most {rounds} rounds"
    assert found.centroids.shape == (k, d), f"{case}: expected centroids {(k, d)}, got {tuple(found.centroids.shape)}"
    assert found.labels.tolist() == labels.tolist(), f"{case}: expected the labels {labels.tolist()}"
    torch.testing.assert_close(found.centroids, centroids.float(), rtol=1e-4, atol=1e-4)
    assert len(found.errors) == len(errors), f"{case}: expected {len(errors)} errors, got {len(found.errors)}"
    torch.testing.assert_close(torch.tensor(found.errors), torch.tensor(errors), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(given, start, rtol=0, atol=0, msg="lloyd changed the start")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Three. At first the point 0 has the first centroid and the other five share the second one: $E = 31$. Round 1 moves the second
# centroid to 5.4, and 1 and 2 change over to the first: 10.5. Round 2 moves the centroids to 1 and 8, and 3 changes over:
# 3.2. Round 3 moves them to 1.5 and 10.5, and finds no label to change: 0.92.
# </details>
#
# **Explore.** Six groups of points in the plane, and a start with all centroids in one corner. Look at the right picture:
# is every group found? Then at the numbers: which part of the error does the first round remove, which part the others?

# %%
generator = torch.Generator().manual_seed(4)
centers = torch.tensor([[0.0, 0.0], [1.0, 3.0], [4.0, 0.5], [5.0, 3.5], [8.0, 1.0], [9.0, 4.0]])
blobs = (centers[:, None] + 0.45 * torch.randn(6, 50, 2, generator=generator)).flatten(0, 1)
corner = blobs[:6]
fig, axes = plt.subplots(1, 3, figsize=(9, 2.4), sharey=True)
for ax, rounds in zip(axes, (0, 1, 100), strict=True):
    found = lloyd(blobs, corner, rounds)
    ax.scatter(*blobs.T, c=found.labels, s=6, cmap="Dark2", vmin=0, vmax=7)
    ax.plot(*found.centroids.T, "kx", markersize=9, markeredgewidth=2)
    ax.set(title=f"after {len(found.errors) - 1} rounds: E = {found.errors[-1]:.2f}", xlabel="first coordinate")
axes[0].set_ylabel("second coordinate")
plt.show()

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# The first round removes most of the error, and the tenth finds nothing more to change. Yet three centroids share one group,
# and two others have to serve two groups each. k-means ends where no single step improves anything, which need not be the
# best there is. Nothing is wrong with the algorithm: the start was bad.
# </details>
#
# ## Exercise 4: a better start (1 point, 8 minutes)
#
# **k-means++** (Arthur and Vassilvitskii, 2007) draws the start among the points: the first centroid by chance, and each
# further one with a probability that grows with the squared distance to the *nearest* centroid that is already there:
#
# $$p_n = \frac{D_n^2}{\sum_m D_m^2}, \qquad D_n^2 = \min_k \lVert x_n - c_k \rVert^2 .$$
#
# **Predict**: the points are 0, 1, 3 and 10, and centroids are already at 0 and 10. Which point comes next, and with which
# probability?
#
# **Fill** `chances`. *Hint: your `nearest` says which centroid is the nearest of each point; `centroids[labels]` are these
# centroids, one for each point.*
#
# <details><summary>Next step</summary>
#
# `points - centroids[nearest(points, centroids)]` is $N \times d$. Square it, sum it up along dimension 1, and divide the $N$
# results by their sum.
# </details>


# %% exercise="chances"
def chances(points: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Probability of each point (N x d) to become the next centroid beside those that are there (K x d)."""
    ### BEGIN SOLUTION stub="Exercise 4: return N probabilities that sum to one"
    squared = (points - centroids[nearest(points, centroids)]).square().sum(dim=1)
    return squared / squared.sum()
    ### END SOLUTION


# %% check="chances" points=1
points = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
got = chances(points.clone(), torch.tensor([[0.0], [10.0]]))
mistakes = {
    "you took the distances without the square": [0.0, 0.25, 0.75, 0.0],
    "the probabilities do not sum to one": [0.0, 1.0, 9.0, 0.0],
    "you took the distances to the first centroid only": [0.0, 0.009091, 0.081818, 0.909091],
    "you took the distances to the last centroid only: to the nearest one": [0.434783, 0.352174, 0.213043, 0.0],
    "you took the distances to all centroids together": [0.294118, 0.241176, 0.170588, 0.294118],
}
hint = "The squared distances to the nearest centroid are 0, 1, 9 and 0; divide them by their sum."
assert_tensor(got, torch.tensor([0.0, 0.1, 0.9, 0.0]), hint, mistakes)
got = chances(torch.tensor([[0.0, 0.0], [1.0, -1.0], [2.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
mistakes = {"you added up before squaring": [0.0, 0.0, 1.0]}
hint = "In the plane too: the squared distances are 0, 1 + 1 and 4."
assert_tensor(got, torch.tensor([0.0, 1 / 3, 2 / 3]), hint, mistakes)
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(404)
for n, k, d in [(6, 1, 1), (40, 3, 2), (25, 7, 9), (60, 20, 3)]:
    points = 2 * torch.randn(n, d, generator=generator)
    centroids = torch.randn(k, d, generator=generator)
    squared = torch.stack([(points - centroid).square().sum(1) for centroid in centroids]).amin(0)
    expected = squared / squared.sum()
    got = chances(points.clone(), centroids.clone())
    assert got.shape == (n,), f"expected {n} probabilities, got the shape {tuple(got.shape)}"
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# **Explore.** The six groups again, from 40 starts of each kind: six points by chance, or k-means++. Compare the best result
# with the median and with the worst.


# %%
def random_start(points: torch.Tensor, k: int, generator: torch.Generator) -> torch.Tensor:
    """k different points by chance."""
    return points[torch.randperm(len(points), generator=generator)[:k]]


def plus_plus(points: torch.Tensor, k: int, generator: torch.Generator) -> torch.Tensor:
    """The start of k-means++."""
    start = random_start(points, 1, generator)
    while len(start) < k:
        drawn = torch.multinomial(chances(points, start), 1, generator=generator)
        start = torch.cat([start, points[drawn]])
    return start


generator = torch.Generator().manual_seed(0)
runs = {
    name: [lloyd(blobs, make(blobs, 6, generator)).errors[-1] for _ in range(5 if being_graded() else 40)]
    for name, make in [("points by chance", random_start), ("k-means++", plus_plus)]
}
pd.DataFrame(runs).quantile([0, 0.5, 1]).set_axis(["best E", "median E", "worst E"]).round(2)

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# Both find the six groups at times, with an error of about 0.4. By chance it is the exception, and with k-means++ the rule:
# points that lie far from all centroids are likely to be drawn, and those are in groups without one. It is still chance, so
# several starts and the best of their results are the usual advice.
# </details>
#
# ## Part 2. Quantize digits
#
# An image of 8 x 8 pixels is a point with 64 coordinates. Replace each of 1,437 handwritten digits by the nearest of $K$
# centroids: then only the $K$ centroids are stored as images, and for each digit its label. This is *vector quantization*.
#
# **Predict**: with $K = 20$, will each of the ten digits get two centroids?

# %%
digits = data.load("digits")
images, test_images = (split.flatten(1).float() for split in (digits.train_images, digits.test_images))
generator = torch.Generator().manual_seed(0)
found = lloyd(images, plus_plus(images, 20, generator), iterations=30)
sizes = found.labels.bincount(minlength=20)
tiles = found.centroids.round().byte().reshape(-1, 1, 8, 8)
plots.plot_images(tiles, labels=sizes, columns=10).set_title(
    "20 centroids, and how many digits each stands for", y=1.05
)
plt.show()

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# No, k-means knows no classes. In our run the nines had a single centroid, and so had the threes, while the ones and the
# eights took three each: a digit that is written in many ways needs more of them. Some centroids are blends of two digits.
# </details>
#
# ## Exercise 5: what a codebook really stores (2 points, 9 minutes)
#
# How much is saved? Textbooks and slides often give the *compression factor* $\kappa = 1 - K/N$, as if $K$ images were stored
# instead of $N$. But the labels have to be stored as well. A label is one of $K$ numbers, which takes
# $\lceil \log_2 K \rceil$ bits. With $b$ bits for a value, what is stored is
#
# $$\underbrace{K \cdot d \cdot b}_\text{codebook} + \underbrace{N \cdot \lceil \log_2 K \rceil}_\text{indices}
#   \quad\text{instead of}\quad N \cdot d \cdot b \quad\text{bits.}$$
#
# **Predict**: for which $d$ do the indices matter most?
#
# **Fill** `stored_bits`, which returns an `int`. *Hint: `math.log2` and `math.ceil`. How many bits does an index need with
# $K = 3$, with $K = 4$ and with $K = 5$?*
#
# <details><summary>Next step</summary>
#
# An index has `math.log2(k)` bits, rounded up by `math.ceil`, and there are `count` of them. The codebook has
# `k * size * value_bits` bits.
# </details>


# %% exercise="stored_bits"
def stored_bits(count: int, size: int, k: int, value_bits: int = 32) -> int:
    """Bits of `count` indices and of a codebook with k entries of `size` values each."""
    ### BEGIN SOLUTION stub="Exercise 5: return the bits of codebook and indices, an int"
    index_bits = math.ceil(math.log2(k))
    return k * size * value_bits + count * index_bits
    ### END SOLUTION


# %% check="stored_bits" points=2
mistakes = {
    384: "you left out the indices",
    394: "you rounded down: one bit tells only two entries apart",
    414: "you counted k bits for an index: a number from 0 to 2 needs fewer",
    704: "you counted 32 bits for an index",
    116: "you counted one value for an entry of the codebook: there are 4",
    386: "you counted one index: each of the 10 points has its own",
    1300: "you counted a codebook entry for each point",
}
assert_number(stored_bits(10, size=4, k=3), 404, "3 x 4 x 32 bits of codebook + 10 x 2 bits of indices", mistakes)
how = "5 x 4 x 8 bits of codebook + 10 x 3 bits of indices"
mistakes = {670: "value_bits has no effect", 180: "you rounded down: 2 bits tell only four entries apart"}
assert_number(stored_bits(10, size=4, k=5, value_bits=8), 190, how, mistakes)
mistakes = {542: "you counted 3 bits for an index: the numbers 0, 1, 2 and 3 need 2"}
assert_number(stored_bits(10, size=4, k=4), 532, "4 x 4 x 32 bits of codebook + 10 x 2 bits of indices", mistakes)
### BEGIN HIDDEN TESTS
for count, size, k, value_bits, index_bits in [
    (60_000, 784, 100, 32, 7),
    (1_437, 64, 64, 8, 6),
    (36_864, 1, 16, 32, 4),
    (500, 3, 1, 16, 0),
    (7, 5, 2, 1, 1),
    (2_359_296, 1, 257, 16, 9),
    (1_000, 10, 1000, 4, 10),
]:
    expected = k * size * value_bits + count * index_bits
    got = stored_bits(count, size, k, value_bits)
    assert isinstance(got, int) and got == expected, f"expected {expected} for {count} points, K = {k}, got {got!r}"
got = stored_bits(9, 2, 8)
assert isinstance(got, int) and got == 8 * 2 * 32 + 9 * 3, f"expected 32 bits for a value by default, got {got!r}"
### END HIDDEN TESTS

# %% [markdown]
# **Explore.** The formula of the textbooks, and the truth: for the digits (64 pixels of 8 bits), for as many digits in larger
# images, and for the 9,216 weights of a layer, where a "point" is a single number of 32 bits. Look for the row where the two
# columns have nothing to do with each other.

# %%
rows = {}
for name, count, size, value_bits in [
    ("1,437 images, 8 x 8 pixels", 1_437, 64, 8),
    ("1,437 images, 28 x 28 pixels", 1_437, 784, 8),
    ("9,216 weights, one by one", 9_216, 1, 32),
]:
    for k in (4, 16, 64):
        true_factor = 1 - stored_bits(count, size, k, value_bits) / (count * size * value_bits)
        rows[name, k] = {"1 - K/N": 1 - k / count, "with indices": true_factor}
pd.DataFrame(rows).T.rename_axis(["what", "K"]).map("{:.2%}".format)

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# An index of 6 bits is nothing beside an image of 6,272 bits, so for images $1 - K/N$ is a fair approximation. For single
# weights it is not: the indices are nearly *all* that is stored. Four bits of 32 remain with $K = 16$, whatever $N$ is, and
# 99.83 % is really 87 %.
# </details>
#
# **Explore.** Error against $K$, for the digits that made the codebook and for 360 others. One chooses a $K$ where the curve
# bends, if it does (the *elbow*). Look for the bend, and for what happens to the gap between the two curves.

# %%
candidates = [1, 2, 5, 10, 20] if being_graded() else [1, 2, 5, 10, 20, 50, 100, 200]
books, errors = {}, {"train": [], "test": []}
for k in candidates:
    books[k] = lloyd(images, plus_plus(images, k, generator), iterations=20).centroids
    for split, shown in (("train", images), ("test", test_images)):
        errors[split].append(mean_squared_distance(shown, books[k], nearest(shown, books[k])) / 64)
fig, ax = plt.subplots(figsize=(5, 2.6))
for (split, values), marker in zip(errors.items(), "os", strict=True):
    ax.plot(candidates, values, marker=marker, label=f"{split} digits")
ax.set(xscale="log", xlabel="number of centroids $K$ (log scale)", ylabel="squared error of a pixel", ylim=(0, None))
ax.legend()
plt.show()
few, many = candidates[-4], candidates[-1]
shown = [test_images[:10], *(books[k][nearest(test_images[:10], books[k])] for k in (few, many))]
ax = plots.plot_images(torch.cat(shown).round().byte().reshape(-1, 1, 8, 8), columns=10)
ax.set_title(f"ten test digits, and what K = {few} and K = {many} make of them")
plt.show()

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# There is no sharp bend: from 10 centroids on a doubling of $K$ buys less and less on the test digits. Up to 20 the two
# curves stay together; then the error of the training digits falls faster, because a centroid that stands for seven digits
# begins to know them by heart. Entire images are hard to quantize. Single numbers are easy, and a network has plenty of them.
# </details>
#
# ## Part 3. One codebook for a layer
#
# Now the points are the weights of one convolution, with $d = 1$: *weight sharing* (Han, Mao and Dally, 2016). All weights
# with the same label share one value. First we need a trained network. The next cell trains three of them, which differ in
# their seed, on the digits; each takes about ten seconds. (A grader skips it.) We keep three because the test set has only
# 360 digits: one digit is 0.28 %, and a single network proves nothing.

# %%
networks = []
for seed in () if being_graded() else (0, 1, 2):
    training.seed_everything(seed)
    network = small_convnet((16, 32), in_channels=1)
    training.fit(network, digits, epochs=12, batch_size=64, seed=seed)
    networks.append(network)
print([f"{training.evaluate(network, digits).accuracy:.1%}" for network in networks])

# %% [markdown]
# ## Exercise 6: share the weights of a layer (2 points, 9 minutes)
#
# Where should the centroids start? Large weights are few, but they matter, and a start drawn among the points has hardly any
# of them. Han, Mao and Dally therefore start **linearly**: $K$ values at equal distances from the smallest weight to the
# largest, both included.
#
# **Predict**: with the weights $-1$, $-0.8$, $0.1$, $0.9$, $1$, $1.1$ and $K = 3$, where do the centroids start, and where
# do they end?
#
# **Fill** `share_weight`: return the $K$ centroids and, for every weight, its label. *Hint: your `lloyd` wants points
# $N \times d$, so flatten the weight to one column. `torch.linspace(low, high, k)` makes the start; it has to become a
# column as well.*
#
# <details><summary>Next step</summary>
#
# `weight.reshape(-1, 1)` is the column of points; call it `values`. The start is the `torch.linspace` from `values.min()` to
# `values.max()` with `k` entries, reshaped to a column too. Of the result of `lloyd`, return the centroids as a vector, and
# the labels in the shape of the weight.
# </details>


# %% exercise="share_weight"
def share_weight(weight: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Centroids (k values) and index (integers from 0 to k - 1, in the shape of the weight) by k-means, linear start."""
    ### BEGIN SOLUTION stub="Exercise 6: return (centroids, index), of shapes (k,) and weight.shape"
    values = weight.reshape(-1, 1)
    start = torch.linspace(values.min(), values.max(), k).reshape(-1, 1)
    clusters = lloyd(values, start)
    return clusters.centroids.flatten(), clusters.labels.reshape(weight.shape)
    ### END SOLUTION


# %% check="share_weight" points=2
weight = torch.tensor([[[[-1.0, 0.9, 1.1]]], [[[-0.8, 0.1, 1.0]]]])
pair = share_weight(weight.clone(), 3)
assert isinstance(pair, tuple) and len(pair) == 2, f"expected a tuple (centroids, index), got {pair!r}"
centroids, index = pair
hint = "Three centroids as a vector: the means of (-1, -0.8), of (0.1) and of (0.9, 1, 1.1)."
assert_tensor(centroids, torch.tensor([-0.9, 0.1, 1.0]), hint, {"this is the start, before k-means": [-1.0, 0.05, 1.1]})
hint = "The label of every weight, in the shape of the weight."
assert_tensor(index, torch.tensor([[[[0, 2, 2]]], [[[0, 1, 2]]]]), hint)
weight = torch.tensor([-10.0, *(0.1 * i for i in range(20))])
centroids = share_weight(weight.clone(), 3)[0]
assert_tensor(
    centroids.sort().values,
    torch.tensor([-10.0, -4.05, 0.95]),
    "One weight far below all others: a linear start is at -10, -4.05 and 1.9, and nobody chooses the second one.",
)
### BEGIN HIDDEN TESTS
not_imported("factorkit.clustering", "factorkit.layers", "sklearn.cluster")
generator = torch.Generator().manual_seed(406)
for shape, k in [((6, 4, 3, 3), 4), ((5, 3, 1, 1), 2), ((10, 20), 8), ((90,), 5), ((2, 3, 5, 3), 3)]:
    weight = torch.randn(shape, generator=generator) ** 3
    values = weight.flatten().double()
    levels = torch.linspace(values.min().item(), values.max().item(), k, dtype=torch.float64)
    labels = (values[:, None] - levels).abs().argmin(1)
    for _ in range(100):
        counts = labels.bincount(minlength=k)
        levels = torch.where(counts > 0, labels.bincount(values, minlength=k) / counts.clamp(min=1), levels)
        labels = (values[:, None] - levels).abs().argmin(1)
    given = weight.clone()
    centroids, index = share_weight(given, k)
    assert centroids.shape == (k,), f"expected {k} centroids, got the shape {tuple(centroids.shape)}"
    assert index.shape == shape, f"expected an index of shape {shape}, got {tuple(index.shape)}"
    assert not index.is_floating_point(), f"expected whole numbers as index, got {index.dtype}"
    torch.testing.assert_close(centroids.detach(), levels.float(), rtol=1e-3, atol=1e-4)
    assert index.flatten().tolist() == labels.tolist(), f"a weight of shape {shape} is not labeled by its nearest value"
    torch.testing.assert_close(given, weight, rtol=0, atol=0, msg="share_weight changed the weight")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# They start at $-1$, $0.05$ and $1.1$, and after one round they are the means of the three groups, $-0.9$, $0.1$ and $1$.
# </details>
#
# **Explore.** The weights of the largest layer of the first network, and their eight values. Look where the values are close
# together and where they are far apart: is this what rounding to equal steps would have chosen?

# %%
largest = [layer for layer in small_convnet((16, 32), in_channels=1) if isinstance(layer, nn.Conv2d)][-1]
if networks:
    largest = [layer for layer in networks[0] if isinstance(layer, nn.Conv2d)][-1]
weight = largest.weight.detach()
centroids, index = share_weight(weight, 8)
fig, ax = plt.subplots(figsize=(6, 2.6))
ax.hist(weight.flatten().numpy(), bins=120, color=plots.PALETTE[0], alpha=0.6)
for value in centroids:
    ax.axvline(value.item(), color=plots.PALETTE[1], linewidth=1.5)
ax.set(xlabel="weight (lines: the eight shared values)", ylabel="number of weights")
plt.show()
error = ((weight - centroids[index]).square().sum() / weight.square().sum()).item()
print(f"{weight.numel():,} weights, 8 values, relative squared error {error:.2%}")

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# The lines are close where the weights are many, and far apart in the tails. Every value is the mean of its weights, so the
# steps adapt to the histogram; equal steps would spend several values on the few weights far outside.
# </details>
#
# ## Exercise 7: a layer with a codebook (2 points, 8 minutes)
#
# The layer owns two things. The **centroids** can be trained: an `nn.Parameter`. The **index** cannot, a label has no
# gradient; yet it belongs to the state of the layer and must be saved with it: a *buffer*.
#
# **Read** `forward`. **Predict**: which shape has `self.centroids[self.index]`, and how many numbers does an optimizer find in a
# layer with 9,216 weights and 4 values?
#
# **Fill** the middle of `__init__`. *Hint: `self.register_buffer(name, tensor)`.*
#
# <details><summary>Next step</summary>
#
# `self.centroids` becomes `nn.Parameter(centroids)`. Register `index` under the name `"index"`.
# </details>


# %% exercise="shared_conv"
class SharedConv2d(nn.Module):
    """A convolution whose weight is made of k shared values, from a dense convolution."""

    def __init__(self, convolution, k):
        super().__init__()
        self.stride, self.padding, self.bias = convolution.stride, convolution.padding, convolution.bias
        centroids, index = share_weight(convolution.weight.detach(), k)
        ### BEGIN SOLUTION stub="Exercise 7: set self.centroids, a parameter, and the buffer index"
        self.centroids = nn.Parameter(centroids)
        self.register_buffer("index", index)
        ### END SOLUTION

    def forward(self, maps):
        weight = self.centroids[self.index]
        return F.conv2d(maps, weight, self.bias, self.stride, self.padding)


# %% given="of_levels"
def convolution_of_levels(levels: list[float], i: int, o: int, size: int, seed: int, **options) -> nn.Conv2d:
    """A convolution from i to o maps whose weights are drawn from a few levels, each of which occurs."""
    layer = nn.Conv2d(i, o, size, bias=False, **options)
    generator = torch.Generator().manual_seed(seed)
    number = torch.cat([torch.arange(len(levels)), torch.randint(len(levels), (i * o * size**2,), generator=generator)])
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(levels)[number[: i * o * size**2]].reshape(layer.weight.shape))
    return layer


# %% check="shared_conv" points=2
dense = convolution_of_levels([-0.5, 0.25, 1.0], 3, 4, 3, seed=1, stride=2, padding=1)
images = torch.randn(2, 3, 8, 6, generator=torch.Generator().manual_seed(2))
expected = dense(images).detach()
layer = SharedConv2d(dense, 3)
found = {name: tuple(parameter.shape) for name, parameter in layer.named_parameters()}
assert found == {"centroids": (3,)}, (
    f"expected one parameter, centroids, of shape (3,), got {found or 'none'}. "
    "nn.Parameter(...) makes a tensor trainable; the index is none."
)
state = {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}
assert state.get("index") == (4, 3, 3, 3), (
    f"expected a buffer 'index' of shape (4, 3, 3, 3) in layer.state_dict(), got {state.get('index', 'none')}. "
    "Use self.register_buffer; an ordinary attribute is not saved with the layer."
)
assert_tensor(
    layer(images.clone()), expected, "The weights have three values, so sharing three must not change a thing."
)
### BEGIN HIDDEN TESTS
not_imported("factorkit.clustering", "factorkit.layers", "sklearn.cluster")
for levels, i, o, size, options in [
    ([-1.0, 1.0], 1, 3, 3, {}),
    ([-0.75, -0.25, 0.3, 0.7], 4, 5, 3, {"padding": 1}),
    ([-2.0, -1.1, -0.1, 1.0, 2.1], 3, 2, 5, {"stride": 2, "padding": 2}),
    ([0.1, 0.5, 0.9], 6, 4, 1, {}),
]:
    dense = convolution_of_levels(levels, i, o, size, seed=len(levels), **options)
    layer = SharedConv2d(dense, len(levels))
    kept = {name: tensor.detach().clone() for name, tensor in layer.state_dict().items()}
    assert sorted(kept) == ["centroids", "index"], f"expected the state centroids and index, got {sorted(kept)}"
    assert [name for name, _ in layer.named_parameters()] == ["centroids"], "expected the centroids as only parameter"
    assert not kept["index"].is_floating_point(), f"expected whole numbers as index, got {kept['index'].dtype}"
    torch.testing.assert_close(kept["centroids"], torch.tensor(levels), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(kept["centroids"][kept["index"]], dense.weight.detach(), rtol=1e-4, atol=1e-5)
    images = torch.randn(2, i, 9, 7, generator=torch.Generator().manual_seed(7))
    values = torch.randn(len(levels), generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        layer.centroids.copy_(values)
    trained = values.clone().requires_grad_()
    expected = F.conv2d(images, trained[kept["index"]], None, dense.stride, dense.padding)
    expected.square().mean().backward()
    got = layer(images.clone())
    assert got.shape == expected.shape, f"expected the shape {tuple(expected.shape)}, got {tuple(got.shape)}"
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    got.square().mean().backward()
    torch.testing.assert_close(layer.centroids.grad, trained.grad, rtol=1e-3, atol=1e-4)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# The shape of the index, which is that of the weight: every label is replaced by its value. The optimizer finds four
# numbers.
# </details>
#
# ## Exercise 8: the gradient of a shared value (2 points, 8 minutes)
#
# If the value $c_k$ grows by a little, **all** weights with the label $k$ grow by that much. So its gradient is the sum of
# theirs:
#
# $$\frac{\partial L}{\partial c_k} = \sum_{j:\, \texttt{index}_j = k} \frac{\partial L}{\partial w_j}.$$
#
# **Predict**: one value is shared by 4,000 weights and another one by 3. Which gradient will be larger, as a rule? What would
# change if one took the mean?
#
# **Fill** `centroid_gradient`. *Hint: a loop over the $K$ values, as in exercise 2, is fine. Beware of
# `sums[index] += gradient`: where an index occurs several times, only one of the additions survives.*
#
# <details><summary>Next step</summary>
#
# `gradient[index == k].sum()` is entry `k`, and also right (zero) where nobody has the label; `torch.stack` makes a vector of
# a list of such numbers. Without a loop: `torch.zeros(k).index_add(0, index.flatten(), gradient.flatten())`.
# </details>


# %% exercise="centroid_gradient"
def centroid_gradient(gradient: torch.Tensor, index: torch.Tensor, k: int) -> torch.Tensor:
    """Gradient of k shared values, from the gradient of the weights and their index (both of any one shape)."""
    ### BEGIN SOLUTION stub="Exercise 8: return k sums"
    sums = torch.zeros(k, dtype=gradient.dtype)
    return sums.index_add(0, index.flatten(), gradient.flatten())
    ### END SOLUTION


# %% check="centroid_gradient" points=2
gradient = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]])
index = torch.tensor([[0, 2, 0], [2, 2, 0]])
got = centroid_gradient(gradient.clone(), index.clone(), 4)
mistakes = {
    "you took means: the gradients add up": [3.5, 0.0, 3.666667, 0.0],
    "you divided zero by zero: these are sums, not means": [3.5, math.nan, 3.666667, math.nan],
    "only one gradient of each value was kept: `sums[index] += ...` does not add up": [6.5, 0.0, 5.0, 0.0],
    "you counted the weights": [3.0, 0.0, 3.0, 0.0],
}
hint = "One number for each of the 4 values: 1 + 3 + 6.5 for label 0, 2 + 4 + 5 for label 2, zero for labels that nobody has."
assert_tensor(got, torch.tensor([10.5, 0.0, 11.0, 0.0]), hint, mistakes)
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(408)
for shape, k in [((5,), 2), ((4, 3, 3, 3), 8), ((6, 20), 5), ((2, 1, 5, 3), 40)]:
    gradient = torch.randn(shape, generator=generator)
    index = torch.randint(k, shape, generator=generator)
    values = torch.zeros(k, requires_grad=True)
    (values[index] * gradient).sum().backward()
    expected = values.grad.clone()
    given = gradient.clone()
    got = centroid_gradient(given, index.clone(), k)
    assert got.shape == (k,), f"expected {k} sums, got the shape {tuple(got.shape)}"
    torch.testing.assert_close(got.detach().float(), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(given, gradient, rtol=0, atol=0, msg="centroid_gradient changed the gradient")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# The one with 4,000, unless its gradients cancel. A mean would change neither where the gradient is zero nor its sign, only
# the size of the steps, which an optimizer like Adam divides out again.
# </details>
#
# Nobody has to call your function in training: `self.centroids[self.index]` is an operation that PyTorch can differentiate, and
# this is its derivative. The next cell compares the two.

# %%
layer = SharedConv2d(largest, 4)
maps = torch.rand(8, largest.in_channels, 4, 4, generator=torch.Generator().manual_seed(0))
weight = layer.centroids[layer.index].detach().requires_grad_()  # the same weight, but every entry on its own
F.conv2d(maps, weight, None, layer.stride, layer.padding).square().mean().backward()
layer(maps).square().mean().backward()
pd.DataFrame(
    {
        "value": layer.centroids.tolist(),
        "weights": layer.index.flatten().bincount(minlength=4).tolist(),
        "your gradient": centroid_gradient(weight.grad, layer.index, 4).tolist(),
        "PyTorch's": layer.centroids.grad.tolist(),
    }
).round(3)

# %% [markdown]
# ## Part 4. A whole network
#
# ## Exercise 9: share a whole network (2 points, 9 minutes)
#
# Which layers get how many values is a *plan*: a dictionary from the name of a convolution to its bits $b$. A layer with $b$
# bits has $2^b$ values. PyTorch names a layer by its path, `"0"` or `"2.0"`; `network.get_submodule(name)` finds a layer by its
# name, and `network.set_submodule(name, layer)` puts another one into its place.
#
# **Predict**: a network is shared with 1 bit. How many different weights has one of its convolutions?
#
# **Fill** `share_network`: return a **new** network in which the convolutions of the plan are `SharedConv2d`, and leave the
# given one as it is. *Hint: `copy.deepcopy(network)`; a power in Python is `2**b`.*
#
# <details><summary>Next step</summary>
#
# Copy the network first. For each `name, b` in `bits.items()`, get the convolution from the copy, make a `SharedConv2d` of it
# with `2**b` values, and set it in the copy. Return the copy.
# </details>


# %% exercise="share_network"
def share_network(network: nn.Module, bits: dict[str, int]) -> nn.Module:
    """A copy of a network in which each convolution that `bits` names has 2**b shared values for its b bits."""
    ### BEGIN SOLUTION stub="Exercise 9: return a copy with a SharedConv2d in the place of each convolution of the plan"
    shared = copy.deepcopy(network)
    for name, b in bits.items():
        convolution = shared.get_submodule(name)
        shared.set_submodule(name, SharedConv2d(convolution, 2**b))
    return shared
    ### END SOLUTION


# %% given="practice_network"
def practice_network() -> nn.Sequential:
    """A tiny network to practice with: its convolutions "0", "2.0" and "2.2" have 2, 4 and 8 different weights."""
    torch.manual_seed(10)
    first = convolution_of_levels([-0.5, 0.5], 1, 4, 3, seed=3, padding=1)
    second = convolution_of_levels([-0.6, -0.2, 0.2, 0.7], 4, 4, 3, seed=4, padding=1)
    third = convolution_of_levels([-0.7, -0.5, -0.3, -0.1, 0.1, 0.3, 0.5, 0.8], 4, 6, 3, seed=5)
    network = nn.Sequential(first, nn.BatchNorm2d(4), nn.Sequential(second, nn.ReLU(), third), nn.Flatten(2))
    return network.eval()


# %% check="share_network" points=2
network = hand_over(practice_network())
images = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(9))
expected = practice_network()(images).detach()
shared = share_network(network, {"0": 1, "2.0": 2, "2.2": 3})
assert isinstance(shared, nn.Module), f"expected a network, got {shared!r}"
sizes = {name: len(value) for name, value in shared.state_dict().items() if name.endswith("centroids")}
assert sizes == {"0.centroids": 2, "2.0.centroids": 4, "2.2.centroids": 8}, (
    f"expected 2, 4 and 8 centroids in the layers 0, 2.0 and 2.2 of the result, got {sizes or 'none'}: 2**b for b bits"
)
hint = (
    "These convolutions have 2, 4 and 8 different weights, so sharing with 1, 2 and 3 bits must not change the output."
)
assert_tensor(shared(images.clone()), expected, hint)
names = [name for name, _ in network.named_parameters()]
assert "0.weight" in names and "2.2.weight" in names, (
    f"expected the given network to keep its own weights, it has {names}: make a deep copy, and change the copy"
)
### BEGIN HIDDEN TESTS
not_imported("factorkit.clustering", "factorkit.layers", "sklearn.cluster")
for plan in [{"2.0": 2}, {"2.2": 3, "0": 2}, {"0": 1, "2.0": 1, "2.2": 1}, {}]:
    network = hand_over(practice_network())
    weights = {name: value.clone() for name, value in practice_network().state_dict().items()}
    shared = share_network(network, plan)
    state = {name: value.detach().clone() for name, value in shared.state_dict().items()}
    wanted = {f"{name}.{part}" for name in plan for part in ("centroids", "index")}
    wanted |= {name for name in weights if name.removesuffix(".weight") not in plan}
    assert set(state) == wanted, f"with the plan {plan}: expected the state {sorted(wanted)}, got {sorted(state)}"
    rebuilt = practice_network()
    with torch.no_grad():
        for name, b in plan.items():
            centroids, index = state[f"{name}.centroids"], state[f"{name}.index"]
            assert centroids.shape == (2**b,), f"expected {2**b} centroids in {name}, got {tuple(centroids.shape)}"
            dense = weights[f"{name}.weight"]
            assert index.shape == dense.shape, f"expected an index of shape {tuple(dense.shape)} in {name}"
            means = torch.stack([dense[index == j].mean() for j in range(2**b) if bool((index == j).any())])
            used = torch.stack([centroids[j] for j in range(2**b) if bool((index == j).any())])
            torch.testing.assert_close(used, means, rtol=1e-4, atol=1e-5, msg=f"not the means of the weights in {name}")
            rebuilt.get_submodule(name).weight.copy_(centroids[index])
    images = torch.randn(3, 1, 6, 7, generator=torch.Generator().manual_seed(11))
    expected = rebuilt(images).detach()
    torch.testing.assert_close(shared(images.clone()).detach(), expected, rtol=1e-4, atol=1e-4)
    left = {name: value.detach().clone() for name, value in network.state_dict().items()}
    assert set(left) == set(weights), "the given network was changed"
    for name, value in weights.items():
        torch.testing.assert_close(left[name], value, rtol=0, atol=0, msg=f"the given network's {name} was changed")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Two. Not $-w$ and $w$, but any two values, and other ones in every layer.
# </details>
#
# ## Exercise 10: train the codebooks only (1 point, 6 minutes)
#
# After sharing, the values are the best ones for the *weights*; training makes them better for the *digits*. The labels stay.
# To see what this can do, everything else is frozen: a parameter with `requires_grad = False` gets no gradient, and an
# optimizer leaves it alone.
#
# **Predict**: how many numbers are left to train if all four convolutions of our network have 2 bits?
#
# **Fill** `train_only_codebooks`: switch the gradient **on** for the centroids of all `SharedConv2d` layers and **off** for all
# other parameters; return how many numbers are left to train. *Hint: `network.modules()`, `isinstance`, `numel()`.*
#
# <details><summary>Next step</summary>
#
# A network has the method `requires_grad_(...)`, which switches all its parameters on or off; a single parameter has it too.
# Switch the whole network off. Then, for each module that is a `SharedConv2d`, switch its centroids on, and add up their
# `numel()`.
# </details>


# %% exercise="train_only_codebooks"
def train_only_codebooks(network: nn.Module) -> int:
    """Freeze all parameters of a network but the centroids of its shared layers; the number of trainable values."""
    ### BEGIN SOLUTION stub="Exercise 10: set requires_grad of all parameters, and return the number of values to train"
    network.requires_grad_(False)
    shared = [layer for layer in network.modules() if isinstance(layer, SharedConv2d)]
    for layer in shared:
        layer.centroids.requires_grad_(True)
    return sum(layer.centroids.numel() for layer in shared)
    ### END SOLUTION


# %% check="train_only_codebooks" points=1
network = share_network(practice_network(), {"0": 1, "2.0": 2})
mistakes = {
    2: "you counted the layers, or missed the one inside the inner Sequential: network.modules() finds all",
    14: "you counted the parameters of the normalization",
    222: "you counted the dense convolution",
    230: "you counted all parameters",
    0: "nothing is left to train",
}
count = train_only_codebooks(network)
assert_number(count, 6, "2 + 4 centroids", mistakes)
trained = sorted(name for name, parameter in network.named_parameters() if parameter.requires_grad)
assert trained == ["0.centroids", "2.0.centroids"], f"expected the centroids alone to be trained, got {trained}"
### BEGIN HIDDEN TESTS
for plan, wanted in [({"0": 2, "2.0": 3, "2.2": 1}, 14), ({"2.2": 3}, 8), ({}, 0)]:
    network = share_network(practice_network(), plan)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.endswith("centroids"))
    got = train_only_codebooks(network)
    assert isinstance(got, int) and got == wanted, f"expected {wanted} values with the plan {plan}, got {got!r}"
    trained = sorted(name for name, parameter in network.named_parameters() if parameter.requires_grad)
    assert trained == sorted(f"{name}.centroids" for name in plan), f"with the plan {plan}, {trained} are trained"
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Sixteen, four in each of the four layers. The network has 16,794 parameters before.
# </details>
#
# ## Bits against accuracy (12 minutes)
#
# Now all convolutions of the three networks get $b$ bits, for $b$ from 1 to 5. How much does this save? `network_bits` counts
# codebooks and indices with your `stored_bits`, and 32 bits for each other parameter: those of the normalization and of the
# linear layer.
#
# **Predict**: at 1 bit instead of 32, is the network 32 times smaller?


# %% given="network_bits"
def all_convolutions(network: nn.Module, bits: int) -> dict[str, int]:
    """The plan that gives all convolutions of a network the same number of bits."""
    return {name: bits for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)}


def network_bits(network: nn.Module) -> int:
    """Bits of a network: indices and codebooks of its shared layers, and 32 for each other parameter."""
    shared = [layer for layer in network.modules() if isinstance(layer, SharedConv2d)]
    others = sum(p.numel() for p in network.parameters()) - sum(layer.centroids.numel() for layer in shared)
    return 32 * others + sum(stored_bits(layer.index.numel(), 1, len(layer.centroids)) for layer in shared)


# %%
network = small_convnet((16, 32), in_channels=1)
whole = network_bits(network)
sizes = pd.DataFrame(index=pd.Index([1, 2, 3, 4, 5], name="bits"))
stored = [network_bits(share_network(network, all_convolutions(network, b))) for b in sizes.index]
sizes["kbit"] = [f"{n / 1000:.1f}" for n in stored]
sizes["times smaller"] = [f"{whole / n:.1f}" for n in stored]
sizes

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# 16 times. The 522 parameters that are not shared took 3 % of the 537 kbit before, and take half of what is left. From here
# on it hardly pays to save bits in the convolutions.
# </details>
#
# Then accuracy, in three columns:
#
# - *shared*: the values as k-means has left them;
# - *statistics renewed*: shared, then all training digits are sent through in training mode. **Nothing is trained**; but each
#   batch normalization measures the mean and the variance of its maps anew, since they belonged to other weights;
# - *centroids trained*: shared, then three epochs of training in which only the centroids move. The statistics are renewed
#   on the way, as in any training.
#
# Without the second column, all that the third one gains would look like the merit of the centroids. **Predict** the
# three columns for 1 bit and for 2 bits. Then run the cell, which takes about a minute. (A grader skips it.)


# %%
def renewed(network: nn.Module) -> nn.Module:
    """A copy of a network whose normalizations have seen the training digits; no parameter changes."""
    network = copy.deepcopy(network).train()
    with torch.no_grad():
        for _ in range(3):
            for batch, _ in digits.loader("train", 64):
                network(digits.normalize(batch))
    return network


rows = []
for seed, network in enumerate(networks):
    for b in sizes.index:
        shared = share_network(network, all_convolutions(network, b))
        row = {"bits": b, "seed": seed, "dense": training.evaluate(network, digits).accuracy}
        row["shared"] = training.evaluate(shared, digits).accuracy
        row["statistics renewed"] = training.evaluate(renewed(shared), digits).accuracy
        train_only_codebooks(shared)
        options = {"epochs": 3, "lr": 0.01, "batch_size": 64, "weight_decay": 0.0, "seed": seed, "progress": False}
        row["centroids trained"] = float(training.fit(shared, digits, **options).test_accuracy.iloc[-1])
        rows.append(row)
        print({name: round(value, 3) for name, value in row.items()})

# %% [markdown]
# The means of the three networks, and their smallest and largest accuracy as bars. Look from right to left: at how many
# bits does sharing alone begin to hurt? Which part of the loss comes back without training anything?

# %%
if rows:
    columns = ["dense", "shared", "statistics renewed", "centroids trained"]
    groups = pd.DataFrame(rows).groupby("bits")[columns]
    mean, low, high = 100 * groups.mean(), 100 * groups.min(), 100 * groups.max()
    fig, ax = plt.subplots(figsize=(6.5, 3.2))
    for column, marker, shift in zip(columns[1:], "os^", (-0.05, 0, 0.05), strict=True):
        spread = [mean[column] - low[column], high[column] - mean[column]]
        ax.errorbar(mean.index + shift, mean[column], yerr=spread, marker=marker, capsize=3, label=column)
    ax.axhline(mean["dense"].mean(), color="gray", linestyle="--", label="dense, 32 bits")
    ax.set(xlabel="bits per convolution weight", ylabel="test accuracy (%)", xticks=sizes.index, ylim=(0, 102))
    ax.legend()
    plt.show()
    display(pd.concat([sizes, mean.round(1)], axis=1))

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# In our run, 4 bits cost nothing and 3 bits less than a point. With 2 bits, sharing alone lost eleven points, and with 1 bit
# nearly everything: 20 % were right, where guessing gives 10. But the second column stood at 99 % and at 90 %, and not one
# parameter had been trained. The centroids added nothing with 2 bits and two points with 1 bit. There the three networks
# differ by seven points, and one of them gained a single digit.
#
# Why so little? A normalization takes out any factor that its maps have in common. So of two values in a layer only the
# ratio matters, and at 1 bit four ratios are all that there is to train. Digits are an easy task, too: try `patterns`, when
# you have handed in.
# </details>
#
# ## Exercise 11: reading the table (2 points, 8 minutes)
#
# A colleague says: *"With one bit a layer stores 2 values instead of 9,216, so 99.98 % are saved, and at least the network is
# 32 times smaller. Sharing ruins the accuracy, but training the centroids brings it back: that is the power of fine-tuning."*
#
# **Answer in four to seven sentences**, with numbers from your own run:
#
# 1. What is wrong about *99.98 %*, and what about *32 times*? Why?
# 2. What is wrong about *the power of fine-tuning*? How many bits would you choose for this network, and which of the three
#    columns do you base that on?

# %% [markdown] written="reading_the_table" points=2
# ### BEGIN SOLUTION
# **What is saved.** 99.98 % is $1 - K/N$, which leaves out the indices: each of the 9,216 weights keeps 1 bit of its 32, so it
# is 97 % of that layer. Nor does the network shrink 32 times: its other 522 parameters (normalization and linear layer) keep their
# 32 bits. It falls from 537 to 33 kbit, 16 times, and half of the 33 kbit are those 522 parameters.
#
# **What fine-tuning did.** With 1 bit, sharing took the mean accuracy from 99.5 to 19.6 %, and training the centroids ended at
# 92.0 %. But 90.2 % are reached by renewing the statistics of the normalizations alone. The trained centroids earned the last
# two points; with 2 bits (98.9 % in both columns) they earned nothing. I would choose 2 bits with renewed statistics: 0.6
# points below the dense network, about two digits of 360, and 10.8 times smaller. 3 bits are the careful choice: 99.4 %,
# and still 8.1 times smaller.
# ### END SOLUTION
# ### BEGIN MARK SCHEME
# Accuracies must come from the student's own run and fit the claim; the bits do not depend on the run. One point for each of the
# two questions; a right claim without a reason or without a number earns nothing for that question.
#
# *What is saved*: both claims must be put right. 99.98 %: the indices are left out (1 bit for each weight; 97 % or "31 of
# 32"). 32 times: the other parameters keep their 32 bits, 16 times. *What fine-tuning did*: the second column against the
# third one, at 1 or 2 bits; most of what came back came with the statistics. The choice: any number of bits that follows
# from the student's table. A student in whose run the centroids earned more gets the point for saying so by the same
# comparison.
#
# - 0 points: the claims are repeated, or denied without a number or a reason.
# - 1 point: one of the two questions is answered with a number and a reason. Example: *"99.98 % forgets that each weight
#   still needs its index, 1 of 32 bits, so 97 % are saved. And the network is only 16 times smaller, since 522 parameters are
#   not shared and keep 32 bits."*
# - 2 points: both. Example: the above, and *"At 1 bit the accuracy came back from 20 to 92 %, but renewing the statistics alone
#   gave 90 %, so training the centroids earned only two points. I take 2 bits: 98.9 % against 99.5 %, without any training."*
# ### END MARK SCHEME

# %% [markdown]
# ## What you take away
#
# - k-means takes turns: label by the nearest centroid, move to the mean. Each turn lowers the error, none looks ahead, so the
#   start decides; k-means++ makes a good one likely.
# - A codebook stores its entries *and an index for each point*. For images the indices hardly count, for single weights they
#   are nearly everything: $b$ bits of 32 remain, not $K$ of $N$.
# - The gradient of a shared value is the sum of the gradients of its weights. Indexing a table does it.
# - Before a gain is put down to training, do everything but the training, and look what is gained.
#
# In one dimension k-means can be solved exactly, with no start at all; and since some indices are more frequent than others,
# they can be packed further (a Huffman code). When you have handed in, look at `factorkit.clustering`, which does both, and
# whose `share_weights` makes a network that an entry of the challenge stores with its codebooks.
#
# Now *Restart Kernel and Run All Cells*, check that every check is silent, save, and hand in.
