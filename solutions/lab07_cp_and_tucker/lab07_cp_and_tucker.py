# ---
# jupyter:
#   kernelspec: {display_name: Python 3 (ipykernel), language: python, name: python3}
#   lab:
#     title: "CP and Tucker: kernels as sums and products of small factors"
#     minutes: 105
#     points: 20
#     not_imported: [factorkit.decompositions, factorkit.compress, factorkit.layers]
# ---
# %% [markdown]
# # Lab 07. CP and Tucker: kernels as sums and products of small factors
#
# The kernels of a convolution are a tensor with four modes: outputs, inputs, height and width. A matrix has one
# notion of low rank, and the singular value decomposition finds the best approximation. A tensor has several.
# *Tucker* shrinks the two channel modes and leaves a small core; *CP* writes the tensor as a sum of products of four
# vectors. Both turn one convolution into a few cheap ones. In this lab you write both from the ground up, see why one
# of them can go wrong in a way that no matrix knows, and compress a trained network.
#
# **When you have finished, you can**
#
# - turn a tensor into a matrix and back, and multiply it by a matrix along any mode;
# - find a Tucker-2 decomposition, and read its error from two norms;
# - write one step of alternating least squares for CP, and measure its error without forming the approximation;
# - say what a degenerate decomposition is, and what a ridge does against it;
# - turn both decompositions into layers, choose ranks, and tell when a "compressed" layer is larger than before.
#
# **Time**: about 105 minutes, of which about 1 is training.
#
# | | exercise | points | minutes |
# |---|---|---:|---:|
# | | *before you start* | | 3 |
# | 1 | a tensor as a matrix | 1 | 6 |
# | 2 | and back | 1 | 5 |
# | 3 | multiply along a mode | 1 | 5 |
# | 4 | Tucker-2 | 2 | 9 |
# | 5 | what is lost | 1 | 5 |
# | 6 | Tucker layers | 2 | 9 |
# | 7 | the Khatri-Rao product | 1 | 6 |
# | 8 | one step of alternating least squares | 3 | 12 |
# | 9 | the error of a sum of components | 1 | 7 |
# | 10 | how large the components are | 1 | 6 |
# | 11 | CP layers | 2 | 9 |
# | 12 | ranks from the energy | 1 | 5 |
# | 13 | into the network | 1 | 6 |
# | | *compress and fine-tune* | | 5 |
# | 14 | written: when does it pay? | 2 | 7 |
# | | **sum** | **20** | **105** |
#
# ## Before you start (3 minutes)
#
# **What is graded.** Exercises 1 to 13 are graded automatically, exercise 14 is read by a person. Under each exercise
# stands a *check* that says what it expected and what it got. The grader runs the same check, and then *hidden tests*
# that ask for the same property elsewhere: other shapes, other modes, other random numbers, numbers of 64 bits.
# Predictions, explorations and the training are for you; no points depend on them.
#
# **How to work.** Run the cells from top to bottom, and put your answer, one to ten lines, in the place of each
# `raise NotImplementedError("Exercise ...")`. Where the text says **Predict**, commit yourself before you run the
# next cell. Every exercise has a hint, and the next step folded away under *Next step*. `factorkit.decompositions`,
# `factorkit.compress` and `factorkit.layers` contain what you write here, so **do not import them in this lab**; the
# hidden tests check that. (TensorLy has some of it too, and this lab follows its conventions. Use it to compare, if
# you like.) Do not delete, copy or rename cells; add as many of your own as you like.

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
from micronet_resources.profile import profile_model

plots.use_style()

# %% [markdown]
# The next cell holds helpers for the checks. You need not read it; run it.


# %% given="helpers"
def assert_number(got: object, expected: float, how: str, mistakes: dict[str, float] | None = None) -> None:
    """Compare a Python number with the expected one; `mistakes` explains well-known wrong numbers."""
    hints = {
        type(None): "Does the function return its result?",
        torch.Tensor: "Turn a tensor with one number into a Python number with .item().",
    }
    shown = f"{str(got)[:60]} of type {type(got).__name__}. {hints.get(type(got), '')}"
    assert isinstance(got, float), f"expected the float {expected}, got {shown}"
    known = [why for why, number in (mistakes or {}).items() if math.isclose(got, number, rel_tol=1e-4)]
    hint = f" It seems that {known[0]}." if known else ""
    assert math.isclose(got, expected, rel_tol=1e-3, abs_tol=2e-3), (
        f"expected {how} = {expected:.6g}, got {got:.6g}.{hint}"
    )


def assert_tensor(
    got: object, expected: torch.Tensor, hint: str, mistakes: dict[str, list] | None = None, tolerance: float = 1e-4
) -> None:
    """Compare a tensor with the expected one; `mistakes` explains well-known wrong ones, by their values or shapes."""
    assert isinstance(got, torch.Tensor), f"expected a tensor, got {got!r} of type {type(got).__name__}. {hint}"
    got, expected = got.detach(), expected.detach()
    for why, values in (mistakes or {}).items():
        wrong = torch.as_tensor(values).to(expected.dtype)
        if got.shape == wrong.shape and torch.allclose(got.to(wrong.dtype), wrong, rtol=1e-3, atol=1e-4):
            hint = f"It seems that {why}."
    assert got.shape == expected.shape, f"expected the shape {tuple(expected.shape)}, got {tuple(got.shape)}. {hint}"
    assert got.dtype == expected.dtype, f"expected numbers of type {expected.dtype}, got {got.dtype}. {hint}"
    shown = (
        f"expected\n{expected}\ngot\n{got}"
        if got.numel() <= 50
        else f"the first expected number is {expected.flatten()[0]:.4f}, got {got.flatten()[0]:.4f}."
    )
    shown = f"the shape is right, the values are not:\n{shown}\n{hint}"
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=tolerance, msg=shown)


def assert_layers(layers: object, shapes: list[tuple[int, ...]], names: str) -> None:
    """Check the shapes of what a sequence of layers trains, weights and biases in their order."""
    assert isinstance(layers, nn.Module), f"expected an nn.Sequential, got {layers!r}"
    found = [tuple(parameter.shape) for _, parameter in layers.named_parameters()]
    assert found == shapes, f"expected weights and biases of the shapes {shapes} ({names}), got {found}"


def assert_strides(layers: nn.Module, expected: list[tuple[int, int]]) -> None:
    """Check that no convolution of a sequence computes pixels that a later stride drops."""
    found = [tuple(layer.stride) for layer in layers.modules() if isinstance(layer, nn.Conv2d)]
    why = "The result is right, but pixels are computed that a later layer drops: stride as early as the kernel allows."
    assert found == expected, f"expected the strides {expected}, got {found}. {why}"


# %% [markdown]
# ## Part 1. Tensors as matrices
#
# ## Exercise 1: a tensor as a matrix (1 point, 6 minutes)
#
# Linear algebra knows matrices. So a tensor $\mathcal{X}$ of shape $n_0 \times n_1 \times \dots$ is **unfolded**
# along a mode $m$: the matrix $X_{(m)}$ has one row for each index of mode $m$, and all other modes, in their order,
# stand in its columns, **the last one varying fastest**:
#
# $$X_{(m)} \in \mathbb{R}^{\,n_m \times \prod_{l \neq m} n_l}, \qquad
#   \text{row } i = \text{ all entries of } \mathcal{X} \text{ whose index in mode } m \text{ is } i .$$
#
# This is the order of TensorLy and of C. Textbooks often let the *first* mode vary fastest (the order of Fortran and
# MATLAB). Either works, as long as everything else agrees with it.
#
# **Predict**: `x = torch.arange(24).reshape(2, 3, 4)`. Which entries stand in the first row of its unfolding along
# mode 1?
#
# **Fill** `unfold`. *Hint: `reshape` alone never moves an entry to another place in the memory. First bring mode $m$
# to the front and leave the order of the others as it is: `movedim`, not `transpose`, which swaps two.*
#
# <details><summary>Next step</summary>
#
# `tensor.movedim(mode, 0)` has the shape $n_m \times \dots$; reshape it to `tensor.shape[mode]` rows and `-1`
# columns.
# </details>


# %% exercise="unfold"
def unfold(tensor: torch.Tensor, mode: int) -> torch.Tensor:
    """The tensor as a matrix: the mode in the rows, all other modes in their order, the last one fastest."""
    ### BEGIN SOLUTION stub="Exercise 1: return a matrix of shape (tensor.shape[mode], all other sizes multiplied)"
    return tensor.movedim(mode, 0).reshape(tensor.shape[mode], -1)
    ### END SOLUTION


# %% check="unfold" points=1
tensor = torch.arange(24.0).reshape(2, 3, 4)
hint = "Row i has the entries whose index in this mode is i; the last of the other modes varies fastest."
expected = torch.arange(24.0).reshape(2, 12)
first_fastest = [[12 * i + 4 * j + k for k in range(4) for j in range(3)] for i in range(2)]
mistakes = {
    "the first of the other modes varies fastest: here the last one has to": first_fastest,
    "this is the transpose: the mode belongs into the rows": expected.T,
}
assert_tensor(unfold(tensor.clone(), 0), expected, f"Mode 0. {hint}", mistakes)
expected = torch.tensor(
    [
        [0.0, 1.0, 2.0, 3.0, 12.0, 13.0, 14.0, 15.0],
        [4.0, 5.0, 6.0, 7.0, 16.0, 17.0, 18.0, 19.0],
        [8.0, 9.0, 10.0, 11.0, 20.0, 21.0, 22.0, 23.0],
    ]
)
first_fastest = [[start + 12 * i + j for j in range(4) for i in range(2)] for start in (0, 4, 8)]
mistakes = {
    "you only reshaped: bring the mode to the front first": torch.arange(24).reshape(3, 8),
    "the first of the other modes varies fastest: here the last one has to": first_fastest,
    "this is the transpose: the mode belongs into the rows": expected.T,
}
assert_tensor(unfold(tensor.clone(), 1), expected, f"Mode 1. {hint}", mistakes)
expected = torch.tensor([[k + 4.0 * column for column in range(6)] for k in range(4)])
swapped = [[k + 12 * i + 4 * j for j in range(3) for i in range(2)] for k in range(4)]
mistakes = {
    "you only reshaped: bring the mode to the front first": torch.arange(24).reshape(4, 6),
    "the order of the other modes has changed: transpose swaps two modes, movedim takes one to the front": swapped,
    "this is the transpose: the mode belongs into the rows": expected.T,
}
assert_tensor(unfold(tensor.clone(), 2), expected, f"Mode 2. {hint}", mistakes)
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.layers")
generator = torch.Generator().manual_seed(701)
for shape, dtype in [
    ((5, 4, 3, 2), torch.float32),
    ((3, 3, 3, 3), torch.float64),
    ((4, 1, 6), torch.float64),
    ((7, 2), torch.float32),
    ((2, 3, 2, 4, 3), torch.float32),
]:
    tensor = torch.randn(shape, generator=generator, dtype=dtype)
    for mode, size in enumerate(shape):
        expected = torch.stack([tensor.select(mode, i).flatten() for i in range(size)])
        given = tensor.clone()
        assert_tensor(unfold(given, mode), expected, f"wrong for mode {mode} of a tensor of shape {shape}", None, 0.0)
        torch.testing.assert_close(given, tensor, rtol=0, atol=0, msg="unfold changed the tensor")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# 0, 1, 2, 3 and then 12, 13, 14, 15: the row with index 0 of the first 3 x 4 matrix, and that of the second one.
# </details>
#
# ## Exercise 2: and back (1 point, 5 minutes)
#
# **Fold** is the inverse: from $X_{(m)}$, the mode and the shape of the tensor, back to $\mathcal{X}$.
#
# **Predict**: for which mode would `matrix.reshape(shape)` be right?
#
# **Fill** `fold`. *Hint: do the steps of `unfold` backwards. While mode $m$ is in front, what is the shape?*
#
# <details><summary>Next step</summary>
#
# Make a list `rest` of all sizes but that of the mode. Reshape the matrix to `(shape[mode], *rest)`. Then bring
# dimension 0 back to its place: `movedim(0, mode)`, which is not `movedim(mode, 0)`.
# </details>


# %% exercise="fold"
def fold(matrix: torch.Tensor, mode: int, shape: tuple[int, ...]) -> torch.Tensor:
    """The tensor of this shape whose unfolding along the mode is the matrix."""
    ### BEGIN SOLUTION stub="Exercise 2: return a tensor of the given shape"
    rest = [size for m, size in enumerate(shape) if m != mode]
    return matrix.reshape(shape[mode], *rest).movedim(0, mode)
    ### END SOLUTION


# %% check="fold" points=1
expected = torch.arange(24.0).reshape(2, 3, 4)
matrix = torch.tensor([[start + 12.0 * i + j for i in range(2) for j in range(4)] for start in (0, 4, 8)])
mistakes = {"you only reshaped: the rows belong to mode 1": matrix.reshape(2, 3, 4)}
hint = "The unfolding of the result along mode {} has to be the matrix again."
assert_tensor(fold(matrix.clone(), 1, (2, 3, 4)), expected, hint.format(1), mistakes)
matrix = torch.tensor([[k + 4.0 * column for column in range(6)] for k in range(4)])
mistakes = {
    "you only reshaped: the rows belong to mode 2": matrix.reshape(2, 3, 4),
    "mode 0 went to the wrong place: movedim(0, mode) puts the first dimension where it came from": (
        matrix.reshape(4, 2, 3).permute(2, 0, 1)
    ),
    "you swapped two modes: the order of the others has changed": matrix.reshape(4, 2, 3).transpose(0, 2),
}
assert_tensor(fold(matrix.clone(), 2, (2, 3, 4)), expected, hint.format(2), mistakes)
expected = torch.arange(18.0).reshape(3, 2, 3)
matrix = torch.tensor([[k + 3.0 * column for column in range(6)] for k in range(3)])
hint = "Mode 2 of the shape (3, 2, 3): leave out the size by its position in the shape, not by its value."
got = fold(matrix.clone(), 2, (3, 2, 3))
assert_tensor(got, expected, hint)

### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.layers")
generator = torch.Generator().manual_seed(702)
for shape, dtype in [((5, 4, 3, 2), torch.float64), ((3, 3, 3, 3), torch.float32), ((2, 5, 1), torch.float32)]:
    tensor = torch.randn(shape, generator=generator, dtype=dtype)
    for mode, size in enumerate(shape):
        matrix = torch.stack([tensor.select(mode, i).flatten() for i in range(size)])
        got = fold(matrix, mode, shape)
        assert_tensor(got, tensor, f"wrong for mode {mode} of a tensor of shape {shape}", None, 0.0)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# For mode 0 only, where nothing has been moved.
# </details>
#
# ## Exercise 3: multiply along a mode (1 point, 5 minutes)
#
# A matrix $M \in \mathbb{R}^{J \times n_m}$ is multiplied to a tensor **along mode $m$**: each vector of the tensor
# along that mode is multiplied by $M$, so that mode $m$ has $J$ indices afterwards and all others are as before:
#
# $$\mathcal{Y} = \mathcal{X} \times_m M \qquad\Longleftrightarrow\qquad Y_{(m)} = M \, X_{(m)} .$$
#
# **Predict**: kernels $W$ of shape $O \times I \times k_h \times k_w$ are multiplied along mode 1 by a matrix
# $4 \times I$. What do the new kernels expect as input?
#
# **Fill** `mode_product`. *Hint: the right-hand formula, with your `unfold` and `fold`. What is the new shape?*
#
# <details><summary>Next step</summary>
#
# Make a list of the tensor's sizes, and put $J$, the number of rows of the matrix, in the place of that of the mode.
# Fold `matrix @ unfold(tensor, mode)` into this shape. (With `torch.tensordot` it works too, but the new mode then
# comes out in another place.)
# </details>


# %% exercise="mode_product"
def mode_product(tensor: torch.Tensor, matrix: torch.Tensor, mode: int) -> torch.Tensor:
    """The tensor with every vector along the mode multiplied by the matrix (J x tensor.shape[mode])."""
    ### BEGIN SOLUTION stub="Exercise 3: return a tensor with J indices in this mode, J = matrix.shape[0]"
    shape = list(tensor.shape)
    shape[mode] = matrix.shape[0]
    return fold(matrix @ unfold(tensor, mode), mode, shape)
    ### END SOLUTION


# %% check="mode_product" points=1
tensor = torch.arange(12.0).reshape(2, 2, 3)
matrix = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
expected = torch.tensor(
    [[[0.0, 1.0, 2.0], [3.0, 5.0, 7.0], [6.0, 8.0, 10.0]], [[6.0, 7.0, 8.0], [15.0, 17.0, 19.0], [18.0, 20.0, 22.0]]]
)
mistakes = {
    "the new mode stands last: it belongs where the old one was": expected.movedim(1, 2),
    "the new mode stands first: it belongs where the old one was": expected.movedim(1, 0),
}
hint = "Mode 1 has 2 indices before and 3 afterwards, the other modes stay. {}"
formula = "Y unfolded along the mode is matrix @ (X unfolded along the mode)."
assert_tensor(mode_product(tensor.clone(), matrix.clone(), 1), expected, hint.format(formula), mistakes)
matrix = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
expected = torch.stack([tensor[0] + 2 * tensor[1], 3 * tensor[0] + 4 * tensor[1]])
mistakes = {
    "you multiplied by the transposed matrix": torch.stack([tensor[0] + 3 * tensor[1], 2 * tensor[0] + 4 * tensor[1]])
}
assert_tensor(mode_product(tensor.clone(), matrix, 0), expected, formula, mistakes)
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.layers")
generator = torch.Generator().manual_seed(703)
for shape, dtype in [((5, 4, 3, 2), torch.float64), ((3, 3, 3, 3), torch.float32), ((2, 6, 1), torch.float32)]:
    tensor = torch.randn(shape, generator=generator, dtype=dtype)
    for mode, size in enumerate(shape):
        for rows in (1, size, 7):
            matrix = torch.randn(rows, size, generator=generator, dtype=dtype)
            slices = [sum(matrix[j, i] * tensor.select(mode, i) for i in range(size)) for j in range(rows)]
            expected = torch.stack(slices, dim=mode)
            got = mode_product(tensor.clone(), matrix.clone(), mode)
            assert_tensor(got, expected, f"wrong for mode {mode} of a tensor of shape {shape} and {rows} rows")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Four input maps, each a mixture of the $I$ old ones.
# </details>
#
# ## Part 2. Tucker-2: fewer channels inside
#
# The channels of a trained layer repeat each other; its 3 x 3 pixels hardly do. So Kim et al. (2016) shrink the two
# channel modes only. Two matrices with orthonormal columns and a small **core** stand for the kernels:
#
# $$W \approx C \times_0 U \times_1 V, \qquad U:\ O \times R_o, \quad V:\ I \times R_i, \quad
#   C:\ R_o \times R_i \times k_h \times k_w .$$
#
# The next cell gives you a type for the result. **Read** it.


# %% given="tucker"
@dataclass(frozen=True)
class Tucker2:
    """Kernels O x I x k_h x k_w as a core R_o x R_i x k_h x k_w, U (O x R_o) and V (I x R_i)."""

    core: torch.Tensor
    out_factor: torch.Tensor
    in_factor: torch.Tensor

    def reconstruct(self) -> torch.Tensor:
        """The kernels that core and factors stand for."""
        return torch.einsum("abhw,oa,ib->oihw", self.core, self.out_factor, self.in_factor)


# %% [markdown]
# ## Exercise 4: Tucker-2 (2 points, 9 minutes)
#
# Which $U$ keeps most of $W$? The $R_o$ **leading left singular vectors** of $W_{(0)}$: they span the directions in
# which the outputs differ most. In the same way $V$ comes from $W_{(1)}$. With $U$ and $V$ fixed, the best core is
# the **projection**
#
# $$C = W \times_0 U^\top \times_1 V^\top .$$
#
# That is the *higher-order singular value decomposition* (HOSVD). Unlike the SVD of a matrix it is not quite the best
# approximation of its ranks, because $U$ does not know about $V$; taking turns improves it a little. Any orthonormal
# factors with an error that is no larger pass the check.
#
# **Predict**: what is the error with $R_o = O$ and $R_i = I$?
#
# **Fill** `tucker2`. *Hint: `torch.linalg.svd(matrix, full_matrices=False)` returns $U$, the singular values from the
# largest to the smallest, and $V^\top$. You need your `unfold` and `mode_product`.*
#
# <details><summary>Next step</summary>
#
# `torch.linalg.svd(unfold(weight, 0), full_matrices=False)[0][:, :out_rank]` is $U$; the same with mode 1 gives $V$.
# Then two mode products with the *transposed* factors.
# </details>


# %% exercise="tucker2"
def tucker2(weight: torch.Tensor, out_rank: int, in_rank: int) -> Tucker2:
    """Tucker-2 decomposition of kernels by HOSVD: leading left singular vectors, and the projection as core."""
    ### BEGIN SOLUTION stub="Exercise 4: return a Tucker2 with core, out_factor and in_factor"
    out_factor = torch.linalg.svd(unfold(weight, 0), full_matrices=False)[0][:, :out_rank]
    in_factor = torch.linalg.svd(unfold(weight, 1), full_matrices=False)[0][:, :in_rank]
    core = mode_product(mode_product(weight, out_factor.T, 0), in_factor.T, 1)
    return Tucker2(core, out_factor, in_factor)
    ### END SOLUTION


# %% given="tucker_checks"
def assert_tucker2(found: object, weight: torch.Tensor, out_rank: int, in_rank: int, error: float) -> None:
    """Check types and shapes, orthonormal columns, the projection, and an error that is no larger than this one."""
    what = f"for kernels of shape {tuple(weight.shape)} and the ranks {out_rank} and {in_rank}"
    assert isinstance(found, Tucker2), f"expected Tucker2(core, out_factor, in_factor), got a {type(found).__name__}"
    parts = {"core": found.core, "out_factor": found.out_factor, "in_factor": found.in_factor}
    sizes = {"core": (out_rank, in_rank, *weight.shape[2:])}
    sizes |= {"out_factor": (len(weight), out_rank), "in_factor": (weight.shape[1], in_rank)}
    for name, part in parts.items():
        assert isinstance(part, torch.Tensor), f"expected a tensor as {name}, got {part!r}"
        assert tuple(part.shape) == sizes[name], (
            f"{what}: expected a {name} of shape {sizes[name]}, got {tuple(part.shape)}"
        )
        assert part.dtype == weight.dtype, f"expected {weight.dtype} in the {name}, got {part.dtype}"
    for name in ("out_factor", "in_factor"):
        columns = parts[name].double()
        gram = columns.T @ columns
        message = f"{what}: expected orthonormal columns in the {name}, got columns with the products\n{gram}"
        message += "\nTake columns of the LEFT singular vectors, the first result of torch.linalg.svd."
        torch.testing.assert_close(gram, torch.eye(gram.shape[0], dtype=gram.dtype), rtol=0, atol=1e-4, msg=message)
    factors = (found.out_factor, found.in_factor)
    projection = torch.einsum("oihw,oa,ib->abhw", weight, *factors)
    hint = (
        "The core is the weight times the TRANSPOSED out_factor along mode 0 and the transposed in_factor along mode 1."
    )
    assert_tensor(found.core, projection, f"{what}: wrong core. {hint}")
    got = float((found.reconstruct().double() - weight.double()).norm() / weight.double().norm())
    assert got <= error + 1e-4, (
        f"{what}: expected a relative error of at most {error:.4f}, got {got:.4f}. Core and factors fit together, "
        "but other directions keep more: take the LEADING singular vectors, out_factor of mode 0, in_factor of mode 1."
    )


# %% check="tucker2" points=2
weight = torch.zeros(3, 2, 2, 1)
weight[0, 0, 0, 0], weight[1, 0, 1, 0], weight[2, 1, 0, 0] = 3.0, 2.0, 1.0
turns = torch.tensor([[2.0, -2.0, 1.0], [1.0, 2.0, 2.0], [2.0, 1.0, -2.0]]) / 3, torch.tensor([[0.6, -0.8], [0.8, 0.6]])
weight = torch.einsum("abhw,oa,ib->oihw", weight, *turns)  # its singular values in mode 0 are 3, 2 and 1
assert_tucker2(tucker2(weight.clone(), 3, 2), weight, 3, 2, error=0.0)
assert_tucker2(tucker2(weight.clone(), 2, 1), weight, 2, 1, error=math.sqrt(1 / 14))
assert_tucker2(tucker2(weight.clone(), 1, 2), weight, 1, 2, error=math.sqrt(5 / 14))
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.layers")
generator = torch.Generator().manual_seed(704)
for shape, ranks, dtype in [
    ((8, 5, 3, 3), (3, 2), torch.float32),
    ((4, 7, 5, 1), (2, 5), torch.float64),
    ((6, 6, 3, 2), (4, 4), torch.float64),
    ((20, 3, 1, 1), (2, 2), torch.float32),
    ((5, 9, 3, 3), (5, 9), torch.float32),
]:
    weight = torch.randn(shape, generator=generator, dtype=dtype)
    weight *= torch.linspace(0.1, 2.0, shape[0], dtype=dtype)[:, None, None, None]
    weight *= torch.linspace(0.2, 1.5, shape[1], dtype=dtype)[:, None, None]
    kept = weight.double().numpy()
    left = [torch.linalg.svd(torch.tensor(kept).transpose(0, m).flatten(1))[0][:, : ranks[m]] for m in (0, 1)]
    core = torch.einsum("oihw,oa,ib->abhw", torch.tensor(kept), *left)
    error = math.sqrt(max(1 - float(core.square().sum()) / float((kept**2).sum()), 0.0))
    given = weight.clone()
    assert_tucker2(tucker2(given, *ranks), weight, *ranks, error=error)
    torch.testing.assert_close(given, weight, rtol=0, atol=0, msg="tucker2 changed the weight")
core = torch.randn(2, 3, 3, 3, generator=generator)
factors = [torch.linalg.qr(torch.randn(n, r, generator=generator))[0] for n, r in ((9, 2), (7, 3))]
weight = torch.einsum("abhw,oa,ib->oihw", core, *factors)
assert_tucker2(tucker2(weight.clone(), 2, 3), weight, 2, 3, error=0.0)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Zero: square factors with orthonormal columns only turn the channels, and the core turns them back.
# </details>
#
# ## Exercise 5: what is lost (1 point, 5 minutes)
#
# The relative error of an approximation is $\lVert W - \hat W \rVert / \lVert W \rVert$, with the square root of the
# sum of all squares as norm. Since $\hat W$ is an orthogonal projection of $W$, Pythagoras knows it without $\hat W$:
# $\lVert W \rVert^2 = \lVert C \rVert^2 + \lVert W - \hat W \rVert^2$, so
#
# $$\text{error} = \sqrt{\,1 - \frac{\lVert C \rVert^2}{\lVert W \rVert^2}\,} .$$
#
# **Predict**: the core has 80 % of the norm. How large is the error? And what does rounding do to the root if
# *nothing* is lost?
#
# **Fill** `tucker_error`, with a Python float. *Hint: `tensor.norm()`, `.item()`. Rounding can make the core a hair
# larger than the weight: keep what is under the root from getting negative.*
#
# <details><summary>Next step</summary>
#
# The square of `found.core.norm() / weight.norm()`, as a Python number, is what is kept. Then take the root of
# `max(1 - kept, 0)`.
# </details>


# %% exercise="tucker_error"
def tucker_error(weight: torch.Tensor, found: Tucker2) -> float:
    """Relative error of a Tucker-2 decomposition with orthonormal factors and the projection as core."""
    ### BEGIN SOLUTION stub="Exercise 5: return the relative error, a float"
    kept = (found.core.norm() / weight.norm()).item() ** 2
    return math.sqrt(max(1 - kept, 0.0))
    ### END SOLUTION


# %% check="tucker_error" points=1
weight = torch.tensor([[[[4.0]]], [[[3.0]]]])
found = Tucker2(torch.tensor([[[[4.0]]]]), torch.tensor([[1.0], [0.0]]), torch.tensor([[1.0]]))
mistakes = {
    "the square root is missing": 0.36,
    "you subtracted norms instead of their squares": 0.2,
    "you subtracted norms instead of their squares, and then took a root": math.sqrt(0.2),
    "this is what is kept, not what is lost": 0.8,
    "you did not divide by the norm of the weight": 3.0,
}
assert_number(tucker_error(weight.clone(), found), 0.6, "the root of 1 - 16/25", mistakes)
one = torch.ones(1, 1)
found = Tucker2(torch.full((1, 1, 1, 1), 1.0 + 2e-7), one, one)
how = "the error when nothing is lost and rounding makes the core a hair too large (max(..., 0) before the root)"
assert_number(tucker_error(torch.ones(1, 1, 1, 1), found), 0.0, how)
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.layers")
generator = torch.Generator().manual_seed(705)
for shape, ranks, dtype in [((6, 4, 3, 3), (2, 3), torch.float32), ((3, 8, 1, 5), (3, 1), torch.float64)]:
    weight = 1e-2 * torch.randn(shape, generator=generator, dtype=dtype)
    factors = [
        torch.linalg.qr(torch.randn(n, r, generator=generator, dtype=dtype))[0]
        for n, r in zip(shape[:2], ranks, strict=True)
    ]
    found = Tucker2(torch.einsum("oihw,oa,ib->abhw", weight, *factors), *factors)
    expected = float((weight - found.reconstruct()).norm() / weight.norm())
    assert_number(tucker_error(weight.clone(), found), expected, f"the error of ranks {ranks} of a weight {shape}")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# $\sqrt{1 - 0.64} = 0.6$: a core with most of the norm still leaves a large error. Without care, rounding may put
# $-10^{-7}$ under the root, and the result is an exception or `nan`.
# </details>
#
# ## Exercise 6: Tucker layers (2 points, 9 minutes)
#
# Put $\hat W = C \times_0 U \times_1 V$ into a convolution, and the sums can be done one after the other. Each is a
# convolution:
#
# | layer | from → to | weight | shape of the weight |
# |---|---|---|---|
# | reduce, 1 x 1 | $I \to R_i$ | $V^\top$ | $R_i \times I \times 1 \times 1$ |
# | core, $k_h \times k_w$ | $R_i \to R_o$ | $C$ | $R_o \times R_i \times k_h \times k_w$ |
# | expand, 1 x 1 | $R_o \to O$ | $U$ | $O \times R_o \times 1 \times 1$ |
#
# The result has to be the same as with the dense kernels $\hat W$, with **stride, padding and bias** of the
# convolution that is replaced, and no layer may compute pixels that a later one drops. The next cell gives you
# `convolution_of`, which makes a layer from its weight. **Read** it.


# %% given="convolution_of"
def convolution_of(
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    groups: int = 1,
) -> nn.Conv2d:
    """A convolution with copies of this weight (O x I/groups x k_h x k_w) and, if given, this bias (O numbers)."""
    o, i, *kernel_size = weight.shape
    settings = {"stride": stride, "padding": padding, "groups": groups, "bias": bias is not None}
    layer = nn.Conv2d(i * groups, o, tuple(kernel_size), dtype=weight.dtype, **settings)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def random_convolution(
    i: int, o: int, kernel: tuple[int, int], seed: int, dtype=torch.float32, **settings
) -> nn.Conv2d:
    """A convolution with random weight and bias for the checks."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(o, i, *kernel, generator=generator, dtype=dtype)
    return convolution_of(weight, torch.randn(o, generator=generator, dtype=dtype), **settings)


# %% [markdown]
# **Predict**: which of the three layers gets the stride, which the padding, which the bias?
#
# **Fill** `tucker_layers`. *Hint: `matrix[:, :, None, None]` is a matrix as the weight of a 1 x 1 convolution. A
# convolution has the attributes `stride`, `padding` and `bias` (which may be `None`).*
#
# <details><summary>Next step</summary>
#
# Three calls of `convolution_of` in an `nn.Sequential`: `found.in_factor.T[:, :, None, None]` without settings,
# `found.core` with stride and padding, `found.out_factor[:, :, None, None]` with the bias.
# </details>


# %% exercise="tucker_layers"
def tucker_layers(found: Tucker2, convolution: nn.Conv2d) -> nn.Sequential:
    """Three convolutions in the place of one: 1 x 1 to R_i maps, the core to R_o maps, 1 x 1 to O maps."""
    ### BEGIN SOLUTION stub="Exercise 6: return an nn.Sequential of three convolutions"
    reduce = convolution_of(found.in_factor.T[:, :, None, None])
    core = convolution_of(found.core, stride=convolution.stride, padding=convolution.padding)
    expand = convolution_of(found.out_factor[:, :, None, None], bias=convolution.bias)
    return nn.Sequential(reduce, core, expand)
    ### END SOLUTION


# %% check="tucker_layers" points=2
convolution = random_convolution(3, 4, (3, 3), seed=1, stride=(2, 2), padding=(1, 1))
generator = torch.Generator().manual_seed(2)
found = Tucker2(*(torch.randn(shape, generator=generator) for shape in ((2, 1, 3, 3), (4, 2), (3, 1))))
images = torch.randn(2, 3, 8, 6, generator=generator)
kernels, bias = found.reconstruct(), convolution.bias.detach()
expected = F.conv2d(images, kernels, bias, stride=2, padding=1)
layers = tucker_layers(found, convolution)
assert_layers(layers, [(1, 3, 1, 1), (2, 1, 3, 3), (4, 2, 1, 1), (4,)], "reduce, core, expand and the bias of expand")
mistakes = {
    "the bias is missing": F.conv2d(images, kernels, None, stride=2, padding=1),
    "the stride is missing": F.conv2d(images, kernels, bias, padding=1),
    "the padding is missing": F.conv2d(images, kernels, bias, stride=2),
    "stride and padding are missing": F.conv2d(images, kernels, bias),
    "the first layer has the stride, so the core sees every second pixel only": F.conv2d(
        images[:, :, ::2, ::2], kernels, bias, padding=1
    ),
}
hint = (
    "The layers have to do what F.conv2d does with found.reconstruct() and stride, padding and bias of the convolution."
)
assert_tensor(layers(images.clone()), expected, hint, mistakes)
assert_strides(layers, [(1, 1), (2, 2), (1, 1)])

### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.layers")
generator = torch.Generator().manual_seed(706)
for i, o, kernel, ranks, dtype, settings in [
    (5, 3, (3, 5), (2, 4), torch.float64, {"stride": (2, 1), "padding": (0, 2)}),
    (4, 4, (1, 3), (3, 3), torch.float32, {"padding": (2, 1)}),
    (2, 6, (5, 2), (1, 2), torch.float64, {"stride": (1, 3)}),
]:
    convolution = random_convolution(i, o, kernel, seed=i, dtype=dtype, **settings)
    shapes = ((*ranks, *kernel), (o, ranks[0]), (i, ranks[1]))
    found = Tucker2(*(torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes))
    images = torch.randn(2, i, 9, 11, generator=generator, dtype=dtype)
    bias = convolution.bias.detach().clone()
    expected = F.conv2d(images, found.reconstruct(), bias, convolution.stride, convolution.padding)
    layers = tucker_layers(found, convolution)
    wanted = [(ranks[1], i, 1, 1), (*ranks, *kernel), (o, ranks[0], 1, 1), (o,)]
    assert_layers(layers, wanted, "reduce, core, expand and the bias of expand")
    assert_tensor(layers(images.clone()), expected, f"wrong for a kernel {kernel} with {settings}", None, 1e-3)
    assert_strides(layers, [(1, 1), tuple(convolution.stride), (1, 1)])
    bare = nn.Conv2d(i, o, kernel, bias=False, dtype=dtype, **settings)
    layers = tucker_layers(found, bare)
    assert_layers(layers, wanted[:3], "reduce, core, expand: the convolution has no bias")
    expected = F.conv2d(images, found.reconstruct(), None, convolution.stride, convolution.padding)
    assert_tensor(layers(images.clone()), expected, "wrong for a convolution without a bias", None, 1e-3)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Stride and padding belong to the core, the only layer that looks at neighbors. With the stride in the first layer,
# the core would look at every second pixel only. The bias comes last; in the first layer it would be added before the
# padding.
# </details>
#
# **Explore.** Kernels of 32 x 32 x 3 x 3: random ones, and a mixture of 8 x 8 channels with a little noise. What can
# Tucker-2 do with random kernels, and why is the last row not exactly zero?

# %%
generator = torch.Generator().manual_seed(0)
random_kernels = torch.randn(32, 32, 3, 3, generator=generator)
mixing = [torch.randn(32, 8, generator=generator) for _ in range(2)]
mixed_kernels = torch.einsum("abhw,oa,ib->oihw", torch.randn(8, 8, 3, 3, generator=generator), *mixing)
mixed_kernels = mixed_kernels + 0.5 * torch.randn(32, 32, 3, 3, generator=generator)
errors = {
    name: {rank: tucker_error(weight, tucker2(weight, rank, rank)) for rank in (4, 8, 16, 24, 32)}
    for name, weight in (("random", random_kernels), ("8 x 8 channels + noise", mixed_kernels))
}
pd.DataFrame(errors).rename_axis("both ranks").round(4)

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# Random channels do not repeat each other: with half the ranks, three quarters of the norm are lost. The mixture
# needs 8 channels and the rest is noise. At full rank nothing is lost, but rounding leaves less than $10^{-6}$ below
# the root, or nothing if it would be negative.
# </details>
#
# ## Part 3. CP: a sum of products
#
# The canonical polyadic decomposition (CP) writes a tensor as a sum of $R$ **components**, each the outer product of
# one vector for each mode. With the vectors as columns of factors $A$ ($O \times R$), $B$ ($I \times R$), $C$
# ($k_h \times R$) and $D$ ($k_w \times R$),
#
# $$\hat w_{oihw} = \sum_{r=1}^{R} a_{or} \, b_{ir} \, c_{hr} \, d_{wr} .$$
#
# There is no core, and only $R (O + I + k_h + k_w)$ numbers. But no SVD finds them. One takes turns: with all factors
# fixed but one, the best one is a problem of linear least squares. That is *alternating least squares*, ALS.
#
# ## Exercise 7: the Khatri-Rao product (1 point, 6 minutes)
#
# Unfold the sum along mode 0, and it becomes a product of matrices, $\hat W_{(0)} = A \, (B \odot C \odot D)^\top$.
# Here $\odot$ is the **Khatri-Rao product**: column $r$ of the result is the Kronecker product of the columns $r$ of
# all matrices,
#
# $$(B \odot C)_{\,i \cdot K + k,\; r} = b_{ir} \, c_{kr}, \qquad B: n \times R, \quad C: K \times R, \quad
#   B \odot C:\ nK \times R ,$$
#
# **the last matrix varying fastest**, as the last mode does in your `unfold`. The result of one matrix is that
# matrix.
#
# **Predict**: how many rows has $B \odot C \odot D$ for kernels of $64 \times 32 \times 3 \times 3$?
#
# **Fill** `khatri_rao` for any number of matrices. *Hint: for two of them, `first[:, None, :] * second[None, :, :]`
# has the shape $n \times K \times R$. Which two dimensions have to become one?*
#
# <details><summary>Next step</summary>
#
# Begin with the first matrix. With each further one, multiply what you have as in the hint, and make one dimension of
# the first two with `.flatten(0, 1)`.
# </details>


# %% exercise="khatri_rao"
def khatri_rao(matrices: list[torch.Tensor]) -> torch.Tensor:
    """Column-wise Kronecker product of matrices n_1 x R, n_2 x R, ...: (n_1 n_2 ...) x R, the last one fastest."""
    ### BEGIN SOLUTION stub="Exercise 7: return a matrix with R columns and n_1 n_2 ... rows"
    product = matrices[0]
    for matrix in matrices[1:]:
        product = (product[:, None] * matrix).flatten(0, 1)
    return product
    ### END SOLUTION


# %% check="khatri_rao" points=1
first, second = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
expected = torch.tensor([[1.0, 20.0], [2.0, 40.0], [3.0, 60.0], [3.0, 40.0], [6.0, 80.0], [9.0, 120.0]])
mistakes = {
    "the first matrix varies fastest: the last one has to": [[1, 20], [3, 40], [2, 40], [6, 80], [3, 60], [9, 120]],
    "this is the Kronecker product of whole matrices: only columns with the same number belong together": torch.kron(
        first, second
    ),
    "this is the transpose: each column is a component": expected.T,
}
hint = "Column 0 is 1 x (1, 2, 3) and then 3 x (1, 2, 3)."
assert_tensor(khatri_rao([first.clone(), second.clone()]), expected, hint, mistakes)
third = torch.tensor([[1.0, -1.0], [0.0, 2.0]])
expected = torch.tensor([[1.0, -20.0], [0.0, 40.0], [2.0, -40.0], [0.0, 80.0], [3.0, -60.0], [0.0, 120.0]])
mistakes = {"only the first two matrices are there": [[1, 20], [2, 40], [3, 60]]}
hint = "Three matrices of 1, 3 and 2 rows: 6 rows, of which the first two belong to the first row of the second matrix."
got = khatri_rao([first[:1].clone(), second.clone(), third.clone()])
assert_tensor(got, expected, hint, mistakes)
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.layers")
generator = torch.Generator().manual_seed(707)
for sizes, rank, dtype in [
    ((4, 3, 2), 5, torch.float64),
    ((3, 3), 3, torch.float32),
    ((2, 5, 1, 3), 2, torch.float32),
    ((6,), 4, torch.float64),
]:
    matrices = [torch.randn(size, rank, generator=generator, dtype=dtype) for size in sizes]
    columns = []
    for r in range(rank):
        column = [1.0]
        for matrix in matrices:
            column = [value * entry for value in column for entry in matrix[:, r].tolist()]
        columns.append(torch.tensor(column, dtype=dtype))
    got = khatri_rao([matrix.clone() for matrix in matrices])
    assert_tensor(got, torch.stack(columns, dim=1), f"wrong for matrices with {sizes} rows and {rank} columns")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# $32 \cdot 3 \cdot 3 = 288$, as many as $W_{(0)}$ has columns.
# </details>
#
# ## Exercise 8: one step of alternating least squares (3 points, 12 minutes)
#
# Let $Z$ be the Khatri-Rao product of all factors **but that of mode $m$**, in the order of their modes. The factor
# $A$ of mode $m$ has to make $\lVert W_{(m)} - A Z^\top \rVert$ small. The *normal equations* of this problem are
# $A \, G = W_{(m)} Z$ with the Gram matrix $G = Z^\top Z$, which is small, $R \times R$. And one need not multiply
# the tall $Z$ with itself: $G$ is the **elementwise** product of the Gram matrices of the single factors. For mode 0,
#
# $$A \; \big[\, G + \lambda \operatorname{diag}(G) \,\big] = W_{(0)} \, (B \odot C \odot D), \qquad
#   G = (B^\top B) * (C^\top C) * (D^\top D) .$$
#
# With $\lambda = 0$ this is plain ALS. The **ridge** $\lambda > 0$ makes the diagonal larger by a factor:
# $\operatorname{diag}(G)$ is $G$ with zeros beside the diagonal. Then the step minimizes
# $\lVert W - \hat W \rVert^2 + \lambda \sum_r \lVert w_r \rVert^2$, where $w_r$ is component $r$. What that is good
# for, exercise 10 will show.
#
# **Predict**: with a single component and $\lambda = 1$, by which factor does the ridge shrink the result of plain
# ALS?
#
# **Fill** `als_step`; it returns the new factor and leaves the given ones as they are. *Hint: a list of the other
# factors first. `torch.linalg.solve(G, M)` solves $G X = M$. What you look for stands on the left of $G$, so
# transpose.*
#
# <details><summary>Next step</summary>
#
# Make a list `others` of all factors but number `mode` (`enumerate` counts). `torch.stack` their Gram matrices
# `factor.T @ factor`, and multiply them along the first dimension with `.prod(dim=0)`. `gram.diagonal()` is a vector,
# `torch.diag` makes a diagonal matrix of one. Since the matrix is symmetric,
# $A = \texttt{solve}(G + \lambda \operatorname{diag}(G),\ M^\top)^\top$ with $M = W_{(m)} Z$.
# </details>


# %% exercise="als_step"
def als_step(tensor: torch.Tensor, factors: list[torch.Tensor], mode: int, ridge: float) -> torch.Tensor:
    """The best factor of one mode (n x R), all others fixed, with a ridge on the diagonal of the normal equations."""
    ### BEGIN SOLUTION stub="Exercise 8: return the new factor, of shape (tensor.shape[mode], R)"
    others = [factor for m, factor in enumerate(factors) if m != mode]
    gram = torch.stack([factor.T @ factor for factor in others]).prod(dim=0)
    gram = gram + ridge * torch.diag(gram.diagonal())
    matched = unfold(tensor, mode) @ khatri_rao(others)
    return torch.linalg.solve(gram, matched.T).T
    ### END SOLUTION


# %% given="cp_tensor"
def cp_tensor(factors: list[torch.Tensor]) -> torch.Tensor:
    """The sum of the components of factors n_0 x R, n_1 x R, ..."""
    letters = "abcdefg"[: len(factors)]
    return torch.einsum(",".join(f"{letter}r" for letter in letters) + f"->{letters}", *factors)


# %% check="als_step" points=3
exact = [[[1.0, 2.0], [3.0, 4.0]], [[1.0, 1.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 1.0]]]
exact = [torch.tensor(matrix) for matrix in exact]
tensor = cp_tensor(exact)
factors = [torch.tensor([[5.0, 0.0], [0.0, 7.0]]), exact[1].clone(), exact[2].clone()]
mistakes = {
    "the ridge has no effect": [[1.0, 2.0], [3.0, 4.0]],
    "you added the ridge itself to the diagonal: add ridge times the diagonal of G": [[2 / 3, 5 / 3], [16 / 9, 31 / 9]],
    "you multiplied all of G by 1 + ridge: only the diagonal grows": [[0.5, 1.0], [1.5, 2.0]],
    "the Gram matrices are added up: multiply them entry by entry": [[3 / 14, 15 / 14], [9 / 14, 31 / 14]],
    "you multiplied the Gram matrices as matrices: * is entry by entry": [[3 / 31, 27 / 31], [13 / 31, 55 / 31]],
    "the mode's own factor is in G: leave it out": [[0.06, 0.023], [0.14, 0.0485]],
    "the Khatri-Rao product has the other factors in the wrong order": [[7 / 15, 16 / 15], [13 / 15, 34 / 15]],
}
hint = "Solve A (G + ridge diag(G)) = M: here G + diag(G) is (2, 1; 1, 8) and M is (3, 9; 7, 19)."
got = als_step(tensor.clone(), [factor.clone() for factor in factors], 0, ridge=1.0)
assert_tensor(got, torch.tensor([[1.0, 1.0], [37 / 15, 31 / 15]]), hint, mistakes)
exact = [
    [[1.0, 0.0], [1.0, 2.0]],
    [[2.0, 1.0], [0.0, 1.0], [1.0, 3.0]],
    [[1.0, -1.0], [2.0, 0.0]],
    [[1.0, 1.0], [0.0, 3.0]],
]
exact = [torch.tensor(matrix) for matrix in exact]
hint = "Mode {}: the other factors are right, so without a ridge one step has to give the right one. "
hint += "Are all others there, in the order of their modes?"
for mode in (1, 2):
    factors = [torch.ones_like(factor) if m == mode else factor.clone() for m, factor in enumerate(exact)]
    given = [factor.clone() for factor in factors]
    got = als_step(cp_tensor(exact), given, mode, ridge=0.0)
    assert_tensor(got, exact[mode], hint.format(mode), tolerance=1e-3)
    for before, after in zip(factors, given, strict=True):
        torch.testing.assert_close(
            after, before, rtol=0, atol=0, msg="expected the given factors as they were, got one changed"
        )
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.layers")
generator = torch.Generator().manual_seed(708)
for shape, rank, ridge, dtype in [
    ((5, 4, 3, 2), 3, 0.1, torch.float64),
    ((3, 3, 3, 3), 4, 1e-3, torch.float64),
    ((6, 2, 5), 2, 0.0, torch.float32),
    ((4, 3, 3), 7, 0.5, torch.float64),
]:
    tensor = torch.randn(shape, generator=generator, dtype=dtype)
    factors = [torch.randn(size, rank, generator=generator, dtype=dtype) for size in shape]
    for mode, size in enumerate(shape):
        others = [factor for m, factor in enumerate(factors) if m != mode]
        columns = torch.stack([cp_tensor([f[:, r : r + 1] for f in others]).flatten() for r in range(rank)], dim=1)
        rows = torch.stack([tensor.select(mode, i).flatten() for i in range(size)])
        weights = (ridge**0.5) * torch.diag(columns.norm(dim=0))
        system = torch.cat([columns, weights]).double()
        target = torch.cat([rows.T, torch.zeros(rank, size, dtype=dtype)]).double()
        expected = torch.linalg.lstsq(system, target).solution.T.to(dtype)
        given = [factor.clone() for factor in factors]
        got = als_step(tensor.clone(), given, mode, ridge)
        assert_tensor(got, expected, f"wrong for mode {mode} of {shape}, rank {rank}, ridge {ridge}", tolerance=1e-3)
        for before, after in zip(factors, given, strict=True):
            torch.testing.assert_close(after, before, rtol=0, atol=0, msg="als_step changed a factor that was given")
shape, rank, ridge = (6, 5, 3, 3), 4, 1e-2
tensor = torch.randn(shape, generator=generator, dtype=torch.float64)
factors = [torch.randn(size, rank, generator=generator, dtype=torch.float64) for size in shape]
objectives = []
for step in range(12):
    factors[step % 4] = als_step(tensor.clone(), [factor.clone() for factor in factors], step % 4, ridge)
    norms = torch.stack([factor.norm(dim=0) for factor in factors]).prod(dim=0)
    objectives.append(float((tensor - cp_tensor(factors)).square().sum() + ridge * norms.square().sum()))
for before, after in zip(objectives[:-1], objectives[1:], strict=True):
    assert after <= before + 1e-9, f"expected an objective that never rises from step to step, got {objectives}"
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# By $1 + \lambda = 2$: $G$ has a single entry.
# </details>
#
# ## Exercise 9: the error of a sum of components (1 point, 7 minutes)
#
# Has a sweep over all modes made the error smaller? The large tensor $\hat W$ need not be formed. Write out the
# square:
#
# $$\lVert W - \hat W \rVert^2 = \lVert W \rVert^2 - 2 \, \langle W, \hat W \rangle + \lVert \hat W \rVert^2 .$$
#
# The second term is the sum of all entries of $M * A$, where $M = W_{(0)} \, (B \odot C \odot D)$ is of shape
# $O \times R$, as in the step before. The third one is the sum of all entries of
# $(A^\top A) * (B^\top B) * (C^\top C) * (D^\top D)$.
#
# **Fill** `cp_error`: the *relative* error, $\lVert W - \hat W \rVert / \lVert W \rVert$, as a Python float. *Hint:
# as in exercise 5, rounding must not make the square negative.*
#
# <details><summary>Next step</summary>
#
# `matched = unfold(tensor, 0) @ khatri_rao(factors[1:])`, then `inner = (matched * factors[0]).sum()`. The Gram
# matrices of *all* factors, multiplied entry by entry and added up, are the last term. Take the root of
# `max((energy - 2 * inner + approximated).item(), 0)`, and divide by the norm of the tensor.
# </details>


# %% exercise="cp_error"
def cp_error(tensor: torch.Tensor, factors: list[torch.Tensor]) -> float:
    """Relative error of the sum of components that the factors (n_0 x R, n_1 x R, ...) stand for."""
    ### BEGIN SOLUTION stub="Exercise 9: return the relative error, a float"
    energy = tensor.square().sum()
    inner = (unfold(tensor, 0) @ khatri_rao(factors[1:]) * factors[0]).sum()
    approximated = torch.stack([factor.T @ factor for factor in factors]).prod(dim=0).sum()
    squared = (energy - 2 * inner + approximated) / energy
    return math.sqrt(max(squared.item(), 0.0))
    ### END SOLUTION


# %% check="cp_error" points=1
tensor = torch.tensor([[[4.0, 0.0]], [[0.0, 3.0]]])
factors = [torch.tensor([[1.0], [0.0]]), torch.tensor([[2.0]]), torch.tensor([[2.0], [0.0]])]
mistakes = {
    "the square root is missing": 0.36,
    "you did not divide by the norm of the tensor": 3.0,
    "this is the squared error, not divided": 9.0,
    "the factor 2 of the middle term is missing": 1.0,
    "the middle term has the wrong sign": math.sqrt(73 / 25),
    "you divided by the square of the norm": 0.12,
}
assert_number(cp_error(tensor.clone(), [factor.clone() for factor in factors]), 0.6, "the root of 9/25", mistakes)
factors = [torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[4.0, 3.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])]
assert_number(cp_error(tensor.clone(), factors), 0.0, "the error of two components that are the tensor")
factors = [[[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]], [[1.0, 2.0], [0.0, 1.0], [1.0, 0.0]]]
factors = [torch.tensor(matrix) for matrix in factors]
tensor = torch.tensor([[[4.0, 0.0, 1.0], [3.0, 1.0, 1.0]], [[0.0, 0.0, 0.0], [2.0, 1.0, -1.0]]])
mistakes = {
    "the last term is the sum of the diagonal only: add up all entries": math.sqrt(6.0 / 34.0),
    "the Khatri-Rao product has the factors in the wrong order": math.sqrt(30.0 / 34.0),
    "M and A are multiplied as matrices: * is entry by entry": 0.0,
}
assert_number(cp_error(tensor, [factor.clone() for factor in factors]), math.sqrt(10 / 34), "root of 10/34", mistakes)
for seed in range(4):
    generator = torch.Generator().manual_seed(seed)
    factors = [torch.randn(size, 3, generator=generator) for size in (6, 5, 3)]
    how = "the error when nothing is lost and rounding makes the square negative (max(..., 0) before the root)"
    assert_number(cp_error(cp_tensor(factors), factors), 0.0, how)
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.layers")
generator = torch.Generator().manual_seed(709)
for shape, rank, dtype in [
    ((5, 4, 3, 2), 3, torch.float64),
    ((3, 3, 3, 3), 5, torch.float32),
    ((2, 6, 4), 1, torch.float64),
    ((7, 5, 1, 3), 2, torch.float32),
]:
    factors = [torch.randn(size, rank, generator=generator, dtype=dtype) for size in shape]
    tensor = cp_tensor(factors) + 0.5 * torch.randn(shape, generator=generator, dtype=dtype)
    expected = float((tensor - cp_tensor(factors)).norm() / tensor.norm())
    got = cp_error(tensor.clone(), [factor.clone() for factor in factors])
    assert_number(got, expected, f"the error of {rank} components of a tensor of shape {shape}")
for seed in range(20):
    generator.manual_seed(seed)
    factors = [torch.randn(size, 3, generator=generator) for size in (6, 5, 3)]
    assert_number(cp_error(cp_tensor(factors), factors), 0.0, "the error of the tensor's own components")
### END HIDDEN TESTS

# %% [markdown]
# Now ALS is complete. **Read** `cp_als`: it begins with random factors, makes steps over all modes again and again,
# and keeps the factors after each sweep. The exploration runs it on kernels that are three components and a little
# noise. **Predict**: what happens to the error with two, three and four components?


# %% given="cp_als"
def cp_als(tensor: torch.Tensor, rank: int, ridge: float, sweeps: int = 50, seed: int = 0) -> list[list[torch.Tensor]]:
    """The factors after each sweep of alternating least squares, from a random start; in float64."""
    tensor = tensor.double()
    generator = torch.Generator().manual_seed(seed)
    factors = [torch.randn(size, rank, generator=generator, dtype=torch.float64) for size in tensor.shape]
    history = []
    for _ in range(sweeps):
        for mode in range(tensor.dim()):
            factors[mode] = als_step(tensor, factors, mode, ridge)
        history.append(list(factors))
    return history


# %%
generator = torch.Generator().manual_seed(0)
three = cp_tensor([torch.randn(size, 3, generator=generator).double() for size in (16, 12, 3, 3)])
three = three + 0.3 * torch.randn(three.shape, generator=generator)
pd.DataFrame(
    {
        f"R = {rank}": [cp_error(three, factors) for factors in cp_als(three, rank, ridge=0.0, sweeps=30)]
        for rank in (1, 2, 3, 4)
    }
).iloc[[0, 1, 2, 4, 9, 29]].rename_axis("sweeps - 1").round(4)

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# With two components the error stays at 0.39, however long one takes turns. With three it ends at 0.13, the noise. The
# fourth one can only fit noise, and hardly changes anything.
# </details>
#
# ## Exercise 10: how large the components are (1 point, 6 minutes)
#
# The norm of an outer product is the product of the norms, so component $r$ has the norm
#
# $$\lVert w_r \rVert = \lVert a_r \rVert \, \lVert b_r \rVert \, \lVert c_r \rVert \cdots, \qquad
#   a_r, b_r, c_r, \dots \text{ the columns } r \text{ of the factors.}$$
#
# **Predict**: may a component be much larger than the tensor?
#
# **Fill** `component_norms`, for any number of factors. *Hint: `factor.norm(dim=0)` has one number for each column.*
#
# <details><summary>Next step</summary>
#
# `torch.stack` the norms of the columns of all factors, and multiply along dimension 0 with `.prod(dim=0)`.
# </details>


# %% exercise="component_norms"
def component_norms(factors: list[torch.Tensor]) -> torch.Tensor:
    """The norms of the R components of factors n_0 x R, n_1 x R, ..."""
    ### BEGIN SOLUTION stub="Exercise 10: return R norms"
    return torch.stack([factor.norm(dim=0) for factor in factors]).prod(dim=0)
    ### END SOLUTION


# %% check="component_norms" points=1
factors = [torch.tensor([[3.0, 0.0], [4.0, 1.0]]), torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[-2.0, 3.0]])]
mistakes = {
    "you added up the norms: multiply them": [8.0, 6.0],
    "these are the squares of the norms": [100.0, 36.0],
    "the last factor is missing": [5.0, 2.0],
    "a sign is left: a norm is not negative": [-10.0, 6.0],
    "you took the norms of the rows: each column is a component": [15.0, 10.0],
}
hint = "Component 0 has the norm 5 x 1 x 2, component 1 the norm 1 x 2 x 3."
assert_tensor(component_norms([factor.clone() for factor in factors]), torch.tensor([10.0, 6.0]), hint, mistakes)
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.layers")
generator = torch.Generator().manual_seed(710)
for shape, rank, dtype in [((5, 4, 3, 2), 3, torch.float64), ((3, 3, 3), 3, torch.float32), ((2, 6), 1, torch.float64)]:
    factors = [torch.randn(size, rank, generator=generator, dtype=dtype) for size in shape]
    expected = torch.stack([cp_tensor([factor[:, r : r + 1] for factor in factors]).norm() for r in range(rank)])
    got = component_norms([factor.clone() for factor in factors])
    assert_tensor(got, expected, f"wrong for factors of a tensor of shape {shape} and {rank} components")
### END HIDDEN TESTS

# %% [markdown]
# **Explore.** A small tensor with a large surprise. With two orthogonal vectors $a$ and $b$ of length one, the tensor
#
# $$\mathcal{X} = a \circ a \circ b + a \circ b \circ a + b \circ a \circ a$$
#
# has rank 3: no two components are equal to it. But two come as close as you like, since
#
# $$\frac{1}{2 \varepsilon} (a + \varepsilon b) \circ (a + \varepsilon b) \circ (a + \varepsilon b)
#   - \frac{1}{2 \varepsilon} (a - \varepsilon b) \circ (a - \varepsilon b) \circ (a - \varepsilon b)
#   = \mathcal{X} + \varepsilon^2 \, b \circ b \circ b .$$
#
# (One says that its *border rank* is 2. A matrix has no such thing.) The table has the error for several
# $\varepsilon$, the norm of the larger component divided by that of the tensor, and the error after each factor has
# been rounded to 8 bits. **Predict** the last two columns: which way do they go?


# %% given="border"
def border_tensor() -> torch.Tensor:
    """The sum a a b + a b a + b a a, of shape 2 x 2 x 2."""
    tensor = torch.zeros(2, 2, 2, dtype=torch.float64)
    tensor[0, 0, 1] = tensor[0, 1, 0] = tensor[1, 0, 0] = 1.0
    return tensor


def border_pair(epsilon: float) -> list[torch.Tensor]:
    """Factors of the two components that come close to it, each with the same scale in every mode."""
    scale = (2 * epsilon) ** (-1 / 3)
    factor = scale * torch.tensor([[1.0, -1.0], [epsilon, epsilon]], dtype=torch.float64)
    return [factor.clone() for _ in range(3)]


def rounded(factor: torch.Tensor) -> torch.Tensor:
    """The numbers of a factor as multiples of one step, between -127 and 127 steps."""
    step = factor.abs().max() / 127
    return (factor / step).round() * step


# %%
border = border_tensor()
rows = {}
for epsilon in (0.3, 0.1, 0.03, 0.01, 0.003):
    pair = border_pair(epsilon)
    rows[epsilon] = {
        "error": cp_error(border, pair),
        "largest component": component_norms(pair).max().item() / border.norm().item(),
        "error after rounding": cp_error(border, [rounded(factor) for factor in pair]),
    }
pd.DataFrame(rows).T.rename_axis("epsilon").round(4)

# %% [markdown]
# Nobody would choose such components. But ALS does: they lower the error. Look how error and norms go on and on
# without a ridge, and where a small ridge stops them.

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 2.8))
for ridge, style in ((0.0, "-"), (1e-3, "--")):
    history = cp_als(border, 2, ridge, sweeps=100 if being_graded() else 1000, seed=1)
    numbers = range(1, len(history) + 1)
    axes[0].loglog(numbers, [cp_error(border, factors) for factors in history], style, label=f"ridge {ridge:g}")
    norms = [component_norms(factors).max().item() / border.norm().item() for factors in history]
    axes[1].semilogx(numbers, norms, style)
axes[0].set(xlabel="sweeps (log scale)", ylabel="relative error (log scale)")
axes[1].set(xlabel="sweeps (log scale)", ylabel="largest component / tensor")
axes[0].legend()
plt.show()

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# The smaller the error, the larger the two components, which cancel each other nearly completely: the decomposition
# is *degenerate*. With $\varepsilon = 0.01$ the error is below 0.01 %, but rounding to 8 bits makes it 21 %, and
# gradient descent suffers in the same way: a small step in one factor destroys the balance. ALS goes there slowly,
# but does not stop. The ridge charges for the norm of every component: it stops early, with an error of 4 % and
# components hardly larger than the tensor.
# </details>
#
# ## Exercise 11: CP layers (2 points, 9 minutes)
#
# A sum of products makes four cheap convolutions (Lebedev et al., 2015). The two in the middle are **depthwise**:
# each of the $R$ maps has a filter of its own, `groups=R`.
#
# | layer | from → to | weight from | shape of the weight |
# |---|---|---|---|
# | 1 x 1 | $I \to R$ | $B$ | $R \times I \times 1 \times 1$ |
# | vertical, $k_h \times 1$, depthwise | $R \to R$ | $C$ | $R \times 1 \times k_h \times 1$ |
# | horizontal, $1 \times k_w$, depthwise | $R \to R$ | $D$ | $R \times 1 \times 1 \times k_w$ |
# | 1 x 1 | $R \to O$ | $A$ | $O \times R \times 1 \times 1$ |
#
# **Predict**: a convolution has the stride (2, 1) and the padding (0, 1). Which layer gets what?
#
# **Fill** `cp_layers`. The factors come in the order of the modes of the kernels: $A$, $B$, $C$, $D$. *Hint:
# `convolution_of` has a `groups`. `convolution.stride` and `convolution.padding` are pairs, vertical and horizontal.*
#
# <details><summary>Next step</summary>
#
# `vertical.T[:, None, :, None]` has the shape $R \times 1 \times k_h \times 1$; it gets the first numbers of both
# pairs, as in `stride=(convolution.stride[0], 1)`, `padding=(convolution.padding[0], 0)`. The horizontal one gets the
# second numbers. The last layer gets the bias.
# </details>


# %% exercise="cp_layers"
def cp_layers(factors: list[torch.Tensor], convolution: nn.Conv2d) -> nn.Sequential:
    """Four convolutions in the place of one: 1 x 1 to R maps, vertical, horizontal (depthwise), 1 x 1 to O maps."""
    outputs, inputs, vertical, horizontal = factors
    rank = outputs.shape[1]
    (down, right), (above, beside) = convolution.stride, convolution.padding
    ### BEGIN SOLUTION stub="Exercise 11: return an nn.Sequential of four convolutions"
    return nn.Sequential(
        convolution_of(inputs.T[:, :, None, None]),
        convolution_of(vertical.T[:, None, :, None], stride=(down, 1), padding=(above, 0), groups=rank),
        convolution_of(horizontal.T[:, None, None, :], stride=(1, right), padding=(0, beside), groups=rank),
        convolution_of(outputs[:, :, None, None], bias=convolution.bias),
    )
    ### END SOLUTION


# %% check="cp_layers" points=2
convolution = random_convolution(3, 4, (3, 3), seed=3, stride=(2, 3), padding=(1, 2))
generator = torch.Generator().manual_seed(4)
factors = [torch.randn(size, 2, generator=generator) for size in (4, 3, 3, 3)]
images = torch.randn(2, 3, 8, 6, generator=generator)
kernels, bias = cp_tensor(factors), convolution.bias.detach()
expected = F.conv2d(images, kernels, bias, (2, 3), (1, 2))
layers = cp_layers([factor.clone() for factor in factors], convolution)
shapes = [(2, 3, 1, 1), (2, 1, 3, 1), (2, 1, 1, 3), (4, 2, 1, 1), (4,)]
assert_layers(layers, shapes, "1 x 1, vertical, horizontal, 1 x 1 and its bias")
mistakes = {
    "the bias is missing": F.conv2d(images, kernels, None, (2, 3), (1, 2)),
    "the vertical and the horizontal factor are exchanged": F.conv2d(images, kernels.mT, bias, (2, 3), (1, 2)),
    "the stride is missing": F.conv2d(images, kernels, bias, 1, (1, 2)),
    "the padding is missing": F.conv2d(images, kernels, bias, (2, 3)),
    "stride and padding are missing": F.conv2d(images, kernels, bias),
    "the pairs are exchanged: the first number is the vertical one": F.conv2d(images, kernels, bias, (3, 2), (2, 1)),
}
hint = "The layers have to do what F.conv2d does with the sum of the components. {}".format(
    "The vertical layer gets the first numbers of stride and padding, the horizontal one the second, the others none."
)
assert_tensor(layers(images.clone()), expected, hint, mistakes)
assert_strides(layers, [(1, 1), (2, 1), (1, 3), (1, 1)])

### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.layers")
generator = torch.Generator().manual_seed(711)
for i, o, kernel, rank, dtype, settings in [
    (5, 3, (3, 5), 4, torch.float64, {"stride": (3, 2), "padding": (1, 2)}),
    (4, 4, (5, 1), 6, torch.float32, {"padding": (2, 0)}),
    (2, 6, (3, 3), 1, torch.float64, {"stride": (1, 2)}),
]:
    convolution = random_convolution(i, o, kernel, seed=i, dtype=dtype, **settings)
    factors = [torch.randn(size, rank, generator=generator, dtype=dtype) for size in (o, i, *kernel)]
    images = torch.randn(2, i, 9, 11, generator=generator, dtype=dtype)
    bias = convolution.bias.detach().clone()
    expected = F.conv2d(images, cp_tensor(factors), bias, convolution.stride, convolution.padding)
    layers = cp_layers([factor.clone() for factor in factors], convolution)
    wanted = [(rank, i, 1, 1), (rank, 1, kernel[0], 1), (rank, 1, 1, kernel[1]), (o, rank, 1, 1), (o,)]
    assert_layers(layers, wanted, "1 x 1, vertical, horizontal, 1 x 1 and its bias")
    assert_tensor(layers(images.clone()), expected, f"wrong for a kernel {kernel} with {settings}", None, 1e-3)
    (down, right) = convolution.stride
    assert_strides(layers, [(1, 1), (down, 1), (1, right), (1, 1)])
    bare = nn.Conv2d(i, o, kernel, bias=False, dtype=dtype, **settings)
    layers = cp_layers([factor.clone() for factor in factors], bare)
    assert_layers(layers, wanted[:4], "1 x 1, vertical, horizontal, 1 x 1: the convolution has no bias")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# The vertical layer gets the stride (2, 1) and no padding, the horizontal one the stride (1, 1) and the padding (0,
# 1).
# </details>
#
# ## Part 4. A network
#
# The next cell trains three networks on the digits, which differ in their seed; each takes a few seconds. (A grader
# skips it.) Three, because the test set has 360 digits only: one digit is 0.28 %.

# %%
digits = data.load("digits")
networks = []
for seed in () if being_graded() else (0, 1, 2):
    training.seed_everything(seed)
    network = small_convnet((16, 32), in_channels=1)
    training.fit(network, digits, epochs=12, batch_size=64, seed=seed)
    networks.append(network)
print([f"{training.evaluate(network, digits).accuracy:.1%}" for network in networks])

# %% [markdown]
# ## Exercise 12: ranks from the energy (1 point, 5 minutes)
#
# How many channels are enough? A usual rule looks at each channel mode on its own: the **smallest** rank whose
# leading singular values of $W_{(m)}$ hold a given share of the *energy*, the sum of all **squared** singular values:
#
# $$R_m = \min \Big\{ R : \textstyle\sum_{r \le R} \sigma_r^2 \,\ge\, \text{energy} \cdot \sum_r \sigma_r^2 \Big\},
#   \qquad \sigma_1 \ge \sigma_2 \ge \dots \text{ of } W_{(m)} .$$
#
# **Predict**: the singular values are 3, 2 and 1, and 90 % of the energy is to be kept. What is the rank?
#
# **Fill** `energy_ranks`: the ranks of mode 0 and mode 1 as two Python ints. *Hint: `torch.linalg.svdvals`, `cumsum`.
# How many entries of the running sum are still **below** the goal, and what does that say about the rank?*
#
# <details><summary>Next step</summary>
#
# Square the `torch.linalg.svdvals` of the unfolding. The rank is one more than the number of entries of their
# `cumsum(0)` that are smaller than `energy` times their sum.
# </details>


# %% exercise="energy_ranks"
def energy_ranks(weight: torch.Tensor, energy: float) -> tuple[int, int]:
    """Smallest ranks of the output and the input mode that keep this share (below 1) of the squared singular values."""
    ### BEGIN SOLUTION stub="Exercise 12: return (out_rank, in_rank), two ints"
    ranks = []
    for mode in (0, 1):
        energies = torch.linalg.svdvals(unfold(weight, mode)) ** 2
        below = energies.cumsum(dim=0) < energy * energies.sum()
        ranks.append(below.sum().item() + 1)
    return ranks[0], ranks[1]
    ### END SOLUTION


# %% check="energy_ranks" points=1
weight = torch.zeros(3, 2, 2, 1)
weight[0, 0, 0, 0], weight[1, 0, 1, 0], weight[2, 1, 0, 0] = 3.0, 2.0, 1.0
got = energy_ranks(weight.clone(), 0.9)
mistakes = {
    (3, 2): "you added up singular values without squaring them",
    (1, 2): "the two ranks are exchanged: outputs are mode 0",
    (1, 0): "one is missing: the entry that reaches the goal counts too",
    (2, 2): "both ranks come from mode 0",
    (1, 1): "both ranks come from mode 1",
}
assert isinstance(got, tuple) and len(got) == 2, f"expected a tuple (out_rank, in_rank), got {got!r}"
assert all(isinstance(rank, int) for rank in got), f"expected two Python ints, got {got!r}: .item() makes them"
hint = f" It seems that {mistakes[got]}." if got in mistakes else ""
assert got == (2, 1), f"expected (2, 1): the energies are 9, 4, 1 in mode 0 and 13, 1 in mode 1. Got {got}.{hint}"
### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.layers")
generator = torch.Generator().manual_seed(712)
for shape, energy, dtype in [
    ((8, 5, 3, 3), 0.7, torch.float32),
    ((4, 9, 1, 5), 0.95, torch.float64),
    ((6, 6, 3, 2), 0.3, torch.float32),
    ((5, 12, 3, 3), 0.01, torch.float64),
]:
    weight = torch.randn(shape, generator=generator, dtype=dtype)
    weight *= torch.linspace(0.1, 3.0, shape[0], dtype=dtype)[:, None, None, None]
    expected = []
    for mode in (0, 1):
        rows = torch.stack([weight.select(mode, i).flatten() for i in range(shape[mode])]).double()
        values = torch.linalg.eigvalsh(rows @ rows.T).flip(0).tolist()
        expected.append(next(r for r in range(1, len(values) + 1) if sum(values[:r]) >= energy * sum(values)))
    got = energy_ranks(weight.clone(), energy)
    assert isinstance(got, tuple) and len(got) == 2, f"expected a tuple of two ranks, got {got!r}"
    assert all(isinstance(rank, int) for rank in got), f"expected two ints, got {got!r}"
    assert got == tuple(expected), f"expected {tuple(expected)} for {energy:.0%} of a weight {shape}, got {got}"
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# 2: the energies are 9, 4 and 1, and 13 of 14 are 93 %. (Without squares it would be 3.)
# </details>
#
# **Explore.** The largest layer of the first network, $32 \times 32 \times 3 \times 3$: error against the share of
# its 9,216 weights that is stored, for Tucker-2 with ranks by energy, and for CP. The dashed line is where nothing is
# saved any more. Beside the trained kernels stand random ones. **Predict** which of the two can be decomposed, and
# where Tucker-2 stops to save anything.


# %% given="sizes"
def tucker_params(o: int, i: int, kernel: tuple[int, int], out_rank: int, in_rank: int) -> int:
    """Weights of the three Tucker layers."""
    return in_rank * i + out_rank * in_rank * kernel[0] * kernel[1] + o * out_rank


def cp_params(o: int, i: int, kernel: tuple[int, int], rank: int) -> int:
    """Weights of the four CP layers."""
    return rank * (o + i + kernel[0] + kernel[1])


# %%
kernels = {"random": random_kernels}
if networks:
    kernels["trained"] = networks[0][10].weight.detach()
fig, ax = plt.subplots(figsize=(6, 3.2))
for (name, weight), color in zip(kernels.items(), plots.PALETTE, strict=False):
    chosen = [energy_ranks(weight, energy) for energy in (0.3, 0.5, 0.7, 0.8, 0.9, 0.97)]
    errors = [tucker_error(weight, tucker2(weight, *ranks)) for ranks in chosen]
    stored = [tucker_params(32, 32, (3, 3), *ranks) / 9216 for ranks in chosen]
    ax.plot(stored, errors, marker="o", color=color, label=f"{name}, Tucker-2")
    ranks = (8, 32) if being_graded() else (8, 16, 32, 64, 96)
    errors = [cp_error(weight.double(), cp_als(weight, rank, 1e-4, sweeps=30)[-1]) for rank in ranks]
    stored = [cp_params(32, 32, (3, 3), rank) / 9216 for rank in ranks]
    ax.plot(stored, errors, marker="s", linestyle=":", color=color, label=f"{name}, CP")
    print(f"{name}: ranks by energy {chosen}")
ax.axvline(1, color="gray", linestyle="--")
ax.set(xlabel="stored numbers / 9,216", ylabel="relative error", ylim=(0, 1))
ax.legend()
plt.show()

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# Trained kernels are far from random: at the same size they lose much less. In this layer CP loses less than Tucker-2
# of the same size, too. And ranks below the number of channels are no guarantee: Tucker-2 stores $64 R + 9 R^2$
# numbers with equal ranks, which are 8,848 for $R = 28$ and 9,425 for $R = 29$. CP stores $70 R$ and saves something
# up to $R = 131$, so the ranks of the two cannot be compared.
# </details>
#
# ## Exercise 13: into the network (1 point, 6 minutes)
#
# A *plan* is a dictionary from the names of convolutions to their ranks. But not every plan pays: a layer whose
# replacement would not have **fewer** parameters stays as it is. Your function gets the network, the plan and a
# function `make_layers(convolution, rank)`, which makes the layers that are to stand in the place of a convolution.
# The next cell has two of them: `decomposed` uses what you have written, CP for a number and Tucker-2 for a pair, and
# `practice_layers` is for the checks. (For CP, `decomposed` gives all four factors an equal share of a component's
# norm, so that fine-tuning moves all of them alike.)


# %% given="decomposed"
def decomposed(convolution: nn.Conv2d, rank: int | tuple[int, int]) -> nn.Sequential:
    """The layers of a convolution: CP with `rank` components, or Tucker-2 with a pair of ranks (outputs, inputs)."""
    weight = convolution.weight.detach()
    if isinstance(rank, tuple):
        return tucker_layers(tucker2(weight, *rank), convolution)
    factors = cp_als(weight, rank, ridge=1e-4)[-1]
    shares = component_norms(factors) ** (1 / 4)
    factors = [(factor / factor.norm(dim=0) * shares).to(weight.dtype) for factor in factors]
    return cp_layers(factors, convolution)


def practice_layers(convolution: nn.Conv2d, rank: int) -> nn.Sequential:
    """Two layers by the singular value decomposition: kernels of `rank` maps, then a 1 x 1 convolution."""
    weight = convolution.weight.detach()
    left, values, right = torch.linalg.svd(weight.flatten(1), full_matrices=False)
    kernels = (values[:rank, None] * right[:rank]).reshape(-1, *weight.shape[1:])
    first = convolution_of(kernels, None, convolution.stride, convolution.padding)
    return nn.Sequential(first, convolution_of(left[:, :rank, None, None], convolution.bias))


def count(layer: nn.Module) -> int:
    """The number of a layer's parameters."""
    return sum(parameter.numel() for parameter in layer.parameters())


def practice_network() -> nn.Sequential:
    """Kernels of any kind in layer 0, of rank 2 in layer 1.1, and of rank 1 in layer 2."""
    generator = torch.Generator().manual_seed(13)
    weights = [torch.randn(4, 1, 3, 3, generator=generator)]
    for rank, (o, *sizes) in ((2, (6, 4, 3, 3)), (1, (9, 6, 3, 1))):
        kernels = torch.randn(rank, *sizes, generator=generator)
        weights.append(torch.einsum("or,rihw->oihw", torch.randn(o, rank, generator=generator), kernels))
    biases = [torch.randn(len(weight), generator=generator) for weight in weights]
    first = convolution_of(weights[0], biases[0], padding=(1, 1))
    second = convolution_of(weights[1], biases[1], stride=(2, 2), padding=(1, 1))
    return nn.Sequential(first, nn.Sequential(nn.ReLU(), second), convolution_of(weights[2], biases[2]))


# %% [markdown]
# **Predict**: a layer of 32 x 32 x 3 x 3 is replaced by Tucker-2 with the ranks 32 and 32. Does it become smaller,
# larger, or neither?
#
# **Fill** `compress`: return a **new** network, and leave the given one as it is. *Hint: `copy.deepcopy(network)`;
# `network.get_submodule(name)` finds a layer, and `network.set_submodule(name, layer)` puts another one into its
# place. `count` counts parameters.*
#
# <details><summary>Next step</summary>
#
# Copy the network first. For each name and rank in `plan.items()`, get the convolution from the copy and call
# `make_layers`. Only if the `count` of what it returns is below that of the convolution, set it in the copy. Return
# the copy.
# </details>


# %% exercise="compress"
def compress(network: nn.Module, plan: dict, make_layers) -> nn.Module:
    """A copy of a network with `make_layers(convolution, rank)` wherever the plan says so and it is smaller."""
    ### BEGIN SOLUTION stub="Exercise 13: return a copy with smaller layers in the place of the planned convolutions"
    small = copy.deepcopy(network)
    for name, rank in plan.items():
        convolution = small.get_submodule(name)
        layers = make_layers(convolution, rank)
        if count(layers) < count(convolution):
            small.set_submodule(name, layers)
    return small
    ### END SOLUTION


# %% check="compress" points=1
network = hand_over(practice_network())
images = torch.randn(2, 1, 8, 6, generator=torch.Generator().manual_seed(14))
expected = practice_network()(images).detach()
small = compress(network, {"0": 4, "1.1": 2, "2": 1}, practice_layers)
assert isinstance(small, nn.Module), f"expected a network, got {small!r}"
shapes = {name: tuple(value.shape) for name, value in small.state_dict().items()}
assert "0.weight" in shapes, "expected layer 0 to stay as it is: its replacement has 56 parameters instead of 40"
assert "1.1.weight" not in shapes, "expected layer 1.1 to be replaced, got the convolution: 222 parameters become 90"
assert "2.weight" not in shapes, "expected layer 2 to be replaced, got the convolution: 171 parameters become 36"
hint = "The kernels of these layers have exactly these ranks, so the output must not change."
assert_tensor(small(images.clone()), expected, hint, tolerance=1e-3)
names = [name for name, _ in network.named_parameters()]
assert "1.1.weight" in names and "2.weight" in names, (
    f"expected the given network to keep its own layers, it has {names}: make a deep copy, and change the copy"
)
same = compress(hand_over(practice_network()), {"2": 6}, practice_layers)
names = [name for name, _ in same.named_parameters()]
assert "2.weight" in names, "expected layer 2 to stay as it is with rank 6: both ways it has 171 parameters, not fewer"

### BEGIN HIDDEN TESTS
not_imported("factorkit.decompositions", "factorkit.compress", "factorkit.layers")
dense = {name: value.clone() for name, value in practice_network().state_dict().items()}
images = torch.randn(3, 1, 7, 9, generator=torch.Generator().manual_seed(15))
expected = practice_network()(images).detach()
second = [(2, 4, 3, 3), (6, 2, 1, 1), (6,)]
third = [(1, 6, 3, 1), (9, 1, 1, 1), (9,)]
for plan, inside, last in [
    ({"1.1": 2}, second, None),
    ({"2": 1, "0": 3}, None, third),
    ({"1.1": 6, "2": 1}, None, third),
    ({"1.1": 2, "2": 6}, second, None),
    ({}, None, None),
]:
    network = hand_over(practice_network())
    small = compress(network, plan, practice_layers)
    found = [tuple(value.shape) for value in small.state_dict().values()]
    wanted = [(4, 1, 3, 3), (4,), *(inside or [(6, 4, 3, 3), (6,)]), *(last or [(9, 6, 3, 1), (9,)])]
    assert found == wanted, f"with the plan {plan}: expected weights of the shapes {wanted}, got {found}"
    assert_tensor(small(images.clone()), expected, f"wrong with the plan {plan}", tolerance=1e-3)
    left = {name: value.detach().clone() for name, value in network.state_dict().items()}
    assert set(left) == set(dense), f"the given network was changed, it has {sorted(left)}"
    for name, value in dense.items():
        torch.testing.assert_close(left[name], value, rtol=0, atol=0, msg=f"the given network's {name} was changed")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Larger: the core is as large as the kernels were, and two 1 x 1 layers come on top.
# </details>
#
# ## Compress and fine-tune (5 minutes)
#
# Four plans for the three convolutions behind the first, two by Tucker-2 and two by CP with about as many parameters.
# Each network is measured as it comes out, and once more after four epochs of fine-tuning. `profile_model`, which
# counts the entries of the course's challenge, counts parameters and multiply-accumulates (MACs). The *score* is made
# as there, storage plus operations relative to a reference; here that is the dense network, which has 2.
#
# **Predict**: which falls more before fine-tuning, CP or Tucker-2? And what is left of the difference afterwards?

# %%
PLANS = {
    "Tucker-2, 80 % energy": lambda network: {n: energy_ranks(network[int(n)].weight, 0.8) for n in ("3", "7", "10")},
    "CP, R = 24, 24, 48": lambda network: {"3": 24, "7": 24, "10": 48},
    "Tucker-2, 50 % energy": lambda network: {n: energy_ranks(network[int(n)].weight, 0.5) for n in ("3", "7", "10")},
    "CP, R = 8, 8, 16": lambda network: {"3": 8, "7": 8, "10": 16},
}
rows = []
for seed, network in enumerate(networks):
    dense = profile_model(network, (1, 8, 8))
    for name, plan in {"dense": lambda network: {}, **PLANS}.items():
        small = compress(network, plan(network), decomposed)
        costs = profile_model(small, (1, 8, 8))
        row = {"network": name, "seed": seed, "parameters": costs.params, "MACs": costs.macs}
        row["score"] = costs.params / dense.params + costs.macs / dense.macs
        row["decomposed"] = row["fine-tuned"] = 100 * training.evaluate(small, digits).accuracy
        if name != "dense":
            options = {"epochs": 4, "lr": 0.003, "batch_size": 64, "seed": seed, "progress": False}
            row["fine-tuned"] = 100 * float(training.fit(small, digits, **options).test_accuracy.iloc[-1])
        rows.append(row)
        print({key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()})

# %%
if rows:
    groups = pd.DataFrame(rows).groupby("network", sort=False)
    fig, ax = plt.subplots(figsize=(6.5, 2.8))
    for column, marker in (("decomposed", "o"), ("fine-tuned", "^")):
        mean, low, high = groups[column].mean(), groups[column].min(), groups[column].max()
        labels = [f"{name} ({score:.2f})" for name, score in groups["score"].mean().items()]
        ax.errorbar(mean, labels, xerr=[mean - low, high - mean], marker=marker, linestyle="", capsize=3, label=column)
    ax.invert_yaxis()
    ax.set(xlabel="test accuracy (%)", ylabel="network (score)", xlim=(0, 102))
    ax.legend(loc="lower center")
    plt.show()
    display(groups[["parameters", "MACs", "score", "decomposed", "fine-tuned"]].mean().round(2))

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# In our run the larger pair, with a score of about 0.75, came out at 82 % (Tucker-2) and 92 % (CP) and was fine-tuned
# to 99.5 and 99.1 %, where the dense networks have 99.5: that is a digit or two, and nothing to choose between them.
# The smaller pair, with 0.30, came out at 16 and 21 %, not far from guessing, and still four epochs brought 96.6 and
# 98.2 % back. Here all three networks by CP were better than all three by Tucker-2. How bad a network is *before*
# fine-tuning says little about how good it is after it.
# </details>
#
# ## Exercise 14: when does it pay? (2 points, 7 minutes)
#
# A study of VGG-16 reports for its second layer (64 x 64 x 3 x 3) that Tucker-2 with $R_o = R_i = 60$ has *1.1 times
# fewer parameters*. A colleague concludes: *"So any rank below the number of channels saves something. And since CP
# needs no core, it is the smaller and the better one at any rank."*
#
# **Answer in four to seven sentences**, with numbers:
#
# 1. Count the parameters of that layer before and after (without bias). What is right about *1.1*, and up to which
#    rank does Tucker-2 with equal ranks save anything here?
# 2. Compare one plan by Tucker-2 and one by CP of about the same size in your own table, before and after
#    fine-tuning. Which would you hand in, and what do three networks on 360 digits allow you to say?

# %% [markdown] written="when_does_it_pay" points=2
# ### BEGIN SOLUTION
# **The count.** The dense layer has 64 x 64 x 9 = 36,864 parameters. Tucker-2 with ranks of 60 has 64 x 60 + 9 x 60 x
# 60 + 60 x 64 = 40,080: the layer *grows*, by a factor of 1.09, so the study has printed the inverse ratio.
# $128 R + 9 R^2 < 36,864$ holds up to $R = 57$ (36,537), which saves 1 %. CP does need fewer parameters at the same
# number, $134 R$, 8,040 with $R = 60$; but its rank counts components and not channels, so the two do not compare,
# and above $R = 275$ it grows as well.
#
# **The table.** Score 0.30 against 0.29: Tucker-2 with 50 % of the energy fell from 99.5 to 16.3 % and was fine-tuned
# to 96.6 % (95.8 to 96.9), CP with 8, 8 and 16 components fell to 20.9 % and came back to 98.2 % (98.1 to 98.3). I
# would hand in CP: its worst network is better than the best by Tucker-2, by four digits or more. With the larger
# plans (99.5 and 99.1 %) the difference is one or two digits of 360, and three networks cannot tell them apart.
# ### END SOLUTION
# ### BEGIN MARK SCHEME
# Accuracies must come from the student's own run and fit the claim; the counts do not depend on the run. One point
# for each of the two questions; a right claim without a number earns nothing for that question.
#
# *The count*: 40,080 against 36,864, so the layer grows (1.1 is the inverse), and 57 as the largest rank that saves;
# "about 57", or 57.3 as the root of the equation, is fine. That ranks of CP and Tucker-2 mean different things may be
# missing. *The table*: one pair of about equal size, accuracies before and after fine-tuning, a choice that follows
# from them, and a word on what is within the spread of the networks. A student in whose run Tucker-2 is better gets
# the point for saying so by the same comparison.
#
# - 0 points: the claims are repeated, or denied without a number.
# - 1 point: one of the two. Example: *"Before: 36,864. After: 3,840 + 32,400 + 3,840 = 40,080. It is 1.09 times
#   larger, not smaller. From R = 58 on Tucker-2 costs more than the dense layer."*
# - 2 points: both. Example: the above, and *"At a score of 0.3 both were useless at first (16 and 21 %), after
#   fine-tuning CP had 98.2 % and Tucker-2 96.6 %, and each network by CP was better than each by Tucker-2. At 0.75
#   they differ by 0.4 points, one or two digits, so I cannot tell which is better there. I hand in CP with 0.29."*
# ### END MARK SCHEME

# %% [markdown]
# ## What you take away
#
# - Unfold, multiply, fold: with these three, tensors are a matter of matrices. Any order of the columns works, if
#   everything keeps to it.
# - Tucker-2 by HOSVD is two singular value decompositions and a projection; its error follows from two norms. It
#   shrinks channels.
# - CP is a sum of components, found by taking turns; a step is one small system of equations. A best CP approximation
#   need not exist: if components grow and cancel, a ridge holds them, at a small price in error.
# - Both are sequences of ordinary convolutions: stride and padding go to the layers that look at neighbors, the bias
#   to the last.
# - Decomposing may make a layer larger. Count before you believe, and fine-tune before you judge.
#
# When you have handed in, look at `factorkit.decompositions`, which does the same with fewer and larger products, and
# at `factorkit.compress`, which chooses the ranks of a whole network.
#
# Now *Restart Kernel and Run All Cells*, check that every check is silent, save, and hand in.
