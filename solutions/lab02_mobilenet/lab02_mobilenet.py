# ---
# jupyter:
#   kernelspec: {display_name: Python 3 (ipykernel), language: python, name: python3}
#   lab:
#     title: "MobileNet: small blocks, small networks"
#     minutes: 105
#     points: 20
#     not_imported: [factorkit.layers, factorkit.models]
# ---
# %% [markdown]
# # Lab 02. MobileNet: small blocks, small networks
#
# Lab 01 took one convolution apart. Two families of networks are built from nothing but such parts: MobileNet and its
# second version. In this lab you write both blocks, chain them into networks for `patterns`, turn the one knob that
# makes these networks wider or thinner, and find out what the knob does to accuracy, to MACs and to the clock.
#
# **When you have finished, you can**
#
# - build the depthwise separable block of MobileNet and the inverted residual of MobileNetV2, and say why the second one
#   ends without a nonlinearity;
# - scale a network by a width multiplier, with channel counts that processors like;
# - choose a network for a budget of MACs before anything is trained;
# - judge networks by accuracy against MACs *and* against measured time, and explain where the two disagree;
# - write a trained network as an entry of the MicroNet challenge.
#
# **Time**: about 105 minutes, of which about 5 are training.
#
# | | exercise | points | minutes |
# |---|---|---:|---:|
# | | *before you start* | | 3 |
# | 1 | the block of MobileNet | 2 | 9 |
# | 2 | channel counts that fit | 2 | 9 |
# | 3 | a network with a width multiplier | 2 | 11 |
# | 4 | the widest network for a budget | 1 | 6 |
# | 5 | what a ReLU destroys | 2 | 10 |
# | 6 | expand, filter, project | 3 | 12 |
# | 7 | the shortcut | 2 | 7 |
# | 8 | MobileNetV2 | 2 | 10 |
# | | *train, sweep, measure* | | 15 |
# | 9 | an entry for the challenge | 1 | 5 |
# | 10 | written: reading the sweep | 3 | 8 |
# | | **sum** | **20** | **105** |
#
# ## Before you start (3 minutes)
#
# **What is graded.** Exercises 1 to 9 are graded automatically, exercise 10 is read by a person. Under each exercise
# stands a *check* that says what it expected and what it got. The grader runs the same check, and then *hidden tests* that
# ask for the same property elsewhere: other widths, other plans, other random numbers. Predictions, explorations and the
# training are for you; no points depend on them.
#
# **How to work.** Run the cells from top to bottom, and put your answer, one to ten lines, in the place of each
# `raise NotImplementedError("Exercise ...")`. Where the text says **Predict**, commit yourself before you run the next
# cell. Every exercise has a hint, and the next step folded away under *Next step*. `factorkit.layers` and
# `factorkit.models` contain these blocks and networks, so **do not import them in this lab**; the hidden tests check
# that. Do not delete, copy or rename cells; add as many of your own as you like.

# %% given="setup"
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import pandas as pd
import torch
import torch.nn.functional as F
from IPython.display import display
from torch import nn

from factorkit import data, plots, training
from factorkit.checks import being_graded, not_imported, trusted_copy
from micronet_resources import entry
from micronet_resources.challenge import measure
from micronet_resources.profile import profile_model

plots.use_style()

# %% [markdown]
# The next cell holds helpers for the checks. You need not read it; run it.


# %% given="helpers"
def assert_tensor(got: object, expected: torch.Tensor, hint: str) -> None:
    """Compare a tensor with the expected one: first the type, then the shape, then the values."""
    assert isinstance(got, torch.Tensor), f"expected a tensor, got {got!r} of type {type(got).__name__}. {hint}"
    shapes = f"expected the shape {tuple(expected.shape)}, got {tuple(got.shape)}"
    assert got.shape == expected.shape, f"{shapes}. {hint}"
    got, expected = got.detach(), expected.detach()
    tolerance = {"rtol": 1e-3, "atol": 1e-4 * float(expected.abs().max())}
    wrong = (~torch.isclose(got, expected, **tolerance)).nonzero().tolist()
    if expected.numel() <= 12:
        shown = f"expected\n{expected}\ngot\n{got}\n"
    elif wrong:
        place = tuple(wrong[0])
        shown = (
            f"{len(wrong)} of {got.numel()} differ. At {place}, expected {expected[place]:.4f}, got {got[place]:.4f}. "
        )
    else:
        shown = ""
    torch.testing.assert_close(got, expected, **tolerance, msg=f"the shape is right, the values are not: {shown}{hint}")


def weight_shapes(network: nn.Module) -> list[tuple[int, ...]]:
    """The shapes of the weights of all convolutions, in order."""
    return [tuple(layer.weight.shape) for layer in network.modules() if isinstance(layer, nn.Conv2d)]


def assert_layers(
    network: object, expected: list[tuple[int, ...]], hint: str, strides: list[int] | None = None
) -> None:
    """Check that a network has convolutions with weights of these shapes, each without bias and normalized."""
    assert isinstance(network, nn.Module), f"expected a network (an nn.Module), got {network!r}. {hint}"
    layers = list(network.modules())
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    shapes = weight_shapes(network)
    assert shapes == expected, f"expected convolutions with weights of shape\n{expected}\ngot\n{shapes}\n{hint}"
    if strides is not None:
        steps = [layer.stride[0] for layer in convolutions]
        assert steps == strides, f"expected convolutions with the strides {strides}, got {steps}. {hint}"
    biases = [layer.bias is None for layer in convolutions]
    assert all(biases), f"expected no bias in any convolution, got one: normalization adds its own. {hint}"
    norms = [layer.num_features for layer in layers if isinstance(layer, nn.BatchNorm2d)]
    channels = [shape[0] for shape in expected]
    assert norms == channels, (
        f"expected batch normalization of {channels} maps, got {norms}: one behind each convolution"
    )


def randomize(network: nn.Module, seed: int) -> list[tuple[torch.Tensor, ...]]:
    """Set all weights and normalizations to random numbers; return them: weight, scale, shift, mean, variance."""
    generator = torch.Generator().manual_seed(seed)
    weights, norms = [], []
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                shape = tuple(layer.weight.shape)
                weight = torch.randn(shape, generator=generator) / (shape[1] * shape[2] * shape[3]) ** 0.5
                layer.weight.copy_(weight)
                weights.append(weight)
            if isinstance(layer, nn.BatchNorm2d):
                norm = [torch.randn(layer.num_features, generator=generator) for _ in range(3)]
                norm.append(torch.rand(layer.num_features, generator=generator) / 10 + 0.05)
                for own, new in zip(
                    (layer.weight, layer.bias, layer.running_mean, layer.running_var), norm, strict=True
                ):
                    own.copy_(new)
                norms.append(norm)
    network.eval()
    return [(weight, *norm) for weight, norm in zip(weights, norms, strict=True)]


def by_hand(
    maps: torch.Tensor, numbers: list[tuple[torch.Tensor, ...]], stride: int, nonlinearities: list[Callable]
) -> torch.Tensor:
    """Convolve, normalize and bend, once for each entry of numbers; k x k kernels get the stride, and are depthwise."""
    for (weight, *norm), bend in zip(numbers, nonlinearities, strict=True):
        scale, shift, mean, variance = (vector[:, None, None] for vector in norm)
        size = weight.shape[-1]
        groups = maps.shape[1] // weight.shape[1]
        maps = F.conv2d(maps, weight, stride=stride if size > 1 else 1, padding=size // 2, groups=groups)
        maps = bend(scale * (maps - mean) / (variance + 1e-5).sqrt() + shift)
    return maps


def identity(maps: torch.Tensor) -> torch.Tensor:
    """No nonlinearity."""
    return maps


# %% [markdown]
# ## Part 1. The block of MobileNet
#
# Lab 01 separated a convolution into a *depthwise* step, one kernel for each map, and a *pointwise* step that mixes. As a
# replacement for a layer that is all there is to it. Inside a network, each of the two steps is followed by batch
# normalization and ReLU, and the pair becomes the block from which MobileNet (Howard et al., 2017) is stacked:
#
# $$\text{depthwise } 3 \times 3 \;\to\; \text{BN} \;\to\; \text{ReLU} \;\to\;
#   \text{pointwise } 1 \times 1 \;\to\; \text{BN} \;\to\; \text{ReLU}$$
#
# The block halves the maps where its depthwise step has stride 2, and changes the number of maps in the pointwise step.
# Every convolution of this lab comes with its normalization, so this helper makes the two together. **Read** it: why
# does it say `bias=False`?


# %% given="conv_norm"
def conv_norm(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution and its batch normalization; the output has 1/stride of the rows and columns."""
    padding = kernel_size // 2
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(out_channels)]


# %% [markdown]
# <details><summary>Why</summary>
#
# Batch normalization subtracts the mean of each map, and any bias with it; then it adds a shift of its own.
# </details>
#
# ## Exercise 1: the block of MobileNet (2 points, 9 minutes)
#
# **Predict**: in a block from 32 to 64 maps, which of the two convolutions has more MACs, and by how much?
#
# **Fill** `separable_block`. *Hint: `nn.Sequential(*first_list, layer, *second_list, layer)` puts lists and layers in a row.
# What are the groups of a depthwise convolution, and how many maps come out of it?*
#
# <details><summary>Next step</summary>
#
# The depthwise step is `conv_norm` from `in_channels` to `in_channels` with kernel size 3, the stride, and as many groups
# as maps. The pointwise step is `conv_norm` from `in_channels` to `out_channels` with kernel size 1. An `nn.ReLU()` follows
# each.
# </details>


# %% exercise="separable_block"
def separable_block(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3 x 3 convolution, then pointwise convolution, each with batch normalization and ReLU."""
    ### BEGIN SOLUTION stub="Exercise 1: return an nn.Sequential of depthwise, BN, ReLU, pointwise, BN, ReLU"
    depthwise = conv_norm(in_channels, in_channels, 3, stride=stride, groups=in_channels)
    pointwise = conv_norm(in_channels, out_channels, 1)
    return nn.Sequential(*depthwise, nn.ReLU(), *pointwise, nn.ReLU())
    ### END SOLUTION


# %% check="separable_block" points=2
block = separable_block(4, 6, stride=2)
assert_layers(
    block,
    [(4, 1, 3, 3), (6, 4, 1, 1)],
    "The depthwise step has the stride, and in_channels outputs and groups; the pointwise step mixes into out_channels.",
    strides=[2, 1],
)
numbers = randomize(block, seed=1)
images = torch.randn(2, 4, 8, 6, generator=torch.Generator().manual_seed(2))
expected = by_hand(images, numbers, 2, [F.relu, F.relu])
assert_tensor(block(images.clone()), expected, "Is it convolution, normalization, ReLU, and the same again?")
### BEGIN HIDDEN TESTS
not_imported("factorkit.layers", "factorkit.models")
for i, o, stride, size in [(3, 5, 1, (7, 9)), (6, 6, 1, (5, 5)), (8, 4, 2, (9, 6))]:
    block = separable_block(i, o, stride=stride)
    assert_layers(block, [(i, 1, 3, 3), (o, i, 1, 1)], f"wrong for {i} to {o} maps", strides=[stride, 1])
    numbers = randomize(block, seed=10 + i)
    images = torch.randn(2, i, *size, generator=torch.Generator().manual_seed(20 + i))
    expected = by_hand(images, numbers, stride, [F.relu, F.relu])
    got = block(images.clone())
    assert_tensor(got, expected, f"wrong for {i} to {o} maps with stride {stride}")
costs = profile_model(trusted_copy(block, images), (8, 9, 6))
wanted = (8 * 9 + 4 * 8 + 2 * 12, 15 * (8 * 9 + 4 * 8))
got = (costs.params, costs.macs)
assert got == wanted, f"expected {wanted} parameters and MACs in the last block, got {got}"
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# At each position the depthwise step has $9 \cdot 32$ MACs and the pointwise step $64 \cdot 32$, so 88 % of the work is
# mixing. Whoever wants to make a MobileNet cheaper has to attack the $1 \times 1$ convolutions: their cost is a product
# of two channel counts.
# </details>
#
# ## Part 2. The width multiplier
#
# A **width multiplier** $\alpha$ multiplies all channel counts of a network. The designer draws the network once, and
# users choose the $\alpha$ that they can afford. But $\alpha \cdot 24$ need not be a whole number, and a processor
# works through channels in packs, so that 13 channels often cost as much time as 16. Implementations therefore
# round to multiples of 8, in two steps:
#
# 1. take the nearest multiple; a number in the middle between two multiples is rounded **up**;
# 2. never lose more than 10 %: if the result is less than $0.9$ times what was asked for, take the next multiple. So
#    no layer ever vanishes.
#
# ## Exercise 2: channel counts that fit (2 points, 9 minutes)
#
# **Predict**, with multiples of 8: what becomes of 12, 18, 33 and 52 channels? Two of them are traps.
#
# **Fill** `round_channels`, and return an `int`. *Hint: `int(channels / multiple + 0.5)` is the nearest number of multiples,
# with middles going up. Python's `round` sends middles to the even neighbor instead.*
#
# <details><summary>Next step</summary>
#
# `rounded` is `multiple` times that number. If it is below `0.9 * channels`, add one more `multiple`.
# </details>


# %% exercise="round_channels"
def round_channels(channels: float, multiple: int = 8) -> int:
    """The multiple nearest to a number of channels, or the next one if that loses more than 10 % of the channels."""
    ### BEGIN SOLUTION stub="Exercise 2: return a multiple of `multiple`, an int"
    nearest = multiple * int(channels / multiple + 0.5)
    return nearest if nearest >= 0.9 * channels else nearest + multiple
    ### END SOLUTION


# %% check="round_channels" points=2
for channels, wanted, why in [
    (64, 64, "a multiple stays as it is"),
    (33, 32, "32 is nearest, and more than 0.9 x 33 = 29.7"),
    (12, 16, "12 is in the middle of 8 and 16, and middles go up"),
    (52, 56, "52 is in the middle of 48 and 56, and middles go up; Python's round() goes to the even neighbor"),
    (3, 8, "0 is nearest, but no layer may vanish"),
    (18, 24, "16 is nearest, but less than 0.9 x 18 = 16.2"),
]:
    got = round_channels(channels)
    assert isinstance(got, int), (
        f"expected an int for {channels} channels, got {got!r}. Returned, and converted by int?"
    )
    assert got == wanted, f"expected {wanted} for {channels} channels, got {got}: {why}"
got = round_channels(18, multiple=4)
assert got == 20, f"expected 20 for 18 channels in multiples of 4, got {got}: 18 is in the middle of 16 and 20"
### BEGIN HIDDEN TESTS
for channels, multiple, wanted in [
    (1, 8, 8),
    (8, 8, 8),
    (11.2, 8, 16),
    (12.5, 8, 16),
    (19.2, 8, 24),
    (27, 8, 32),
    (35, 8, 32),
    (35.6, 8, 40),
    (36, 8, 40),
    (68, 8, 72),
    (67.9, 8, 64),
    (1280 * 1.4, 8, 1792),
    (5, 4, 8),
    (42, 4, 44),
    (41.9, 4, 40),
    (3, 16, 16),
    (25, 16, 32),
    (184, 16, 192),
    (7.4, 1, 7),
]:
    got = round_channels(channels, multiple)
    assert isinstance(got, int) and got == wanted, f"expected {wanted} for {channels} by {multiple}, got {got!r}"
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# 16, 24, 32 and 56. The traps are 18, where the nearest multiple loses too much, and 52, a middle.
# </details>
#
# ## Exercise 3: a network with a width multiplier (2 points, 11 minutes)
#
# MobileNet is a *plan*: a first convolution, then a list of blocks, each with its number of output maps and its stride.
# The paper's network has 13 blocks for images of $224 \times 224$ pixels. Ours has five, for $32 \times 32$:
#
# | | maps at $\alpha = 1$ | stride | size of the output |
# |---|---:|---:|---|
# | convolution $3 \times 3$, BN, ReLU | 16 | 2 | 16 x 16 |
# | block | 32 | 1 | 16 x 16 |
# | block | 64 | 2 | 8 x 8 |
# | three more blocks | 64 | 1 | 8 x 8 |
# | average over all positions, linear layer | 10 | | 1 x 1 |
#
# **Predict**: with $\alpha = \tfrac12$, how many times fewer MACs has the network? And with $\alpha = \tfrac14$?
#
# **Fill** the inside of the loop of `build_mobilenet`: append the block to `layers`, and keep track of `channels`, the number
# of maps that the next block will find. *Hint: the multiplier and the rounding act on each number of output maps.*
#
# <details><summary>Next step</summary>
#
# `scaled` is `round_channels` of the width times `out_channels`. Append `separable_block` from `channels` to `scaled` with
# the stride, then set `channels` to `scaled`.
# </details>

# %% given="plan_v1"
PLAN_V1 = [(32, 1), (64, 2), (64, 1), (64, 1), (64, 1)]  # for each block: output maps at width 1, stride


# %% exercise="build_mobilenet"
def build_mobilenet(width: float = 1.0, plan: list[tuple[int, int]] = PLAN_V1, num_classes: int = 10) -> nn.Sequential:
    """A small MobileNet for 3 x 32 x 32 images, all its channel counts multiplied by `width` and rounded."""
    channels = round_channels(width * 16)
    layers = [*conv_norm(3, channels, 3, stride=2), nn.ReLU()]
    for out_channels, stride in plan:
        ### BEGIN SOLUTION stub="Exercise 3: append a block with a scaled number of output maps, and update channels"
        scaled = round_channels(width * out_channels)
        layers.append(separable_block(channels, scaled, stride))
        channels = scaled
        ### END SOLUTION
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


# %% check="build_mobilenet" points=2
network = build_mobilenet(0.5)
assert_layers(
    network,
    [(8, 3, 3, 3), (8, 1, 3, 3), (16, 8, 1, 1), (16, 1, 3, 3), (32, 16, 1, 1)] + 3 * [(32, 1, 3, 3), (32, 32, 1, 1)],
    "One block for each row of the plan, from channels to the scaled number of maps, which is the next block's input.",
)
images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
costs = profile_model(trusted_copy(network, images), (3, 32, 32))
counts = f"expected 5,882 parameters and 400,704 MACs at width 0.5, got {costs.params:,} and {costs.macs:,}"
assert (costs.params, costs.macs) == (5_882, 400_704), f"{counts}. Does each block take its stride from the plan?"
### BEGIN HIDDEN TESTS
not_imported("factorkit.layers", "factorkit.models")
for width, plan, widths in [
    (0.25, [(32, 1), (64, 2), (64, 1), (64, 1), (64, 1)], [8, 8, 16, 16, 16, 16]),
    (1.3, [(24, 2), (40, 1), (16, 2)], [24, 32, 56, 24]),
    (0.75, [(48, 1)], [16, 40]),
]:
    network = build_mobilenet(width, plan, num_classes=7)
    shapes = [(widths[0], 3, 3, 3)]
    for before, after in zip(widths[:-1], widths[1:], strict=True):
        shapes += [(before, 1, 3, 3), (after, before, 1, 1)]
    assert_layers(network, shapes, f"wrong at width {width}")
    numbers = randomize(network, seed=30)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(31))
    maps = F.relu(by_hand(images, numbers[:1], 2, [F.relu]))
    for index, (_, stride) in enumerate(plan):
        maps = by_hand(maps, numbers[1 + 2 * index : 3 + 2 * index], stride, [F.relu, F.relu])
    weight, bias = (parameter.detach().clone() for parameter in network[-1].parameters())
    expected = F.linear(maps.mean((2, 3)), weight, bias)
    assert_tensor(network(images.clone()), expected, f"wrong scores at width {width} with the plan {plan}")
### END HIDDEN TESTS

# %% [markdown]
# **Explore.** What do the MACs and the parameters do when the width changes? A cost that grows with the square of the
# width would leave the last two columns equal to $\alpha^2$. Look for the widths where they are far from it.

# %%
widths = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0]
profiles = {width: profile_model(build_mobilenet(width), (3, 32, 32)) for width in widths}
table = pd.DataFrame(
    {"params": [p.params for p in profiles.values()], "macs": [p.macs for p in profiles.values()]}, widths
)
table["width squared"] = table.index**2
table["params / params at 1"] = (table.params / table.params[1.0]).round(3)
table["macs / macs at 1"] = (table.macs / table.macs[1.0]).round(3)
table.rename_axis("width")

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# Half the width needs 3.3 times fewer MACs, not 4; a quarter 7.4 times fewer, not 16. Only the pointwise convolutions
# go with the square: the depthwise steps and the first convolution go with $\alpha$ itself. And at 0.25 the rounding
# steps in: the first layer asks for 4 maps and gets 8.
# </details>
#
# ## Exercise 4: the widest network for a budget (1 point, 6 minutes)
#
# Counting takes milliseconds and training takes minutes. So one usually knows the budget first, and trains the widest
# network that stays within it.
#
# **Predict**: is it enough to stop at the first width that is too expensive?
#
# **Fill** `widest_within`: return the largest of the `widths` whose cost is **at most** `budget`; `macs_of(width)` gives the
# cost. The widths may come in any order. If none is affordable, raise a `ValueError` whose message contains the smallest
# cost, as a plain number. *Hint: a list of the affordable widths, then `max` or the error.*
#
# <details><summary>Next step</summary>
#
# `[width for width in widths if ...]` keeps the affordable ones. If that list is empty (an empty list counts as false), raise
# the error, with the smallest of all `macs_of(width)` in the message.
# </details>


# %% exercise="widest_within"
def widest_within(budget: int, widths: list[float], macs_of: Callable[[float], int]) -> float:
    """The largest width that costs at most `budget` MACs."""
    ### BEGIN SOLUTION stub="Exercise 4: return the largest affordable width, or raise a ValueError with the smallest cost"
    affordable = [width for width in widths if macs_of(width) <= budget]
    if not affordable:
        cheapest = min(macs_of(width) for width in widths)
        raise ValueError(f"no width costs at most {budget} MACs; the cheapest one costs {cheapest}")
    return max(affordable)
    ### END SOLUTION


# %% check="widest_within" points=1
known = {0.5: 300, 2.0: 4000, 1.0: 1000, 0.25: 100}
for budget, wanted, why in [(1500, 1.0, "it costs 1000"), (4000, 2.0, "at most: 4000 is within 4000")]:
    got = widest_within(budget, list(known), lambda width: known[width])
    assert got == wanted, f"expected the width {wanted} for a budget of {budget} ({why}), got {got!r}"
try:
    got = widest_within(99, list(known), lambda width: known[width])
except ValueError as error:
    assert "100" in str(error), f"expected a message with the smallest cost, 100, got {str(error)!r}"
else:
    raise AssertionError(f"expected a ValueError for a budget of 99, where even the cheapest costs 100, got {got!r}")
### BEGIN HIDDEN TESTS
known = {1.5: 2_774_976, 0.25: 179_872, 2.0: 4_748_544, 0.75: 859_104, 1.0: 1_325_696, 0.5: 400_704}
for budget, wanted in [(179_872, 0.25), (859_103, 0.5), (2_000_000, 1.0), (10**9, 2.0), (2_774_976, 1.5)]:
    got = widest_within(budget, list(known), lambda width: known[width])
    assert got == wanted, f"expected {wanted} for {budget}, got {got!r}"
for budget in (179_871, 0):
    try:
        got = widest_within(budget, list(known), lambda width: known[width])
    except ValueError as error:
        assert "179872" in str(error).replace(",", ""), f"expected the smallest cost in the message, got {str(error)!r}"
    else:
        raise AssertionError(f"expected a ValueError for {budget}, got {got!r}")
### END HIDDEN TESTS

# %% [markdown]
# The check's budget is made up; this one is real. One million MACs are a tenth of what the challenge's baseline needs.

# %%
widest_within(1_000_000, widths, lambda width: profiles[width].macs)

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Only if the widths are sorted and no wider network is ever cheaper. Both hold for most lists; neither is asked for here.
# </details>
#
# ## Part 3. Why MobileNetV2 is linear where it is narrow
#
# A ReLU throws away everything negative. In a wide layer that does little harm: what one map loses, others still carry.
# In a narrow one it may be lost for good. MobileNetV2 (Sandler et al., 2018) makes the point with an experiment in which
# nothing is trained: points in the *plane* are embedded into $n$ dimensions by a random matrix $T$ ($n \times 2$), a ReLU
# is applied there, and the pseudo-inverse $T^+$ ($2 \times n$) brings them back:
#
# $$x' = T^+ \, \operatorname{ReLU}(T x).$$
#
# ## Exercise 5: what a ReLU destroys (2 points, 10 minutes)
#
# **Predict**: the points lie on a spiral. For which of $n = 2, 3, 5, 15, 30$ will you still recognize it?
#
# **Fill** `through_layer`. The points are **rows**, so a matrix acts on them from the right, transposed. *Hint:
# `torch.linalg.pinv(matrix)` is the pseudo-inverse. The nonlinearity is an argument: apply that one, once.*
#
# <details><summary>Next step</summary>
#
# `points @ matrix.T` embeds all points at once, $N \times n$. Apply `nonlinearity` to that, and multiply the result by the
# transposed pseudo-inverse, which is $n \times 2$.
# </details>


# %% exercise="through_layer"
def through_layer(points: torch.Tensor, matrix: torch.Tensor, nonlinearity: Callable = torch.relu) -> torch.Tensor:
    """Embed points (N x 2) by a matrix (n x 2), apply a nonlinearity, and come back by the pseudo-inverse (N x 2)."""
    ### BEGIN SOLUTION stub="Exercise 5: return the points after embedding, nonlinearity and pseudo-inverse, N x 2"
    embedded = nonlinearity(points @ matrix.T)
    return embedded @ torch.linalg.pinv(matrix).T
    ### END SOLUTION


# %% check="through_layer" points=2
points = torch.tensor([[1.0, 2.0], [-1.0, 3.0], [-2.0, -1.0]])
axes_only = torch.eye(2)
expected = torch.tensor([[1.0, 2.0], [0.0, 3.0], [0.0, 0.0]])
got = through_layer(points.clone(), axes_only.clone())
assert_tensor(got, expected, "With the unit matrix only the ReLU is left: negative coordinates become 0.")
matrix = torch.tensor([[1.0, 1.0], [0.0, 2.0], [1.0, -1.0]])
got = through_layer(points.clone(), matrix.clone(), nonlinearity=lambda maps: maps)
assert_tensor(got, points.clone(), "Without a nonlinearity the pseudo-inverse brings every point back.")
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(201)
for n, count in [(2, 5), (3, 7), (9, 4)]:
    points = torch.randn(count, 2, generator=generator)
    matrix = torch.randn(n, 2, generator=generator)
    inverse = torch.linalg.solve(matrix.T @ matrix, matrix.T)
    for nonlinearity in (torch.relu, torch.tanh, F.relu6):
        expected = nonlinearity(matrix @ points.T).T @ inverse.T
        got = through_layer(points.clone(), matrix.clone(), nonlinearity)
        assert_tensor(got, expected, f"wrong for {n} dimensions")
    expected = torch.relu(matrix @ points.T).T @ inverse.T
    assert_tensor(through_layer(points.clone(), matrix.clone()), expected, f"wrong for {n} dimensions by default")
### END HIDDEN TESTS

# %% [markdown]
# **Explore.** The spiral after the round trip. Look for parts that have fallen onto a line or into one point: no later layer
# can tell those points apart again. Change the seed: which of the pictures hardly depends on it?

# %%
turn = torch.linspace(0.5, 4 * torch.pi, 300)
spiral = turn[:, None] * torch.stack([turn.cos(), turn.sin()], dim=1) / 12
generator = torch.Generator().manual_seed(0)
fig, axes = plt.subplots(1, 6, figsize=(9, 1.9))
for ax, n in zip(axes, [None, 2, 3, 5, 15, 30], strict=True):
    shown = spiral if n is None else through_layer(spiral, torch.randn(n, 2, generator=generator))
    ax.scatter(*shown.T.numpy(), c=turn.numpy(), s=3, cmap="viridis")
    ax.set(xlabel="the points" if n is None else f"ReLU, n = {n}", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# In 2 or 3 dimensions, whole stretches of the spiral fall onto lines, and every point whose embedded coordinates are all
# negative comes back as zero. With 15 or 30 dimensions no two stretches coincide any more: the spiral is bent, but a later
# layer could unbend it. The lesson of MobileNetV2: **apply the nonlinearity where the layer is wide, and none where it is
# narrow.**
# </details>
#
# ## Part 4. The inverted residual
#
# The bottleneck block of a deep ResNet is wide outside and narrow inside. MobileNetV2 turns this inside out. Between
# the blocks the maps are few; inside, a $1 \times 1$ convolution **expands** them $t$ times, a depthwise $3 \times 3$
# convolution **filters** the many maps cheaply, and a second $1 \times 1$ convolution **projects** them back to few:
#
# | step | convolution | maps | then |
# |---|---|---|---|
# | expand | $1 \times 1$ | $D_\text{in} \to t D_\text{in}$ | BN, ReLU6 |
# | filter | depthwise $3 \times 3$, with the stride | $t D_\text{in} \to t D_\text{in}$ | BN, ReLU6 |
# | project | $1 \times 1$ | $t D_\text{in} \to D_\text{out}$ | BN, *nothing*: a **linear bottleneck** |
#
# ReLU6 is $\min(\max(x, 0), 6)$: a known, small range is easy to store in few bits. With $t = 1$ there is nothing to
# expand, and the first step is left out.
#
# ## Exercise 6: expand, filter, project (3 points, 12 minutes)
#
# **Predict**, for $D_\text{in} = D_\text{out} = 32$ and $t = 4$: does the block have more or fewer weights than a dense
# $3 \times 3$ convolution from 32 to 32 maps?
#
# **Fill** `bottleneck_layers`. *Hint: start with an empty list, and extend it by `conv_norm(...)` and `nn.ReLU6()` step by
# step. Which step has the stride, which one has groups, and after which one comes no ReLU6?*
#
# <details><summary>Next step</summary>
#
# `hidden` is `expansion * in_channels`. Only `if expansion > 1`, begin with a `conv_norm` of kernel size 1 from `in_channels`
# to `hidden`, and an `nn.ReLU6()`. Then come the depthwise `conv_norm` with 3, the stride and `groups=hidden`, another
# `nn.ReLU6()`, and last the `conv_norm` of kernel size 1 from `hidden` to `out_channels`.
# </details>


# %% exercise="bottleneck_layers"
def bottleneck_layers(in_channels: int, out_channels: int, stride: int = 1, expansion: int = 6) -> nn.Sequential:
    """Expand (if expansion > 1), filter and project, each with batch normalization; ReLU6 behind the first two."""
    ### BEGIN SOLUTION stub="Exercise 6: return an nn.Sequential: expand, BN, ReLU6, filter, BN, ReLU6, project, BN"
    hidden = expansion * in_channels
    layers = []
    if expansion > 1:
        layers += [*conv_norm(in_channels, hidden, 1), nn.ReLU6()]
    layers += [*conv_norm(hidden, hidden, 3, stride=stride, groups=hidden), nn.ReLU6()]
    layers += conv_norm(hidden, out_channels, 1)
    return nn.Sequential(*layers)
    ### END SOLUTION


# %% check="bottleneck_layers" points=3
layers = bottleneck_layers(3, 5, stride=2, expansion=4)
assert_layers(
    layers,
    [(12, 3, 1, 1), (12, 1, 3, 3), (5, 12, 1, 1)],
    "Expand 3 maps to 4 x 3 = 12, filter the 12 depthwise with the stride, project them to 5.",
    strides=[1, 2, 1],
)
numbers = randomize(layers, seed=4)
images = 3 * torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(5))
expected = by_hand(images, numbers, 2, [F.relu6, F.relu6, identity])
got = layers(images.clone())
hint = "Is it convolution, normalization, ReLU6, twice, and then convolution, normalization?"
wrong_bends = {
    "ReLU behind the projection: the bottleneck is linear": [F.relu6, F.relu6, F.relu],
    "ReLU6 behind the projection: the bottleneck is linear": [F.relu6, F.relu6, F.relu6],
    "ReLU instead of ReLU6": [F.relu, F.relu, identity],
    "no ReLU6 behind the expansion": [identity, F.relu6, identity],
    "no ReLU6 behind the depthwise step": [F.relu6, identity, identity],
}
for mistake, bends in wrong_bends.items():
    if got.shape == expected.shape and torch.allclose(got, by_hand(images, numbers, 2, bends), atol=1e-3):
        hint = f"There is {mistake}."
assert_tensor(got, expected, hint)
assert_layers(
    bottleneck_layers(4, 6, expansion=1), [(4, 1, 3, 3), (6, 4, 1, 1)], "With expansion 1, nothing is expanded."
)
### BEGIN HIDDEN TESTS
not_imported("factorkit.layers", "factorkit.models")
for i, o, stride, expansion, size in [
    (2, 6, 1, 6, (5, 7)),
    (5, 3, 2, 1, (8, 9)),
    (4, 4, 1, 2, (6, 6)),
    (3, 4, 2, 3, (9, 5)),
]:
    layers = bottleneck_layers(i, o, stride=stride, expansion=expansion)
    hidden = expansion * i
    shapes, strides = ([(hidden, i, 1, 1)], [1]) if expansion > 1 else ([], [])
    shapes += [(hidden, 1, 3, 3), (o, hidden, 1, 1)]
    assert_layers(layers, shapes, f"wrong for {i} to {o} maps", strides=[*strides, stride, 1])
    numbers = randomize(layers, seed=40 + i)
    images = 3 * torch.randn(2, i, *size, generator=torch.Generator().manual_seed(50 + i))
    bends = [F.relu6, F.relu6, identity][-len(numbers) :]
    expected = by_hand(images, numbers, stride, bends)
    got = layers(images.clone())
    assert_tensor(got, expected, f"wrong for {i} to {o} maps, stride {stride}, expansion {expansion}")
default = weight_shapes(bottleneck_layers(2, 2))
assert default == [(12, 2, 1, 1), (12, 1, 3, 3), (2, 12, 1, 1)], f"wrong by default: {default}"
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# About the same: $32 \cdot 128 + 9 \cdot 128 + 128 \cdot 32 = 9{,}344$ weights against $9 \cdot 32 \cdot 32 = 9{,}216$. The
# inverted residual does not save by being smaller than *this* convolution. It lets the network be narrow between the
# blocks, while the nonlinearities see 128 maps.
# </details>
#
# ## Exercise 7: the shortcut (2 points, 7 minutes)
#
# As in a ResNet, the block adds its input to its output where the two fit: exactly if the **stride is 1** and there are **as
# many maps at the end as at the beginning**. The shortcut connects the narrow layers, and nothing is applied to the sum.
#
# **Predict**: in a ResNet the ReLU comes behind the addition. What would happen here, if it did?
#
# **Fill** `forward`. *Hint: `self.layers(maps)` is the way through the block; the two conditions are about numbers that
# `__init__` has stored.*
#
# <details><summary>Next step</summary>
#
# If `self.stride == 1` and `self.in_channels == self.out_channels`, return the sum of `maps` and `self.layers(maps)`, written
# with `+` (and not `+=`, which changes the caller's maps); otherwise only the second.
# </details>


# %% exercise="inverted_residual"
class InvertedResidual(nn.Module):
    """The block of MobileNetV2: expand, filter, project, and a shortcut where input and output fit."""

    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        self.in_channels, self.out_channels, self.stride = in_channels, out_channels, stride
        self.layers = bottleneck_layers(in_channels, out_channels, stride, expansion)

    def forward(self, maps):
        ### BEGIN SOLUTION stub="Exercise 7: return the maps after the layers, plus the input where the two fit"
        changed = self.layers(maps)
        fits = self.stride == 1 and self.in_channels == self.out_channels
        return maps + changed if fits else changed
        ### END SOLUTION


# %% check="inverted_residual" points=2
block = InvertedResidual(4, 4, expansion=2)
numbers = randomize(block, seed=6)
images = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(7))
through = by_hand(images, numbers, 1, [F.relu6, F.relu6, identity])
expected = images + through
given = images.clone()
assert_tensor(block(given), expected, "Stride 1 and 4 maps on both sides: expected the input plus the layers' output.")
assert torch.equal(given, images), "expected the block to leave its input as it was, got it changed: use +, not +="
for o, stride, why in [(6, 1, "6 instead of 4 maps come out"), (4, 2, "the stride is 2")]:
    block = InvertedResidual(4, o, stride=stride, expansion=2)
    numbers = randomize(block, seed=8)
    expected = by_hand(images, numbers, stride, [F.relu6, F.relu6, identity])
    assert_tensor(block(images.clone()), expected, f"Expected no shortcut, because {why}.")
### BEGIN HIDDEN TESTS
not_imported("factorkit.layers", "factorkit.models")
for i, o, stride, expansion in [(3, 3, 1, 1), (5, 5, 1, 6), (6, 3, 1, 2), (3, 6, 2, 3), (5, 5, 2, 1), (2, 8, 1, 4)]:
    block = InvertedResidual(i, o, stride, expansion)
    numbers = randomize(block, seed=60 + i)
    images = torch.randn(3, i, 6, 8, generator=torch.Generator().manual_seed(70 + i))
    through = by_hand(images, numbers, stride, [F.relu6, F.relu6, identity][-len(numbers) :])
    expected = images + through if (stride, i) == (1, o) else through
    given = images.clone()
    got = block(given)
    assert_tensor(got, expected, f"wrong for {i} to {o} maps with stride {stride}")
    torch.testing.assert_close(given, images, rtol=0, atol=0, msg="the block changed its input")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# The ReLU would act on the narrow layer, where part 3 has shown what it destroys; and the sum could only grow from block to
# block, since nothing negative would be left to add.
# </details>
#
# ## Exercise 8: MobileNetV2 (2 points, 10 minutes)
#
# The plan of MobileNetV2 has *stages*. Each stage repeats a block; the **first** block of a stage has the stride of the plan
# and changes the number of maps, the others have stride 1 and keep it. Ours, for $32 \times 32$ pixels:
#
# | | expansion $t$ | maps at $\alpha = 1$ | repeats | stride |
# |---|---:|---:|---:|---:|
# | convolution $3 \times 3$, BN, ReLU6 | | 16 | | 2 |
# | stage | 1 | 16 | 1 | 1 |
# | stage | 4 | 24 | 2 | 2 |
# | stage | 4 | 32 | 1 | 1 |
# | convolution $1 \times 1$, BN, ReLU6 | | 64 | | 1 |
# | average, linear layer | | 10 | | |
#
# The width multiplier acts on all of it but the last $1 \times 1$ convolution, which stays at 64 maps for $\alpha < 1$, as
# the paper keeps its own.
#
# **Predict**: in how many of the four blocks is there a shortcut at $\alpha = 1$, and in how many at $\alpha = 0.5$?
#
# **Fill** the inside of the loop over the stages. *Hint: a loop over `range(repeats)`; which stride has its first round, and
# what is `channels` from the second one on?*
#
# <details><summary>Next step</summary>
#
# `scaled` is `round_channels` of the width times `out_channels`. In each round, append `InvertedResidual` from `channels` to
# `scaled`, with the stride of the plan if the round is number 0 and 1 otherwise, and the expansion. Then `channels` is
# `scaled`.
# </details>

# %% given="plan_v2"
PLAN_V2 = [(1, 16, 1, 1), (4, 24, 2, 2), (4, 32, 1, 1)]  # for each stage: expansion, output maps, repeats, stride


# %% exercise="build_mobilenet_v2"
def build_mobilenet_v2(
    width: float = 1.0, plan: list[tuple[int, int, int, int]] = PLAN_V2, num_classes: int = 10
) -> nn.Sequential:
    """A small MobileNetV2 for 3 x 32 x 32 images, its channel counts multiplied by `width` and rounded."""
    channels = round_channels(width * 16)
    layers = [*conv_norm(3, channels, 3, stride=2), nn.ReLU6()]
    for expansion, out_channels, repeats, stride in plan:
        ### BEGIN SOLUTION stub="Exercise 8: append `repeats` blocks, the first one with the stride, and update channels"
        scaled = round_channels(width * out_channels)
        for number in range(repeats):
            layers.append(InvertedResidual(channels, scaled, stride if number == 0 else 1, expansion))
            channels = scaled
        ### END SOLUTION
    head = round_channels(max(width, 1.0) * 64)
    layers += [*conv_norm(channels, head, 1), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(head, num_classes))


# %% check="build_mobilenet_v2" points=2
network = build_mobilenet_v2(0.5)
assert_layers(
    network,
    [(8, 3, 3, 3), (8, 1, 3, 3), (8, 8, 1, 1)]
    + [(32, 8, 1, 1), (32, 1, 3, 3), (16, 32, 1, 1)]
    + 2 * [(64, 16, 1, 1), (64, 1, 3, 3), (16, 64, 1, 1)]
    + [(64, 16, 1, 1)],
    "Each stage has `repeats` blocks. Its first block finds the maps of the stage before, the others the stage's own.",
)
images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(9))
costs = profile_model(trusted_copy(network, images), (3, 32, 32))
counts = f"expected 9,242 parameters and 608,896 MACs at width 0.5, got {costs.params:,} and {costs.macs:,}"
assert (costs.params, costs.macs) == (9_242, 608_896), f"{counts}. Has only the first block of a stage its stride?"
### BEGIN HIDDEN TESTS
not_imported("factorkit.layers", "factorkit.models")


def shapes_v2(widths: list[int], plan: list[tuple[int, int, int, int]], head: int) -> list[tuple[int, ...]]:
    """The weights that a MobileNetV2 with this plan has; widths: its first convolution, then its stages."""
    shapes, channels = [(widths[0], 3, 3, 3)], widths[0]
    for (expansion, _, repeats, _), after in zip(plan, widths[1:], strict=True):
        for _ in range(repeats):
            hidden = expansion * channels
            shapes += [(hidden, channels, 1, 1)] if expansion > 1 else []
            shapes += [(hidden, 1, 3, 3), (after, hidden, 1, 1)]
            channels = after
    return [*shapes, (head, channels, 1, 1)]


for width, plan, widths, head in [
    (1.0, [(1, 16, 1, 1), (4, 24, 2, 2), (4, 32, 1, 1)], [16, 16, 24, 32], 64),
    (1.5, [(2, 24, 3, 2), (3, 16, 1, 1), (1, 24, 2, 2)], [24, 40, 24, 40], 96),
    (0.25, [(6, 40, 2, 1), (2, 64, 1, 2)], [8, 16, 16], 64),
]:
    network = build_mobilenet_v2(width, plan, num_classes=4)
    assert_layers(network, shapes_v2(widths, plan, head), f"wrong at width {width}")
    numbers = randomize(network, seed=80)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(81))
    maps, left = by_hand(images, numbers[:1], 2, [F.relu6]), numbers[1:]
    for expansion, _, repeats, stage_stride in plan:
        for number in range(repeats):
            bends = [F.relu6, F.relu6, identity] if expansion > 1 else [F.relu6, identity]
            stride = stage_stride if number == 0 else 1
            through = by_hand(maps, left[: len(bends)], stride, bends)
            maps = maps + through if maps.shape == through.shape else through
            left = left[len(bends) :]
    maps = by_hand(maps, left, 1, [F.relu6])
    weight, bias = (parameter.detach().clone() for parameter in network[-1].parameters())
    expected = F.linear(maps.mean((2, 3)), weight, bias)
    assert_tensor(network(images.clone()), expected, f"wrong scores at width {width} with the plan {plan}")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# Two at $\alpha = 1$: the first stage keeps 16 maps at stride 1, and so does the second block of the second stage with its
# 24 maps. Three at $\alpha = 0.5$, where the rounding makes 16 maps of both 12 and 16, and the last stage finds as many as it
# gives.
# </details>
#
# ## Train, sweep, measure (15 minutes)
#
# Six networks: both families at three widths each. Their costs first; they need no training. **Predict** which of them is
# the most accurate, and whether the second version beats the first at the same MACs.

# %%
families = {"v1": build_mobilenet, "v2": build_mobilenet_v2}
networks = {f"{name}, {width:g}": (build, width) for name, build in families.items() for width in (0.25, 0.5, 1.0)}
costs = {name: profile_model(build(width), (3, 32, 32)) for name, (build, width) in networks.items()}
sweep = pd.DataFrame({"params": [c.params for c in costs.values()], "macs": [c.macs for c in costs.values()]}, networks)
sweep

# %% [markdown]
# Now time. An image that comes alone, from a camera, is another situation than a batch of 64 on a server, so the next cell
# measures both. The networks take turns, and the median of many rounds is kept: what disturbs the computer then disturbs
# all of them alike. **Predict**: at $\alpha = 1$ the first version needs 7.4 times the MACs that it needs at 0.25. How many
# times longer does it take, alone and in a batch?


# %%
def milliseconds(models: dict[str, nn.Module], images: torch.Tensor, rounds: int) -> pd.Series:
    """Median time of one forward pass of each model; the models take turns."""
    times = {name: [] for name in models}
    with torch.no_grad():
        for _ in range(rounds):
            for name, model in models.items():
                start = time.perf_counter()
                model(images)
                times[name].append(1000 * (time.perf_counter() - start))
    return pd.DataFrame(times).iloc[rounds // 5 :].median()  # the first fifth warms up


rounds = 2 if being_graded() else 50
models = {name: build(width).eval() for name, (build, width) in networks.items()}
sweep["ms, 1 image"] = milliseconds(models, torch.randn(1, 3, 32, 32), rounds)
sweep["ms, 64 images"] = milliseconds(models, torch.randn(64, 3, 32, 32), rounds)
sweep.round(2)

# %% [markdown]
# Now train all six for 8 epochs on `patterns` (ten classes: five outlines, striped or spotted). This takes about 4 minutes on
# two cores that have nothing else to do. A grader skips this cell and the next one.

# %%
EPOCHS = 8
trained = {}
if not being_graded():
    patterns = data.load("patterns")
    for name, (build, width) in networks.items():
        training.seed_everything(0)
        trained[name] = build(width)
        history = training.fit(trained[name], patterns, epochs=EPOCHS, batch_size=64, lr=0.02, channels_last=True)
        sweep.loc[name, "accuracy"] = history.test_accuracy.iloc[-1]
    display(sweep.round(3))

# %% [markdown]
# **Explore.** Accuracy against MACs, and the same accuracy against time. Up and to the left is better. Each point is one
# run, and another seed moves it by one or two points. Look at the left figure: which family lies above the other, and for
# which budgets? Then look at what becomes of the distances between the points in the middle and on the right.

# %%
if trained:
    sweep["MACs (millions)"] = sweep.macs / 1e6
    fig, axes = plt.subplots(1, 3, figsize=(10, 3), sharey=True)
    for ax, column in zip(axes, ["MACs (millions)", "ms, 1 image", "ms, 64 images"], strict=True):
        for name, marker in [("v1", "o"), ("v2", "s")]:
            points = sweep[sweep.index.str.startswith(name)]
            ax.plot(points[column], 100 * points.accuracy, marker=marker, label=f"{name}, width 0.25, 0.5, 1")
        ax.set(xlabel=column, xlim=(0, 1.1 * sweep[column].max()))
    axes[0].set_ylabel("test accuracy (%)")
    axes[0].legend()
    plt.show()

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# Every width buys accuracy. Where MACs are scarce the second version is ahead: in our run, its half width reached 87 % with
# 0.6 million MACs, where a line between the points of the first version passes at 80 %. At full width the two came out
# alike. The time is another story. For a single image all six took about the same: networks of this size spend their time on
# *starting* layers, whatever their width. In a batch of 64 the first version's width does show. The second version at full
# width took 3.5 times as long as the first, with hardly more MACs: its expanded maps are many numbers, and each
# normalization and each ReLU6 fetches and writes them once more.
# </details>
#
# ## Exercise 9: an entry for the challenge (1 point, 5 minutes)
#
# An entry of the course's MicroNet challenge is one file. `entry.export(network, path, task=...)` writes it, and whoever has
# the file can measure it: `entry.measure(path)` finds its parameters, bits and MACs, and `measure(path, data)` also its
# accuracy. The task is called `"patterns"`.
#
# **Predict**: 90 % of the images have to be right. Which networks of your sweep may enter?
#
# **Fill** `write_entry`. *Hint: it is one call.*


# %% exercise="write_entry"
def write_entry(network: nn.Module, path: Path | str) -> None:
    """Write a trained network as an entry for `patterns`."""
    ### BEGIN SOLUTION stub="Exercise 9: export the network to this path, for the task patterns"
    entry.export(network, path, task="patterns")
    ### END SOLUTION


# %% given="practice_network"
def practice_network() -> nn.Sequential:
    """A tiny network with random weights, to practice with."""
    torch.manual_seed(10)
    layers = [nn.Conv2d(3, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4), nn.ReLU6()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    randomize(network, seed=11)
    return network


# %% check="write_entry" points=1
network = practice_network()
expected = profile_model(network, (3, 32, 32))
with TemporaryDirectory() as folder:
    practice_file = Path(folder, "practice.onnx")
    write_entry(network, practice_file)
    assert practice_file.is_file(), f"expected write_entry(network, path) to write {practice_file.name}, got no file"
    measured = entry.measure(practice_file)
    assert measured.task == "patterns", f"expected an entry for the task 'patterns', got {measured.task!r}"
    assert measured.params == expected.params, f"expected {expected.params} parameters, got {measured.params}"
    assert measured.macs == expected.macs, f"expected {expected.macs} MACs, got {measured.macs}"
    ### BEGIN HIDDEN TESTS
    not_imported("factorkit.layers", "factorkit.models")
    images = torch.randn(200, 3, 32, 32, generator=torch.Generator().manual_seed(12))
    with torch.no_grad():
        answers = practice_network().eval()(images).argmax(1)
    evaluation = entry.evaluate(practice_file, images, answers)
    assert evaluation.total == 200, f"expected 200 images, got {evaluation.total}"
    assert evaluation.correct >= 199, f"expected the network's own answers, got {evaluation.correct} of 200 alike"
    ### END HIDDEN TESTS

# %% [markdown]
# Put the best network of the sweep in. (The grader skips this cell.) The table says what the challenge would say, on the
# public test images. The score adds what the network stores to what it computes; the baseline scores 4, and lower is better.

# %%
if trained:
    best = sweep.accuracy.idxmax()
    print(f"MobileNet {best}")
    write_entry(trained[best], "mobilenet.onnx")
    display(measure("mobilenet.onnx", patterns))

# %% [markdown]
# For the challenge lab, copy this file beside its notebook under the name `entry.onnx`, and you are on the leaderboard, if the
# accuracy holds on other images. Then improve on it: more epochs lift the narrow networks most, and the bits have not
# been touched yet.
#
# ## Exercise 10: reading the sweep (3 points, 8 minutes)
#
# A colleague says: *"Half the width needs a quarter of the MACs, so the network answers four times faster. And MobileNetV2 is
# the newer one, so take that."*
#
# **Answer in four to eight sentences**, with numbers from your own run:
#
# 1. What is wrong about *a quarter of the MACs*, and why?
# 2. What is wrong about *four times faster*, for one image and for a batch, and why?
# 3. Which of the six networks would you put into the challenge, and which one into a device that sees one image at a time and
#    must answer fast? Why?

# %% [markdown] written="reading_the_sweep" points=3
# ### BEGIN SOLUTION
# **MACs.** At half the width, v1 needs 400,704 instead of 1,325,696 MACs: 3.3 times fewer, not 4. The pointwise convolutions
# have a factor for their inputs and one for their outputs, so they fall to a quarter, but the depthwise ones and the first
# convolution have only one channel count in their cost that shrinks. (v2 comes to 2.4, because 12 maps are rounded up to
# 16 and its last convolution keeps its 64 maps.)
#
# **Time.** One image took 0.61 ms instead of 0.67 ms, 1.1 times faster. All six networks took between 0.59 and 0.75 ms:
# starting a layer costs the same whatever is in it, and halving the width removes no layer. In a batch of 64 it was 3.8
# instead of 6.5 ms, 1.7 times faster: now there is work to save, but the maps still have to be fetched and written for each
# of the many small steps, and narrow layers use the processor badly.
#
# **Choice.** For the challenge: v1 at width 1. Only it and v2 at width 1 are above 90 % (91.1 and 90.8 %, which is the same
# within the spread of one or two points), it has slightly fewer parameters and MACs, and its entry scored 0.79. The margin
# is thin, so I would train it for longer first. For the device: v1 at width 1 too. The narrower networks and v2 are
# no faster on a single image, so giving up accuracy buys nothing there. v2 is worth it in between: at 0.6 million MACs it
# had 86.6 %, where v1 with 0.4 million had 76.6 %.
# ### END SOLUTION
# ### BEGIN MARK SCHEME
# Accuracies and times depend on the machine and on the run; they must come from the student's own notebook and fit the
# claim. The MACs do not depend on anything. One point for each of the three questions; a right claim without a reason or
# without a number earns nothing for that question.
#
# *MACs*, any one reason: only pointwise convolutions go with the square of the width; depthwise and first convolution go
# with the width itself; rounding to multiples of 8. *Time*, any one reason: each layer has a fixed cost to start that does
# not shrink; maps are fetched and written for each step; thin layers leave the processor's packs half empty. A student who
# did measure a factor of four or more in a batch gets the point for saying so beside the time of one image. *Choice*: any
# network, if it follows from the numbers: at least 90 % for the challenge, with the margin or the spread mentioned or a
# plan to reach it, and a low score; time, not MACs, for the device.
#
# - 0 points: the colleague's claims are repeated, or denied without a reason or a number.
# - 1 point: one of the three questions is answered with a number and a reason. Example: *"At half the width v1 needs 0.40
#   instead of 1.33 million MACs, only 3.3 times fewer, because the depthwise part shrinks with the width and not its square."*
# - 2 points: two of the three. Example: the above, and *"For one image the half network takes 0.61 instead of 0.67 ms and in
#   a batch 3.8 instead of 6.5, because starting the same number of layers takes as long whatever their width."*
# - 3 points: all three. Example: the above, and *"For the challenge I take v1 at width 1: 91 % leaves little margin, so I would
#   train it longer, but its score is lowest among those above 90 %. For the device too: the narrower ones are no faster on
#   one image, and less accurate."*
# ### END MARK SCHEME

# %% [markdown]
# ## What you take away
#
# - MobileNet's block filters with depthwise and mixes with pointwise convolutions; nearly all of its cost is mixing.
# - A width multiplier scales a whole design. The cost falls by *up to* $\alpha^2$: less where layers are depthwise, and in steps
#   where channels are rounded to multiples of 8.
# - A nonlinearity destroys what a narrow layer cannot carry twice. MobileNetV2 therefore bends where it is wide, stays
#   linear where it is narrow, and puts the shortcuts between the narrow layers.
# - Count before you train, and measure time before you believe the count.
#
# Now *Restart Kernel and Run All Cells*, check that every check is silent, save, and hand in.
