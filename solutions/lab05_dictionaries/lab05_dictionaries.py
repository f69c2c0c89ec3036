# ---
# jupyter:
#   kernelspec: {display_name: Python 3 (ipykernel), language: python, name: python3}
#   lab:
#     title: "Dictionaries: few atoms out of many"
#     minutes: 105
#     points: 20
#     not_imported: [factorkit.dictionary, factorkit.shrinkage, factorkit.layers, sklearn.decomposition]
# ---
# %% [markdown]
# # Lab 05. Dictionaries: few atoms out of many
#
# A dictionary is a list of small patterns, its *atoms*, longer than it would have to be. A signal is written as a sum of
# atoms, and of all the ways to do so one wants a **sparse** one: few atoms, all other coefficients exactly zero. In this lab
# you find sparse codes, learn the dictionary from a noisy photograph and take the noise out with it. Then the same two
# ideas, a fixed dictionary and exact zeros, go into the kernels of a network.
#
# **When you have finished, you can**
#
# - write down an overcomplete cosine dictionary whose atoms have length one;
# - find sparse codes with ISTA, choose its step so that the objective never rises, and say why its zeros are exact;
# - improve a dictionary atom by atom, and alternate that with coding;
# - remove noise from a photograph with the codes of its overlapping patches;
# - build a layer whose kernels are sparse sums of fixed atoms, train it with proximal steps, and count what it has.
#
# **Time**: about 105 minutes, of which about 1 is training.
#
# | | exercise | points | minutes |
# |---|---|---:|---:|
# | | *before you start* | | 3 |
# | 1 | an overcomplete cosine dictionary | 2 | 9 |
# | 2 | soft thresholding | 1 | 6 |
# | 3 | the objective | 1 | 5 |
# | 4 | how long a step may be | 1 | 7 |
# | 5 | ISTA | 3 | 12 |
# | 6 | better atoms | 2 | 11 |
# | 7 | take turns | 1 | 7 |
# | 8 | take the noise out | 2 | 9 |
# | 9 | kernels from codes | 1 | 6 |
# | 10 | a layer that trains codes | 1 | 6 |
# | 11 | what there is to train | 1 | 5 |
# | 12 | a proximal step | 2 | 8 |
# | | *train and compare* | | 4 |
# | 13 | written: seven times smaller? | 2 | 7 |
# | | **sum** | **20** | **105** |
#
# ## Before you start (3 minutes)
#
# **What is graded.** Exercises 1 to 12 are graded automatically, exercise 13 is read by a person. Under each exercise
# stands a *check* that says what it expected and what it got. The grader runs the same check, and then *hidden tests* that
# ask for the same property elsewhere: other shapes, other dictionaries, other random numbers. Predictions, explorations and
# the training are for you; no points depend on them.
#
# **How to work.** Run the cells from top to bottom, and put your answer, one to ten lines, in the place of each
# `raise NotImplementedError("Exercise ...")`. Where the text says **Predict**, commit yourself before you run the next
# cell. Every exercise has a hint, and the next step folded away under *Next step*. `factorkit.dictionary`,
# `factorkit.shrinkage`, `factorkit.layers` and `sklearn.decomposition` contain what you write here, so **do not import them
# in this lab**; the hidden tests check that. Do not delete, copy or rename cells; add as many of your own as you like.

# %% given="setup"
import math
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd
import torch
import torch.nn.functional as F
from IPython.display import display
from sklearn.datasets import load_sample_image
from torch import nn

from factorkit import data, plots, training
from factorkit.checks import being_graded, not_imported

plots.use_style()

# %% [markdown]
# The next cell holds helpers for the checks and the figures. You need not read it; run it.


# %% given="helpers"
def assert_number(got: object, expected: float, how: str, mistakes: dict[float, str] | None = None) -> None:
    """Compare a Python number with the expected one; `mistakes` explains well-known wrong numbers."""
    kind = type(expected)
    hints = {
        type(None): "Does the function return its result?",
        torch.Tensor: "Turn a tensor with one number into a Python number with .item().",
    }
    shown = f"{str(got)[:60]} of type {type(got).__name__}. {hints.get(type(got), '')}"
    assert isinstance(got, kind), f"expected the {kind.__name__} {expected:,}, got {shown}"
    close = [why for number, why in (mistakes or {}).items() if math.isclose(got, number, rel_tol=1e-4)]
    hint = f" It seems that {close[0]}." if close else ""
    assert math.isclose(got, expected, rel_tol=1e-4), f"expected {how} = {expected:,}, got {got:,}.{hint}"


def assert_tensor(
    got: object, expected: torch.Tensor, hint: str, mistakes: dict[float, str] | None = None, tolerance: float = 1e-4
) -> None:
    """Compare a tensor with the expected one; `mistakes` explains well-known first entries of a wrong one."""
    assert isinstance(got, torch.Tensor), f"expected a tensor, got {got!r} of type {type(got).__name__}. {hint}"
    shapes = f"expected the shape {tuple(expected.shape)}, got {tuple(got.shape)}"
    assert got.shape == expected.shape, f"{shapes}. {hint}"
    assert got.dtype == expected.dtype, f"expected numbers of type {expected.dtype}, got {got.dtype}. {hint}"
    got, expected = got.detach(), expected.detach()
    first = got.flatten()[0].item()
    close = [why for number, why in (mistakes or {}).items() if math.isclose(first, number, rel_tol=1e-3)]
    hint = f"It seems that {close[0]}." if close else hint
    values = f"the shape is right, the values are not:\nexpected\n{expected}\ngot\n{got}\n{hint}"
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=tolerance, msg=values)


def assert_never_rises(objectives: list[float], what: str) -> None:
    """Check a list of objectives, each of which may exceed the one before it by rounding errors only."""
    for before, after in zip(objectives[:-1], objectives[1:], strict=True):
        assert after <= before + 1e-5 * abs(before), f"expected an objective that never rises {what}, got {objectives}"


def mosaic(atoms: torch.Tensor, columns: int) -> torch.Tensor:
    """One image of many atoms (K x size^2): each stretched to the range from 0 to 1, with a white frame."""
    size = math.isqrt(atoms.shape[1])
    low, high = atoms.amin(1, keepdim=True), atoms.amax(1, keepdim=True)
    tiles = ((atoms - low) / (high - low).clamp(min=1e-6)).unflatten(1, (size, size))
    tiles = F.pad(tiles, (1, 1, 1, 1), value=1.0)
    return tiles.unflatten(0, (-1, columns)).permute(0, 2, 1, 3).flatten(2).flatten(0, 1)


def show_images(images: dict[str, torch.Tensor]) -> None:
    """Gray images side by side, black is 0 and white is 1."""
    fig, axes = plt.subplots(1, len(images), figsize=(2.4 * len(images), 2.7))
    for ax, (name, image) in zip(axes, images.items(), strict=True):
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
        ax.set(xlabel=name, xticks=[], yticks=[])
    plt.show()


# %% [markdown]
# ## Part 1. A dictionary from a formula
#
# Signals are rows in this lab. $N$ patches of $s \times s$ pixels are a matrix $X$ of shape $N \times d$ with $d = s^2$, each
# patch written row after row. A dictionary $V$ has the shape $K \times d$: its $K$ rows are the **atoms**, and each has length
# one. A code $U$ of shape $N \times K$ says how much of which atom is in which signal, so that $X \approx U V$. With
# $K > d$ the dictionary is **overcomplete**: a signal can be written in many ways, and one may choose a sparse one.
#
# ## Exercise 1: an overcomplete cosine dictionary (2 points, 9 minutes)
#
# JPEG writes each block of an image as a sum of cosines. Here they are with $P \ge s$ frequencies per axis:
#
# $$c_k[n] = \frac{\cos\big(\pi k (n + \tfrac12) / P\big)}{\text{length of this row}}, \qquad n = 0 \dots s - 1,
#   \quad k = 0 \dots P - 1.$$
#
# A two-dimensional atom is the product of one cosine along the rows and one along the columns:
# $\text{atom}_{kP + l}[m, n] = c_k[m] \, c_l[n]$. That makes $K = P^2$ atoms.
#
# **Predict**: how does atom 0 look? And how do the atoms with $k = 0$ differ from those with $l = 0$?
#
# **Fill** `dct_dictionary`. *Hint: build the matrix $c$ of shape $P \times s$ first, from a column of frequencies and a row of
# positions, and divide each row by its length. `torch.kron(c, c)` has exactly the products that are asked for, in this order.*
#
# <details><summary>Next step</summary>
#
# `torch.arange(frequencies)[:, None]` is the column, `torch.arange(size) + 0.5` the row. The lengths are
# `c.norm(dim=1, keepdim=True)`. A product of two vectors of length one has length one, so there is no more to divide.
# </details>


# %% exercise="dct_dictionary"
def dct_dictionary(size: int, frequencies: int) -> torch.Tensor:
    """Cosine atoms of size x size pixels with this many frequencies per axis: frequencies^2 x size^2, of length one."""
    ### BEGIN SOLUTION stub="Exercise 1: return the atoms, frequencies^2 x size^2, each of length one"
    rows = torch.arange(frequencies)[:, None] * (torch.arange(size) + 0.5)
    cosines = torch.cos(math.pi * rows / frequencies)
    cosines = cosines / cosines.norm(dim=1, keepdim=True)
    return torch.kron(cosines, cosines)
    ### END SOLUTION


# %% check="dct_dictionary" points=2
expected = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.5, -0.5, 0.5, -0.5], [0.5, 0.5, -0.5, -0.5], [0.5, -0.5, -0.5, 0.5]])
mistakes = {
    1.0: "the atoms are not divided by their length",
    0.70711: "only one of the two cosines is divided by its length",
}
assert_tensor(
    dct_dictionary(2, 2), expected, "Atom kP + l is c_k along the rows times c_l along the columns.", mistakes
)
got = dct_dictionary(2, 3)
assert got.shape == (9, 4), (
    f"expected 9 atoms of 4 pixels for 3 frequencies and size 2, got the shape {tuple(got.shape)}"
)
lengths = got.norm(dim=1)
assert bool(((lengths - 1).abs() < 1e-5).all()), f"expected atoms of length one, got the lengths {lengths.tolist()}"
### BEGIN HIDDEN TESTS
not_imported("factorkit.dictionary", "factorkit.shrinkage", "factorkit.layers", "sklearn.decomposition")
for size, frequencies in [(1, 2), (3, 3), (3, 5), (6, 8), (5, 5), (4, 3)]:
    c = [[math.cos(math.pi * k * (n + 0.5) / frequencies) for n in range(size)] for k in range(frequencies)]
    c = [[number / math.sqrt(sum(other * other for other in row)) for number in row] for row in c]
    expected = torch.tensor([[a * b for a in first for b in second] for first in c for second in c])
    got = dct_dictionary(size, frequencies)
    assert_tensor(got, expected, f"wrong for size {size} and {frequencies} frequencies")
    if size == frequencies:
        torch.testing.assert_close(got @ got.T, torch.eye(size * size), rtol=0, atol=1e-4)
### END HIDDEN TESTS

# %% [markdown]
# **Explore.** The 64 atoms of 6 x 6 pixels with 8 frequencies per axis. Each has 36 pixels, so there are 28 more than needed.
# Where do the stripes run? Change `frequencies` to 6: then the atoms are orthogonal, and no other code would do.

# %%
frequencies = 8
fig, ax = plt.subplots(figsize=(3.4, 3.4))
ax.imshow(mosaic(dct_dictionary(6, frequencies), columns=frequencies), cmap="gray", vmin=0, vmax=1)
ax.set(xlabel="$l$: frequency along a row", ylabel="$k$: frequency down a column", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Atom 0 is constant (the figure shows it black, since it has no range to stretch). With $k = 0$ nothing changes from row to
# row, so the stripes stand upright; with $l = 0$ they lie.
# </details>
#
# ## Part 2. Sparse codes
#
# Among all codes we look for the one with the smallest **objective**: half the squared error, plus the sum of all absolute
# coefficients times a penalty $\alpha$. (Course slides often write the error without square and half; the minimum then lies
# at another $\alpha$. With them the derivative is simply $(UV - X) V^\top$.)
#
# $$E(U) = \tfrac12 \, \lVert X - U V \rVert_F^2 + \alpha \sum_{i,k} |u_{ik}| .$$
#
# ## Exercise 2: soft thresholding (1 point, 6 minutes)
#
# Begin with a single number: which $u$ makes $\tfrac12 (x - u)^2 + t |u|$ smallest? Where $u \neq 0$ the derivative is
# $u - x \pm t$, so $u$ lies by $t$ closer to zero than $x$; and if $|x| \le t$, nothing beats $u = 0$:
#
# $$\operatorname{shrink}(x, t) = \operatorname{sign}(x) \cdot \max(|x| - t,\, 0).$$
#
# **Predict**, for $t = 1$: what becomes of $-3$, of $0.2$ and of $2.5$?
#
# **Fill** `shrink`; it works on each number of a tensor. *Hint: `tensor.sign()`, `tensor.abs()`, `tensor.clamp(min=0)`.*
#
# <details><summary>Next step</summary>
#
# `(values.abs() - threshold).clamp(min=0)` is the new size of each number. Give it the old sign.
# </details>


# %% exercise="shrink"
def shrink(values: torch.Tensor, threshold: float) -> torch.Tensor:
    """Every number moved towards zero by the threshold, and set to exactly zero if it is not farther away than that."""
    ### BEGIN SOLUTION stub="Exercise 2: return the shrunk values, of the same shape"
    return values.sign() * (values.abs() - threshold).clamp(min=0)
    ### END SOLUTION


# %% check="shrink" points=1
values = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.2, 1.0, 2.5])
expected = torch.tensor([-2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.5])
mistakes = {
    -3.0: "large numbers are left as they are: they too move towards zero by the threshold",
    -4.0: "negative numbers move away from zero",
    0.0: "negative numbers are lost: treat them like positive ones",
    2.0: "the sign is lost",
}
assert_tensor(shrink(values.clone(), 1.0), expected, "sign(x) times max(|x| - threshold, 0).", mistakes)
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(501)
for shape, threshold in [((9,), 0.3), ((4, 5), 1.0), ((2, 3, 4), 0.05), ((6, 6), 0.0)]:
    values = torch.randn(shape, generator=generator)
    expected = torch.where(
        values > threshold, values - threshold, torch.where(values < -threshold, values + threshold, 0.0)
    )
    given = values.clone()
    got = shrink(given, threshold)
    assert_tensor(got, expected, f"wrong for the threshold {threshold}", tolerance=1e-6)
    assert torch.equal(got == 0, expected == 0), "expected exact zeros where the number is within the threshold"
    assert torch.equal(given, values), "the values that were given have changed"
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# $-2$, $0$ and $1.5$. The zero is exact. That is what sets the absolute value apart from a square: a squared penalty would
# divide all three by the same number, and none would ever be zero.
# </details>
#
# ## Exercise 3: the objective (1 point, 5 minutes)
#
# **Fill** `objective`: $E(U)$ as a Python float. *Hint: `tensor.square().sum()`, `tensor.abs().sum()`, and `.item()` at the
# end.*
#
# <details><summary>Next step</summary>
#
# `signals - codes @ dictionary` is the error, $N \times d$. Half the sum of its squares, plus `penalty` times the sum of the
# absolute codes.
# </details>


# %% exercise="objective"
def objective(signals: torch.Tensor, codes: torch.Tensor, dictionary: torch.Tensor, penalty: float) -> float:
    """Half the squared error of codes (N x K) times dictionary (K x d), plus the penalty times all absolute codes."""
    ### BEGIN SOLUTION stub="Exercise 3: return half the squared error plus the penalty on the codes, a float"
    error = 0.5 * (signals - codes @ dictionary).square().sum()
    return (error + penalty * codes.abs().sum()).item()
    ### END SOLUTION


# %% check="objective" points=1
signals, codes = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, -2.0]])
mistakes = {
    13.7: "half of the squared error is missing: take 0.5 times the sum of squares",
    6.1: "the penalty on the codes is missing",
    9.1: "the codes are not multiplied by the penalty",
    5.6: "the codes are added with their sign: take absolute values",
    4.99285: "you took the length of the error instead of half its square",
    4.55: "you took the mean of the squares instead of half their sum",
}
got = objective(signals.clone(), codes.clone(), torch.tensor([[1.0, 0.0], [0.6, 0.8]]), 0.5)
wanted = 0.5 * (0.0 + 4.0 + 1.44 + 6.76) + 0.5 * 3.0
assert_number(got, wanted, "half of (0 + 4 + 1.44 + 6.76), plus 0.5 x 3", mistakes)
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(502)
for n, k, d, penalty in [(1, 3, 2, 0.1), (7, 4, 5, 2.0), (5, 9, 4, 0.0)]:
    signals, codes = torch.randn(n, d, generator=generator), torch.randn(n, k, generator=generator)
    dictionary = F.normalize(torch.randn(k, d, generator=generator), dim=1)
    errors = (signals - torch.einsum("nk,kd->nd", codes, dictionary)).flatten().tolist()
    expected = sum(error * error for error in errors) / 2 + penalty * sum(
        abs(code) for code in codes.flatten().tolist()
    )
    assert_number(objective(signals.clone(), codes.clone(), dictionary.clone(), penalty), expected, "the objective")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 4: how long a step may be (1 point, 7 minutes)
#
# A step of gradient descent, $U - \tau (UV - X) V^\top$, makes the squared error smaller, unless the step size $\tau$ is too
# long. The gradient changes by at most $L$ times as much as $U$ changes, where $L$ is the largest eigenvalue of $V V^\top$.
# So with
#
# $$\tau = \frac1L = \frac{1}{\sigma_{\max}(V)^2},$$
#
# the error stays below a parabola that touches it at the current $U$, and the step goes to that parabola's lowest point:
# the error cannot rise. $\sigma_{\max}$ is the largest singular value.
#
# **Predict**: what is $\tau$ if the atoms are orthogonal? And if there are two copies of each?
#
# **Fill** `step_size`, a Python float. *Hint: `torch.linalg.matrix_norm(matrix, ord=2)` is the largest singular value; without
# `ord` it is something else.*
#
# <details><summary>Next step</summary>
#
# One divided by the square of that value; `.item()` turns the result into a Python float.
# </details>


# %% exercise="step_size"
def step_size(dictionary: torch.Tensor) -> float:
    """The step 1/L, where L is the largest eigenvalue of dictionary times its transpose."""
    ### BEGIN SOLUTION stub="Exercise 4: return one divided by the square of the largest singular value, a float"
    return 1 / torch.linalg.matrix_norm(dictionary, ord=2).item() ** 2
    ### END SOLUTION


# %% check="step_size" points=1
got = step_size(torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))
mistakes = {
    0.70711: "the largest singular value is not squared",
    2.0: "this is L itself: the step is 1 / L",
    1 / 3: "you took the sum of all squares: pass ord=2 for the largest singular value",
    1.0: "you took the smallest singular value",
}
assert_number(got, 0.5, "one over the largest eigenvalue, 2", mistakes)
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(503)
for k, d in [(2, 2), (9, 4), (3, 7), (1, 5)]:
    dictionary = F.normalize(torch.randn(k, d, generator=generator), dim=1)
    expected = 1 / max(torch.linalg.eigvalsh((dictionary @ dictionary.T).double()).tolist())
    assert_number(step_size(dictionary.clone()), expected, f"the step for {k} atoms of {d} numbers")
    assert_number(step_size(2.0 * dictionary), expected / 4, "the step for atoms of length two")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# $1$ for orthogonal atoms: one step reaches the minimum. With two copies of each atom $L = 2$ and $\tau = \tfrac12$: both copies
# would correct the same error, and a step of 1 would overshoot to its mirror image.
# </details>
#
# ## Exercise 5: ISTA (3 points, 12 minutes)
#
# The penalty has a corner at zero and no derivative there. The *iterative shrinkage-thresholding algorithm* (Daubechies,
# Defrise and De Mol, 2004) therefore does one thing after the other: a gradient step for the error, then soft thresholding
# for the penalty, **by the step times the penalty**:
#
# $$U \;\leftarrow\; \operatorname{shrink}\!\big(U - \tau\, (U V - X) V^\top,\; \tau \alpha\big).$$
#
# Each round finds the minimum of the parabola of exercise 4 *plus* the penalty, so the objective never rises.
#
# **Predict**: for orthogonal atoms and $\tau = 1$, how many rounds does it take?
#
# **Fill** the inside of the loop of `ista`. *Hint: use your `shrink`, so make its check pass first. The codes of a round are
# computed from those before it; make new ones instead of changing them in place, since the caller may still need the first.*
#
# <details><summary>Next step</summary>
#
# `gradient` is `(codes @ dictionary - signals) @ dictionary.T`, of shape $N \times K$ like the codes. Then `codes` becomes
# `shrink` of `codes - step * gradient`, with the threshold `step * penalty`.
# </details>


# %% exercise="ista"
def ista(
    signals: torch.Tensor,
    dictionary: torch.Tensor,
    penalty: float,
    step: float,
    iterations: int,
    codes: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sparse codes (N x K) of signals (N x d) after some rounds of ISTA, from given codes or from zeros."""
    if codes is None:
        codes = torch.zeros(len(signals), len(dictionary))
    for _ in range(iterations):
        ### BEGIN SOLUTION stub="Exercise 5: set codes to their shrunk gradient step, N x K"
        gradient = (codes @ dictionary - signals) @ dictionary.T
        codes = shrink(codes - step * gradient, step * penalty)
        ### END SOLUTION
    return codes


# %% check="ista" points=3
signals = torch.tensor([[3.0, -0.2], [-1.0, 2.0]])
expected = torch.tensor([[2.5, 0.0], [-0.5, 1.5]])
got = ista(signals.clone(), torch.eye(2), 0.5, step=1.0, iterations=1)
assert_tensor(got, expected, "With the unit matrix and step 1, one round is shrink(signals, penalty).")
expected = torch.tensor([[1.25, 0.0], [-0.25, 0.75]])
mistakes = {
    1.0: "the threshold is the penalty: it has to be the step times the penalty",
    1.5: "nothing is shrunk",
    -1.25: "the step goes uphill: subtract the gradient",
}
got = ista(signals.clone(), torch.eye(2), 0.5, step=0.5, iterations=1)
assert_tensor(got, expected, "A gradient step of length 0.5 from zeros, then shrink by 0.5 x 0.5.", mistakes)
dictionary = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
start = torch.tensor([[0.5, -1.0, 2.0]])
given = start.clone()
got = ista(torch.tensor([[2.0, 2.0]]), dictionary.clone(), 0.2, step=0.5, iterations=2, codes=given)
expected = torch.tensor([[1.625, 0.0, 2.05]])
mistakes = {1.45: "every round begins with the same codes: it has to begin with those of the round before"}
assert_tensor(got, expected, "Two rounds from given codes, for all atoms at once.", mistakes)
assert torch.equal(given, start), "expected the codes that were given to stay as they are, got them changed"
### BEGIN HIDDEN TESTS
not_imported("factorkit.dictionary", "factorkit.shrinkage", "factorkit.layers", "sklearn.decomposition")
generator = torch.Generator().manual_seed(504)
for n, k, d, penalty, rounds in [(3, 8, 5, 0.3, 4), (6, 4, 9, 0.05, 7), (1, 12, 6, 1.0, 3)]:
    signals = torch.randn(n, d, generator=generator)
    dictionary = F.normalize(torch.randn(k, d, generator=generator), dim=1)
    step = 0.9 / max(torch.linalg.eigvalsh(dictionary @ dictionary.T).tolist())
    start = torch.randn(n, k, generator=generator)
    for first in (torch.zeros(n, k), start):
        expected = first
        for _ in range(rounds):
            expected = F.softshrink(expected - step * (expected @ dictionary - signals) @ dictionary.T, step * penalty)
        given = None if first is not start else start.clone()
        got = ista(signals.clone(), dictionary.clone(), penalty, step, rounds, given)
        assert_tensor(got, expected, f"wrong after {rounds} rounds")
        assert given is None or torch.equal(given, start), "the codes that were given have changed"
    objectives, codes = [], torch.zeros(n, k)
    for _ in range(12):
        codes = ista(signals.clone(), dictionary.clone(), penalty, step, 1, codes)
        assert codes.shape == (n, k), f"expected codes of shape {(n, k)}, got {tuple(codes.shape)}"
        error = (signals - codes @ dictionary).square().sum().item() / 2
        objectives.append(error + penalty * codes.abs().sum().item())
    assert_never_rises(objectives, "from one round of ISTA to the next")
    # At the minimum the slope of the error balances the penalty where a code is used, and does not exceed it elsewhere.
    codes = ista(signals.clone(), dictionary.clone(), penalty, step, 4000)
    assert codes.shape == (n, k), f"expected codes of shape {(n, k)}, got {tuple(codes.shape)}"
    slope = (signals - codes @ dictionary) @ dictionary.T
    used = codes.abs() > 1e-3
    assert bool(used.any()) and bool((slope.abs() <= penalty + 2e-3).all()), "not the minimum after 4,000 rounds"
    torch.testing.assert_close(slope[used], penalty * codes[used].sign(), rtol=0, atol=2e-3)
### END HIDDEN TESTS

# %% [markdown]
# For orthogonal atoms it takes a single round. Now a photograph, or rather a piece of one of 96 x 96 pixels, in gray from 0 to 1,
# with noise of standard deviation 0.1 on it. `image_patches` gives all its overlapping patches, one per row, and
# `from_patches` puts patches back and takes the mean where they overlap. **Read** the cell, then run it.


# %% given="photograph"
def photograph() -> torch.Tensor:
    """A piece of the photograph china.jpg of scikit-learn, 96 x 96 pixels in gray, from 0 to 1."""
    colors = torch.tensor(load_sample_image("china.jpg")[150:246, 280:376] / 255, dtype=torch.float32)
    return colors @ torch.tensor([0.299, 0.587, 0.114])


def image_patches(image: torch.Tensor, size: int) -> torch.Tensor:
    """All patches of size x size pixels of an image (H x W), row after row: N x size^2."""
    return F.unfold(image[None, None], size)[0].T


def from_patches(patches: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """The image H x W of all its patches (N x size^2), averaged where they overlap."""
    size = math.isqrt(patches.shape[1])
    sums = F.fold(patches.T[None], shape, size)
    counts = F.fold(torch.ones_like(patches).T[None], shape, size)
    return (sums / counts)[0, 0]


def psnr(image: torch.Tensor, clean: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB: the higher, the closer to the clean image (values from 0 to 1)."""
    return -10 * math.log10((image - clean).square().mean().item())


clean = photograph()
noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
print(f"{len(image_patches(noisy, 6)):,} patches of 6 x 6 pixels; the noisy image has {psnr(noisy, clean):.1f} dB")

# %% [markdown]
# **Explore.** The objective of 500 patches, each without its mean, in the cosine dictionary, for three step sizes: a fifth of
# yours, yours, and 2.5 times yours. **Predict** the three curves. Which one rises, and from the beginning?

# %%
dictionary = dct_dictionary(6, 8)
some = image_patches(noisy, 6)[::17]
some = some - some.mean(dim=1, keepdim=True)
fig, ax = plt.subplots(figsize=(5, 3))
for factor, marker in [(0.2, "o"), (1.0, "s"), (2.5, "^")]:
    step, codes = factor * step_size(dictionary), torch.zeros(len(some), len(dictionary))
    objectives = [objective(some, codes, dictionary, 0.15)]
    for _ in range(30):
        codes = ista(some, dictionary, 0.15, step, 1, codes)
        objectives.append(objective(some, codes, dictionary, 0.15))
    ax.plot(objectives, marker=marker, markersize=3, label=f"step {factor:g} / L")
ax.set(xlabel="rounds of ISTA", ylabel="objective", ylim=(120, 220))
ax.legend(loc="upper right")
plt.show()

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# With $1/L$ the objective falls in every round and is nearly flat after ten. With a fifth of that it falls too, but needs about
# five times as many rounds. Beyond $2/L$ there is no promise any more: with $2.5/L$ it falls at first, then goes up and
# down, and after ten rounds it leaves the figure and multiplies from round to round.
# </details>
#
# ## Part 3. Learn the dictionary
#
# The cosines fit every photograph a little. Atoms made for *this* one can fit better: keep the codes, and improve the atoms.
#
# ## Exercise 6: better atoms (2 points, 11 minutes)
#
# One atom $v_k$ at a time, all others stay. Without it the signals leave the residual $R = X - UV + u_k v_k$, where the column
# $u_k$ ($N \times 1$) holds its codes. The best unit vector for it has the direction of $u_k^\top R$:
#
# $$v_k \leftarrow \frac{g}{\lVert g \rVert}, \qquad
#   g = u_k^\top R = \underbrace{u_k^\top X}_{\texttt{cross[k]}} - \underbrace{u_k^\top U}_{\texttt{gram[k]}} V
#   + \underbrace{u_k^\top u_k}_{\texttt{gram[k, k]}} v_k .$$
#
# The last form, from Mairal et al. (2009), needs no residual at all: `gram` and `cross` are computed once for all atoms. An
# atom that no signal uses has $g = 0$ and no direction to go; it stays as it is.
#
# **Predict**: why do the atoms need a fixed length? What would the penalty do to the codes, if atoms could grow?
#
# **Fill** the inside of the loop of `update_dictionary`, and write the new atom into `dictionary[k]`, so that the next atoms
# already see it. *Hint: the formula is one line; then compare `g.norm()` with zero before you divide by it.*
#
# <details><summary>Next step</summary>
#
# Three terms, each of the shape $d$: `cross[k]`, minus `gram[k] @ dictionary`, plus `gram[k, k]` times the old atom. Only if
# the norm of the sum is positive, set `dictionary[k]` to the sum divided by it.
# </details>


# %% exercise="update_dictionary"
def update_dictionary(signals: torch.Tensor, codes: torch.Tensor, dictionary: torch.Tensor) -> torch.Tensor:
    """A dictionary (K x d) whose atoms, one after the other, fit signals (N x d) best with these codes (N x K)."""
    dictionary = dictionary.clone()
    gram, cross = codes.T @ codes, codes.T @ signals  # K x K and K x d
    for k in range(len(dictionary)):
        ### BEGIN SOLUTION stub="Exercise 6: set dictionary[k] to its best direction, of length one, if it is used"
        g = cross[k] - gram[k] @ dictionary + gram[k, k] * dictionary[k]
        if g.norm() > 0:
            dictionary[k] = g / g.norm()
        ### END SOLUTION
    return dictionary


# %% check="update_dictionary" points=2
signals = torch.tensor([[3.0, 4.0], [2.0, 0.0]])
got = update_dictionary(signals.clone(), torch.tensor([[2.0], [0.0]]), torch.tensor([[0.0, 1.0]]))
mistakes = {6.0: "the new atom is not divided by its length", 1.5: "you divided by gram[k, k]: divide by the length"}
assert_tensor(got, torch.tensor([[0.6, 0.8]]), "A single atom, used by the first signal only, points to it.", mistakes)
codes = torch.tensor([[1.0, 2.0, 0.0], [1.0, -1.0, 0.0]])
atoms = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
got = update_dictionary(signals.clone(), codes.clone(), atoms.clone())
assert got.shape == (3, 2), f"expected three atoms of two numbers, got the shape {tuple(got.shape)}"
assert torch.isfinite(got).all(), (
    f"expected finite numbers, got\n{got}\nThe last atom is not used: it must stay as it is."
)
expected = torch.tensor([[0.857493, 0.514496], [0.387079, 0.922048], [0.6, 0.8]])
mistakes = {
    0.780869: "the part of the other atoms is not subtracted: gram[k] @ dictionary is missing",
    0.707107: "the atom's own part is not added back: gram[k, k] * dictionary[k] is missing",
}
hint = "Each atom fits what the others leave; the second one sees the new first one; an unused one stays."
assert_tensor(got, expected, hint, mistakes)
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(505)
for n, k, d, share in [(9, 4, 3, 1.0), (30, 12, 6, 0.3), (5, 2, 8, 0.7), (40, 20, 5, 0.1)]:
    signals = torch.randn(n, d, generator=generator)
    codes = torch.randn(n, k, generator=generator) * (torch.rand(n, k, generator=generator) < share)
    codes[:, 1] = 0.0
    old = F.normalize(torch.randn(k, d, generator=generator), dim=1)
    expected = old.clone()
    for atom in range(k):
        others = [other for other in range(k) if other != atom]
        direction = codes[:, atom] @ (signals - codes[:, others] @ expected[others])
        if bool(codes[:, atom].any()):
            expected[atom] = F.normalize(direction, dim=0)
    got = update_dictionary(signals.clone(), codes.clone(), old.clone())
    assert_tensor(got, expected, f"wrong for {k} atoms of {d} numbers", tolerance=1e-3)
    torch.testing.assert_close(got.norm(dim=1), torch.ones(k), rtol=0, atol=1e-4)
    torch.testing.assert_close(got[1], old[1], rtol=0, atol=1e-6)
    errors = [(signals - codes @ atoms).square().sum().item() for atoms in (old, got)]
    assert_never_rises(errors, "when the atoms are updated")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# If all atoms were ten times longer, codes ten times smaller would give the same $UV$ at a tenth of the penalty, and so on: the
# penalty could be made to vanish without making anything sparse.
# </details>
#
# ## Exercise 7: take turns (1 point, 7 minutes)
#
# **Dictionary learning** alternates: some rounds of ISTA, then better atoms. Neither raises the objective, as long as ISTA
# **starts from the codes of the turn before**: from zeros, a few rounds might end above what was already reached.
#
# **Predict**: the step size depends on the dictionary. Is it enough to compute it once, before the loop?
#
# **Fill** the inside of the loop of `learn`: set `codes`, then `dictionary`. *Hint: two lines, with four of your functions.*
#
# <details><summary>Next step</summary>
#
# `ista(signals, dictionary, penalty, step_size(dictionary), iterations, codes)` are the new codes. Then
# `update_dictionary(signals, codes, dictionary)`.
# </details>


# %% given="learned"
@dataclass(frozen=True)
class Learned:
    """A learned dictionary (K x d), and the objective after each turn."""

    dictionary: torch.Tensor
    objectives: list[float]


# %% exercise="learn"
def learn(signals: torch.Tensor, dictionary: torch.Tensor, penalty: float, turns: int, iterations: int = 8) -> Learned:
    """Improve a dictionary (K x d) for signals (N x d): in each turn some rounds of ISTA, then an update of the atoms."""
    codes = torch.zeros(len(signals), len(dictionary))
    objectives = []
    for _ in range(turns):
        ### BEGIN SOLUTION stub="Exercise 7: set codes, starting from the codes of the turn before, then dictionary"
        codes = ista(signals, dictionary, penalty, step_size(dictionary), iterations, codes)
        dictionary = update_dictionary(signals, codes, dictionary)
        ### END SOLUTION
        objectives.append(objective(signals, codes, dictionary, penalty))
    return Learned(dictionary, objectives)


# %% check="learn" points=1
signals = torch.tensor([[3.0, 4.0], [-6.0, -8.0]])
got = learn(signals.clone(), torch.tensor([[0.0, 1.0]]), 0.5, turns=1, iterations=1)
mistakes = {0.0: "the atoms are updated before there are codes: first the codes, then the atoms"}
hint = "All signals lie on one line: one turn finds its direction."
assert_tensor(got.dictionary, torch.tensor([[0.6, 0.8]]), hint, mistakes)
assert_number(got.objectives[0], 9.75, "the objective of the first turn")
got = learn(signals.clone(), torch.tensor([[0.0, 1.0], [1.0, 0.0]]), 0.5, turns=4, iterations=2)
assert len(got.objectives) == 4, f"expected an objective for each of 4 turns, got {got.objectives}"
mistakes = {
    8.1237: "ISTA starts from zeros in every turn: hand it the codes of the turn before",
    8.1765: "the step size is that of the first dictionary: it changes with the atoms",
}
assert_number(round(got.objectives[3], 4), 8.0562, "the objective of the fourth turn", mistakes)
assert_never_rises(got.objectives, "from turn to turn")
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(506)
for n, k, d, penalty, turns, rounds in [(20, 6, 4, 0.2, 5, 3), (12, 9, 5, 0.05, 6, 1), (30, 5, 8, 0.5, 3, 8)]:
    signals = torch.randn(n, d, generator=generator)
    first = F.normalize(torch.randn(k, d, generator=generator), dim=1)
    atoms, codes, objectives = first.clone(), torch.zeros(n, k), []
    for _ in range(turns):
        step = 1 / max(torch.linalg.eigvalsh(atoms @ atoms.T).tolist())
        for _ in range(rounds):
            codes = F.softshrink(codes - step * (codes @ atoms - signals) @ atoms.T, step * penalty)
        for atom in range(k):
            others = [other for other in range(k) if other != atom]
            if bool(codes[:, atom].any()):
                atoms[atom] = F.normalize(codes[:, atom] @ (signals - codes[:, others] @ atoms[others]), dim=0)
        error = (signals - codes @ atoms).square().sum().item() / 2
        objectives.append(error + penalty * codes.abs().sum().item())
    got = learn(signals.clone(), first.clone(), penalty, turns, iterations=rounds)
    assert_tensor(got.dictionary, atoms, f"wrong dictionary after {turns} turns", tolerance=5e-3)
    assert len(got.objectives) == turns, f"expected {turns} objectives, got {len(got.objectives)}"
    torch.testing.assert_close(torch.tensor(got.objectives), torch.tensor(objectives), rtol=1e-3, atol=1e-3)
    assert_never_rises(got.objectives, f"for {k} atoms")
### END HIDDEN TESTS

# %% [markdown]
# **Explore.** Learn from 2,000 patches of the *noisy* image, starting from the cosines. **Predict**: will the atoms look like
# noise? Compare with the figure of the cosines: what has come in that no product of two cosines can show?

# %%
patches = image_patches(noisy, 6)
chosen = patches[torch.randperm(len(patches), generator=torch.Generator().manual_seed(1))[:2000]]
learned = learn(chosen - chosen.mean(dim=1, keepdim=True), dct_dictionary(6, 8), penalty=0.15, turns=30)
fig, axes = plt.subplots(1, 2, figsize=(8, 3.4), width_ratios=(1, 1.3))
axes[0].imshow(mosaic(learned.dictionary, columns=8), cmap="gray", vmin=0, vmax=1)
axes[0].set(xlabel="learned atoms", xticks=[], yticks=[])
axes[1].plot(range(1, 31), learned.objectives, marker="o", markersize=3)
axes[1].set(xlabel="turns", ylabel="objective")
plt.show()

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# The objective falls in every turn, fast at first: from 535 to 496. The first row and the first column are used most, and they
# have stayed what they were, upright and lying stripes, cut to this picture. Most others have become shapes with a place or a
# slant, which no product of two cosines can show: those never slant. Many look rough: they were learned from noisy patches
# and fit some of that noise as well, so the objective promises more than the picture will gain.
# </details>
#
# ## Exercise 8: take the noise out (2 points, 9 minutes)
#
# A picture is a sum of few atoms; noise is not. So write each patch with few atoms, and what is left out is mostly noise:
#
# 1. take all overlapping patches, and subtract from each its own mean: brightness should cost no penalty;
# 2. code them with ISTA;
# 3. multiply the codes by the dictionary, add the means again, and put the patches back.
#
# Each pixel is then the mean of up to 36 answers, which takes out more noise still.
#
# **Predict**: what happens to the picture if the penalty is far too large?
#
# **Fill** the rest of `denoise`. *Hint: `patches.mean(dim=1, keepdim=True)` keeps its dimension, so that it can be subtracted
# and added.*
#
# <details><summary>Next step</summary>
#
# The codes are `ista(patches - means, dictionary, penalty, step_size(dictionary), iterations)`. Return `from_patches` of
# `codes @ dictionary + means`, with `image.shape`.
# </details>


# %% exercise="denoise"
def denoise(image: torch.Tensor, dictionary: torch.Tensor, penalty: float, iterations: int = 30) -> torch.Tensor:
    """An image (H x W) rebuilt from sparse codes of its patches in a dictionary (K x size^2)."""
    patches = image_patches(image, size=math.isqrt(dictionary.shape[1]))
    ### BEGIN SOLUTION stub="Exercise 8: return the image of the coded patches, with their means, H x W"
    means = patches.mean(dim=1, keepdim=True)
    codes = ista(patches - means, dictionary, penalty, step_size(dictionary), iterations)
    return from_patches(codes @ dictionary + means, image.shape)
    ### END SOLUTION


# %% check="denoise" points=2
image = torch.tensor([[0.5, 0.5, 0.5], [0.5, 0.9, 0.5], [0.5, 0.5, 0.5]])
atoms = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.5, -0.5, 0.5, -0.5], [0.5, 0.5, -0.5, -0.5], [0.5, -0.5, -0.5, 0.5]])
got = denoise(image.clone(), atoms.clone(), penalty=0.0)
assert_tensor(got, image, "Without a penalty every image comes back. Are the means added again?")
got = denoise(image.clone(), atoms.clone(), penalty=10.0)
mistakes = {
    0.0: "the means are not added again, or are penalized: subtract them before the coding, and add them after it",
    0.5: "the penalty has no effect: hand it to ista",
}
expected = torch.full((3, 3), 0.6)
assert_tensor(got, expected, "With a huge penalty the mean of each patch is left, 0.6 in all four of them.", mistakes)
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(507)
for shape, size, k, penalty, rounds in [((7, 9), 3, 12, 0.1, 5), ((6, 6), 2, 4, 0.3, 9), ((8, 5), 4, 20, 0.02, 3)]:
    image = torch.rand(shape, generator=generator)
    atoms = F.normalize(torch.randn(k, size * size, generator=generator), dim=1)
    step = 1 / max(torch.linalg.eigvalsh(atoms @ atoms.T).tolist())
    columns = F.unfold(image[None, None], size)[0]
    centered = (columns - columns.mean(0)).T
    codes = torch.zeros(len(centered), k)
    for _ in range(rounds):
        codes = F.softshrink(codes - step * (codes @ atoms - centered) @ atoms.T, step * penalty)
    rebuilt = (codes @ atoms).T + columns.mean(0)
    counts = F.fold(torch.ones(1, size * size, columns.shape[1]), shape, size)[0, 0]
    expected = F.fold(rebuilt[None], shape, size)[0, 0] / counts
    given = image.clone()
    got = denoise(given, atoms.clone(), penalty, iterations=rounds)
    assert_tensor(got, expected, f"wrong for an image of {shape} and patches of {size} x {size}")
    assert torch.equal(given, image), "the image that was given has changed"
### END HIDDEN TESTS

# %% [markdown]
# **Explore.** Four pictures: noisy, each pixel replaced by the mean of its 3 x 3 neighborhood (a baseline that knows nothing
# of pictures), and denoised with both dictionaries. Then the same for other penalties. Where is the best one, compared with
# the noise of 0.1? And what has the learned dictionary gained over the cosines?

# %%
blurred = F.avg_pool2d(F.pad(noisy[None, None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0, 0]
dictionaries = {"cosines": dct_dictionary(6, 8), "learned": learned.dictionary}
shown = {"noisy": noisy, "3 x 3 mean": blurred}
shown |= {name: denoise(noisy, dictionary, penalty=0.15) for name, dictionary in dictionaries.items()}
show_images({f"{name}, {psnr(image, clean):.1f} dB": image for name, image in shown.items()})
table = pd.DataFrame(index=pd.Index([0.05, 0.15, 0.3], name="penalty"))
for name, dictionary in dictionaries.items():
    table[f"{name} (dB)"] = [round(psnr(denoise(noisy, dictionary, penalty), clean), 1) for penalty in table.index]
table

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# The mean of the neighborhood gains 1.7 dB and pays with blurred columns. Sparse codes gain 5.5 dB and keep the columns. The
# best penalty is near 0.15, one and a half times the noise: with 0.05 noise is written down too, with 0.3 the details
# go with the noise. The learned dictionary adds only 0.1 to 0.2 dB at its best: cosines are hard to beat on a small image. It
# gains more where the penalty is wrong, because it gets along with fewer atoms.
# </details>
#
# ## Part 4. A network of cosines
#
# A kernel of a convolution is a small picture too. In the *double sparsity* of Rubinstein, Zibulevsky and Elad (2010), the atoms
# that are learned are themselves sparse sums of atoms that are fixed. A student's report (Hoffer, 2015) took this to
# convolutions: kernels out of cosines that are never trained, and coefficients that are trained to be sparse.
#
# ## Exercise 9: kernels from codes (1 point, 6 minutes)
#
# Let a layer have a code for each pair of an output map and an input map, a tensor of shape $O \times I \times K$, and share one
# dictionary of $K$ atoms with $k \times k$ pixels. Its kernels are
#
# $$W_{o,i} = \sum_{a} u_{o,i,a} \, \text{atom}_a .$$
#
# **Predict**, for 5 x 5 kernels and the 9 lowest of their 25 frequencies: what can these kernels not look like?
#
# **Fill** `kernels_from_codes`. *Hint: `codes @ atoms` works along the last dimension, whatever stands before it.
# `tensor.unflatten(dim, (a, b))` splits one dimension into two.*
#
# <details><summary>Next step</summary>
#
# `codes @ atoms` has the shape $O \times I \times k^2$. The size is `math.isqrt(atoms.shape[1])`; unflatten dimension 2 into
# `(size, size)`.
# </details>


# %% exercise="kernels_from_codes"
def kernels_from_codes(codes: torch.Tensor, atoms: torch.Tensor) -> torch.Tensor:
    """Kernels O x I x size x size of codes (O x I x K) for atoms (K x size^2)."""
    ### BEGIN SOLUTION stub="Exercise 9: return the kernels, O x I x size x size"
    size = math.isqrt(atoms.shape[1])
    return (codes @ atoms).unflatten(2, (size, size))
    ### END SOLUTION


# %% check="kernels_from_codes" points=1
atoms = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.5, -0.5, 0.5, -0.5], [0.5, 0.5, -0.5, -0.5]])
codes = torch.tensor([[[2.0, 0.0, 4.0], [0.0, 2.0, 0.0]]])
expected = torch.tensor([[[[3.0, 3.0], [-1.0, -1.0]], [[1.0, -1.0], [1.0, -1.0]]]])
got = kernels_from_codes(codes.clone(), atoms.clone())
assert_tensor(got, expected, "Kernel (o, i) is the sum of all atoms, each times its code, row after row.")
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(508)
for o, i, k, size in [(2, 3, 4, 3), (5, 1, 9, 5), (1, 4, 30, 4), (3, 2, 1, 1)]:
    atoms, codes = torch.randn(k, size * size, generator=generator), torch.randn(o, i, k, generator=generator)
    images = torch.randn(2, i, 7, 8, generator=generator)
    # Filter every map with every atom, then mix: two layers, and the same function.
    filtered = F.conv2d(images, atoms.reshape(k, 1, size, size).repeat(i, 1, 1, 1), groups=i)
    expected = F.conv2d(filtered, codes.reshape(o, i * k, 1, 1))
    got = kernels_from_codes(codes.clone(), atoms.clone())
    assert got.shape == (o, i, size, size), f"expected the shape {(o, i, size, size)}, got {tuple(got.shape)}"
    torch.testing.assert_close(F.conv2d(images, got), expected, rtol=1e-3, atol=1e-3)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# They cannot look rough: a checkerboard or a single bright pixel needs the high frequencies. Edges and blobs are possible.
# </details>
#
# The hidden tests use another form of this layer: filter every map with every atom, which is fixed, then mix the results with
# a 1 x 1 convolution, which is trained. Both are the same function, because nothing happens in between. In the report there
# is a ReLU in between, and then they are not: its kernels are no longer sums of atoms.
#
# ## Exercise 10: a layer that trains codes (1 point, 6 minutes)
#
# **Fill** the rest of `__init__`: `self.codes`, which is trained and begins with `start`, and `self.atoms`, which is saved and
# moved with the layer, but never trained. *Hint: `nn.Parameter` for what is trained; a **buffer** for what is not.*
#
# <details><summary>Next step</summary>
#
# Wrap `start` in `nn.Parameter`, and call `self.register_buffer` with the name `"atoms"` and the tensor.
# </details>


# %% exercise="dct_conv"
class DCTConv(nn.Module):
    """A convolution whose kernels are sums of fixed atoms (K x size^2); only the codes and the bias are trained."""

    def __init__(self, in_channels, out_channels, atoms, stride=1):
        super().__init__()
        self.stride, self.padding = stride, math.isqrt(atoms.shape[1]) // 2
        self.bias = nn.Parameter(torch.zeros(out_channels))
        inputs = in_channels * len(atoms)
        start = torch.randn(out_channels, in_channels, len(atoms)) * math.sqrt(2 / inputs)  # keeps the maps' variance
        ### BEGIN SOLUTION stub="Exercise 10: set self.codes, trained, and the buffer atoms"
        self.codes = nn.Parameter(start)
        self.register_buffer("atoms", atoms)
        ### END SOLUTION

    def forward(self, maps):
        kernels = kernels_from_codes(self.codes, self.atoms)
        return F.conv2d(maps, kernels, self.bias, stride=self.stride, padding=self.padding)


# %% check="dct_conv" points=1
torch.manual_seed(0)
layer = DCTConv(2, 3, torch.eye(9)[:4])
shapes = {name: tuple(parameter.shape) for name, parameter in layer.named_parameters()}
assert shapes.get("codes") == (3, 2, 4), (
    f"expected a parameter codes of shape (3, 2, 4), got {shapes.get('codes', 'no such parameter')}. "
    "A plain tensor is not trained, nn.Parameter(...) makes it a parameter."
)
assert sorted(shapes) == ["bias", "codes"], (
    f"expected the parameters bias and codes, got {sorted(shapes)}. The atoms are not trained: make them a buffer."
)
state = {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}
assert state.get("atoms") == (4, 9), (
    f"expected a buffer atoms of shape (4, 9) in layer.state_dict(), got {state.get('atoms', 'none')}. "
    "Use self.register_buffer; an ordinary attribute is not saved with the layer."
)
### BEGIN HIDDEN TESTS
not_imported("factorkit.dictionary", "factorkit.shrinkage", "factorkit.layers", "sklearn.decomposition")
generator = torch.Generator().manual_seed(509)
for i, o, k, size, stride in [(1, 4, 9, 5, 1), (3, 2, 5, 3, 2), (4, 4, 30, 5, 1)]:
    atoms = F.normalize(torch.randn(k, size * size, generator=generator), dim=1)
    torch.manual_seed(510)
    layer = DCTConv(i, o, atoms.clone(), stride=stride)
    drawn = layer.codes.detach().clone()
    assert tuple(drawn.shape) == (o, i, k), f"expected codes of shape {(o, i, k)}, got {tuple(drawn.shape)}"
    assert 0.5 < float(drawn.std()) / math.sqrt(2 / (i * k)) < 1.6, "the codes do not begin with start"
    saved = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    torch.testing.assert_close(saved["atoms"], atoms, rtol=0, atol=1e-6)
    names = sorted(name for name, _ in layer.named_parameters())
    assert names == ["bias", "codes"], f"expected the parameters bias and codes, got {names}"
    images, codes = torch.randn(2, i, 7, 8, generator=generator), torch.randn(o, i, k, generator=generator)
    trained, bias = codes.clone().requires_grad_(), torch.randn(o, generator=generator)
    kernels = torch.einsum("oik,kp->oip", trained, atoms).reshape(o, i, size, size)
    expected = F.conv2d(images, kernels, bias, stride, size // 2)
    expected.square().mean().backward()
    with torch.no_grad():
        layer.codes.copy_(codes)
        layer.bias.copy_(bias)
    got = layer(images.clone())
    assert got.shape == expected.shape, f"expected the shape {tuple(expected.shape)}, got {tuple(got.shape)}"
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)
    got.square().mean().backward()
    torch.testing.assert_close(layer.codes.grad, trained.grad, rtol=1e-3, atol=1e-3)
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 11: what there is to train (1 point, 5 minutes)
#
# Two small networks for the digits of scikit-learn, gray images of 8 x 8 pixels in ten classes. They differ only in what
# `make_layer` gives: dense 5 x 5 convolutions, or yours with the 9 lowest frequencies. **Read** the cell, then run it.


# %% given="networks"
@dataclass(frozen=True)
class Counts:
    """How many numbers of a network are trained, and how many of these are not exactly zero."""

    trainable: int
    nonzero: int


def small_network(make_layer: Callable[..., nn.Module]) -> nn.Sequential:
    """Two 5 x 5 convolutions by make_layer(in_channels, out_channels, stride), and a linear layer."""
    layers = [make_layer(1, 16, 1), nn.ReLU(), make_layer(16, 32, 2), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def dense_layer(in_channels, out_channels, stride):
    return nn.Conv2d(in_channels, out_channels, 5, stride=stride, padding=2)


def dct_layer(in_channels, out_channels, stride):
    lowest = dct_dictionary(5, 5).reshape(5, 5, 25)[:3, :3].reshape(9, 25)
    return DCTConv(in_channels, out_channels, lowest, stride)


# %% [markdown]
# **Predict**: the dense network has 13,578 numbers to train. How many has the other, roughly?
#
# **Fill** `count_weights`, with two Python ints. A parameter counts as trainable if its `requires_grad` is true: others have
# been frozen. *Hint: a list of `network.parameters()` that are trainable; then `p.numel()`, and `(p != 0).sum()`.*
#
# <details><summary>Next step</summary>
#
# `sum(p.numel() for p in trainable)` and `sum((p != 0).sum().item() for p in trainable)`.
# </details>


# %% exercise="count_weights"
def count_weights(network: nn.Module) -> Counts:
    """The numbers that are trained in a network, and how many of them are not zero."""
    ### BEGIN SOLUTION stub="Exercise 11: return Counts(trainable=..., nonzero=...), two ints"
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    nonzero = sum((parameter != 0).sum().item() for parameter in trainable)
    return Counts(trainable=sum(parameter.numel() for parameter in trainable), nonzero=nonzero)
    ### END SOLUTION


# %% check="count_weights" points=1
torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1, bias=False), nn.BatchNorm2d(2))
network[0].weight.requires_grad_(False)
with torch.no_grad():
    network[0].bias.copy_(torch.tensor([0.0, 1.0, 0.0, -1.0]))
got = count_weights(network)
assert isinstance(got, Counts), f"expected Counts(trainable=..., nonzero=...), got {got!r}"
mistakes = {
    88: "frozen parameters were counted too: ask requires_grad",
    12: "only weights were counted: biases and the scales and shifts of a normalization are trained as well",
    4: "you counted tensors instead of their numbers",
}
assert_number(got.trainable, 16, "4 biases + 8 weights + 2 scales + 2 shifts", mistakes)
mistakes = {
    16: "zeros were counted too",
    84: "frozen parameters were counted too",
    11: "only positive ones were counted",
}
assert_number(got.nonzero, 12, "2 biases + 8 weights + 2 scales, while the shifts begin at zero", mistakes)
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(511)
for sizes, frozen, share in [
    ((3, 5, 2), (), 0.5),
    ((4, 4, 7), ("0.bias",), 0.2),
    ((6, 1, 3), ("2.weight", "2.bias"), 0.9),
]:
    network = nn.Sequential(nn.Linear(sizes[0], sizes[1]), nn.ReLU(), nn.Linear(sizes[1], sizes[2]))
    trainable, nonzero = 0, 0
    for name, parameter in network.named_parameters():
        with torch.no_grad():
            values = torch.rand(parameter.shape, generator=generator) - share
            parameter.copy_(values.clamp(min=0) - (values < -share / 2).float())
        parameter.requires_grad_(name not in frozen)
        trainable += 0 if name in frozen else parameter.numel()
        nonzero += 0 if name in frozen else sum(number != 0 for number in parameter.flatten().tolist())
    got = count_weights(network)
    assert isinstance(got, Counts), f"expected Counts, got {got!r}"
    assert_number(got.trainable, trainable, f"the trainable numbers of {network} without {frozen}")
    assert_number(got.nonzero, nonzero, f"the nonzero numbers of {network} without {frozen}")
### END HIDDEN TESTS

# %%
for make_layer in (dense_layer, dct_layer):
    print(f"{make_layer.__name__}: {count_weights(small_network(make_layer))}")

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# 9 codes take the place of 25 weights, so the convolutions have 2.8 times fewer numbers: 4,752 instead of 13,200. The biases and
# the linear layer stay, 378 numbers, which gives 5,130. The fixed atoms are $9 \cdot 25$ more numbers, but they follow from a
# formula.
# </details>
#
# ## Exercise 12: a proximal step (2 points, 8 minutes)
#
# Adding $\zeta \sum |w|$ to the loss and running gradient descent gives *small* weights, never zeros: they jump around zero. ISTA
# shows the remedy. With a momentum of $\eta$, the step $\varepsilon$ and the gradient $g$ of the loss on a batch, the
# step comes first, then the shrinkage by **step times penalty**:
#
# $$w_{\text{new}} = \operatorname{shrink}\!\big(w + \eta\, (w - w_{\text{previous}}) - \varepsilon\, g,\;
#   \varepsilon \zeta\big).$$
#
# (The report prints two slips here. It multiplies all of $w - \varepsilon g$ by $1 - \eta$, so that weights fade even if
# nothing pulls at them; and it shrinks by $\zeta$ in every step, however small the step has become.)
#
# **Predict**: the gradient is zero, the penalty too. Where does a weight go that has moved from 1 to 2 in the step before, with
# $\eta = 0.5$?
#
# **Fill** `proximal_step`. *Hint: one line, with your `shrink`.*
#
# <details><summary>Next step</summary>
#
# `weight + momentum * (weight - previous) - lr * gradient` is what is shrunk, by `lr * penalty`.
# </details>


# %% exercise="proximal_step"
def proximal_step(
    weight: torch.Tensor,
    previous: torch.Tensor,
    gradient: torch.Tensor,
    lr: float,
    momentum: float,
    penalty: float,
) -> torch.Tensor:
    """The weight after a step with momentum against the gradient, and a shrinkage by lr times penalty."""
    ### BEGIN SOLUTION stub="Exercise 12: return the shrunk weight after a step with momentum, of the same shape"
    moved = weight + momentum * (weight - previous) - lr * gradient
    return shrink(moved, lr * penalty)
    ### END SOLUTION


# %% check="proximal_step" points=2
weight, previous = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([1.0, 0.5, -1.0])
zero = torch.zeros(3)
mistakes = {
    2.0: "momentum has no effect",
    1.5: "the weight goes back to where it came from",
    0.5: "only the momentum is left: add it to the weight",
}
got = proximal_step(weight.clone(), previous.clone(), zero.clone(), lr=0.1, momentum=0.5, penalty=0.0)
hint = "Without gradient and penalty the weight rolls on by momentum x (weight - previous); nothing else fades."
assert_tensor(got, torch.tensor([2.5, 0.5, -1.0]), hint, mistakes)
gradient = torch.tensor([2.0, 4.0, -1.0])
mistakes = {
    0.3: "you shrank by the penalty: shrink by lr times penalty",
    2.3: "nothing was shrunk",
    2.5: "the step goes uphill: subtract lr times the gradient",
    1.6: "momentum has no effect",
}
got = proximal_step(weight.clone(), previous.clone(), gradient.clone(), lr=0.1, momentum=0.5, penalty=2.0)
expected = torch.tensor([2.1, 0.0, -0.7])
assert_tensor(got, expected, "Step first, shrink by lr x penalty = 0.2 then; 0.1 becomes exactly 0.", mistakes)
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(512)
for shape, lr, momentum, penalty in [((5,), 0.3, 0.9, 1.0), ((3, 4), 0.01, 0.0, 20.0), ((2, 3, 5), 1.0, 0.5, 0.2)]:
    weight, previous, gradient = (torch.randn(shape, generator=generator) for _ in range(3))
    moved = (1 + momentum) * weight - momentum * previous - lr * gradient
    expected = F.softshrink(moved, lr * penalty)
    given = weight.clone()
    got = proximal_step(given, previous.clone(), gradient.clone(), lr, momentum, penalty)
    assert_tensor(got, expected, f"wrong for lr {lr}, momentum {momentum}, penalty {penalty}", tolerance=1e-5)
    assert torch.equal(got == 0, expected == 0), "expected exact zeros"
    assert torch.equal(given, weight), "the weight that was given has changed"
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# To 2.5: it rolls on by half of its last move. With the report's factor it would go to $0.5 + 1 = 1.5$, backwards.
# </details>
#
# ## Train and compare (4 minutes)
#
# `train` uses your `proximal_step` for all parameters, with a penalty on the codes only. Five networks, three seeds each, 20
# epochs: about a minute on a computer that has nothing else to do. A grader skips this. **Predict**: how many of the codes
# can go before the accuracy falls by more than two seeds differ?


# %% given="train"
def train(network: nn.Module, digits: data.ImageData, penalty: float, seed: int, epochs: int = 20) -> float:
    """Train with proximal steps, penalty on the codes (O x I x K); return the accuracy on the test images."""
    generator = torch.Generator().manual_seed(seed)
    parameters = list(network.parameters())
    previous = [parameter.detach().clone() for parameter in parameters]
    batches, done = epochs * len(digits.loader("train", 64)), 0
    for _ in range(epochs):
        for images, labels in digits.loader("train", 64, shuffle=True, generator=generator):
            lr = 0.05 * (1 + math.cos(math.pi * done / batches))
            network.zero_grad()
            F.cross_entropy(network(digits.normalize(images)), labels).backward()
            with torch.no_grad():
                for index, parameter in enumerate(parameters):
                    strength = penalty if parameter.dim() == 3 else 0.0
                    new = proximal_step(parameter, previous[index], parameter.grad, lr, 0.9, strength)
                    previous[index] = parameter.clone()
                    parameter.copy_(new)
            done += 1
    return training.evaluate(network, digits).accuracy


# %%
SEEDS = (0, 1, 2)
compared = pd.DataFrame()
if not being_graded():
    digits = data.load("digits")
    for name, make_layer, penalty in [
        ("dense", dense_layer, 0.0),
        ("DCT", dct_layer, 0.0),
        ("DCT, penalty 0.001", dct_layer, 0.001),
        ("DCT, penalty 0.003", dct_layer, 0.003),
        ("DCT, penalty 0.01", dct_layer, 0.01),
    ]:
        accuracies, counts = [], []
        for seed in SEEDS:
            training.seed_everything(seed)
            network = small_network(make_layer)
            accuracies.append(100 * train(network, digits, penalty, seed))
            counts.append(count_weights(network))
        compared.loc[name, "trainable"] = counts[0].trainable
        compared.loc[name, "nonzero"] = round(sum(each.nonzero for each in counts) / len(SEEDS))
        compared.loc[name, ["lowest (%)", "mean (%)", "highest (%)"]] = [
            min(accuracies), sum(accuracies) / len(SEEDS), max(accuracies)
        ]  # fmt: skip
    display(compared.astype({"trainable": int, "nonzero": int}).round(1))

# %% [markdown]
# **Explore.** Accuracy against the numbers that are not zero, with the lowest and the highest of the seeds. Up and to the left
# is better. Where does the curve bend?

# %%
if len(compared):
    fig, ax = plt.subplots(figsize=(5.5, 3))
    for (name, row), marker in zip(compared.iterrows(), "osD^v", strict=True):
        low, high = row["mean (%)"] - row["lowest (%)"], row["highest (%)"] - row["mean (%)"]
        ax.errorbar(row.nonzero, row["mean (%)"], [[low], [high]], marker=marker, capsize=3, linestyle="", label=name)
    ax.set(xlabel="numbers that are not zero (log scale)", ylabel="test accuracy (%)", xscale="log")
    ax.legend()
    plt.show()

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# In our run the dense network reached 98.6 % on average and the cosines 98.2 %, less than two seeds differ, with 38 % of the
# numbers. A fifth of what is left can go for one point more (penalty 0.001), three fifths for two and a half (0.003). Then the
# curve bends: with 725 numbers it is 90.6 %, and more than half of those are biases and the linear layer. A test image more
# or less is 0.3 points here, so do not read too much into the first three.
# </details>
#
# ## Exercise 13: seven times smaller? (2 points, 7 minutes)
#
# A colleague looks at your row with the penalty of 0.003: *"Only one seventh of the dense network's numbers is left. So the
# file gets seven times smaller, and the network seven times faster."*
#
# **Answer in four to six sentences**, with numbers from your own table:
#
# 1. What has to be stored besides the nonzero values, and what does that do to the factor? (Take 32 bits for a value.)
# 2. Why does the layer, as it is written here, not compute any faster, and when would zeros in the codes save work?

# %% [markdown] written="seven_times_smaller" points=2
# ### BEGIN SOLUTION
# **Stored.** Of the dense network's 13,578 numbers, 1,989 are left, 6.8 times fewer. But one also has to know *which* codes are
# not zero: one bit for each of the 4,752 codes is the simplest way. That makes 32 x 1,989 + 4,752 = 68,400 bits instead of
# 32 x 13,578 = 434,496, a factor of 6.4. The 9 atoms follow from a formula and need not be stored. (With 4 bits for each
# value it would be 12,708 instead of 54,312 bits, a factor of only 4.3.) And the accuracy is 95.7 instead of 98.6 %.
#
# **Computed.** `forward` builds the kernels first, and a sum of a few cosines is a full 5 x 5 kernel: the convolution has as
# many multiplications as the dense one, and building the kernels comes on top. Zeros would save work if a whole kernel or
# a whole map were zero and left out, or in the other form of the layer: filter each of the 16 maps with the 9 atoms once, for
# all outputs, which is 16 x 9 x 25 = 3,600 products at each position instead of 12,800, and then mix with a sparse 1 x 1
# convolution that multiplies by the nonzero codes only.
# ### END SOLUTION
# ### BEGIN MARK SCHEME
# Accuracies and counts of nonzero numbers depend on the run; they must come from the student's own notebook. One point for
# each of the two questions; a right claim without a reason, and for the first one without a number, earns nothing.
#
# *Stored*: the positions of the nonzero codes, as a bit for each code or as an index for each value, with a factor that
# follows from the student's numbers (6.0 to 6.6 with a bit mask; an index of 13 bits for each nonzero code gives about 5).
# That the atoms need not be stored, or are few, may be missing. *Computed*: the kernels are dense although the codes are
# sparse. And one case in which zeros help: whole kernels or maps, or filtering with the atoms first and mixing sparsely.
#
# - 0 points: the colleague's claim is repeated, or denied without a reason.
# - 1 point: one of the two. Example: *"1,989 values of 32 bits and a mask of 4,752 bits are 68,400 bits, against 434,496: 6.4
#   times smaller, not 6.8."*
# - 2 points: both. Example: the above, and *"The layer adds the cosines up to full 5 x 5 kernels before it convolves, so it
#   multiplies as often as the dense one. Zeros would help if all codes of a kernel were zero, so that it could be skipped."*
# ### END MARK SCHEME

# %% [markdown]
# ## What you take away
#
# - An overcomplete dictionary can write a signal in many ways. A penalty on the absolute codes picks a sparse one, and soft
#   thresholding makes its zeros exact.
# - A gradient step of at most $1/L$ and a shrinkage by *step times penalty* never raise the objective; the update of unit-norm
#   atoms, one by one, does not either. Learning a dictionary is taking turns.
# - Signals are sparse in a good dictionary and noise is not. That is all a denoiser needs.
# - In a network, fixed atoms reduce what is trained, and proximal steps decide what of it is zero. What is stored and what is
#   computed are two more questions.
#
# Now *Restart Kernel and Run All Cells*, check that every check is silent, save, and hand in.
