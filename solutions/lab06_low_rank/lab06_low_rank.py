# ---
# jupyter:
#   kernelspec: {display_name: Python 3 (ipykernel), language: python, name: python3}
#   lab:
#     title: "SVD and low-rank layers"
#     minutes: 105
#     points: 20
#     not_imported: [factorkit.decompositions, factorkit.compress, factorkit.costs]
# ---
# %% [markdown]
# # Lab 06. SVD and low-rank layers
#
# Every matrix is a sum of simple ones, columns times rows, and often a few of them are nearly all of it. The *singular value
# decomposition* (SVD) finds these few, and no other choice is better. In this lab you compute it by hand, then you use it on
# the weights of a network: one layer becomes two thin ones, which together cost less. At the end you compress a trained
# network to a budget, and find out what the popular rule "keep 90 % of the energy" is worth.
#
# **When you have finished, you can**
#
# - compute singular values and vectors with nothing but products of matrices and vectors;
# - say from the singular values alone how large the error of a low-rank approximation is;
# - turn a linear layer, and a convolution in two different ways, into two layers that compute the same as the best
#   approximation of its weight, with stride, padding and bias;
# - say from which rank on this costs more than it saves;
# - choose the ranks of a whole network for a budget of multiply-accumulates, and judge them before and after fine-tuning.
#
# **Time**: about 105 minutes, of which about 1 is training.
#
# | | exercise | points | minutes |
# |---|---|---:|---:|
# | | *before you start* | | 3 |
# | 1 | power iteration | 2 | 8 |
# | 2 | one component after the other | 2 | 9 |
# | 3 | two thin factors | 1 | 7 |
# | 4 | the error, from the singular values | 1 | 5 |
# | 5 | the energy rule | 1 | 7 |
# | 6 | one linear layer as two | 2 | 8 |
# | 7 | when does it pay? | 1 | 6 |
# | 8 | few filters, then mix them | 2 | 9 |
# | 9 | a kernel as another matrix | 1 | 7 |
# | 10 | vertical, then horizontal | 2 | 9 |
# | 11 | what the pair costs | 1 | 6 |
# | 12 | ranks for a budget | 2 | 9 |
# | | *compress and fine-tune* | | 5 |
# | 13 | written: 90 % of the energy | 2 | 7 |
# | | **sum** | **20** | **105** |
#
# ## Before you start (3 minutes)
#
# **What is graded.** Exercises 1 to 12 are graded automatically, exercise 13 is read by a person. Under each exercise
# stands a *check* that says what it expected and what it got. The grader runs the same check, and then *hidden tests* that
# ask for the same property elsewhere: other shapes, other kernels and strides, float64 as well as float32. Predictions,
# explorations and the training are for you; no points depend on them.
#
# **How to work.** Run the cells from top to bottom, and put your answer, one to ten lines, in the place of each
# `raise NotImplementedError("Exercise ...")`. Where the text says **Predict**, commit yourself before you run the next
# cell. Every exercise has a hint, and the next step folded away under *Next step*. `factorkit.decompositions`,
# `factorkit.compress` and `factorkit.costs` contain what you write here, so **do not import them in this lab**; the hidden
# tests check that. Do not delete, copy or rename cells; add as many of your own as you like.

# %% given="setup"
import copy
import math
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
from micronet_resources.profile import profile_model

plots.use_style()

# %% [markdown]
# The next cell holds helpers for the checks. You need not read it; run it.


# %% given="helpers"
def assert_number(
    got: object, expected: float, how: str, mistakes: dict[float, str] | None = None, tolerance: float = 1e-5
) -> None:
    """Compare a Python number with the expected one; `mistakes` explains well-known wrong numbers."""
    kind = type(expected)
    hints = {
        type(None): "Does the function return its result?",
        torch.Tensor: "Turn a tensor with one number into a Python number with .item().",
        float: "This is a count, a whole number: // gives one.",
    }
    shown = f"{str(got)[:60]} of type {type(got).__name__}. {hints.get(type(got), '')}"
    assert isinstance(got, kind), f"expected the {kind.__name__} {round(expected, 6):,}, got {shown}"
    close = [why for number, why in (mistakes or {}).items() if math.isclose(got, number, rel_tol=2e-5, abs_tol=1e-9)]
    hint = f" It seems that {close[0]}." if close else ""
    equal = math.isclose(got, expected, rel_tol=tolerance, abs_tol=tolerance)
    digits = "," if kind is int else ".6g"
    assert equal, f"expected {how} = {expected:{digits}}, got {got:{digits}}.{hint}"


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


def assert_layers(got: object, shapes: list[tuple[int, ...]], hint: str) -> None:
    """Check that a network has parameters of these shapes, in this order."""
    assert isinstance(got, nn.Module), f"expected nn.Sequential(first, second), got {got!r}. {hint}"
    found = [tuple(parameter.shape) for parameter in got.parameters()]
    assert found == shapes, f"expected parameters of the shapes {shapes}, got {found}. {hint}"


def assert_strides(got: nn.Module, expected: list[tuple], hint: str) -> None:
    """Check stride and padding of each convolution of a network."""
    found = [(tuple(layer.stride), tuple(layer.padding)) for layer in got.modules() if isinstance(layer, nn.Conv2d)]
    assert found == expected, f"expected (stride, padding) of the two convolutions = {expected}, got {found}. {hint}"


# %% [markdown]
# ## Part 1. The singular value decomposition
#
# Seven users (rows) have rated five movies (columns), three science fictions and two romances; 0 means *not seen*.


# %% given="ratings"
def movie_ratings() -> torch.Tensor:
    """Seven users rate five movies, 7 x 5."""
    science_fiction = [[1, 1, 1, 0, 0], [3, 3, 3, 0, 0], [4, 4, 4, 0, 0], [5, 5, 5, 0, 0]]
    romance = [[0, 2, 0, 4, 4], [0, 0, 0, 5, 5], [0, 1, 0, 2, 2]]
    return torch.tensor(science_fiction + romance, dtype=torch.float64)


# %% [markdown]
# The SVD writes a matrix $A$ of shape $m \times n$ as a sum of **components**, each a column times a row:
#
# $$A = \sum_i \sigma_i \, u_i v_i^\top, \qquad \sigma_1 \ge \sigma_2 \ge \dots \ge 0 .$$
#
# The $u_i$ have $m$ entries and the $v_i$ have $n$; all have length one, and different $u_i$ are orthogonal, as are
# different $v_i$. How does one find them? With a simpler problem first.
#
# ## Exercise 1: power iteration (2 points, 8 minutes)
#
# A symmetric matrix $M$ stretches its eigenvector of the largest $|\lambda|$ more than any other direction. So multiply any
# vector by $M$, again and again, and it turns there. In every step it is brought back to length one:
#
# $$x_{k+1} = \frac{M x_k}{\lVert M x_k \rVert}, \qquad \text{and at the end} \quad \lambda = x^\top M x .$$
#
# **Predict**: the eigenvalues of $\begin{pmatrix} 1 & 2 \\ 2 & 3 \end{pmatrix}$ are $2 \pm \sqrt 5$, that is 4.236 and
# $-0.236$. How much closer does a step bring $x$ to the first eigenvector? Is $x_0 = (1, 1)$ good enough to start with?
#
# **Fill** `power_iteration`: `steps` steps from `start`, then $\lambda$ as a Python number and $x$. *Hint: `matrix @ x` is the
# product, `x.norm()` the length.*
#
# <details><summary>Next step</summary>
#
# A loop over `range(steps)` with two lines: `x` becomes `matrix @ x`, then itself divided by its norm. After the loop, the
# value is `x @ matrix @ x`, and `.item()` makes a Python number of it.
# </details>


# %% exercise="power_iteration"
def power_iteration(matrix: torch.Tensor, start: torch.Tensor, steps: int) -> tuple[float, torch.Tensor]:
    """Eigenvalue (a Python number) and eigenvector (n, of length one) of a symmetric matrix (n x n), after some steps."""
    ### BEGIN SOLUTION stub="Exercise 1: return (value, vector), a Python number and n entries of length one"
    x = start
    for _ in range(steps):
        x = matrix @ x
        x = x / x.norm()
    return (x @ matrix @ x).item(), x
    ### END SOLUTION


# %% check="power_iteration" points=2
matrix, start = torch.tensor([[1.0, 2.0], [2.0, 3.0]]), torch.tensor([1.0, 1.0])
pair = power_iteration(matrix.clone(), start.clone(), steps=1)
assert isinstance(pair, tuple) and len(pair) == 2, f"expected a tuple (value, vector), got {pair!r}"
mistakes = {
    3.0: "the vector is not divided by its length",
    0.6: "you divided by the largest entry: divide by the length, x.norm()",
    0.375: "you divided by the sum of the entries: divide by the length, x.norm()",
    0.70711: "no step was made, only the start was brought to length one",
    0.525225: "you made one step too many",
}
assert_tensor(pair[1], torch.tensor([0.514496, 0.857493]), "One step gives (3, 5) / sqrt(34).", mistakes)
mistakes = {
    144.0: "x is not of length one where you compute x M x",
    8.0: "you took the start instead of the last x",
    4.0: "you took the start instead of the last x",
    4.235704: "you took the length of M x: it has no sign, and is not x M x",
    4.23607: "your value belongs to a later x than your vector",
}
assert_number(pair[0], 4.235294, "x M x = 144 / 34 after one step", mistakes)
value, vector = power_iteration(matrix.clone(), start.clone(), steps=2)
mistakes = {0.514496: "every step begins with start again (go on with the last x), or you return inside the loop"}
assert_tensor(vector, torch.tensor([0.526350, 0.850270]), "Two steps give (13, 21) / sqrt(610).", mistakes)
value, vector = power_iteration(matrix.clone(), start.clone(), steps=200)
hint = (
    "After 200 steps it is the eigenvector. Divide by the length in every step: numbers like 4.2^200 do not exist here."
)
assert_tensor(vector, torch.tensor([0.525731, 0.850651]), hint)
assert_number(value, 2 + math.sqrt(5), "2 + sqrt(5) after 200 steps")
value, vector = power_iteration(torch.tensor([[0.0, 2.0], [2.0, -3.0]]), torch.tensor([1.0, 0.0]), steps=2)
mistakes = {3.971143: "you took the length of M x, which has lost the sign", 3.923077: "the sign is lost"}
assert_number(value, -51 / 13, "x M x after two steps, for [[0, 2], [2, -3]] from (1, 0)", mistakes)
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.costs")
generator = torch.Generator().manual_seed(601)
for n, steps, dtype in [(2, 3, torch.float32), (5, 1, torch.float64), (8, 7, torch.float64), (3, 4, torch.float32)]:
    matrix = torch.randn(n, n, generator=generator, dtype=dtype)
    matrix, start = matrix + matrix.T, torch.randn(n, generator=generator, dtype=dtype)
    x = torch.linalg.matrix_power(matrix.double(), steps) @ start.double()
    x = x / x.norm()
    given = start.clone()
    value, vector = power_iteration(matrix.clone(), given, steps)
    assert_tensor(vector, x.to(dtype), f"wrong for a {n} x {n} matrix and {steps} steps")
    expected, how = float(x @ matrix.double() @ x), f"the value for a {n} x {n} matrix after {steps} steps"
    assert_number(value, expected, how, tolerance=1e-4)
    torch.testing.assert_close(given, start, rtol=0, atol=0, msg="power_iteration changed the start")
for n in (4, 6):
    basis = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    values = torch.tensor([-90.0, 30.0, -9.0, 2.0, 5.0, 1.0][:n], dtype=torch.float64)
    value, vector = power_iteration((basis * values) @ basis.T, basis.sum(1), 300)
    assert_number(value, -90.0, "the eigenvalue of the largest absolute value")
    assert_tensor(torch.outer(vector, vector), torch.outer(basis[:, 0], basis[:, 0]), "not its eigenvector")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# The part along the other eigenvector shrinks by $0.236 / 4.236 = 1/18$ in each step, relative to the first one. Any start
# will do that is not exactly orthogonal to the first eigenvector. (Computed from the rounded vector $(0.53, 0.85)$, as on
# some slides, $x^\top M x$ is 4.25: this $x$ is a little too long. With $x$ of length one it is 4.24.)
# </details>
#
# ## Exercise 2: one component after the other (2 points, 9 minutes)
#
# Back to a matrix $A$ of any shape. Since $A^\top A = \sum_i \sigma_i^2 \, v_i v_i^\top$, the eigenvectors of the symmetric matrix
# $M = A^\top A$ are the $v_i$, and its eigenvalues are the $\sigma_i^2$. So, with the first eigenpair $(\lambda, v)$ of $M$:
#
# $$\sigma = \sqrt{\lambda}, \qquad u = \frac{A v}{\sigma}, \qquad M \leftarrow M - \lambda \, v v^\top .$$
#
# The last step, **deflation**, takes the component out of $M$, and power iteration finds the next one.
#
# **Predict**: $u$ is an eigenvector of $A A^\top$, so one could find it by a second power iteration. What could go wrong?
#
# **Fill** the inside of the loop: append the new $u$, $\sigma$ and $v$ to the three lists, and deflate `remaining`. Use your
# `power_iteration` with the given `start` and `steps`. *Hint: `torch.outer(v, v)` is the $n \times n$ matrix $v v^\top$.*
#
# <details><summary>Next step</summary>
#
# `value, v` is what `power_iteration` of `remaining` returns. The singular value is `math.sqrt(value)`, and `matrix @ v` divided
# by it is $u$. Subtract `value * torch.outer(v, v)` from `remaining`.
# </details>


# %% given="components"
@dataclass(frozen=True)
class Components:
    """The first r components of a matrix: left (m x r), singular_values (r), right (r x n)."""

    left: torch.Tensor
    singular_values: torch.Tensor
    right: torch.Tensor

    def product(self) -> torch.Tensor:
        """The sum of the components, m x n."""
        return (self.left * self.singular_values) @ self.right


# %% exercise="svd_by_power"
def svd_by_power(matrix: torch.Tensor, rank: int, steps: int = 100) -> Components:
    """The first components of a matrix (m x n), by power iteration and deflation."""
    generator = torch.Generator().manual_seed(0)
    remaining = matrix.T @ matrix
    left, values, right = [], [], []
    for _ in range(rank):
        start = torch.randn(len(remaining), generator=generator, dtype=matrix.dtype)
        ### BEGIN SOLUTION stub="Exercise 2: append u to left, sigma to values and v to right, and deflate remaining"
        value, v = power_iteration(remaining, start, steps)
        values.append(math.sqrt(value))
        left.append(matrix @ v / values[-1])
        right.append(v)
        remaining = remaining - value * torch.outer(v, v)
        ### END SOLUTION
    return Components(torch.stack(left, dim=1), torch.tensor(values, dtype=matrix.dtype), torch.stack(right))


# %% check="svd_by_power" points=2
ratings = movie_ratings()
given = ratings.clone()
found = svd_by_power(given, rank=2)
assert isinstance(found, Components), f"expected Components, got {found!r}"
sizes = [round(number, 3) for number in found.singular_values.tolist()]
hints = {
    (155.776, 90.414): "These are the eigenvalues of the transposed matrix times the matrix: take square roots.",
    (12.481, 12.481): "The first component was found twice: deflate, and assign the result to remaining.",
    (12.481, 12.441): "Deflate by value times the outer product: v alone has length one.",
    (12.481, 11.971): "Deflate by the eigenvalue, which is sigma squared, times the outer product.",
}
hint = hints.get(tuple(sizes), "Append one number per component, the square root of the eigenvalue.")
assert sizes == [12.481, 9.509], f"expected the singular values [12.481, 9.509], got {sizes}. {hint}"
expected_shapes, shapes = [(7, 2), (2, 5)], [tuple(found.left.shape), tuple(found.right.shape)]
hint = "Append u, with 7 entries, to left, and v, with 5 entries, to right."
assert shapes == expected_shapes, f"expected left and right of the shapes {expected_shapes}, got {shapes}. {hint}"
lengths = [round(length, 3) for length in found.left.norm(dim=0).tolist()]
assert lengths == [1.0, 1.0], f"expected columns u of length one, got the lengths {lengths}. Divide A v by sigma."
errors = (found.product() - ratings).norm().item()
hint = "u and v of a component must fit: u = A v / sigma has the right sign, and a u that is found for itself need not."
assert_number(round(errors, 4), 1.3456, f"the error that two components leave ({hint})")
assert torch.equal(given, ratings), "expected the matrix to be left as it was, got it changed"
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.costs")
generator = torch.Generator().manual_seed(602)
for m, n, rank, dtype in [
    (6, 4, 3, torch.float64),
    (4, 9, 4, torch.float64),
    (12, 5, 1, torch.float32),
    (3, 8, 2, torch.float32),
    (7, 7, 5, torch.float64),
]:
    least = min(m, n)
    u = torch.linalg.qr(torch.randn(m, least, generator=generator, dtype=torch.float64)).Q
    v = torch.linalg.qr(torch.randn(n, least, generator=generator, dtype=torch.float64)).Q
    values = 5.0 * 0.5 ** torch.arange(least, dtype=torch.float64)
    matrix, expected = ((u * values) @ v.T).to(dtype), (u[:, :rank] * values[:rank]) @ v[:, :rank].T
    found = svd_by_power(matrix.clone(), rank)
    case = f"a {m} x {n} matrix, {rank} components"
    assert found.left.shape == (m, rank) and found.right.shape == (rank, n), f"{case}: wrong shapes"
    assert_tensor(found.singular_values, values[:rank].to(dtype), f"{case}: wrong singular values", tolerance=1e-3)
    product = (found.left * found.singular_values) @ found.right
    assert_tensor(product, expected.to(dtype), f"{case}: the components do not add up", tolerance=1e-3)
    unit = torch.eye(rank, dtype=dtype)
    assert_tensor(found.left.T @ found.left, unit, f"{case}: u not orthonormal", tolerance=2e-3)
    assert_tensor(found.right @ found.right.T, unit, f"{case}: v not orthonormal", tolerance=2e-3)
matrix = torch.tensor([[2.0, 1.0], [0.0, 1.5]], dtype=torch.float64)
begin = torch.randn(2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
direction = matrix.T @ matrix @ begin
expected = ((matrix @ direction).norm() / direction.norm()).item()
got = svd_by_power(matrix.clone(), 1, steps=1).singular_values.tolist()
assert len(got) == 1, f"expected one singular value, got {got}"
assert_number(got[0], expected, "the first singular value after a single step from start")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Power iteration finds $u$ or $-u$, as its start has it. A pair $(u, v)$ may change its sign together, but not one of them
# alone: then the component is subtracted where it should be added. This happens in print. On the slides of a lecture with
# these very ratings one $v$ has the wrong sign, and the "matrix of rank 2" beside it has rank 3.
# </details>
#
# **Explore.** What do the two components say? Look at the signs and sizes: which component belongs to which kind of movie, and
# which user does not fit in? (All signs of a component may be turned.)

# %%
ratings = movie_ratings()
found = svd_by_power(ratings, rank=2)
print("singular values:", [round(number, 2) for number in found.singular_values.tolist()])
names = ["component 1", "component 2"]
display(pd.DataFrame(found.left.numpy(), columns=names, index=[f"user {i + 1}" for i in range(7)]).round(2).T)
display(pd.DataFrame(found.right.numpy(), index=names, columns=[f"movie {i + 1}" for i in range(5)]).round(2))

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# Component 1 is science fiction, component 2 romance. Users 1 to 4 have the first one only, in proportion to their ratings. Users 5
# and 7 also rated the second movie, a science fiction, and have a little of both.
# </details>
#
# Power iteration is all one needs for a few components. From here on you use `torch.linalg.svd`, which finds all of them at once.
#
# ## Exercise 3: two thin factors (1 point, 7 minutes)
#
# Keep the first $r$ components only. No matrix of rank $r$ is closer to $A$ than their sum, in the Frobenius norm (Eckart and
# Young, 1936). As a product of two thin matrices, with the root of each $\sigma_i$ on either side:
#
# $$A \approx L R, \qquad L = \big(\sqrt{\sigma_1} u_1, \dots, \sqrt{\sigma_r} u_r\big) \in \mathbb{R}^{m \times r}, \qquad
#   R = \begin{pmatrix} \sqrt{\sigma_1} v_1^\top \\ \vdots \\ \sqrt{\sigma_r} v_r^\top \end{pmatrix} \in \mathbb{R}^{r \times n}.$$
#
# (The product is what counts. Half of $\sigma$ on each side keeps both factors of one size, which helps when they are trained.)
#
# **Predict**: user 5 has not seen the first movie. Which rating will the matrix of rank 2 have there?
#
# **Fill** `factors`, with `torch.linalg.svd`; keep the matrix's type of numbers (float32 or float64). *Hint:
# `torch.linalg.svd(matrix, full_matrices=False)` returns $U$, the singular values as a vector, and $V^\top$, already transposed.*
#
# <details><summary>Next step</summary>
#
# With `u, s, vt`: the first $r$ **columns** of $U$ are `u[:, :rank]`, the first $r$ **rows** of $V^\top$ are `vt[:rank]`. A matrix
# times a vector of as many entries as it has columns scales its columns; `s[:rank, None]` is a column and scales rows.
# </details>


# %% exercise="factors"
def factors(matrix: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors L (m x r) and R (r x n) of the best approximation of a matrix (m x n) by one of this rank."""
    ### BEGIN SOLUTION stub="Exercise 3: return (L, R), of shapes m x r and r x n"
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, root[:, None] * vt[:rank]
    ### END SOLUTION


# %% check="factors" points=1
pair = factors(movie_ratings(), 2)
assert isinstance(pair, tuple) and len(pair) == 2, f"expected a tuple (L, R), got {pair!r}"
thin, flat = pair
assert thin.shape == (7, 2) and flat.shape == (2, 5), (
    f"expected L of the shape (7, 2) and R of the shape (2, 5), got {tuple(thin.shape)} and {tuple(flat.shape)}. "
    "L has the first columns of U, R the first rows of what torch.linalg.svd returns as its third result."
)
assert thin.dtype == flat.dtype == torch.float64, (
    f"expected float64, the matrix's own type, got {thin.dtype} and {flat.dtype}"
)
expected = torch.tensor([0.9940, 1.0117, 0.9940, -0.0013, -0.0013], dtype=torch.float64)
mistakes = {
    0.0804: "the singular values are missing",
    0.2825: "you multiplied by their roots once: L R needs sigma, a root on each side",
    12.3221: "both factors have sigma: together they must have it once",
    0.83251: "you transposed the third result of torch.linalg.svd, which is transposed already",
    1.0: "you kept all components",
}
assert_tensor((thin @ flat)[0], expected, "This is row 1 of L R.", mistakes)
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.costs")
generator = torch.Generator().manual_seed(603)
for m, n, rank, dtype in [
    (6, 4, 2, torch.float32),
    (5, 9, 3, torch.float64),
    (8, 8, 8, torch.float64),
    (1, 7, 1, torch.float32),
    (12, 5, 1, torch.float64),
    (30, 20, 7, torch.float32),
]:
    matrix = torch.randn(m, n, generator=generator, dtype=dtype)
    values, vectors = torch.linalg.eigh(matrix.double().T @ matrix.double())
    kept = vectors[:, values.argsort(descending=True)[:rank]]
    expected = (matrix.double() @ kept @ kept.T).to(dtype)
    given = matrix.clone()
    thin, flat = factors(given, rank)
    assert thin.shape == (m, rank) and flat.shape == (rank, n), f"wrong shapes for a {m} x {n} matrix of rank {rank}"
    exact = 1e-9 if dtype == torch.float64 else 1e-4
    assert_tensor(thin @ flat, expected, f"not the best approximation of a {m} x {n} matrix of rank {rank}")
    assert float((thin @ flat - expected).abs().max()) < exact, f"not as exact as {dtype} allows"
    torch.testing.assert_close(given, matrix, rtol=0, atol=0, msg="factors changed the matrix")
### END HIDDEN TESTS

# %%
thin, flat = factors(movie_ratings(), 2)
pd.DataFrame((thin @ flat).numpy()).round(2)

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# 0.36. User 5 has seen one of the three science fictions, but rank 2 knows science fiction as a whole only: each of the unseen
# ones gets a third of a point, and the one that was seen 1.29 instead of 2.
# </details>
#
# ## Exercise 4: the error, from the singular values (1 point, 5 minutes)
#
# The components are orthogonal to each other, so squares add up: $\lVert A \rVert_F^2 = \sum_i \sigma_i^2$, called the
# **energy** of $A$, and what is left out has the energy of its own singular values. Relative to the length of $A$:
#
# $$\frac{\lVert A - A_r \rVert_F}{\lVert A \rVert_F} = \sqrt{\frac{\sum_{i > r} \sigma_i^2}{\sum_i \sigma_i^2}} .$$
#
# **Predict**: a matrix keeps 90 % of its energy. How large is its relative error?
#
# **Fill** `relative_error`, a Python number between 0 and 1. *Hint: the singular values that are left out are
# `singular_values[rank:]`.*
#
# <details><summary>Next step</summary>
#
# The `.norm()` of a vector is the root of the sum of its squares. Divide that of the singular values left out by that of all.
# </details>


# %% exercise="relative_error"
def relative_error(singular_values: torch.Tensor, rank: int) -> float:
    """Relative error of the best approximation of this rank, from all singular values, largest first."""
    ### BEGIN SOLUTION stub="Exercise 4: return a Python number from 0 to 1"
    return (singular_values[rank:].norm() / singular_values.norm()).item()
    ### END SOLUTION


# %% check="relative_error" points=1
values = torch.tensor([5.0, 3.0, 1.0, 1.0])
mistakes = {
    11 / 36: "the root is missing",
    math.sqrt(11): "the error is not divided by the length of the matrix",
    0.5: "you added up the singular values instead of their squares",
    5 / 6: "you took the components that are kept: the error is what is left out",
    math.sqrt(2 / 36): "you left out one component too few",
    1.0: "you left out one component too many",
    25 / 36: "this is the share of the energy that is kept",
}
assert_number(relative_error(values.clone(), 1), math.sqrt(11 / 36), "sqrt((9 + 1 + 1) / 36) at rank 1", mistakes)
assert_number(relative_error(values.clone(), 4), 0.0, "the error at full rank")
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(604)
for m, n, rank, dtype in [
    (5, 8, 2, torch.float32),
    (9, 4, 1, torch.float64),
    (6, 6, 5, torch.float64),
    (7, 3, 0, torch.float32),
]:
    matrix = torch.randn(m, n, generator=generator, dtype=dtype)
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    expected = ((matrix - (u[:, :rank] * s[:rank]) @ vt[:rank]).norm() / matrix.norm()).item()
    got = relative_error(s.clone(), rank)
    assert_number(got, expected, f"the error of a {m} x {n} matrix at rank {rank}", tolerance=1e-4)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# $\sqrt{0.1} = 32$ %. Ninety percent of the energy sounds like nearly everything, but the error is a third of the matrix.
# </details>
#
# ## Exercise 5: the energy rule (1 point, 7 minutes)
#
# Which rank? A popular rule: the smallest one that keeps 90 % of the energy. With a share $s$ instead of 0.9:
#
# $$r = \min \Big\{ r : \sum_{i \le r} \sigma_i^2 \ge s \sum_i \sigma_i^2 \Big\} .$$
#
# **Predict**: the singular values of the ratings are 12.48, 9.51 and 1.35. Which rank does the rule choose?
#
# **Fill** `energy_rank`, which returns an `int`. *Hint: `cumsum(dim=0)` of a vector gives its partial sums. A loop is fine too.*
#
# <details><summary>Next step</summary>
#
# The partial sums of the squares, divided by the last of them, are the shares at rank 1, 2, ... Count how many of them are
# below `share`: that many components are not enough, so one more is needed.
# </details>


# %% exercise="energy_rank"
def energy_rank(singular_values: torch.Tensor, share: float = 0.9) -> int:
    """Smallest rank that keeps at least this share of the energy, from all singular values, largest first."""
    ### BEGIN SOLUTION stub="Exercise 5: return the rank, an int"
    energy = singular_values.square().cumsum(dim=0)
    return int((energy / energy[-1] < share).sum()) + 1
    ### END SOLUTION


# %% check="energy_rank" points=1
values = torch.tensor([4.0, 2.0, 2.0, 1.0])
mistakes = {
    2: "you returned the index of the last component: the rank is one more",
    4: "you did not square the singular values, or asked for an error of 10 %",
    1: "you did not divide by the whole energy, or took the energy that is left out",
}
assert_number(
    energy_rank(values.clone()), 3, "the rank that keeps 90 %: the shares are 0.64, 0.80, 0.96 and 1", mistakes
)
values = torch.tensor([3.0, 1.0, 1.0, 1.0])
mistakes = {2: "at least the share: a rank with exactly 0.75 is enough", 3: "you did not square the singular values"}
assert_number(energy_rank(values.clone(), 0.75), 1, "the rank that keeps 75 % of 9 + 1 + 1 + 1", mistakes)
assert_number(energy_rank(values.clone(), 0.8), 2, "the rank that keeps 80 % of 9 + 1 + 1 + 1")
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(605)
for n, share, dtype in [
    (10, 0.9, torch.float32),
    (50, 0.5, torch.float64),
    (7, 0.99, torch.float32),
    (30, 0.3, torch.float64),
]:
    values = torch.rand(n, generator=generator, dtype=dtype).sort(descending=True).values
    squares, expected = [number**2 for number in values.tolist()], 0
    while sum(squares[:expected]) < share * sum(squares):
        expected += 1
    assert_number(energy_rank(values.clone(), share), expected, f"the rank of {n} singular values for {share:.0%}")
assert_number(energy_rank(torch.tensor([2.0, 1.0, 0.0, 0.0]), 1.0), 2, "the rank that keeps everything of 2, 1, 0, 0")
assert_number(energy_rank(torch.tensor([3.0]), 0.9), 1, "the rank of a single singular value")
assert_number(energy_rank(torch.tensor([3.0, 2.0, 1.0, 1.0, 1.0]), 15 / 16), 4, "the rank that keeps exactly 15/16")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# 2, with 99.3 % of the energy; rank 1 has only 62.8 %.
# </details>
#
# **Explore.** A photograph is a matrix too. **Predict** the rank that keeps 90 % of its energy, then run the cell. Would you
# accept this picture?

# %%
colors = torch.tensor(load_sample_image("china.jpg")[60:300:2, 100:580:2] / 255, dtype=torch.float32)
photograph = colors @ torch.tensor([0.299, 0.587, 0.114])
spectrum = torch.linalg.svdvals(photograph)
fig, axes = plt.subplots(1, 4, figsize=(10, 1.7))
for ax, share in zip(axes, (0.9, 0.99, 0.999, 1.0), strict=True):
    rank = energy_rank(spectrum, share) if share < 1 else len(spectrum)
    thin, flat = factors(photograph, rank)
    ax.imshow(thin @ flat, cmap="gray", vmin=0, vmax=1)
    ax.set(xlabel=f"rank {rank}: {share:.1%} of the energy", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# A single column times a row has 90 % of the energy: the brightness of sky and ground. The picture is lost, for what we look at
# is the rest. The rule knows nothing about what a matrix is *for*. Keep this in mind for weights.
# </details>
#
# ## Part 2. A linear layer as two
#
# A linear layer computes $y = W x + b$ with a weight $W$ of shape $O \times I$. With $W \approx L R$ it is two layers:
# $x$ goes through $R$ ($I$ to $r$ features), then through $L$ ($r$ to $O$ features). The next cell makes layers from weights.
# **Read** it, you will call these two functions.


# %% given="make_layers"
def make_linear(weight: torch.Tensor, bias: torch.Tensor | None = None) -> nn.Linear:
    """A linear layer with a copy of this weight (O x I) and, if there is one, of this bias (O)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer


def make_conv(weight: torch.Tensor, bias: torch.Tensor | None = None, stride=1, padding=0) -> nn.Conv2d:
    """A convolution with a copy of this weight (O x I x k_h x k_w) and bias (O), or None; stride, padding as in torch."""
    outputs, inputs, *size = weight.shape
    layer = nn.Conv2d(inputs, outputs, tuple(size), stride=stride, padding=padding, bias=bias is not None)
    layer.weight = nn.Parameter(weight.detach().contiguous().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer


def random_tensor(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Normally distributed numbers of their own generator."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# %% [markdown]
# ## Exercise 6: one linear layer as two (2 points, 8 minutes)
#
# **Predict**: which of the two new layers needs the bias, the first, the second or both? What if the given layer has none?
#
# **Fill** `low_rank_linear`: return `nn.Sequential` of the two layers. *Hint: your `factors`, and `make_linear(weight, bias)` twice;
# a layer's weight is outputs x inputs. `layer.bias` is `None` if it has none, and `make_linear` takes that.*
#
# <details><summary>Next step</summary>
#
# `factors(layer.weight, rank)` gives $L$ ($O \times r$) and $R$ ($r \times I$). The first layer is made from $R$, without bias, the
# second from $L$ with the given bias.
# </details>


# %% exercise="low_rank_linear"
def low_rank_linear(layer: nn.Linear, rank: int) -> nn.Sequential:
    """Two linear layers, inputs to `rank` and `rank` to outputs, that apply the best weight of this rank."""
    ### BEGIN SOLUTION stub="Exercise 6: return nn.Sequential(first, second)"
    left, right = factors(layer.weight, rank)
    return nn.Sequential(make_linear(right), make_linear(left, layer.bias))
    ### END SOLUTION


# %% check="low_rank_linear" points=2
weight = random_tensor(3, 2, seed=1) @ random_tensor(2, 5, seed=2)  # of rank 2
dense = make_linear(weight, torch.tensor([10.0, 20.0, 30.0]))
features = random_tensor(4, 5, seed=3)
expected = dense(features).detach()
layers = low_rank_linear(dense, 2)
hint = "First 5 to 2 features (R, no bias), then 2 to 3 (L, with the bias)."
assert_layers(layers, [(2, 5), (3, 2), (3,)], hint)
offset = layers(torch.zeros(1, 5)).detach()[0]
assert_tensor(offset, torch.tensor([10.0, 20.0, 30.0]), "For an input of zeros the result must be the given bias.")
assert_tensor(
    layers(features.clone()), expected, "This weight has rank 2, so two layers of rank 2 must not change a thing."
)
layers = low_rank_linear(make_linear(weight), 2)
assert_layers(layers, [(2, 5), (3, 2)], "The given layer has no bias, so neither new layer has one.")
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.costs")
for i, o, rank, bias, dtype in [
    (7, 4, 2, True, torch.float32),
    (3, 9, 1, False, torch.float64),
    (6, 6, 6, True, torch.float64),
    (20, 10, 4, True, torch.float32),
]:
    weight, shift = random_tensor(o, i, seed=10 * i + o, dtype=dtype), random_tensor(o, seed=i, dtype=dtype)
    u, s, vt = torch.linalg.svd(weight, full_matrices=False)
    kept = (u[:, :rank] * s[:rank]) @ vt[:rank]
    features = random_tensor(5, i, seed=7, dtype=dtype)
    expected = F.linear(features, kept, shift if bias else None)
    dense = make_linear(weight, shift if bias else None)
    layers = low_rank_linear(dense, rank)
    assert_layers(layers, [(rank, i), (o, rank), *([(o,)] if bias else [])], f"wrong for {i} to {o} at rank {rank}")
    assert_tensor(layers(features.clone()), expected, f"wrong for {i} to {o} at rank {rank}")
    layers(features.clone()).square().sum().backward()
    assert all(p.grad is not None for p in layers.parameters()), "expected two layers that can be trained"
    torch.testing.assert_close(dense.weight.detach(), weight, rtol=0, atol=0, msg="the given layer was changed")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# The second. A bias in the first layer would only be mixed into the second one's. Without a bias in the given layer there is
# none in the new ones.
# </details>
#
# ## Exercise 7: when does it pay? (1 point, 6 minutes)
#
# The dense layer has $I \cdot O$ weights and needs as many multiply-accumulates (MACs) for an input. The two layers have
# $r \cdot I + O \cdot r = r (I + O)$ of both.
#
# **Predict**, for a square layer with $I = O$: up to which fraction of its full rank does it pay?
#
# **Fill** `largest_useful_rank`: the largest rank, an `int`, at which two layers have **fewer** weights than one. It is 0 if none
# has. *Hint: at which $r$ are both equal? Beware of layers where this is a whole number.*
#
# <details><summary>Next step</summary>
#
# $r (I + O) < I O$ for whole numbers means $r (I + O) \le I O - 1$; `//` rounds a quotient of whole numbers down.
# </details>


# %% exercise="largest_useful_rank"
def largest_useful_rank(inputs: int, outputs: int) -> int:
    """Largest rank at which two linear layers have fewer weights than one, 0 if there is none."""
    ### BEGIN SOLUTION stub="Exercise 7: return the largest rank that saves weights, an int"
    return (inputs * outputs - 1) // (inputs + outputs)
    ### END SOLUTION


# %% check="largest_useful_rank" points=1
mistakes = {61: "you rounded up: at rank 61 two layers have more weights than one", 64: "this is the full rank"}
assert_number(largest_useful_rank(1024, 64), 60, "the largest r with 1,088 r < 65,536", mistakes)
mistakes = {
    32: "you took a rank at which nothing is saved: 32 x 128 = 4,096 = 64 x 64",
    63: "this is not below break-even",
}
assert_number(largest_useful_rank(64, 64), 31, "the largest r with 128 r < 4,096", mistakes)
assert_number(largest_useful_rank(5, 1), 0, "the largest r with 6 r < 5")
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.costs")
for inputs, outputs in [(512, 512), (784, 100), (3, 6), (4, 12), (1, 1), (4096, 1000), (7, 9), (2, 3)]:
    expected = max([0, *(r for r in range(1, min(inputs, outputs) + 1) if r * (inputs + outputs) < inputs * outputs)])
    got = largest_useful_rank(inputs, outputs)
    assert_number(got, expected, f"the largest useful rank of {inputs} to {outputs}")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Below one half. A matrix with all its singular values would need *twice* as many numbers as before. So "rank 40 of 64" is
# not a compression, however small 40 may look beside 64.
# </details>
#
# ## Part 3. A convolution as two
#
# The weight $W$ of a convolution has four dimensions, $O \times I \times k_h \times k_w$, and the SVD wants a matrix. There are
# several ways to lay the numbers out as one. Each leads to a different pair of layers.
#
# ## Exercise 8: few filters, then mix them (2 points, 9 minutes)
#
# The first way: one **row for each filter**, so the matrix is $O \times (I k_h k_w)$. Then $R$, of shape $r \times (I k_h k_w)$,
# holds $r$ filters of the old size, and every old filter is a sum of these: $L$, of shape $O \times r$, says how much of each.
# So there is a $k_h \times k_w$ convolution to $r$ maps, and a $1 \times 1$ convolution that mixes them:
#
# $$I \xrightarrow{\; k_h \times k_w \;} r \xrightarrow{\; 1 \times 1 \;} O .$$
#
# **Predict**: the given convolution has stride 2 and padding 1. Which of the two steps gets the stride, which one the padding?
#
# **Fill** `channel_layers`. *Hint: `weight.flatten(1)` is the matrix. `make_conv(weight, bias, stride, padding)` wants a weight with four
# dimensions; `layer.stride` and `layer.padding` are what the given layer has.*
#
# <details><summary>Next step</summary>
#
# Reshape $R$ to `(rank, *layer.weight.shape[1:])`: the weight of the first step, which has no bias. $L$ becomes
# $O \times r \times 1 \times 1$ with `[:, :, None, None]`: the weight of the second step, with the bias.
# </details>


# %% exercise="channel_layers"
def channel_layers(layer: nn.Conv2d, rank: int) -> nn.Sequential:
    """A k_h x k_w convolution to `rank` maps, then a 1 x 1 convolution, with the best weight of this rank."""
    ### BEGIN SOLUTION stub="Exercise 8: return nn.Sequential(first, second), two convolutions"
    left, right = factors(layer.weight.flatten(1), rank)
    spatial = right.reshape(rank, *layer.weight.shape[1:])
    first = make_conv(spatial, None, layer.stride, layer.padding)
    return nn.Sequential(first, make_conv(left[:, :, None, None], layer.bias))
    ### END SOLUTION


# %% check="channel_layers" points=2
for size, stride, padding, bias in [((3, 3), (1, 1), (1, 1), True), ((3, 5), (2, 1), (1, 2), False)]:
    weight = torch.einsum("or,rihw->oihw", random_tensor(6, 2, seed=1), random_tensor(2, 4, *size, seed=2))  # rank 2
    shift = random_tensor(6, seed=3) if bias else None
    dense = make_conv(weight, shift, stride, padding)
    images = random_tensor(2, 4, 8, 7, seed=4)
    expected = dense(images).detach()
    layers = channel_layers(dense, 2)
    hint = (
        "First a convolution with full kernels, 4 to 2 maps, no bias; then 1 x 1, 2 to 6 maps, with the layer's bias."
    )
    assert_layers(layers, [(2, 4, *size), (6, 2, 1, 1), *([(6,)] if bias else [])], hint)
    hint = "The first step has the stride and the padding, the 1 x 1 step has neither."
    assert_strides(layers, [(stride, padding), ((1, 1), (0, 0))], hint)
    hint = f"The six {size[0]} x {size[1]} filters are sums of two, so rank 2 must not change a thing."
    assert_tensor(layers(images.clone()), expected, hint, tolerance=1e-3)
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.costs")
for i, o, size, stride, padding, rank, bias, dtype in [
    (3, 5, (3, 3), (2, 2), (1, 1), 3, True, torch.float32),
    (1, 4, (5, 1), (1, 2), (2, 0), 2, True, torch.float64),
    (4, 2, (2, 3), (1, 1), (0, 2), 1, False, torch.float64),
    (2, 6, (3, 3), (1, 1), (0, 0), 6, True, torch.float32),
]:
    weight, shift = random_tensor(o, i, *size, seed=i + o, dtype=dtype), random_tensor(o, seed=5, dtype=dtype)
    u, s, vt = torch.linalg.svd(weight.reshape(o, -1), full_matrices=False)
    kept = ((u[:, :rank] * s[:rank]) @ vt[:rank]).reshape(weight.shape)
    images = random_tensor(2, i, 9, 8, seed=6, dtype=dtype)
    expected = F.conv2d(images, kept, shift if bias else None, stride, padding)
    dense = make_conv(weight, shift if bias else None, stride, padding)
    layers = channel_layers(dense, rank)
    case = f"wrong for {size} kernels, {i} to {o} maps, rank {rank}"
    assert_layers(layers, [(rank, i, *size), (o, rank, 1, 1), *([(o,)] if bias else [])], case)
    assert_strides(layers, [(stride, padding), ((1, 1), (0, 0))], case)
    assert_tensor(layers(images.clone()), expected, case, tolerance=1e-3)
    torch.testing.assert_close(dense.weight.detach(), weight, rtol=0, atol=0, msg="the given layer was changed")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# The first step gets both: it sees the neighbors of a pixel. A 1 x 1 step with padding would surround its maps by a frame.
# </details>
#
# ## Exercise 9: a kernel as another matrix (1 point, 7 minutes)
#
# The second way is that of Tai et al. (2016): one row for each **input map and kernel row**, one column for each **output map
# and kernel column**. From input map $i$ to output map $o$, entry $[a, b]$ of the kernel stands at
#
# $$M[\, i \, k_h + a, \;\; o \, k_w + b \,] = W[o, i, a, b], \qquad M \in \mathbb{R}^{I k_h \times O k_w} .$$
#
# A column times a row of this shape is, for each pair of maps, a column of $k_h$ numbers times a row of $k_w$: a *separable*
# kernel, as you know it from the Sobel filter.
#
# **Predict**: what happens if one calls `weight.reshape(I * k_h, O * k_w)` right away?
#
# **Fill** `separable_matrix`. *Hint: which order of the four dimensions does the formula want? `tensor.permute` brings them into it.*
#
# <details><summary>Next step</summary>
#
# Rows count $i$, then $a$; columns count $o$, then $b$. So the order is $i, a, o, b$: these are the dimensions 1, 2, 0 and 3 of the
# weight. Permute first, then reshape.
# </details>


# %% exercise="separable_matrix"
def separable_matrix(weight: torch.Tensor) -> torch.Tensor:
    """The weight (O x I x k_h x k_w) with a row for each (i, kernel row), a column for each (o, kernel column)."""
    ### BEGIN SOLUTION stub="Exercise 9: return the matrix, (I k_h) x (O k_w)"
    outputs, inputs, height, width = weight.shape
    return weight.permute(1, 2, 0, 3).reshape(inputs * height, outputs * width)
    ### END SOLUTION


# %% check="separable_matrix" points=1
weight = torch.arange(2 * 2 * 2 * 3.0).reshape(2, 2, 2, 3)
expected = torch.tensor(
    [
        [0.0, 1.0, 2.0, 12.0, 13.0, 14.0],
        [3.0, 4.0, 5.0, 15.0, 16.0, 17.0],
        [6.0, 7.0, 8.0, 18.0, 19.0, 20.0],
        [9.0, 10.0, 11.0, 21.0, 22.0, 23.0],
    ]
)
hint = (
    "The 2 x 3 kernel from input map 0 to output map 0 (0 to 5) stands at the upper left, that to output map 1 (12 to 17) "
    "on its right, that from input map 1 (6 to 11) below it. Permute, then reshape."
)
assert_tensor(separable_matrix(weight.clone()), expected, hint)
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.costs")
for o, i, height, width, dtype in [
    (3, 2, 3, 3, torch.float32),
    (1, 4, 2, 5, torch.float64),
    (5, 1, 4, 1, torch.float32),
]:
    weight = random_tensor(o, i, height, width, seed=o, dtype=dtype)
    expected = torch.zeros(i * height, o * width, dtype=dtype)
    for a in range(height):
        for b in range(width):
            expected[a::height, b::width] = weight[:, :, a, b].T
    got = separable_matrix(weight.clone())
    assert_tensor(got, expected, f"wrong for a weight of the shape {(o, i, height, width)}", tolerance=1e-7)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# It does not complain: the shape is right and the numbers are in disorder. Kernels of different maps are cut up and mixed, the
# singular values mean nothing, and nothing tells you, unless you compare the layers' outputs.
# </details>
#
# ## Exercise 10: vertical, then horizontal (2 points, 9 minutes)
#
# Now the layers. With $M \approx L R$, column $k$ of $L$ holds for each input map a column of $k_h$ numbers; row $k$ of $R$
# holds for each output map a row of $k_w$ numbers. So the first step is a **vertical** convolution to $r$ maps, the second
# a **horizontal** one:
#
# $$I \xrightarrow{\; k_h \times 1 \;} r \xrightarrow{\; 1 \times k_w \;} O, \qquad
#   V[k, i, a, 0] = L[i k_h + a, k], \quad H[o, k, 0, b] = R[k, o k_w + b] .$$
#
# **Predict**: the given layer has stride $(s_h, s_w)$ and padding $(p_h, p_w)$. Which stride and padding has each step, so that no
# pixel is computed in vain?
#
# **Fill** `separable_layers`. *Hint: $V$ is $L^\top$, reshaped to $r \times I \times k_h \times 1$. $R$ reshaped to
# $r \times O \times 1 \times k_w$ is nearly $H$: two dimensions have to change places.*
#
# <details><summary>Next step</summary>
#
# `left.T.reshape(rank, inputs, height, 1)` and `right.reshape(rank, outputs, 1, width).transpose(0, 1)`. The vertical step has
# the stride `(layer.stride[0], 1)` and the padding `(layer.padding[0], 0)`, the horizontal one those of the columns, and the bias.
# </details>


# %% exercise="separable_layers"
def separable_layers(layer: nn.Conv2d, rank: int) -> nn.Sequential:
    """A k_h x 1 convolution to `rank` maps, then a 1 x k_w convolution, with the best separable weight of this rank."""
    outputs, inputs, height, width = layer.weight.shape
    left, right = factors(separable_matrix(layer.weight), rank)
    ### BEGIN SOLUTION stub="Exercise 10: return nn.Sequential(vertical, horizontal), two convolutions"
    vertical = left.T.reshape(rank, inputs, height, 1)
    horizontal = right.reshape(rank, outputs, 1, width).transpose(0, 1)
    (down, across), (above, beside) = layer.stride, layer.padding
    first = make_conv(vertical, None, (down, 1), (above, 0))
    return nn.Sequential(first, make_conv(horizontal, layer.bias, (1, across), (0, beside)))
    ### END SOLUTION


# %% check="separable_layers" points=2
for size, stride, padding, bias in [((3, 3), (1, 1), (1, 1), True), ((3, 5), (2, 3), (1, 2), False)]:
    columns, rows = random_tensor(2, 4, size[0], seed=1), random_tensor(6, 2, size[1], seed=2)
    dense = make_conv(
        torch.einsum("kia,okb->oiab", columns, rows), torch.arange(6.0) if bias else None, stride, padding
    )
    images = random_tensor(2, 4, 8, 11, seed=4)
    expected = dense(images).detach()
    layers = separable_layers(dense, 2)
    hint = f"First {size[0]} x 1, 4 to 2 maps, no bias; then 1 x {size[1]}, 2 to 6 maps, with the layer's bias."
    shapes = [(2, 4, size[0], 1), (6, 2, 1, size[1]), *([(6,)] if bias else [])]
    assert_layers(layers, shapes, hint)
    hint = "The vertical step has stride and padding of the rows, and the horizontal one those of the columns."
    strides = [((stride[0], 1), (padding[0], 0)), ((1, stride[1]), (0, padding[1]))]
    assert_strides(layers, strides, hint)
    hint = (
        f"Each {size[0]} x {size[1]} kernel is a sum of two separable ones, so rank 2 must not change a thing. Is L "
        "transposed, and do r and O change places after R is reshaped?"
    )
    assert_tensor(layers(images.clone()), expected, hint, tolerance=1e-3)
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.costs")
for i, o, size, stride, padding, rank, bias, dtype in [
    (3, 5, (3, 3), (2, 2), (1, 1), 4, True, torch.float32),
    (4, 4, (3, 3), (1, 1), (1, 1), 4, True, torch.float64),
    (2, 3, (5, 2), (1, 2), (2, 0), 2, True, torch.float64),
    (4, 2, (1, 4), (2, 1), (0, 3), 1, False, torch.float32),
    (2, 2, (3, 3), (1, 1), (0, 0), 6, True, torch.float64),
]:
    weight, shift = random_tensor(o, i, *size, seed=i + o, dtype=dtype), random_tensor(o, seed=5, dtype=dtype)
    matrix = torch.cat([torch.cat([*kernels], dim=1) for kernels in weight.transpose(0, 1)])
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    blocks = ((u[:, :rank] * s[:rank]) @ vt[:rank]).reshape(i, size[0], o, size[1])
    images = random_tensor(2, i, 9, 8, seed=6, dtype=dtype)
    kept = torch.einsum("iaob->oiab", blocks).contiguous()
    expected = F.conv2d(images, kept, shift if bias else None, stride, padding)
    dense = make_conv(weight, shift if bias else None, stride, padding)
    layers = separable_layers(dense, rank)
    case = f"wrong for {size} kernels, {i} to {o} maps, rank {rank}"
    shapes = [(rank, i, size[0], 1), (o, rank, 1, size[1]), *([(o,)] if bias else [])]
    assert_layers(layers, shapes, case)
    strides = [((stride[0], 1), (padding[0], 0)), ((1, stride[1]), (0, padding[1]))]
    assert_strides(layers, strides, case)
    assert_tensor(layers(images.clone()), expected, case, tolerance=1e-3)
    torch.testing.assert_close(dense.weight.detach(), weight, rtol=0, atol=0, msg="the given layer was changed")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# The vertical step strides over rows, $(s_h, 1)$ with padding $(p_h, 0)$, the horizontal one over columns, $(1, s_w)$ with
# $(0, p_w)$. Both strides in the second step would give the same result, with $s_h$ times the work in the first one.
# </details>
#
# ## Exercise 11: what the pair costs (1 point, 6 minutes)
#
# A convolution needs, for each pixel of its **output**, as many MACs as kernel pixels times input maps times output maps. The
# given layer makes $H' \times W'$ pixels from $H \times W$.
#
# **Predict**: how many pixels has a map between the two steps? (With stride 1 and the usual padding, all sizes are equal. Here
# they are not.)
#
# **Fill** `separable_macs`, an `int`. *Hint: the vertical step has done its work on the height, and nothing yet on the width.*
#
# <details><summary>Next step</summary>
#
# The map between is $H' \times W$. The vertical step costs $H' W \cdot k_h \cdot I \cdot r$, the horizontal one
# $H' W' \cdot k_w \cdot r \cdot O$.
# </details>


# %% exercise="separable_macs"
def separable_macs(
    kernel: tuple[int, int], inputs: int, outputs: int, rank: int, before: tuple[int, int], after: tuple[int, int]
) -> int:
    """MACs of a vertical and a horizontal step, for input maps of size `before` and output maps of size `after`."""
    ### BEGIN SOLUTION stub="Exercise 11: return the MACs of both steps, an int"
    vertical = after[0] * before[1] * kernel[0] * inputs * rank
    horizontal = after[0] * after[1] * kernel[1] * rank * outputs
    return vertical + horizontal
    ### END SOLUTION


# %% check="separable_macs" points=1
mistakes = {
    1680: "the vertical step does not stride over columns: its map has all 12 of them",
    4080: "the vertical step strides over rows: its map has 5 of them, not 10",
    2160: "you let the first step stride over the columns: the vertical step strides over the rows",
    3120: "you exchanged the height and the width of the kernel",
    1320: "you left out the rank, the number of maps between the steps",
    14400: "you counted full kernels in both steps",
    7200: "this is a dense convolution",
    1440: "this is the vertical step alone",
    1200: "this is the horizontal step alone",
}
how = "5 x 12 pixels x 3 x 4 x 2 maps + 5 x 4 pixels x 5 x 2 x 6 maps"
assert_number(separable_macs((3, 5), 4, 6, 2, before=(10, 12), after=(5, 4)), 2640, how, mistakes)
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.costs")
for kernel, i, o, rank, before, stride, padding in [
    ((3, 3), 32, 64, 10, (8, 8), (2, 2), (1, 1)),
    ((3, 3), 4, 4, 5, (9, 7), (1, 1), (1, 1)),
    ((5, 1), 2, 3, 1, (11, 6), (3, 1), (0, 0)),
    ((2, 4), 3, 7, 4, (6, 13), (1, 4), (1, 3)),
]:
    vertical = make_conv(torch.zeros(rank, i, kernel[0], 1), None, (stride[0], 1), (padding[0], 0))
    horizontal = make_conv(torch.zeros(o, rank, 1, kernel[1]), None, (1, stride[1]), (0, padding[1]))
    counted = profile_model(nn.Sequential(vertical, horizontal), (i, *before))
    got = separable_macs(kernel, i, o, rank, before, tuple(counted.output_shape[1:]))
    assert_number(got, counted.macs, f"the MACs for {kernel} kernels on {before} with stride {stride}")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# $H' \times W$: the rows are done, the columns are not. With stride 2 this is twice the output map, so the vertical step is
# not halved twice, as the dense layer is. Compressing a convolution with a stride saves less.
# </details>
#
# ## Part 4. Compress a network
#
# A small network for the digits of scikit-learn, gray images of 8 x 8 pixels. **Read** the cell. Three of its layers are worth
# decomposing; the first and the last one are small. The cell after the next one trains it three times with different seeds, which
# takes about ten seconds. (A grader skips that.)


# %% given="network"
LAYERS = ("2", "4", "7")


def build_network() -> nn.Sequential:
    """Three convolutions and two linear layers: 94,314 parameters, 969,344 MACs."""
    convolutions = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
    convolutions += [nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*convolutions, nn.Linear(1024, 64), nn.ReLU(), nn.Linear(64, 10))


def network_spectra(network: nn.Module) -> dict[str, torch.Tensor]:
    """Singular values of the three layers: of the separable matrix for a convolution."""
    weights = {name: network.get_submodule(name).weight.detach() for name in LAYERS}
    return {name: torch.linalg.svdvals(w if w.dim() == 2 else separable_matrix(w)) for name, w in weights.items()}


def component_macs() -> dict[str, int]:
    """MACs of a single component (rank 1) of each of the three layers."""
    return {
        "2": separable_macs((3, 3), 32, 32, 1, (8, 8), (8, 8)),
        "4": separable_macs((3, 3), 32, 64, 1, (8, 8), (4, 4)),
        "7": 1024 + 64,
    }


def compress(network: nn.Module, ranks: dict[str, int]) -> nn.Module:
    """A copy in which each layer that `ranks` names is two layers of this rank."""
    compressed = copy.deepcopy(network)
    for name, rank in ranks.items():
        layer = compressed.get_submodule(name)
        two = low_rank_linear(layer, rank) if isinstance(layer, nn.Linear) else separable_layers(layer, rank)
        compressed.set_submodule(name, two)
    return compressed


# %%
digits = data.load("digits")
networks = []
for seed in () if being_graded() else (0, 1, 2):
    training.seed_everything(seed)
    network = build_network()
    training.fit(network, digits, epochs=12, lr=0.003, batch_size=64, seed=seed)
    networks.append(network)
print([f"{training.evaluate(network, digits).accuracy:.1%}" for network in networks])

# %% [markdown]
# **Explore.** Layer "2", a 3 x 3 convolution from 32 to 32 maps, in both forms: the error of its weight against the MACs, relative
# to the dense layer. Left of the vertical line something is saved. Which form would you take? And where does the 90 % rule (an
# error of 0.32) lead?

# %%
shown = networks[0] if networks else build_network()
weight = shown[2].weight.detach()
fig, ax = plt.subplots(figsize=(5.5, 2.8))
for name, matrix, macs in [
    ("few filters, then 1 x 1", weight.flatten(1), 64 * (9 * 32 + 32)),
    ("vertical, then horizontal", separable_matrix(weight), separable_macs((3, 3), 32, 32, 1, (8, 8), (8, 8))),
]:
    spectrum = torch.linalg.svdvals(matrix)
    ranks = range(1, len(spectrum) + 1)
    cost = [rank * macs / (64 * 9 * 32 * 32) for rank in ranks]
    ax.plot(cost, [relative_error(spectrum, rank) for rank in ranks], marker=".", label=name)
ax.axvline(1, color="gray", linestyle="--")
ax.axhline(math.sqrt(0.1), color="gray", linestyle=":")
ax.set(xlabel="MACs relative to the dense layer", ylabel="relative error of the weight", ylim=(0, 1))
ax.legend()
plt.show()

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# At the same cost the two forms are close, and the separable one is a little better where few MACs are left. The 90 % rule ends
# at about 80 % of the MACs. These spectra fall slowly: a trained kernel is not as simple as a table of ratings.
# </details>
#
# ## Exercise 12: ranks for a budget (2 points, 9 minutes)
#
# The other way round: given is a budget of MACs, wanted are the ranks. Begin with all components, and take one away after the
# other until the budget is met. Which one goes next? It is always the last, smallest one that a layer still has. Of these, the
# one that loses the **smallest share of its layer's energy for each MAC that it saves**. With the rank $r_l$ that layer $l$ has
# now, and the MACs $c_l$ of one of its components:
#
# $$\text{next} = \arg\min_{l:\, r_l > 1} \; \frac{\sigma_{l, r_l}^2}{c_l \sum_i \sigma_{l,i}^2} .$$
#
# A layer keeps at least one component: without any, the network would be cut in two.
#
# **Predict**: why the *share* of the energy, and not $\sigma^2$ itself?
#
# **Fill** `cheapest`: the name of that layer. The loop around it is given. *Hint: `ranks[name]` components are left, so the
# last one has the index `ranks[name] - 1`. `min(losses, key=losses.get)` is the key of the smallest value of a dictionary.*
#
# <details><summary>Next step</summary>
#
# Make a dictionary `losses`. For each `name, values` in `spectra.items()`, if `ranks[name] > 1`: the square of
# `values[ranks[name] - 1]`, divided by the sum of all squares and by `macs[name]`, is the loss of this layer.
# </details>


# %% exercise="cheapest"
def cheapest(spectra: dict[str, torch.Tensor], macs: dict[str, int], ranks: dict[str, int]) -> str:
    """Name of the layer whose last component costs least: share of the layer's energy per MAC; none of rank 1."""
    ### BEGIN SOLUTION stub="Exercise 12: return the name of the layer that loses a component next"
    losses = {}
    for name, values in spectra.items():
        if ranks[name] > 1:
            energy = values.square()
            losses[name] = (energy[ranks[name] - 1] / energy.sum()).item() / macs[name]
    return min(losses, key=losses.get)
    ### END SOLUTION


# %% given="budget"
def ranks_within(spectra: dict[str, torch.Tensor], macs: dict[str, int], budget: float) -> dict[str, int]:
    """Ranks whose MACs, all together, are within the budget."""
    if sum(macs.values()) > budget:
        raise ValueError(
            f"one component of each layer needs {sum(macs.values()):,} MACs: the budget {budget:,} is too small."
        )
    ranks = {name: len(values) for name, values in spectra.items()}
    while sum(macs[name] * rank for name, rank in ranks.items()) > budget:
        ranks[cheapest(spectra, macs, ranks)] -= 1
    return ranks


# %% check="cheapest" points=2
for numbers, macs, ranks, expected, hint in [
    ({"a": [3, 2, 1], "b": [3, 1, 1]}, (10, 10), (3, 3), "a", "the last components have 1/14 and 1/11 of the energy"),
    ({"a": [3, 2, 1], "b": [3, 1, 1]}, (10, 20), (3, 3), "b", "b saves twice as many MACs: divide by them"),
    ({"a": [30, 20, 10], "b": [3, 2, 2]}, (10, 10), (3, 3), "a", "take the share of the layer's own energy"),
    ({"a": [5, 2, 1], "b": [5, 4, 0]}, (10, 10), (2, 2), "a", "two components are left: look at the second ones"),
    ({"a": [2, 2, 2], "b": [4, 4]}, (10, 10), (1, 2), "b", "a has one component left, and keeps it"),
    ({"a": [4, 2, 2], "b": [1, 1, 1, 1, 1]}, (10, 10), (3, 5), "a", "energy means squares: 4/24 against 1/5"),
    ({"a": [7, 7, 1], "b": [3, 1]}, (10, 40), (3, 2), "a", "1/99/10 is less than 1/10/40: energy means squares"),
    ({"a": [0.6, 0.3], "b": [1, 0.7]}, (10, 10), (2, 2), "a", "0.09/0.45 is less than 0.49/1.49: energy means squares"),
    ({"a": [5, 4, 4, 4], "b": [5, 3]}, (10, 10), (2, 2), "a", "16/73 against 9/34: one component, of ALL the energy"),
]:
    spectra = {name: torch.tensor(values, dtype=torch.float32) for name, values in numbers.items()}
    got = cheapest(spectra, dict(zip("ab", macs, strict=True)), dict(zip("ab", ranks, strict=True)))
    case = f"singular values {numbers}, MACs {macs} and ranks {ranks}"
    assert isinstance(got, str), f"expected the name of a layer, 'a' or 'b', got {got!r}"
    assert got == expected, f"expected {expected!r} for {case}, got {got!r}: {hint}"
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.costs")
generator = torch.Generator().manual_seed(612)
for _ in range(60):
    names = ["0", "3.conv", "fc", "x"][: int(torch.randint(2, 5, (), generator=generator))]
    sizes = {name: int(torch.randint(2, 9, (), generator=generator)) for name in names}
    spectra = {
        name: 10 * torch.rand((), generator=generator) * torch.rand(n, generator=generator).sort(descending=True).values
        for name, n in sizes.items()
    }
    macs = {name: int(torch.randint(100, 400, (), generator=generator)) for name in names}
    ranks = {name: int(torch.randint(1, n + 1, (), generator=generator)) for name, n in sizes.items()}
    ranks[names[-1]] = max(2, ranks[names[-1]])
    costs = []
    for name in names:
        squares = [number**2 for number in spectra[name].tolist()]
        if ranks[name] > 1:
            costs.append((squares[ranks[name] - 1] / sum(squares) / macs[name], name))
    expected = min(costs)[1]
    got = cheapest({name: values.clone() for name, values in spectra.items()}, dict(macs), dict(ranks))
    assert isinstance(got, str) and got == expected, (
        f"expected {expected!r} for MACs {macs} and ranks {ranks}, got {got!r}"
    )
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Layers may have weights of very different sizes, and the next layer takes them as they come. A loss of 0.1 is much for a layer
# whose whole energy is 1 and nothing for one of 1,000.
# </details>
#
# ## Compress and fine-tune (5 minutes)
#
# Now six plans: two by the energy rule, with 90 % and with 50 %, four by budgets of a half, a quarter, an eighth and a sixteenth of
# the dense network's MACs. Each compresses the three networks, evaluates them, fine-tunes them for three epochs and evaluates
# them again. `profile_model` counts parameters and MACs. The **score** is formed like that of the MicroNet challenge, what is
# stored plus what is computed, each relative to a reference, here the dense network: so that has 2, and lower is better.
#
# **Predict**: which plan will be the first to fall by more than a point after fine-tuning? How many MACs does the 90 % rule save?


# %% given="plans"
def make_plans(network: nn.Module) -> dict[str, dict[str, int]]:
    """The ranks of six plans for a trained network."""
    spectra, macs = network_spectra(network), component_macs()
    plans = {f"{share:.0%} energy": {n: energy_rank(s, share) for n, s in spectra.items()} for share in (0.9, 0.5)}
    dense = profile_model(network, (1, 8, 8))
    others = sum(layer.macs for layer in dense.layers if layer.name not in LAYERS)
    for factor in (2, 4, 8, 16):
        plans[f"MACs / {factor}"] = ranks_within(spectra, macs, dense.macs / factor - others)
    return plans


# %%
rows = []
for seed, network in enumerate(networks):
    dense = profile_model(network, (1, 8, 8))
    rows.append({"plan": "dense", "ranks": "-", "params": dense.params, "MACs": dense.macs, "score": 2.0})
    rows[-1] |= {"before (%)": 100 * training.evaluate(network, digits).accuracy}
    rows[-1] |= {"after (%)": rows[-1]["before (%)"]}
    for plan, ranks in make_plans(network).items():
        smaller = compress(network, ranks)
        costs = profile_model(smaller, (1, 8, 8))
        row = {"plan": plan, "ranks": "/".join(map(str, ranks.values())), "params": costs.params, "MACs": costs.macs}
        row["score"] = costs.params / dense.params + costs.macs / dense.macs
        row["before (%)"] = 100 * training.evaluate(smaller, digits).accuracy
        training.fit(smaller, digits, epochs=3, lr=0.002, batch_size=64, seed=seed, progress=False)
        row["after (%)"] = 100 * training.evaluate(smaller, digits).accuracy
        rows.append(row)
    print(f"network {seed} is done")

# %% [markdown]
# The means of the three networks (the ranks are those of the first), with the lowest and the highest accuracy after fine-tuning.
# Look for three things: what the 90 % rule saves, at which plan the accuracy *before* fine-tuning breaks down, and which plan has the
# lowest score.

# %%
if rows:
    groups = pd.DataFrame(rows).groupby("plan", sort=False)
    table = groups[["params", "MACs", "score", "before (%)", "after (%)"]].mean()
    table.insert(0, "ranks", groups["ranks"].first())
    table["lowest (%)"], table["highest (%)"] = groups["after (%)"].min(), groups["after (%)"].max()
    decimals = {"score": 2, "before (%)": 1, "after (%)": 1, "lowest (%)": 1, "highest (%)": 1}
    display(table.astype({"params": int, "MACs": int}).round(decimals))

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# In our run the dense networks had 99.1 % on average, from 98.6 to 99.4. The 90 % rule saves 8 % of the MACs and costs nothing. In layer
# "4" its rank is 56, although with the stride the break-even is at 48: there it computes *more* than before. With 50 % of the
# energy, a relative error of 0.7 in each weight, a fifth of the MACs is left, and before fine-tuning 94.1 % are still right, after it
# 98.5 %. An eighth keeps 98.6 %. Only a sixteenth, which begins at 88.7 %, ends more than a point below, at 98.0 %. One test
# image is 0.28 points and the dense networks differ by 0.8, so what lies between is hard to tell apart.
#
# A budget of MACs does not see parameters. At MACs / 2 layer "7" keeps all of its 64 components, which are more weights than the dense
# layer has: 69,632 instead of 65,536. A careful program leaves such a layer alone. So 50 % of the energy, where all layers
# give alike, has a lower score (0.36) than an eighth of the MACs (0.56). The lowest is that of a sixteenth, 0.26.
# </details>
#
# ## Exercise 13: 90 % of the energy (2 points, 7 minutes)
#
# A colleague says: *"I keep 90 % of the energy, so I lose a tenth of the weights' information, no more. Layer 2 goes from rank 96 to
# rank 39, which makes it 2.5 times faster. And one should not go below 90 %: the accuracy would suffer."*
#
# **Answer in four to seven sentences**, with numbers from your own run:
#
# 1. What is wrong about *a tenth*, and what about *2.5 times faster*? Why?
# 2. What does your table say about *not below 90 %*? Which plan would you choose, and which columns do you base that on?

# %% [markdown] written="ninety_percent" points=2
# ### BEGIN SOLUTION
# **A tenth, 2.5 times.** 90 % of the energy is a statement about squares: the relative error of layer 2 is $\sqrt{0.1} = 0.32$, a third of the
# weight (0.316 in my run). And rank 39 of 96 is no factor of 2.5, because the two layers at rank 96 would cost twice what the dense
# one does. Break-even is at rank 48, so it is $39 \cdot 12{,}288 = 479{,}232$ MACs instead of 589,824, 1.23 times fewer. The whole network goes
# from 969,344 to 891,690 MACs, 1.09 times fewer, since layer 4 at rank 56 even costs more than before.
#
# **Not below 90 %.** The table says the opposite. With 50 % of the energy the mean accuracy is 94.1 % before and 98.5 % after three epochs of
# fine-tuning, against 99.1 % of the dense networks, with 5 times fewer MACs and 6 times fewer parameters. I choose this plan: its
# score is 0.36 instead of 2, and I judge by the accuracy after fine-tuning, whose seeds differ by up to 0.8 points
# (98.3 to 98.6 % here). A sixteenth of the MACs has 0.26, but loses 1.1 points.
# ### END SOLUTION
# ### BEGIN MARK SCHEME
# Ranks and accuracies depend on the run; they must come from the student's own notebook and fit the claim. One point for each of the two
# questions; a right claim without a reason or without a number earns nothing for that question.
#
# *A tenth, 2.5 times*: both claims must be put right. The error is the root of 0.1, about 0.32. The ranks have to be compared with the
# break-even rank (48 for layer 2), or the MACs of both forms computed (about 1.2 times fewer), or the counts of the table used (the
# network: about 1.1 times fewer). *Not below 90 %*: accuracies of at least one plan below 90 % of the energy against the dense ones,
# after fine-tuning. The choice: any plan that follows from the student's table, judged by the accuracy after fine-tuning and by
# a cost (MACs, parameters or score). Who prefers a careful plan because the seeds differ gets the point as well.
#
# - 0 points: the claims are repeated, or denied without a number or a reason.
# - 1 point: one of the two questions is answered with a number and a reason. Example: *"The error is the root of 0.1, so 32 %. And two layers
#   of rank 39 cost 39 times 12,288 MACs, that is 1.23 times less than the dense layer, since break-even is at rank 48."*
# - 2 points: both. Example: the above, and *"With 50 % of the energy I get 98.5 % after fine-tuning, 99.1 % without compression, with a
#   fifth of the MACs. Before fine-tuning it was 94 %, but that is not what is delivered. I take this plan, its score is 0.36."*
# ### END MARK SCHEME

# %% [markdown]
# ## What you take away
#
# - Power iteration and deflation find the components of a matrix one by one; $u$ and $v$ of a component share their sign.
# - The first $r$ components are the best approximation of rank $r$, and the singular values left out are its error. 90 % of the
#   energy is an error of 32 %.
# - One layer becomes two, and pays below the break-even rank, half the full rank of a square matrix. A stride lowers it further.
# - A convolution can be laid out as different matrices; each gives other layers. Full kernels then 1 x 1, or vertical then
#   horizontal: neither changes what the best approximation computes, with stride, padding and bias in the right place.
# - What matters is the accuracy after fine-tuning at a given cost. Energy is a guide among the components of a network, not a
#   promise.
#
# When you have handed in, look at `factorkit.decompositions`, which has more ways to take a kernel apart, and at
# `factorkit.compress`, which applies them to whole networks. Lab 07 goes on with tensors: there one factor for each dimension.
#
# Now *Restart Kernel and Run All Cells*, check that every check is silent, save, and hand in.
