# ---
# jupyter:
#   kernelspec: {display_name: Python 3 (ipykernel), language: python, name: python3}
#   lab:
#     title: "Shift attention: learn which weight to keep"
#     minutes: 90
#     points: 20
#     not_imported: [factorkit.layers, factorkit.schedules]
# ---
# %% [markdown]
# # Lab 03. Shift attention: learn which weight to keep
#
# A 3 x 3 convolution owns nine weights for every pair of an output map and an input map. What if each pair could keep
# only **one** of them? Such a convolution moves every input map by at most one pixel and multiplies it by one number: a
# *shift* and a 1 x 1 product. In this lab a network learns, while it trains, which of the nine to keep. You write the
# attention that chooses, the schedule that makes it decide, and the layer without any kernel that is left at the end.
#
# **When you have finished, you can**
#
# - turn scores into an attention whose sharpness depends on a temperature, not on the size of the scores;
# - let a choice among nine weights be trained by gradient descent, and become a hard choice step by step;
# - say why rounding an attention is not the same as keeping its largest entry, and what it costs;
# - convert the trained layer to shifts and products, and show that nothing has changed;
# - count what such a layer stores and computes, *with* the bits that say which weight was kept.
#
# **Time**: about 90 minutes, of which about 3 are training.
#
# | | exercise | points | minutes |
# |---|---|---:|---:|
# | | *before you start* | | 3 |
# | 1 | normalize the scores | 2 | 9 |
# | 2 | softmax with a temperature | 2 | 9 |
# | 3 | a temperature that grows | 1 | 6 |
# | 4 | convolve with attention | 1 | 6 |
# | 5 | a layer that learns what to keep | 2 | 9 |
# | 6 | what rounding leaves | 1 | 6 |
# | 7 | exactly one survivor | 2 | 7 |
# | 8 | which weight, and where it was | 2 | 8 |
# | 9 | shift and multiply | 3 | 11 |
# | 10 | what the layer stores and computes | 2 | 8 |
# | 11 | written: nine times smaller? | 2 | 8 |
# | | **sum** | **20** | **90** |
#
# ## Before you start (3 minutes)
#
# **What is graded.** Exercises 1 to 10 are graded automatically, exercise 11 is read by a person. Under each exercise
# stands a *check*: it tries your answer on small numbers and says what it expected and what it got. The grader runs the
# same check, and then *hidden tests* that ask for the same property elsewhere: other shapes (kernels need not be square),
# other strides and paddings, other random numbers. Predictions, explorations and the training are for you; no points
# depend on them.
#
# **How to work.**
#
# - Run the cells from top to bottom. Each cell to fill contains one line `raise NotImplementedError("Exercise ...")`: put
#   your answer in its place, one to ten lines. Code around it stays as it is.
# - Where the text says **Predict**, commit yourself to an answer before you run the next cell.
# - Stuck? Every exercise has a hint in its text, and the next step folded away under *Next step*.
# - `factorkit.layers` and `factorkit.schedules` contain what you write here, and `factorkit.models` uses them, so **do not
#   import these three in this lab**; the hidden tests check that. Everything else of `factorkit` and PyTorch is welcome.
# - Do not delete, copy or rename cells. Add as many cells of your own as you like.
# - Before you hand in: *Kernel → Restart Kernel and Run All Cells*, look at the checks, save.

# %% given="setup"
import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from factorkit import data, plots, training
from factorkit.checks import being_graded, not_imported

plots.use_style()

# %% [markdown]
# The next cell holds two helpers for the checks. You need not read it; run it.


# %% given="helpers"
def assert_number(got: object, expected: int | float, how: str, mistakes: dict[int | float, str] | None = None) -> None:
    """Compare a number with the expected one; `mistakes` explains well-known wrong numbers."""
    kind = type(expected)
    hints = {
        type(None): "Does the function return its result?",
        float: "This is a count, a whole number: int(...), // or math.ceil give one.",
        torch.Tensor: "Turn a tensor with one number into a Python number with .item().",
    }
    shown = f"{str(got)[:60]} of type {type(got).__name__}. {hints.get(type(got), '')}"
    assert isinstance(got, kind), f"expected the {kind.__name__} {expected:,}, got {shown}"
    close = [why for number, why in (mistakes or {}).items() if math.isclose(got, number, rel_tol=1e-4)]
    hint = f" It seems that {close[0]}." if close else ""
    assert math.isclose(got, expected, rel_tol=1e-6), f"expected {how} = {expected:,}, got {got:,}.{hint}"


def assert_tensor(
    got: object, expected: torch.Tensor, hint: str, mistakes: dict[float, str] | None = None, tolerance: float = 1e-5
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


# %% [markdown]
# ## Part 1. A choice that can be trained
#
# The weight of a convolution is a tensor of shape $O \times I \times k_h \times k_w$: $O$ output maps, $I$ input maps, and
# a kernel of $S = k_h k_w$ weights for each pair $(o, i)$. The $S$ weights of one pair are called a **slice** here.
#
# What does a slice with a single weight do? In the next cell the only weight of a 3 x 3 kernel that is not zero stands in
# its upper left corner. **Predict**: in which direction does it move the map?

# %%
image = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)
kernel = torch.zeros(1, 1, 3, 3)
kernel[0, 0, 0, 0] = 10.0
print(image[0, 0], F.conv2d(image, kernel, padding=1)[0, 0], sep="\n\n")

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Down and to the right by one pixel (and ten times larger): every output looks at its upper left neighbor. Zeros come in
# from the padding. There are nine such moves, "stay" among them, and they cost no multiplication.
# </details>
#
# Wu et al. (2018) built networks with shifts that were fixed beforehand. The *shift attention layer* (Hacene et al., 2019)
# **learns** them. Beside the weight it trains one score for each weight, the tensor $A$ of shape $O \times I \times S$, and
# convolves with the weights times an attention $P$ that is made from the scores, slice by slice:
#
# $$P_{o,i,:} = \operatorname{softmax}\!\left(T \cdot \frac{A_{o,i,:}}{\operatorname{std}(A_{o,i,:})}\right),
#   \qquad Y = \operatorname{conv}(X,\; P \odot W).$$
#
# The attention of a slice is positive and sums to one. $T$ grows during training: while it is small, all weights of a
# slice take part, at the end nearly one alone. It multiplies, so it is an *inverse* temperature; we call it
# temperature, as the authors' code does.
#
# ## Exercise 1: normalize the scores (2 points, 9 minutes)
#
# How sharp a softmax is depends on how far its inputs are apart. Weight decay shrinks all scores, and would slowly undo
# the choice. So each slice is divided by its own standard deviation first:
#
# $$\hat A_{o,i,:} = \frac{A_{o,i,:}}{\sigma_{o,i} + \varepsilon}, \qquad
#   \sigma_{o,i}^2 = \frac{1}{S - 1} \sum_s \left(A_{o,i,s} - \bar A_{o,i}\right)^2 .$$
#
# The mean is *not* subtracted. The small $\varepsilon$ keeps the quotient finite when all scores of a slice are equal.
#
# **Predict**: all scores are multiplied by 1,000. What happens to $\hat A$? And why is there no need to subtract the mean
# before a softmax?
#
# **Fill** `normalize`, for scores with $S \ge 2$ entries in each slice. *Hint: `tensor.std(...)` divides by $S - 1$ unless
# you tell it otherwise. Which dimension does it have to run along, and how do you keep that dimension, so that the
# division finds its partner?*
#
# <details><summary>Next step</summary>
#
# A slice lies along the last dimension, `dim=-1`. With `keepdim=True` the deviations have the shape $O \times I \times 1$,
# and dividing $O \times I \times S$ by them works slice by slice. Add `eps` to the deviations, not to the scores.
# </details>


# %% exercise="normalize"
def normalize(scores: torch.Tensor, eps: float = 1e-8) -> torch.Tensor:
    """Divide each slice of the scores (O x I x S) by its standard deviation; a new tensor of the same shape."""
    ### BEGIN SOLUTION stub="Exercise 1: return scores divided by the deviation of their slice, O x I x S"
    deviation = scores.std(dim=-1, keepdim=True)
    return scores / (deviation + eps)
    ### END SOLUTION


# %% check="normalize" points=2
scores = torch.tensor([[[2.0, 4.0, 6.0], [1.0, 2.0, 3.0]], [[0.0, 0.0, 3.0], [-10.0, 0.0, 10.0]]])
expected = torch.tensor([[[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], [[0.0, 0.0, 1.73205], [-1.0, 0.0, 1.0]]])
got = normalize(scores.clone())
assert_tensor(
    got,
    expected,
    "Each slice (last dimension) is divided by its own standard deviation.",
    {
        1.224745: "you divided by S inside the deviation: the formula has S - 1, which is the default of tensor.std",
        -1.0: "you subtracted the mean: here the scores are only divided",
        0.5: "you divided by the variance: take its root",
        2.0: "the first slice was not divided at all",
        0.426189: "you took one deviation of all scores: take one for each slice, along the last dimension",
        1.41421: "the deviation runs along another dimension than the last one",
    },
)
constant = normalize(torch.full((1, 2, 9), 0.25))
assert torch.isfinite(constant).all(), f"expected finite numbers where all scores are equal, got {constant}. Add eps."
### BEGIN HIDDEN TESTS
not_imported("factorkit.layers", "factorkit.schedules")
generator = torch.Generator().manual_seed(301)
for shape, scale in [((1, 1, 2), 1.0), ((4, 3, 9), 0.1), ((2, 5, 15), 1e3), ((6, 6, 25), 1.0)]:
    scores = scale * (torch.rand(shape, generator=generator) + 0.05)
    center = scores - scores.mean(2, keepdim=True)
    expected = scores / (center.square().sum(2, keepdim=True) / (shape[2] - 1)).sqrt()
    given = scores.clone()
    got = normalize(given)
    assert got.shape == shape, f"expected the shape {shape}, got {tuple(got.shape)}"
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(given, scores, rtol=0, atol=0)
for value in (0.0, 1.0, -3.0):
    got = normalize(torch.full((2, 1, 9), value))
    assert got.shape == (2, 1, 9), f"expected the shape (2, 1, 9), got {tuple(got.shape)}"
    assert bool(torch.isfinite(got).all()), f"expected finite numbers for constant slices, got {got}"
    torch.testing.assert_close(got, got[:, :, :1].expand(2, 1, 9), rtol=0, atol=0)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Nothing happens: the deviation grows by the same factor. And adding the same number to all inputs of a softmax does not
# change it, since the factor $e^c$ cancels; so subtracting the mean would be work for nothing.
# </details>
#
# ## Exercise 2: softmax with a temperature (2 points, 9 minutes)
#
# $$P_{o,i,s} = \frac{\exp(T \hat A_{o,i,s})}{\sum_{s'} \exp(T \hat A_{o,i,s'})}.$$
#
# **Predict**: what is the attention of a slice with nine scores at $T = 0$, and what does it become for a very large $T$?
#
# **Fill** `attend`. *Hints: use your `normalize`, so make its check pass first. The temperature goes in after the
# normalization, or the normalization would take it out again. With large temperatures the formula above overflows when
# it is written down with `exp`; `torch.softmax` subtracts the largest input first.*
#
# <details><summary>Next step</summary>
#
# `torch.softmax(input, dim=...)`: the input is the temperature times the normalized scores, and the dimension is the one
# along which a slice lies.
# </details>


# %% exercise="attend"
def attend(scores: torch.Tensor, temperature: float | torch.Tensor) -> torch.Tensor:
    """Attention O x I x S of scores O x I x S: positive, and every slice sums to one."""
    ### BEGIN SOLUTION stub="Exercise 2: return the softmax of the normalized scores times the temperature, O x I x S"
    return torch.softmax(temperature * normalize(scores), dim=-1)
    ### END SOLUTION


# %% check="attend" points=2
scores = torch.tensor([[[0.0, 2.0], [2.0, 0.0]], [[0.0, 0.3], [7.0, 4.0]]])
expected = torch.tensor([[[0.05583, 0.94417], [0.94417, 0.05583]], [[0.05583, 0.94417], [0.94417, 0.05583]]])
got = attend(scores.clone(), 2.0)
assert_tensor(
    got,
    expected,
    "Normalize, multiply by the temperature, take the softmax along the last dimension.",
    {
        0.0179862: "the scores are not normalized",
        0.330233: "you divided by the temperature: here it multiplies",
        0.195576: "the temperature has no effect: multiply the normalized scores",
        0.5: "your softmax runs along another dimension than the last one",
        0.0: "you returned the scores times the temperature: take their softmax",
    },
    tolerance=1e-4,
)
got = attend(scores.clone(), 1e4)
assert torch.isfinite(got).all(), (
    f"expected finite numbers also at a temperature of 10,000, got\n{got}\nUse torch.softmax."
)
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(302)
for shape, temperature in [((1, 1, 2), 0.0), ((4, 3, 9), 0.15), ((3, 4, 9), 6.7), ((2, 5, 15), 70.0)]:
    scores = 5 * torch.rand(shape, generator=generator)
    center = scores - scores.mean(2, keepdim=True)
    logits = temperature * center / (center.square().sum(2, keepdim=True) / (shape[2] - 1)).sqrt()
    expected = (logits - logits.logsumexp(2, keepdim=True)).exp()
    got = attend(scores.clone(), temperature)
    assert got.shape == shape, f"expected the shape {shape}, got {tuple(got.shape)}"
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(attend(scores.clone(), torch.tensor(temperature)), expected, rtol=1e-3, atol=1e-4)
scores = torch.stack([torch.randperm(9, generator=generator) for _ in range(6)]).reshape(2, 3, 9).float()
expected = (scores == 8).float()
got = attend(scores.clone(), 1e4)
assert got.shape == (2, 3, 9), f"expected the shape (2, 3, 9), got {tuple(got.shape)}"
torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)
scores = torch.rand(2, 3, 9, generator=generator)
other = scores.clone().requires_grad_()
factors = torch.randn(2, 3, 9, generator=generator)
((3.0 * other / other.std(2, keepdim=True)).softmax(2) * factors).sum().backward()
expected = other.grad.clone()
trained = scores.clone().requires_grad_()
(attend(trained, 3.0) * factors).sum().backward()
assert trained.grad is not None, "no gradient arrives at the scores, so they could not be trained"
torch.testing.assert_close(trained.grad, expected, rtol=1e-3, atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# **Explore.** How sure is the attention before any training? For 10,000 random slices with nine scores each, the figure
# shows the largest entry of a slice, on average. The dashed lines are the temperatures at which the authors' code begins
# and ends for CIFAR. Look at the left dashed line: how much is there still to decide when training begins?

# %%
torch.manual_seed(0)
random_scores = torch.rand(100, 100, 9)
temperatures = [2.0**n for n in range(-3, 8)]
fig, ax = plt.subplots(figsize=(6, 3))
ax.plot(temperatures, [attend(random_scores, t).amax(-1).mean().item() for t in temperatures], marker="o")
for t in (20, 70):
    ax.axvline(t, linestyle="--", color="gray")
ax.set_xscale("log", base=2)
ax.set(xlabel="temperature $T$ (log scale)", ylabel="largest attention, mean", ylim=(0, 1))
plt.show()

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# At $T = 0$ all nine are equal, $1/9$; for a large $T$ one entry takes everything. At $T = 20$ the winner of an average slice
# already has more than nine tenths, although nothing has been learned. The authors train for 300 epochs and can afford
# that; in our few epochs a choice needs more freedom, so later our temperature begins at 2 and ends at 20. While it grows,
# training also pulls the scores apart.
# </details>
#
# ## Exercise 3: a temperature that grows (1 point, 6 minutes)
#
# After every batch the temperature is multiplied by the same factor $\alpha$, so that it goes from $T_\text{initial}$
# before the first batch to $T_\text{final}$ after the last of $n$ batches.
#
# **Predict**: from 20 to 80 in two batches, what is $\alpha$? Then: halfway through a training from 2 to 50, is the
# temperature at 26, above it or below it?
#
# **Fill** `growth_factor`. *Hint: after $n$ batches the temperature has been multiplied by $\alpha^n$.*
#
# <details><summary>Next step</summary>
#
# $T_\text{initial} \alpha^n = T_\text{final}$. Solve for $\alpha$: an $n$-th root is a power with the exponent $1/n$.
# </details>


# %% exercise="growth_factor"
def growth_factor(initial: float, final: float, batches: int) -> float:
    """The factor by which the temperature is multiplied after every batch to get from `initial` to `final`."""
    ### BEGIN SOLUTION stub="Exercise 3: return the factor, a float"
    return (final / initial) ** (1 / batches)
    ### END SOLUTION


# %% check="growth_factor" points=1
mistakes = {
    17.333333: "you computed what to add after every batch: here the temperature is multiplied",
    9.0: "you divided by the number of batches: take a root",
    27.0: "this is the factor of the whole training, not of one batch",
    5.196152: "you counted one batch too few: the last batch multiplies too",
    1 / 3: "initial and final have changed places",
    1.098612: "this is the logarithm of the factor: take its exponential",
}
assert_number(growth_factor(2.0, 54.0, 3), 3.0, "the third root of 54 / 2", mistakes)
### BEGIN HIDDEN TESTS
not_imported("factorkit.layers", "factorkit.schedules")
for initial, final, batches in [
    (20.0, 70.0, 117_300),
    (0.15, 60.0, 1000),
    (5.0, 5.0, 7),
    (1.0, 100.0, 1),
    (30.0, 3.0, 4),
]:
    expected = math.exp(math.log(final / initial) / batches)
    got = growth_factor(initial, final, batches)
    assert isinstance(got, float) and abs(got - expected) <= 1e-9 * expected, (
        f"expected {expected} for {initial} to {final} in {batches} batches, got {got}"
    )
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# $\alpha = 2$: 20, 40, 80. Halfway from 2 to 50 the temperature is $\sqrt{2 \cdot 50} = 10$, far below the mean of 26: a
# geometric growth spends much of its time at low temperatures, where the choice is still open.
# </details>
#
# ## Exercise 4: convolve with attention (1 point, 6 minutes)
#
# Now $Y = \operatorname{conv}(X, P \odot W)$. The weight has four dimensions, $O \times I \times k_h \times k_w$, the attention
# three, $O \times I \times S$. Position $s$ of a slice belongs to row $\lfloor s / k_w \rfloor$ and column $s \bmod k_w$ of
# the kernel: row after row, as `reshape` does it.
#
# **Predict**: the attention is the same everywhere, $1/9$. Which convolution is this?
#
# **Fill** `attended_conv`. *Hint: `tensor.reshape(other.shape)`.*
#
# <details><summary>Next step</summary>
#
# Give the attention the shape of the weight, multiply the two, and hand the product to `F.conv2d` together with the stride
# and the padding.
# </details>


# %% exercise="attended_conv"
def attended_conv(
    images: torch.Tensor, weight: torch.Tensor, attention: torch.Tensor, stride: int = 1, padding: int = 0
) -> torch.Tensor:
    """Convolve images (N x I x H x W) with the weight (O x I x k_h x k_w) times the attention (O x I x k_h k_w)."""
    ### BEGIN SOLUTION stub="Exercise 4: return the convolution with attention times weight, N x O x H_out x W_out"
    kernels = weight * attention.reshape(weight.shape)
    return F.conv2d(images, kernels, stride=stride, padding=padding)
    ### END SOLUTION


# %% check="attended_conv" points=1
images = torch.arange(1.0, 13.0).reshape(1, 1, 3, 4)
weight = torch.tensor([[[[1.0, 10.0, 100.0], [2.0, 20.0, 200.0]]]])
attention = torch.tensor([[[0.0, 0.5, 0.0, 0.0, 0.0, 0.5]]])
expected = torch.tensor([[[[710.0, 815.0], [1130.0, 1235.0]]]])
got = attended_conv(images.clone(), weight.clone(), attention.clone())
mistakes = {
    1855.5: "the attention was added: it multiplies",
    1851.0: "the attention has no effect",
    705.0: "the positions run column after column: they run row after row, as in reshape",
}
assert_tensor(got, expected, "Give the attention the shape of the weight, and multiply the two.", mistakes)
expected = torch.tensor([[[[200.0, 400.0], [1025.0, 1235.0]]]])
got = attended_conv(images.clone(), weight.clone(), attention.clone(), stride=2, padding=1)
assert_tensor(got, expected, "Hand the stride and the padding to the convolution.")
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(304)
for o, i, height, width, stride, padding in [
    (1, 1, 1, 2, 1, 0),
    (4, 3, 3, 3, 1, 1),
    (3, 5, 2, 4, 2, 0),
    (6, 2, 5, 3, 3, 2),
]:
    images = torch.randn(2, i, 9, 11, generator=generator)
    weight = torch.randn(o, i, height, width, generator=generator)
    attention = torch.rand(o, i, height * width, generator=generator)
    kernels = torch.einsum("oihw,oihw->oihw", weight, attention.unflatten(2, (height, width)))
    expected = F.conv2d(images, kernels, None, stride, padding)
    got = attended_conv(images.clone(), weight.clone(), attention.clone(), stride, padding)
    assert got.shape == expected.shape, f"expected the shape {tuple(expected.shape)}, got {tuple(got.shape)}"
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# The dense convolution, with all its weights divided by nine. Training starts near a dense layer, and ends far from it.
# </details>
#
# ## Exercise 5: a layer that learns what to keep (2 points, 9 minutes)
#
# The layer owns three things. The optimizer trains the **weight** and the **scores**: they are `nn.Parameter`s. The
# **temperature** is not trained, yet it belongs to the state of the layer: it must be saved with it and must move to
# another device with it. PyTorch calls such a tensor a *buffer*.
#
# **Predict**: what would an optimizer do to the temperature if it were a parameter?
#
# **Fill** the middle of `__init__`; `forward` is given, and calls your two functions. Set
#
# - `self.weight`: a parameter that holds the given `weight`;
# - `self.scores`: a parameter of shape $O \times I \times S$, drawn uniformly between 0 and 1 (`torch.rand`);
# - the buffer `temperature`: a tensor without dimensions, of floats. *Hint: `self.register_buffer(name, tensor)`.*
#
# <details><summary>Next step</summary>
#
# `nn.Parameter(tensor)` makes a parameter of a tensor. `torch.tensor(float(temperature))` makes a tensor without dimensions;
# register it under the name `"temperature"`. Here $S$ is `kernel_size**2`.
# </details>


# %% exercise="shift_attention"
class ShiftAttention(nn.Module):
    """A square convolution that learns which weight of each slice to keep; no bias."""

    def __init__(self, in_channels, out_channels, kernel_size=3, *, stride=1, padding=0, temperature=20.0):
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        weight = nn.Conv2d(in_channels, out_channels, kernel_size).weight.detach()  # O x I x k x k, initialized
        ### BEGIN SOLUTION stub="Exercise 5: set self.weight, self.scores (O x I x S) and the buffer temperature"
        self.weight = nn.Parameter(weight)
        self.scores = nn.Parameter(torch.rand(out_channels, in_channels, kernel_size**2))
        self.register_buffer("temperature", torch.tensor(float(temperature)))
        ### END SOLUTION
        self.fixed = None  # a hard attention, once there is one

    def attention(self):
        return attend(self.scores, self.temperature) if self.fixed is None else self.fixed

    def forward(self, images):
        return attended_conv(images, self.weight, self.attention(), self.stride, self.padding)


# %% check="shift_attention" points=2
torch.manual_seed(0)
layer = ShiftAttention(4, 6, 3, temperature=5.0)
shapes = {name: tuple(parameter.shape) for name, parameter in layer.named_parameters()}
wanted = {"weight": (6, 4, 3, 3), "scores": (6, 4, 9)}
for name, shape in wanted.items():
    assert shapes.get(name) == shape, (
        f"expected a parameter {name} of shape {shape}, got {shapes.get(name, 'no such parameter')}. Outputs come first; "
        "a plain tensor is not trained, nn.Parameter(...) makes it a parameter."
    )
assert sorted(shapes) == sorted(wanted), (
    f"expected the parameters {sorted(wanted)}, got {sorted(shapes)}. The temperature is not trained: make it a buffer."
)
state = {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}
assert state.get("temperature") == (), (
    f"expected a buffer 'temperature' without dimensions in layer.state_dict(), got {state.get('temperature', 'none')}. "
    "Use self.register_buffer; an ordinary attribute is not saved with the layer."
)
assert abs(float(layer.temperature) - 5.0) < 1e-6, f"expected the temperature 5.0, got {layer.temperature}"
scores = layer.scores.detach().clone()
assert 0 <= scores.min() <= 0.1 and 0.9 <= scores.max() <= 1, (
    f"expected scores drawn uniformly between 0 and 1, got values from {scores.min():.3f} to {scores.max():.3f}"
)
### BEGIN HIDDEN TESTS
not_imported("factorkit.layers", "factorkit.schedules")
generator = torch.Generator().manual_seed(305)
for i, o, size, stride, padding, temperature in [(1, 2, 2, 1, 0, 4), (5, 3, 3, 2, 1, 0.5), (3, 7, 5, 1, 2, 9.0)]:
    torch.manual_seed(int(10 * temperature))
    layer = ShiftAttention(i, o, size, stride=stride, padding=padding, temperature=temperature)
    assert tuple(layer.weight.shape) == (o, i, size, size), f"the weight has the shape {tuple(layer.weight.shape)}"
    assert tuple(layer.scores.shape) == (o, i, size * size), f"the scores have the shape {tuple(layer.scores.shape)}"
    names = sorted(name for name, _ in layer.named_parameters())
    assert names == ["scores", "weight"], f"expected the parameters scores and weight, got {names}"
    saved = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    assert saved["temperature"].is_floating_point(), f"the temperature has the type {saved['temperature'].dtype}"
    torch.testing.assert_close(saved["temperature"], torch.tensor(float(temperature)))
    drawn = layer.scores.detach().clone()
    assert bool((drawn >= 0).all()) and bool((drawn <= 1).all()), "the scores are not between 0 and 1"
    assert float(drawn.std()) > 0.2, f"the scores hardly differ: {drawn}"
    limit = 1 / math.sqrt(i * size * size)  # of PyTorch's initial weights
    kept = layer.weight.detach().clone()
    assert bool((kept.abs() <= limit + 1e-6).all()) and float(kept.std()) > 0.2 * limit, "not the weight that was given"
    images = torch.randn(2, i, 8, 9, generator=generator)
    weight = torch.randn(o, i, size, size, generator=generator)
    scores = torch.rand(o, i, size * size, generator=generator)
    kernels, raw = weight.clone().requires_grad_(), scores.clone().requires_grad_()
    attention = (7.0 * raw / raw.std(2, keepdim=True)).softmax(2).unflatten(2, (size, size))
    expected = F.conv2d(images, kernels * attention, None, stride, padding)
    expected.square().mean().backward()
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.scores.copy_(scores)
        layer.temperature.fill_(7.0)
    got = layer(images.clone())
    assert got.shape == expected.shape, f"expected the shape {tuple(expected.shape)}, got {tuple(got.shape)}"
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    got.square().mean().backward()
    torch.testing.assert_close(layer.weight.grad, kernels.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(layer.scores.grad, raw.grad, rtol=1e-3, atol=1e-4)
torch.manual_seed(306)
first, second = (ShiftAttention(3, 4, 3).scores.detach().clone() for _ in range(2))
assert float((first - second).abs().max()) > 0.1, "two layers begin with the same scores"
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# It would turn the temperature to wherever the training loss falls, which may well be *down*: a soft attention can
# represent more than a hard one. The layer would never have to decide.
# </details>
#
# The next cell holds the schedule that uses your `growth_factor`. `training.fit` calls `start` before the first batch and
# `step` after each; the schedule also writes down how sure the attention is. **Read** it, then run.


# %% given="schedule"
class Schedule:
    """Multiplies the temperature of every ShiftAttention layer by the same factor after each batch."""

    def __init__(self, initial: float, final: float) -> None:
        self.initial, self.final = initial, final
        self.records = []  # (batch, temperature, attention of one output map of the last layer)

    def start(self, model: nn.Module, steps: int) -> None:
        self.layers = [layer for layer in model.modules() if isinstance(layer, ShiftAttention)]
        self.factor = growth_factor(self.initial, self.final, steps)
        self.steps, self.done = steps, 0
        for layer in self.layers:
            layer.temperature.fill_(self.initial)
        self.write_down()

    def step(self) -> None:
        self.done += 1
        for layer in self.layers:
            layer.temperature.mul_(self.factor)
        if self.done % max(1, self.steps // 4) == 0:
            self.write_down()

    def write_down(self) -> None:
        if self.layers:
            layer = self.layers[-1]
            self.records.append((self.done, layer.temperature.item(), layer.attention()[0].detach().clone()))


# %% [markdown]
# ## Part 2. Deciding
#
# At the end of training the attention is *nearly* one-hot. To drop eight of nine weights it has to become exactly so, and
# there are two ways that sound alike: round every entry to 0 or 1, or keep the largest entry of each slice.
#
# ## Exercise 6: what rounding leaves (1 point, 6 minutes)
#
# The authors' published code rounds. **Predict**, for each of these slices, how many weights survive `round`:
# $(0.9,\, 0.1,\, 0)$, then $(0.4,\, 0.3,\, 0.3)$, then $(0.5,\, 0.5,\, 0)$. Can more than one survive?
#
# **Fill** `empty_slices`: the number of slices in which rounding leaves **nothing**. *Hint: round, then look at the sum of
# each slice. `tensor.round()` takes an exact half to the nearest even number, so 0.5 becomes 0.*
#
# <details><summary>Next step</summary>
#
# `attention.round().sum(dim=-1)` is the number of survivors of each slice, $O \times I$. Compare it with 0, sum up the
# result, and turn that tensor into an `int` with `.item()`.
# </details>


# %% exercise="empty_slices"
def empty_slices(attention: torch.Tensor) -> int:
    """Number of slices of an attention (O x I x S) that keep no weight when the attention is rounded."""
    ### BEGIN SOLUTION stub="Exercise 6: return the number of slices without any 1 after rounding, an int"
    survivors = attention.round().sum(dim=-1)
    return (survivors == 0).sum().item()
    ### END SOLUTION


# %% check="empty_slices" points=1
attention = torch.tensor(
    [[[0.9, 0.1, 0.0], [0.4, 0.3, 0.3]], [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], [[0.3, 0.3, 0.4], [0.2, 0.6, 0.2]]]
)
mistakes = {
    2: "you took the slice (0.5, 0.5, 0) for one with a survivor: round takes 0.5 to 0",
    6: "all slices were counted",
    15: "you counted the entries that become 0: count the slices in which all do",
    1: "you counted output maps: a slice is one output map and one input map",
}
assert_number(empty_slices(attention.clone()), 3, "the slices (.4 .3 .3), (.5 .5 0) and (.3 .3 .4)", mistakes)
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(307)
for shape, temperature in [((3, 5, 4), 2.0), ((8, 8, 9), 3.0), ((20, 10, 9), 6.7), ((7, 3, 25), 1.0), ((4, 6, 9), 0.0)]:
    attention = (temperature * torch.rand(shape, generator=generator) / 0.28).softmax(2)
    expected = sum(max(row.tolist()) <= 0.5 for row in attention.flatten(0, 1))
    got = empty_slices(attention.clone())
    assert isinstance(got, int) and got == expected, f"expected {expected} empty slices, got {got!r}"
halves = torch.tensor([[[0.5, 0.25, 0.25], [0.0, 0.5, 0.5], [0.0, 0.51, 0.49]]])
got = empty_slices(halves.clone())
assert isinstance(got, int) and got == 2, f"expected 2 empty slices, got {got!r}"
### END HIDDEN TESTS

# %% [markdown]
# **Explore.** The share of the slices that rounding would empty, for the random scores of above. An empty slice is a
# connection between two maps that is cut without being asked for. Look for the temperature from which rounding does little
# harm, and compare it with the largest attention there.

# %%
shares = {"largest attention, mean": {}, "empty after rounding (%)": {}}
for t in (0.15, 2.0, 6.7, 20.0, 70.0):
    attention = attend(random_scores, t)
    shares["largest attention, mean"][t] = round(attention.amax(-1).mean().item(), 3)
    shares["empty after rounding (%)"][t] = round(100 * empty_slices(attention) / 10_000, 2)
pd.DataFrame(shares).rename_axis("temperature")

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# No slice can have two survivors, because two entries above one half would sum to more than one; but it can have none. Even
# at $T = 20$, with a mean of more than 0.9, more than one slice in a hundred is emptied, and some remain at $T = 70$: those
# whose two best scores are nearly equal.
# </details>
#
# ## Exercise 7: exactly one survivor (2 points, 7 minutes)
#
# So keep the largest entry of each slice, however small it is.
#
# **Predict**: a slice has two entries that are exactly equal and larger than all others. How many survive if you compare
# the attention with its maximum?
#
# **Fill** `keep_one`: a tensor of the same shape and type with exactly one 1 in each slice, and zeros elsewhere. Of equal
# entries any one may survive. *Hint: `argmax` names a single place even when there is a tie, `F.one_hot(places, number)`
# writes a 1 there, as an integer.*
#
# <details><summary>Next step</summary>
#
# The places are `attention.argmax(dim=-1)`, of shape $O \times I$. `F.one_hot` needs the number of entries,
# `attention.shape[-1]`, or else it guesses it from the largest place. `.to(attention.dtype)` gives floats again.
# </details>


# %% exercise="keep_one"
def keep_one(attention: torch.Tensor) -> torch.Tensor:
    """Hard attention O x I x S of an attention O x I x S: a single 1 per slice, at its largest entry."""
    ### BEGIN SOLUTION stub="Exercise 7: return the one-hot attention, O x I x S, with the type of attention"
    places = attention.argmax(dim=-1)
    return F.one_hot(places, attention.shape[-1]).to(attention.dtype)
    ### END SOLUTION


# %% check="keep_one" points=2
attention = torch.tensor([[[0.9, 0.1, 0.0], [0.4, 0.3, 0.3]], [[0.3, 0.45, 0.25], [0.2, 0.6, 0.2]]])
expected = torch.tensor([[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]])
got = keep_one(attention.clone())
assert_tensor(got, expected, "One 1 in every slice (last dimension), at its largest entry, also below 0.5; as floats.")
ties = torch.tensor([[[0.4, 0.2, 0.4], [1 / 3, 1 / 3, 1 / 3]]])
got = keep_one(ties.clone())
assert got.shape == ties.shape, f"expected the shape {tuple(ties.shape)}, got {tuple(got.shape)}"
assert got.sum(-1).tolist() == [[1.0, 1.0]], f"expected one survivor also where entries are equal, got\n{got}"
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(308)
for shape, temperature in [((3, 5, 4), 0.5), ((8, 6, 9), 3.0), ((5, 2, 25), 20.0), ((1, 4, 2), 0.1)]:
    attention = (temperature * torch.rand(shape, generator=generator) / 0.28).softmax(2)
    given = attention.clone()
    expected = torch.zeros(shape).scatter_(2, attention.max(2, keepdim=True).indices, 1.0)
    got = keep_one(given)
    assert got.shape == shape, f"expected the shape {shape}, got {tuple(got.shape)}"
    assert got.dtype == attention.dtype, f"expected the type {attention.dtype}, got {got.dtype}"
    torch.testing.assert_close(got, expected, rtol=0, atol=0)
    torch.testing.assert_close(given, attention, rtol=0, atol=0)
got = keep_one(torch.full((4, 3, 9), 1 / 9, dtype=torch.float64))
assert got.shape == (4, 3, 9) and got.dtype == torch.float64, f"got {tuple(got.shape)} of type {got.dtype}"
assert got.sum(2).tolist() == [[1.0] * 3] * 4, f"expected one survivor per slice where all are equal, got {got}"
assert sorted(set(got.flatten().tolist())) == [0.0, 1.0], "expected only zeros and ones"
first = torch.tensor([[[0.7, 0.2, 0.1], [0.8, 0.2, 0.0]]])
got = keep_one(first.clone())
assert got.tolist() == [[[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]], f"expected the first entry of both slices, got {got}"
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Both survive, and then the layer does not fit into the storage that was made for one weight per slice. It is rare with
# trained scores, and certain with scores that were never trained.
# </details>
#
# ## Part 3. A layer without kernels
#
# With a hard attention, eight ninths of the products are with zero. Now they are left out, together with the zeros.
#
# ## Exercise 8: which weight, and where it was (2 points, 8 minutes)
#
# For each slice two things are kept: the surviving weight and its position $s$, from 0 to $S - 1$, row after row as above.
#
# **Predict**: a 3 x 3 kernel keeps the weight in its center. What is its position, and how does it move the map?
#
# **Fill** `to_shift`. The weight is kept as it is: the attention only says which one, its value (close to 1) is dropped.
# *Hint: flatten the kernels, then `tensor.gather(dim, index)` picks an entry of each slice; it wants an index with as
# many dimensions as the tensor.*
#
# <details><summary>Next step</summary>
#
# The positions are an `argmax`, of shape $O \times I$. `weight.flatten(2)` is $O \times I \times S$. Gather along dimension 2
# with the positions as $O \times I \times 1$ (`unsqueeze(2)`), and take that last dimension away again with `squeeze(2)`.
# </details>


# %% exercise="to_shift"
def to_shift(weight: torch.Tensor, attention: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The surviving weight and its position (both O x I) of weights O x I x k_h x k_w and attention O x I x k_h k_w."""
    ### BEGIN SOLUTION stub="Exercise 8: return (kept weights, positions), both O x I, the positions as integers"
    positions = attention.argmax(dim=-1)
    kept = weight.flatten(2).gather(2, positions.unsqueeze(2)).squeeze(2)
    return kept, positions
    ### END SOLUTION


# %% check="to_shift" points=2
weight = torch.tensor([[[[1.0, -2.0, 3.0], [4.0, -8.0, 6.0]], [[7.0, 8.0, -9.0], [10.0, 11.0, 12.0]]]])
attention = torch.tensor([[[0.1, 0.6, 0.1, 0.1, 0.1, 0.0], [0.0, 0.0, 0.0, 0.8, 0.2, 0.0]]])
pair = to_shift(weight.clone(), attention.clone())
assert isinstance(pair, tuple) and len(pair) == 2, f"expected a tuple (kept weights, positions), got {pair!r}"
kept, positions = pair
assert_tensor(
    positions,
    torch.tensor([[1, 3]]),
    "The position of the largest attention of each slice, row after row; integers of shape O x I.",
    {4.0: "you took the largest absolute weight: the attention decides", 5.0: "you took the largest weight"},
)
assert_tensor(
    kept,
    torch.tensor([[-2.0, 10.0]]),
    "The weight at that position, shape O x I.",
    {-1.2: "you multiplied by the attention: the weight is kept as it is", 6.0: "you took the largest weight"},
)
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(309)
for o, i, height, width in [(1, 1, 1, 2), (4, 3, 3, 3), (3, 5, 2, 4), (6, 2, 5, 3)]:
    weight = torch.randn(o, i, height, width, generator=generator)
    attention = (3 * torch.rand(o, i, height * width, generator=generator)).softmax(2)
    places = attention.tolist()
    index = [[max(range(height * width), key=places[a][b].__getitem__) for b in range(i)] for a in range(o)]
    numbers = [[weight[a, b, index[a][b] // width, index[a][b] % width].item() for b in range(i)] for a in range(o)]
    kept, positions = to_shift(weight.clone(), attention.clone())
    assert kept.shape == (o, i), f"expected kept weights of shape {(o, i)}, got {tuple(kept.shape)}"
    assert positions.shape == (o, i), f"expected positions of shape {(o, i)}, got {tuple(positions.shape)}"
    assert not positions.is_floating_point(), f"expected whole numbers as positions, got {positions.dtype}"
    assert positions.tolist() == index, f"expected the positions {index}, got {positions.tolist()}"
    torch.testing.assert_close(kept.detach(), torch.tensor(numbers), rtol=0, atol=1e-6)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Position 4, and the map stays where it is (with a padding of 1).
# </details>
#
# ## Exercise 9: shift and multiply (3 points, 11 minutes)
#
# The next cell gives you all shifted copies of the maps: `shifted_maps(images, ...)[:, i, s]` is map $i$ as it is seen
# from position $s$ of the kernel. With `index` for the positions and `kept` for the surviving weights, the layer is
#
# $$Y_o = \sum_i \texttt{kept}_{o,i} \cdot \operatorname{shift}_{\texttt{index}_{o,i}}(X_i).$$
#
# Each output map chooses one shifted copy of each input map, and a 1 x 1 convolution from $I$ maps to one adds them up. Run
# the cell. **Predict**: which row and which column of the map does copy $s = 0$ lose, without padding and with a 2 x 2 kernel?


# %% given="shifted_maps"
def shifted_maps(images: torch.Tensor, kernel_size: tuple[int, int], stride: int = 1, padding: int = 0) -> torch.Tensor:
    """All shifted copies of images (N x I x H x W) that a kernel sees: N x I x S x H_out x W_out, S = k_h k_w."""
    count, maps, height, width = images.shape
    out_height = (height + 2 * padding - kernel_size[0]) // stride + 1
    out_width = (width + 2 * padding - kernel_size[1]) // stride + 1
    columns = F.unfold(images, kernel_size, padding=padding, stride=stride)  # N x (I S) x positions
    return columns.reshape(count, maps, kernel_size[0] * kernel_size[1], out_height, out_width)


image = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
for s in range(4):
    print(f"s = {s}:", shifted_maps(image, (2, 2))[0, 0, s].tolist())

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# The last row and the last column: the upper left weight of the kernel never gets there.
# </details>
#
# **Fill** the inside of the loop of `shift_conv`: for output map `o`, choose the copies and convolve them. Call
# `convolve(chosen, weight)` with `chosen` of shape $N \times I \times H_\text{out} \times W_\text{out}$ and a weight of shape
# $1 \times I \times 1 \times 1$, and append the result to `outputs`. The check watches what you convolve with: each pair
# of maps may cost one product per position, not $S$. *Hint: `copies[:, inputs, index[o]]`, with
# `inputs = torch.arange(I)`, takes for each input map the copy that `index` names.*
#
# <details><summary>Next step</summary>
#
# `kept[o]` has the shape $I$. `kept[o][None, :, None, None]` is the weight of a 1 x 1 convolution from $I$ maps to one.
# </details>


# %% exercise="shift_conv"
def shift_conv(
    images: torch.Tensor,
    kept: torch.Tensor,
    index: torch.Tensor,
    kernel_size: tuple[int, int],
    stride: int = 1,
    padding: int = 0,
    convolve: Callable = F.conv2d,
) -> torch.Tensor:
    """Shift images (N x I x H x W) by the positions in index, weigh them with kept (both O x I) and add them up."""
    copies = shifted_maps(images, kernel_size, stride, padding)  # N x I x S x H_out x W_out
    outputs = []
    for o in range(len(kept)):
        ### BEGIN SOLUTION stub="Exercise 9: choose a copy of each map, convolve, append the result to outputs"
        inputs = torch.arange(images.shape[1])
        chosen = copies[:, inputs, index[o]]
        outputs.append(convolve(chosen, kept[o][None, :, None, None]))
        ### END SOLUTION
    return torch.cat(outputs, dim=1)


# %% given="watching"
def watching(weight_shapes: list) -> Callable:
    """F.conv2d, but it also writes down the shape of every weight it is called with."""

    def convolve(images: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        weight_shapes.append(tuple(weight.shape))
        return F.conv2d(images, weight)

    return convolve


# %% check="shift_conv" points=3
images = torch.arange(1.0, 19.0).reshape(1, 2, 3, 3)
kept = torch.tensor([[1.0, 10.0], [100.0, 0.0]])
index = torch.tensor([[0, 3], [1, 2]])
expected = torch.tensor([[[[141.0, 152.0], [174.0, 185.0]], [[200.0, 300.0], [500.0, 600.0]]]])
used = []
got = shift_conv(images.clone(), kept.clone(), index.clone(), (2, 2), convolve=watching(used))
mistakes = {
    101.0: "index has no effect: all copies have s = 0",
    111.0: "you took a column of index: index[o] belongs to output map o",
    15.0: "kept has no effect",
}
assert_tensor(got, expected, "Output o adds up kept[o, i] times copy index[o, i] of map i.", mistakes)
assert used == [(1, 2, 1, 1)] * 2, (
    f"expected two convolutions with weights of shape (1, 2, 1, 1), got the shapes {used}. "
    "Call convolve once for each output map, with the chosen copies only, and not F.conv2d itself."
)
# The same as a convolution whose kernels have one weight each.
torch.manual_seed(0)
images, kept, index = torch.randn(2, 3, 6, 5), torch.randn(4, 3), torch.randint(9, (4, 3))
kernels = torch.zeros(4, 3, 9).scatter_(2, index[..., None], kept[..., None]).reshape(4, 3, 3, 3)
expected = F.conv2d(images, kernels, stride=2, padding=1)
got = shift_conv(images.clone(), kept.clone(), index.clone(), (3, 3), stride=2, padding=1)
assert_tensor(got, expected, "This must equal the convolution with kernels of one weight each, stride 2 and padding 1.")
### BEGIN HIDDEN TESTS
not_imported("factorkit.layers", "factorkit.schedules")
generator = torch.Generator().manual_seed(310)
for i, o, height, width, stride, padding in [
    (1, 1, 2, 2, 1, 0),
    (5, 3, 3, 3, 1, 1),
    (2, 6, 2, 4, 2, 1),
    (4, 4, 5, 3, 3, 2),
]:
    images = torch.randn(3, i, 8, 11, generator=generator)
    kept = torch.randn(o, i, generator=generator)
    index = torch.randint(height * width, (o, i), generator=generator)
    kernels = torch.zeros(o, i, height * width).scatter_(2, index[:, :, None], kept[:, :, None])
    expected = F.conv2d(images, kernels.unflatten(2, (height, width)), None, stride, padding)
    used = []
    got = shift_conv(images.clone(), kept.clone(), index.clone(), (height, width), stride, padding, watching(used))
    assert got.shape == expected.shape, f"expected the shape {tuple(expected.shape)}, got {tuple(got.shape)}"
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
    assert used == [(1, i, 1, 1)] * o, f"convolved with {used}"
### END HIDDEN TESTS

# %% [markdown]
# **Explore.** How close are the two forms of a layer with 32 maps, and which is faster? The products are nine times fewer.
# **Predict** the ratio of the times before you run the cell.


# %%
def milliseconds(run: Callable, repeats: int = 7) -> float:
    """Median time of one call."""
    times = []
    with torch.no_grad():
        for _ in range(repeats + 1):
            start = time.perf_counter()
            run()
            times.append(1000 * (time.perf_counter() - start))
    return sorted(times[1:])[repeats // 2]  # the first one warms up


torch.manual_seed(0)
images, weight, attention = torch.randn(8, 32, 16, 16), torch.randn(32, 32, 3, 3) / 17, torch.rand(32, 32, 9)
hard_kernels, (kept, index) = weight * keep_one(attention).reshape(weight.shape), to_shift(weight, attention)
difference = F.conv2d(images, hard_kernels, padding=1) - shift_conv(images, kept, index, (3, 3), padding=1)
dense_time = milliseconds(lambda: F.conv2d(images, hard_kernels, padding=1))
shift_time = milliseconds(lambda: shift_conv(images, kept, index, (3, 3), padding=1))
print(f"largest difference: {difference.abs().max():.1e}")
print(f"dense convolution {dense_time:.1f} ms, shift and multiply {shift_time:.1f} ms")

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# The difference is rounding. The time is another matter: PyTorch's dense convolution is a tuned program, ours copies every
# map nine times and chooses among the copies in Python, and moving numbers costs time although no product is counted for
# it. Fewer products pay where the shifts are built into the hardware or into one compiled loop.
# </details>
#
# ## Exercise 10: what the layer stores and computes (2 points, 8 minutes)
#
# A converted layer stores for each pair of maps one weight **and the position** that it had. A number from 0 to $S - 1$
# takes $\lceil \log_2 S \rceil$ bits: nothing for $S = 1$, four bits for $S = 9$. Each weight is used once at every position
# of the output.
#
# **Predict**: with weights of 32 bits, how many times smaller than a dense 3 x 3 convolution is the layer? Exactly 9 times?
#
# **Fill** `shift_cost`, which returns a `LayerCost` with three counts. *Hint: `math.log2`, `math.ceil`; the size of the
# output is as in `shifted_maps`: rows $\lfloor (H + 2p - k_h) / s \rfloor + 1$.*
#
# <details><summary>Next step</summary>
#
# `weights` is $O I$. `index_bits` is `weights` times the bits of one position. `macs` is `weights` times the rows times the
# columns of the output.
# </details>


# %% given="layer_cost"
@dataclass(frozen=True)
class LayerCost:
    """Weights, bits of their positions, and multiply-accumulates of a layer for one input."""

    weights: int
    index_bits: int
    macs: int

    def bits(self, weight_bits: int = 32) -> int:
        return weight_bits * self.weights + self.index_bits


# %% exercise="shift_cost"
def shift_cost(
    input_size: tuple[int, int],
    kernel_size: tuple[int, int],
    in_channels: int,
    out_channels: int,
    *,
    stride: int = 1,
    padding: int = 0,
) -> LayerCost:
    """What a converted shift attention layer costs for an input of in_channels maps of `input_size` pixels."""
    (height, width), (kernel_height, kernel_width) = input_size, kernel_size
    ### BEGIN SOLUTION stub="Exercise 10: return LayerCost(weights=..., index_bits=..., macs=...), three ints"
    weights = in_channels * out_channels
    position_bits = math.ceil(math.log2(kernel_height * kernel_width))
    rows = (height + 2 * padding - kernel_height) // stride + 1
    columns = (width + 2 * padding - kernel_width) // stride + 1
    return LayerCost(weights=weights, index_bits=weights * position_bits, macs=weights * rows * columns)
    ### END SOLUTION


# %% check="shift_cost" points=2
cost = shift_cost((8, 10), (3, 3), 4, 6, stride=2, padding=1)
assert isinstance(cost, LayerCost), f"expected a LayerCost, got {cost!r}"
assert_number(cost.weights, 24, "6 x 4 weights", {216: "you counted the dense weight: one of nine is left"})
mistakes = {
    216: "you counted a bit for each of the nine positions: a number from 0 to 8 needs fewer",
    72: "you rounded down: three bits tell only eight positions apart",
    4: "you counted one position: each of the 24 weights has its own",
    768: "you counted 32 bits for a position",
}
assert_number(cost.index_bits, 96, "24 weights x 4 bits", mistakes)
mistakes = {
    1_920: "you counted the positions of the input, there are 4 x 5 in the output",
    4_320: "you counted the dense convolution",
    288: "you left out the padding",
}
assert_number(cost.macs, 480, "24 weights x 4 x 5 positions of the output", mistakes)
### BEGIN HIDDEN TESTS
for size, kernel, i, o, stride, padding, position_bits in [
    ((5, 5), (1, 1), 3, 7, 1, 0, 0),
    ((9, 6), (1, 2), 5, 4, 1, 0, 1),
    ((7, 12), (2, 4), 6, 10, 2, 1, 3),
    ((11, 8), (5, 5), 2, 3, 3, 2, 5),
    ((32, 32), (3, 3), 83, 83, 1, 1, 4),
    ((16, 20), (5, 7), 4, 9, 1, 3, 6),
]:
    real = nn.Conv2d(i, o, kernel, stride=stride, padding=padding)
    places = real(torch.zeros(1, i, *size))[0, 0].numel()
    cost = shift_cost(size, kernel, i, o, stride=stride, padding=padding)
    for name, expected in [("weights", i * o), ("index_bits", i * o * position_bits), ("macs", i * o * places)]:
        got = getattr(cost, name)
        assert isinstance(got, int) and got == expected, f"expected {expected} {name} for {real} on {size}, got {got!r}"
### END HIDDEN TESTS

# %% [markdown]
# **Explore.** How many times fewer bits than a dense convolution, by the size of the kernel and the precision of the
# weights? (A dense layer stores no positions.) **Predict** the direction before you run it: is the method more or less
# attractive when the weights are already coarse?

# %%
saving = pd.DataFrame(index=pd.Index([32, 8, 4, 1], name="bits per weight"))
for k in (2, 3, 5, 7):
    cost = shift_cost((32, 32), (k, k), 64, 64, padding=k // 2)
    saving[f"{k} x {k}"] = [round(bits * k * k * cost.weights / cost.bits(bits), 2) for bits in saving.index]
saving

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# 8.0 times for a 3 x 3 kernel at 32 bits: $9 \cdot 32 / (32 + 4)$. The position is small change beside a float, and the main
# thing beside a single bit: $9 / (1 + 4) = 1.8$. Methods that save the same thing do not multiply.
# </details>
#
# ## Part 4. Does it learn?
#
# A small network for the ten classes of `patterns`: three stages of two 3 x 3 convolutions, the first of which always stays
# dense. Four kinds of layers take the place of the other five:
#
# - *dense*: ordinary convolutions;
# - *separable*: a depthwise and a pointwise convolution, as in lab 01;
# - *fixed shifts*: our layer at a temperature of 10,000 from the first batch on. Its attention is one-hot at once, at places
#   chosen by chance, and since a hard choice has no slope, it never changes its mind;
# - *learned shifts*: our layer with a temperature that grows from 2 to 20.
#
# **Predict**: the order of their accuracies. And by how much does *learning* the shifts help?


# %% given="networks"
def dense(i, o, stride):
    return nn.Conv2d(i, o, 3, stride=stride, padding=1, bias=False)


def small_network(make_layer: Callable[..., nn.Module]) -> nn.Sequential:
    """Three stages of two 3 x 3 convolutions, all but the first by make_layer(in_channels, out_channels, stride)."""
    stages, channels = [], 3
    for width in (16, 32, 64):
        layers = []
        for stride in (2, 1):
            convolution = dense if channels == 3 else make_layer
            layers += [convolution(channels, width, stride), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        stages.append(nn.Sequential(*layers))
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def separable(i, o, stride):
    depthwise = nn.Conv2d(i, i, 3, stride=stride, padding=1, groups=i, bias=False)
    return nn.Sequential(depthwise, nn.Conv2d(i, o, 1, bias=False))


def shifts(i, o, stride):
    return ShiftAttention(i, o, 3, stride=stride, padding=1)


def network_cost(model: nn.Module, input_size: tuple[int, int] = (32, 32)) -> LayerCost:
    """Cost of all convolutions of a network, its ShiftAttention layers as they are after the conversion."""
    costs = []

    def write_down(layer, inputs, output):
        if isinstance(layer, ShiftAttention):
            (o, i), size = layer.weight.shape[:2], tuple(inputs[0].shape[2:])
            costs.append(shift_cost(size, (3, 3), i, o, stride=layer.stride, padding=layer.padding))
        else:
            costs.append(LayerCost(layer.weight.numel(), 0, layer.weight.numel() * output[0, 0].numel()))

    layers = [layer for layer in model.modules() if isinstance(layer, ShiftAttention | nn.Conv2d)]
    hooks = [layer.register_forward_hook(write_down) for layer in layers]
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, *input_size))
    for hook in hooks:
        hook.remove()
    return LayerCost(*(sum(getattr(cost, name) for cost in costs) for name in ("weights", "index_bits", "macs")))


# %%
networks = {
    "dense": (dense, None),
    "separable": (separable, None),
    "fixed shifts": (shifts, Schedule(1e4, 1e4)),
    "learned shifts": (shifts, Schedule(2.0, 20.0)),
}
table = {}
for name, (make_layer, _) in networks.items():
    cost = network_cost(small_network(make_layer))
    table[name] = {
        "weights": cost.weights,
        "index bits": cost.index_bits,
        "kbit": cost.bits() / 1000,
        "macs": cost.macs,
    }
pd.DataFrame(table).T.astype(int)

# %% [markdown]
# Now train the four networks: about 3 minutes on two cores that have nothing else to do. (A grader skips this cell and
# those below; no points depend on them.) Drawing the images takes a few seconds the first time.

# %%
EPOCHS = 8
histories, trained = {}, {}
if not being_graded():
    patterns = data.load("patterns")
    for name, (make_layer, schedule) in networks.items():
        training.seed_everything(0)
        trained[name] = small_network(make_layer)
        schedules = [schedule] if schedule else []
        histories[name] = training.fit(
            trained[name], patterns, epochs=EPOCHS, batch_size=64, lr=0.02, schedules=schedules
        )
    plots.plot_history(histories)
    plt.show()

# %% [markdown]
# **Explore.** The attention of twelve slices of the last layer, from the first batch to the last. Look for slices that change
# their mind on the way: their darkest place is not the same in all figures.

# %%
if trained:
    schedule = networks["learned shifts"][1]
    fig, axes = plt.subplots(1, len(schedule.records), figsize=(9, 3), sharey=True)
    for ax, (batch, temperature, attention) in zip(axes, schedule.records, strict=True):
        ax.imshow(attention[:12].numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        ax.set(xlabel=f"position $s$\nbatch {batch}\nT = {temperature:.1f}", xticks=[0, 4, 8])
        ax.grid(visible=False)
    axes[0].set_ylabel("slice")
    plt.show()

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# Most slices have decided after a quarter of the batches, at a temperature below 4: the scores themselves have moved apart. A
# few stay open for longer, and some of the early favorites lose. From the middle on hardly anything changes.
# </details>
#
# ### From attention to shifts
#
# The trained network still multiplies nine weights with nine numbers. The next cell makes the choice final, by rounding and by
# keeping one, and then converts the network to your shifts. **Predict**: which of the three networks, *rounded*, *one
# kept* and *converted*, have the same accuracy?


# %% given="conversion"
def fixed_attention(model: nn.Module, binarize: Callable) -> nn.Module:
    """A copy of a network whose ShiftAttention layers have their attention fixed to binarize(attention)."""
    model = copy.deepcopy(model)
    for layer in model.modules():
        if isinstance(layer, ShiftAttention):
            layer.fixed = binarize(layer.attention().detach())
    return model


class Shift(nn.Module):
    """A converted ShiftAttention layer: shifts and products, no kernel."""

    def __init__(self, layer):
        super().__init__()
        kept, index = to_shift(layer.weight.detach(), layer.attention().detach())
        self.register_buffer("kept", kept)
        self.register_buffer("index", index)
        self.options = (layer.kernel_size, layer.kernel_size), layer.stride, layer.padding

    def forward(self, images):
        return shift_conv(images, self.kept, self.index, *self.options)


def converted(model: nn.Module) -> nn.Module:
    """A copy of a network with shifts and products in the place of its ShiftAttention layers."""
    model = copy.deepcopy(model)
    for name, layer in list(model.named_modules()):
        if isinstance(layer, ShiftAttention):
            model.set_submodule(name, Shift(layer))
    return model.eval()


# %%
if trained:
    learned = trained["learned shifts"].eval()
    layers = [layer for layer in learned.modules() if isinstance(layer, ShiftAttention)]
    empty = sum(empty_slices(layer.attention()) for layer in layers)
    slices = sum(layer.scores[..., 0].numel() for layer in layers)
    print(f"rounding leaves {empty} of {slices:,} slices empty ({100 * empty / slices:.1f} %)")
    rounded, one_kept = fixed_attention(learned, torch.round), fixed_attention(learned, keep_one)
    after = {"as trained": learned, "rounded": rounded, "one kept": one_kept, "converted": converted(learned)}
    accuracies = {name: training.evaluate(model, patterns, batch_size=100).accuracy for name, model in after.items()}
    print({name: f"{100 * accuracy:.1f} %" for name, accuracy in accuracies.items()})
    images = patterns.normalize(patterns.test_images[:100])
    with torch.no_grad():
        difference = (after["one kept"](images) - after["converted"](images)).abs().max().item()
    print(f"one kept and converted: largest difference of the scores {difference:.1e}")

# %% [markdown]
# **Explore.** Accuracy against memory: up and to the left is better. Each point is one run; another seed moves it by one to
# three points, so do not read anything into a smaller difference. Guessing would reach 10 %. The two networks with shifts
# are shown as they are after the conversion.

# %%
if trained:
    results = pd.DataFrame(table).T.astype(int)
    results["accuracy"] = [training.evaluate(model, patterns).accuracy for model in trained.values()]
    results.loc["learned shifts", "accuracy"] = accuracies["converted"]
    ax = plots.plot_tradeoff(results, "kbit", "accuracy", baseline="dense")
    ax.set_xlabel("memory of the convolutions (kbit, log scale)")
    plt.show()
    print(results.round(3).to_string())

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# In our run the dense network reached 91 %, the separable one 78 %, learned shifts 72 % and fixed shifts 65 %. The last two need
# exactly the same memory and the same MACs, so the seven points between them are what *learning* the shifts was worth. The
# separable network, with nearly the same memory, was ahead of both after so few epochs. And the dense one shows what all
# three gave up for being seven to eight times smaller; a wider network could buy some of it back.
# </details>
#
# ## Exercise 11: nine times smaller? (2 points, 8 minutes)
#
# A colleague says: *"A shift attention layer keeps one weight of nine. So it needs nine times less memory, and if we also
# quantize the weights to one bit, nine times less than a binary network. At the end we simply round the attention: after
# training it is one-hot anyway."*
#
# **Answer in three to six sentences**, with numbers from this notebook:
#
# 1. What is wrong about the *memory*, at 32 bits and at one bit?
# 2. What is wrong about *rounding*, and what should be done instead?
#
# *Hint: for the first, what else has to be stored besides the weight? For the second, look at the table of exercise 6 and at
# your trained network.*

# %% [markdown] written="nine_times_smaller" points=2
# ### BEGIN SOLUTION
# Besides the weight, a slice has to store which of its nine weights was kept, and that takes 4 bits. At 32 bits a layer
# becomes 288 / 36 = 8.0 times smaller, not 9; my whole network went from 2,299 to 300 kbit, 7.7 times, because its first
# convolution stays dense. At one bit, the 9 bits of a dense slice become 1 + 4, which is only 1.8 times less: then the
# position takes four fifths of the memory.
#
# Rounding leaves nothing of a slice whose largest attention is at most one half. For random scores that happens to 60 % of the
# slices at T = 2 and still to 1.4 % at T = 20; in my trained network it happened to 9 of 7,936, and the accuracy was 71.2 %
# after rounding, 71.9 % when the largest entry of each slice was kept. Keeping the largest entry (argmax) leaves exactly
# one weight in every slice, whatever the temperature, and only then does the layer fit into one weight and one position.
# ### END SOLUTION
# ### BEGIN MARK SCHEME
# The numbers of the training depend on the machine and on the run; they must come from the student's own notebook and fit the
# claim. Numbers from the tables of exercises 6 and 10 are the same for everybody and are enough.
#
# A run in which rounding empties no slice is possible; then the table of exercise 6 has the numbers.
#
# *Memory*: the position of the surviving weight has to be stored too, four bits for nine positions. That makes 8.0 times
# instead of 9 at 32 bits, and 1.8 times at one bit. *Rounding*: a slice whose largest entry is at most one half is left
# without any weight; keeping the largest entry (argmax) always leaves exactly one.
#
# - 2 points: both claims are refuted, each with the reason and a number. Example: *"The index costs 4 bits per weight, so it is
#   288/36 = 8 times at 32 bits, but only 9/5 = 1.8 times at 1 bit. Rounding empties a slice if no entry is above 0.5, which
#   happened to 12 slices in my network; argmax keeps one in each."*
# - 1 point: one of the two claims is refuted in this way, or both without numbers or with one reason missing. Example: *"One has
#   to store the index as well, so it is less than 9 times. Rounding can lose weights, so use argmax."*
# - 0 points: the claims are repeated or denied without a reason. Example: *"Nine times is too optimistic, in practice it will
#   be less, and rounding is not exact."*
# ### END MARK SCHEME

# %% [markdown]
# ## What you take away
#
# - A choice can be trained if it is soft at first: softmax over normalized scores, and a temperature that grows by the same
#   factor after every batch.
# - Normalizing the scores makes the temperature alone decide how sharp the attention is.
# - Rounding an attention may leave a slice without any weight, and comparing it with its maximum may leave several; argmax
#   leaves exactly one.
# - With one weight per slice, a convolution is a sum of shifted and weighed maps: equal up to rounding, with $k_h k_w$ times
#   fewer MACs. Whether that is faster is a question of the program and the hardware.
# - Count the positions, too: $\lceil \log_2 S \rceil$ bits for each weight, little at 32 bits, most of it at one.
#
# Now *Restart Kernel and Run All Cells*, check that every check is silent, save, and hand in.
