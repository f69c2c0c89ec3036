# ---
# jupyter:
#   kernelspec: {display_name: Python 3 (ipykernel), language: python, name: python3}
#   lab:
#     title: "The MicroNet challenge: small, and still accurate"
#     minutes: 120
#     points: 20
#     not_imported: []
# ---
# %% [markdown]
# # The MicroNet challenge: small, and still accurate
#
# Everybody can make a network smaller. The art is to know which parts it can do without. In this lab you take a network
# that works, find out where its cost lies, and build and train one that does the same job for a fraction of it. Your
# result goes on the leaderboard of the course.
#
# **When you have finished, you can**
#
# - compute the MicroNet score of a network, and say which of its two terms to attack;
# - read a profile and find the layers that cost most;
# - shrink a network by width, resolution and factorization, and predict what each saves before training anything;
# - plan training runs for a fixed amount of time, and judge a result against its spread;
# - hand in a network as one file that somebody else can measure.
#
# **Time**: about 120 minutes, of which about 25 are training.
#
# | | exercise | points | minutes |
# |---|---|---:|---:|
# | | *before you start* | | 8 |
# | 1 | the score | 2 | 12 |
# | | *where the cost of the baseline lies* | | 15 |
# | 2 | your network | 2 | 25 |
# | 3 | train it | 1 | 10 |
# | 4 | your entry | 12 | 25 |
# | | *what else lowers the score* | | 10 |
# | 5 | written: what it bought, what it cost | 3 | 15 |
# | | **sum** | **20** | **120** |
#
# ## Before you start (8 minutes)
#
# **The rules in short** (all of them are [here](../../book/appendix/rules.md) on the site, and in the file
# `micronet_resources/RULES.md`):
#
# - An entry must classify at least **90 %** of the images correctly. Counts are compared, nothing is rounded.
# - Among those that do, the **lowest score** wins. The score adds what the network stores to what it computes.
# - Everything is measured on the file that you hand in: which tensors the network reads, in how few bits each can be
#   stored exactly, which filters are zero. Declared figures are not asked for.
# - The grader measures on **other images** of the same kind. Choosing among many networks by their accuracy on the public
#   test images makes that accuracy look better than it is: leave a margin of one or two percent.
# - Train your own network: an entry whose weights derive from the kit's reference file is no entry. Training data: the
#   training split of the task only (augmented as you like); a larger network of your own as a teacher is allowed.
#
# **What is graded.** Exercises 1 to 4 automatically: under each stands a *check* that says what it expected and what it got,
# and the grader adds *hidden tests*. Exercise 5 is read by a person. Exercise 4 gives points on the published scale that
# the next cells print, so a small network that is not quite accurate enough earns something too.
#
# **How to work.** Run the cells from top to bottom and put your answer in place of each
# `raise NotImplementedError("Exercise ...")`. The long training is skipped while grading, only the check of exercise 3
# trains a tiny network; yours is handed in as a file, **`entry.onnx`, beside this notebook**. All of `factorkit` and
# `micronet_resources` may be used.

# %% given="setup"
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import pandas as pd
import torch
import torch.nn.functional as F  # noqa: F401, for networks of your own
from IPython.display import Markdown, display
from torch import nn

from factorkit import plots
from factorkit.checks import being_graded, trusted_copy
from factorkit.data import ImageData, load
from factorkit.layers import DepthwiseSeparableConv2d
from factorkit.models import small_convnet
from factorkit.quantization import ActivationQuantizer, calibrate, quantize_weights  # noqa: F401, for the last steps
from factorkit.training import fit, seed_everything
from micronet_resources import entry
from micronet_resources.challenge import measure, points
from micronet_resources.profile import estimate, profile_model
from micronet_resources.rules import rule_set

plots.use_style()

# %% given="data"
# For CIFAR-10 this is the line to change: data = load("cifar10"). Its baseline is ResNet-18, and training takes hours.
data = load("patterns")
task = rule_set("course2025").task(data.name)

print(data)
print(f"An entry needs {task.needed(2_000):,} of 2,000 images, {task.threshold_percent} %. Points of exercise 4:")
display(Markdown(task.scale(maximum=12)))

# %% [markdown]
# The next cell holds two helpers for the checks. You need not read it; run it.


# %% given="helpers"
def assert_number(got: object, expected: float, how: str) -> None:
    """Compare a computed number with the expected one."""
    kind = type(got).__name__
    assert isinstance(got, int | float), f"expected a number, got {got!r} of type {kind}"
    assert abs(got - expected) <= 1e-5 * abs(expected), f"expected {how} = {expected:.6g}, got {got:.6g}"


def assert_network(got: object) -> None:
    """Check that it is a network that maps images to one score for each of the ten classes."""
    kind = type(got).__name__
    assert isinstance(got, nn.Module), f"expected a network (an nn.Module), got an object of type {kind}"
    with torch.no_grad():
        scores = got.eval()(data.normalize(data.test_images[:2]))
    shape = tuple(scores.shape)
    assert shape == (2, 10), f"expected scores of shape (2, 10) for two images, got {shape}"
    assert bool(torch.isfinite(scores).all()), f"expected finite scores, got {scores}"


# %% [markdown]
# ## Exercise 1: the score (2 points, 12 minutes)
#
# With $w$ parameters of $q_w$ bits and $f$ MACs per image on activations of $q_a$ bits, the course scores a network that
# is not pruned with
#
# $$\text{score} = \frac{q_w}{32} \cdot \frac{w}{w_0} + \frac{\max(q_w, q_a)}{32} \cdot \frac{f}{f_0}.$$
#
# The references $w_0$ and $f_0$ are half the parameters and half the MACs of the task's baseline, which is to say the
# baseline in half precision. On `patterns` it is `small_convnet` with 72,954 parameters and 9,880,192 MACs for an image
# of $32 \times 32$ pixels, so that this network scores 4 at 32 bits. (On CIFAR-10 it is a ResNet-18.) A multiplication is
# as wide as its wider factor, hence the maximum.
#
# **Predict**: what does the baseline score with 8-bit weights and 16-bit activations? More or less than 1?
#
# **Fill** `course_score`. *Hint: one line for each term. The references are in `REFERENCE_PARAMS` and `REFERENCE_MACS`.*
#
# <details><summary>Next step</summary>
#
# The first term uses `weight_bits / 32` only. The second uses `max(weight_bits, activation_bits) / 32`.
# </details>

# %% given="references"
REFERENCE_PARAMS = 36_477
REFERENCE_MACS = 4_940_096


# %% exercise="course_score"
def course_score(params: int, macs: int, weight_bits: int = 32, activation_bits: int = 32) -> float:
    """MicroNet score of a network that is not pruned."""
    ### BEGIN SOLUTION stub="Exercise 1: return the parameter term plus the operation term, a float"
    parameter_term = weight_bits / 32 * params / REFERENCE_PARAMS
    operation_term = max(weight_bits, activation_bits) / 32 * macs / REFERENCE_MACS
    return parameter_term + operation_term
    ### END SOLUTION


# %% check="course_score" points=2
baseline_costs, separable_costs = (72_954, 9_880_192), (10_906, 1_804_928)
assert_number(course_score(*baseline_costs), 4.0, "2 (parameters) + 2 (operations)")
assert_number(course_score(*baseline_costs, 16, 16), 2.0, "half of each term")
assert_number(course_score(*baseline_costs, 8, 16), 1.5, "8/32 of the weights + 16/32 of the operations")
assert_number(course_score(*separable_costs, 4, 32), 0.402735, "0.0374 (parameters) + 0.3654 (operations)")
### BEGIN HIDDEN TESTS
from types import SimpleNamespace

for costs in [(0, 1_000_000), (36_477, 0), (18_626, 2_580_800), (1, 1), (36_536_884, 5_243_386_368)]:
    for bits in [(32, 32), (1, 1), (1, 32), (32, 1), (5, 3), (3, 5), (12, 12)]:
        expected = float(
            estimate(
                SimpleNamespace(params=costs[0], macs=costs[1]),
                "course2025",
                "patterns",
                weight_bits=bits[0],
                activation_bits=bits[1],
            )
        )
        assert_number(course_score(*costs, *bits), expected, f"the score of {costs} at {bits} bits")
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Check your prediction</summary>
#
# 1.5: the weights are read at a quarter of the bits, but every multiplication still has one factor of 16 bits.
# </details>
#
# The bits in this formula are those that the file really has. As trained, all are 32, and what remains to shrink is $w$
# and $f$; a section after exercise 4 comes back to the bits.
#
# ## Where the cost of the baseline lies (15 minutes)
#
# The baseline is `small_convnet`: for each of three widths (16, 32, 64) two $3 \times 3$ convolutions with batch
# normalization and ReLU, max-pooling between them, then a global average and a linear layer.
#
# **Predict** before you run the next cell: which of its six convolutions has the most parameters, which the most MACs?
# The maps have $32 \times 32$, $16 \times 16$ and $8 \times 8$ pixels.

# %% given="baseline"
baseline = small_convnet()
baseline_profile = profile_model(baseline, data.input_shape)
baseline_score = float(estimate(baseline_profile, task=data.name))

display(baseline_profile)
display(estimate(baseline_profile, task=data.name))

# %% [markdown]
# Trained for 6 epochs with `lr=0.02`, the baseline classified 93.9 % and 93.1 % of the public test images with seeds 0 and
# 1, and 93.4 % and 93.0 % of other images of the same kind. It clears the threshold with ease, and as an entry it would
# earn 6 of the 12 points: all of its score can still be saved.
#
# **Explore.** The bars show the share of each convolution in both terms of the score. Which two layers would you attack
# first? Change the widths of the network in the first line, run the cell again, and see which term answers.

# %%
looked_at = small_convnet(widths=(16, 32, 64))
layers = profile_model(looked_at, data.input_shape).to_frame().query("macs > 0")
terms = pd.DataFrame(
    {"parameters": layers.params / REFERENCE_PARAMS, "operations": layers.macs / REFERENCE_MACS}
).set_axis(layers.name + "\n" + layers.kind)

axes = terms.plot.bar(rot=0, figsize=(9, 3))
axes.set(xlabel="layer", ylabel="part of the score")
plt.show()

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# The parameters sit in the last convolution and the MACs in all but the first; by the choice of the references, both
# terms of the baseline are 2. Halving all widths divides both terms by about four, because the cost of a convolution has a
# factor for its input maps and one for its output maps. Halving the resolution early divides the operations by four and
# leaves the parameters alone.
# </details>
#
# ## Exercise 2: your network (2 points, 25 minutes)
#
# These are the levers. Each saves something and takes something away:
#
# | lever | saves | takes away |
# |---|---|---|
# | fewer maps (width) | both terms, with the square | capacity everywhere |
# | smaller maps earlier (stride, pooling) | operations | fine detail, such as the textures of `patterns` |
# | depthwise separable convolutions | up to $k^2$ times, less in thin layers | the freedom to filter and mix at once |
# | groups | a factor of `groups` in both terms | mixing between the groups |
# | fewer layers | their cost | nonlinearity, and the view of each output |
# | larger kernels, cheap when depthwise | (costs) | nothing: they give back some of the view |
#
# The first layers run on the largest maps and the last ones have the most weights, so different levers suit different
# places. Max-pooling, batch normalization and ReLU compute for free here, and running means and variances are not
# counted.
#
# **Compare candidates before you train one.** The next cell profiles a few in a second. Add yours. `estimate` takes the
# formula of exercise 1, here at 32 bits; `score` measures tensors, and those of an untrained network tell little.

# %%
candidates = {
    "baseline": small_convnet(),
    "half the widths": small_convnet((8, 16, 32)),
    "separable": small_convnet(conv=DepthwiseSeparableConv2d),
}
profiles = {name: profile_model(network, data.input_shape) for name, network in candidates.items()}
pd.DataFrame(
    {
        name: {"params": p.params, "macs": p.macs, "score": float(estimate(p, task=data.name))}
        for name, p in profiles.items()
    }
).T.astype({"params": int, "macs": int})

# %% [markdown]
# **Fill** `build_network`. It takes nothing and returns a new, untrained network that maps $N \times 3 \times 32 \times 32$
# images to $N \times 10$ scores, for any $N$. Its score must be below that of the baseline; how far below is your decision,
# and exercise 4 rewards it. You will come back to this cell after training. *Hint: `nn.Sequential` is enough, and helper
# functions for a repeated block keep it short; write them in a cell of your own above.*
#
# <details><summary>Next step</summary>
#
# Start from something that surely works: `return small_convnet((8, 16, 32))`. Train it in exercise 3, look at what it
# reaches, then change one thing at a time. End with `nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(maps, 10)`: it works
# for any size of the maps before it.
# </details>


# %% given="blocks"
def dense(
    in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution with batch normalization and ReLU; its output has 1/stride of the rows and columns."""
    padding = kernel_size // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(out_channels), nn.ReLU()]


def separable(in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> list[nn.Module]:
    """A depthwise and a pointwise convolution, each with batch normalization and ReLU."""
    depthwise = dense(in_channels, in_channels, kernel_size, stride, groups=in_channels)
    return [*depthwise, *dense(in_channels, out_channels, kernel_size=1)]


# %% exercise="build_network"
def build_network() -> nn.Module:
    """A new, untrained network for 3 x 32 x 32 images and ten classes."""
    ### BEGIN SOLUTION stub="Exercise 2: return an nn.Module that maps N x 3 x 32 x 32 images to N x 10 scores"
    layers = [
        *dense(3, 12, stride=2),  # to 16 x 16 maps at once: most of the baseline's MACs are on larger ones
        *separable(12, 24),
        *separable(24, 48, stride=2),  # to 8 x 8 maps, where depth is cheap
        *separable(48, 48),
        *separable(48, 48),
        *separable(48, 48),
    ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10))
    ### END SOLUTION


# %% check="build_network" points=2
assert_network(build_network())
images = data.normalize(data.train_images[:6])
costs = profile_model(trusted_copy(build_network(), images[:2]), data.input_shape)
got = float(estimate(costs, task=data.name))
assert got < baseline_score, f"expected a score below the baseline's {baseline_score:.4f}, got {got:.4f}: {costs}"
print(f"Score {got:.4f} with {costs.params:,} parameters and {costs.macs:,} MACs.")
### BEGIN HIDDEN TESTS
rebuilt = trusted_copy(build_network(), images[:2])
real_costs = profile_model(rebuilt, data.input_shape)
real_score = float(estimate(real_costs, task=data.name))
assert real_score < baseline_score, f"what it really runs scores {real_score:.4f}, expected less than the baseline"
with torch.no_grad():
    together, again = rebuilt(images), rebuilt(images)
    alone = torch.cat([rebuilt(image[None]) for image in images])
assert tuple(together.shape) == (6, 10), f"expected scores of shape (6, 10) for six images, got {tuple(together.shape)}"
torch.testing.assert_close(again, together, msg="expected the same scores for the same images, evaluation is random")
torch.testing.assert_close(
    alone, together, rtol=1e-3, atol=1e-4, msg="expected the same scores for an image alone and in a batch"
)
changed, other = build_network(), build_network()
with torch.no_grad():
    for parameter in changed.parameters():
        parameter.zero_()
size = sum(float(parameter.detach().abs().sum()) for parameter in other.parameters())
assert size > 0, "expected a new network from each call, got the same one again"
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 3: train it (1 point, 10 minutes)
#
# `fit` trains with AdamW and a learning rate that rises and falls once ("one cycle"). Its options, with their defaults:
# `epochs` (no default), `lr=0.01` (the largest rate), `batch_size=128`, `weight_decay=0.01`, `label_smoothing=0.05`,
# `augment` (mirrored images; on for `patterns`) and `seed=0`. It returns a table with one row per epoch.
#
# **Plan your time.** An epoch of the baseline takes about 9 seconds of one core, one of a network with a tenth of
# its MACs about 3: small networks are limited by overheads, not by arithmetic. Compare candidates in runs of 4 to 6
# epochs, then train the best one for longer.
#
# The check runs `train_entry` on 256 images and a tiny network, the grader three times within one minute: keep it **below
# about 50 epochs**. For more, call `fit` in the cell of exercise 4 that trains: the grader does not run it.
#
# Two options matter more than all others: small networks gain from more epochs for longer than large ones, and the
# default learning rate is careful (one network of 11,422 parameters reached 81 % in 8 epochs with `lr=0.01`, and 84 % with
# `lr=0.03`). `channels_last=True` often makes thin layers faster.
#
# **Predict** the accuracy of your network after training, and write it down.
#
# **Fill** `train_entry`: train the network that is given, in place, and return the table. The same network must give the
# same result when it is trained again: leave the seed fixed. *Hint: it is one call.*
#
# <details><summary>Next step</summary>
#
# Choose `epochs` between 6 and 20, pass `network` and `data` on, and return what `fit` returns. If the training accuracy
# is still far below the threshold at the end, the network is too small or has too few epochs; if it is well above the
# test accuracy, training has overfitted.
# </details>


# %% exercise="train_entry"
def train_entry(network: nn.Module, data: ImageData) -> pd.DataFrame:
    """Train the network in place; return the history, one row per epoch."""
    ### BEGIN SOLUTION stub="Exercise 3: train with fit(...) and return its table"
    return fit(network, data, epochs=16, lr=0.03, channels_last=True)
    ### END SOLUTION


# %% check="train_entry" points=1
seed_everything(3)
practice = data.subset(train=256, test=64)
network = small_convnet((4, 8))
weights_before = network[0].weight.detach().clone()
history = train_entry(network, practice)
assert isinstance(history, pd.DataFrame), f"expected the table that fit returns, got {history!r}"
columns = list(history.columns)
assert "train_loss" in columns and len(history) > 0, f"expected one row per epoch, got {len(history)} of {columns}"
moved = float((network[0].weight.detach() - weights_before).abs().sum())
assert moved > 0, f"expected the network's own weights to change in training, got a change of {moved}"
### BEGIN HIDDEN TESTS
losses = []
for _ in range(2):
    seed_everything(4)
    network = small_convnet((4, 8))
    seed_everything(5)
    losses.append([float(loss) for loss in train_entry(network, practice).train_loss])
assert all(0 < loss < 10 for loss in losses[0]), f"expected finite training losses, got {losses[0]}"
assert losses[0] == losses[1], f"expected the same losses again from the same start, got {losses[0]} and {losses[1]}"
if len(losses[0]) > 2:
    assert losses[0][-1] < losses[0][0], f"expected the training loss to fall, got {losses[0]}"
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 4: your entry (12 points, 25 minutes)
#
# An entry is **one file**. `entry.export(model, path, task)` writes a trained network as an ONNX graph: the operators that
# run on an image, and the tensors that they read. There is no Python in it, and whoever has the file can measure it
# and run it without your notebook. `task` is the name of the data set, here `data.name`.
#
# **Fill** `write_entry`. *Hint: it is one call.*


# %% exercise="entry"
def write_entry(network: nn.Module, path: Path | str) -> None:
    """Write a trained network as an entry for the task that this notebook works on."""
    ### BEGIN SOLUTION stub="Exercise 4: export the network to this path, for the task data.name"
    entry.export(network, path, task=data.name)
    ### END SOLUTION


# %% [markdown]
# Now train. The next cell builds your network, trains it on all images and writes `entry.onnx`. It is yours: change it,
# for example to train on a GPU, as long as `entry.onnx` lies beside this notebook in the end. The grader does not run it.

# %%
if not being_graded():
    seed_everything(0)
    network = build_network()
    history = train_entry(network, data)
    write_entry(network, "entry.onnx")
    plots.plot_history({"my entry": history})
    plt.show()

# %% [markdown]
# `measure` does what the grader does with the file: it follows the graph operator by operator, finds the cheapest exact
# encoding of each tensor and what pruned filters leave, and counts the images that the file classifies correctly.

# %%
measure("entry.onnx", data)

# %% [markdown]
# **Explore.** Is the accuracy where you predicted it? With 2,000 images, an accuracy near 90 % has a standard error of 0.7 %,
# and training again, with another seed or another number of threads, moves it by about as much. If you are closer to the
# threshold than that, the grader's images may decide against you. If you are far above it, you can afford to shrink
# further: go back to exercise 2. Keep a list of what you tried; you need it in exercise 5.
#
# ## What else lowers the score (10 minutes)
#
# This step is optional, and it needs no training. Everything that the grader finds in the values counts:
#
# | what you do to a trained network | what it saves |
# |---|---|
# | round its parameters to half precision | half of the parameter term |
# | `quantize_weights(network, 8)`: whole numbers of 8 bits, with a scale for each filter or, `per_channel=False`, for each layer | up to three quarters of it; less where a filter has only nine weights |
# | set a filter, and the scale and the shift of the batch normalization behind it, to zero | the filter, all that reads its map, and their MACs |
# | `ActivationQuantizer(8)` in front of layers with weights of 8 bits, then `calibrate`; the first one with `signed=True`, for normalized images are negative too | up to three quarters of the operation term |
#
# The first two leave the operations alone: the maps still have 32 bits, and the wider factor decides. Single zeros save
# storage and no operations.
#
# One entry of 11,602 parameters scored 0.48 as it was trained, with 1,856 of 2,000 public test images correct. In half
# precision it scored 0.32 with 1,857 correct, and with weights of 8 bits and one scale for each layer 0.26 with 1,854:
# differences that mean nothing, since they are a tenth of the standard error. With 4 bits and no further training it fell to
# 1,615, far below the threshold.
#
# A quantizer without a sign makes every negative value zero: in front of the first layer of the kit's reference network it
# took the accuracy from 95 % down to 63 %. Behind a ReLU nothing is negative, and the sign would waste half of the
# levels. `calibrate` warns where the sign is missing. This function puts a quantizer in front of each convolution and
# linear layer of a plain `nn.Sequential`, such as those of exercise 2; it does not look into blocks of your own.


# %% given="with_quantizers"
def with_quantizers(network: nn.Sequential, bits: int = 8) -> nn.Sequential:
    """A copy of a trained network that rounds what its layers read; 256 training images set the ranges."""
    layers: list[nn.Module] = []
    for layer in deepcopy(network):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layers.append(ActivationQuantizer(bits, signed=not layers))  # only the first layer reads the images
        layers.append(layer)
    quantized = nn.Sequential(*layers)
    calibrate(quantized, [data.normalize(data.train_images[:256])])
    return quantized


# %% [markdown]
# **Explore.** `compressed` returns a changed copy of the trained network. Try other changes: for example weights of 8 bits
# by `quantize_weights(network, 8, per_channel=False)`, then `return with_quantizers(network)`. The cell exports the
# copy and measures the file, because how wide the maps are and what pruned filters save elsewhere only shows in the
# exported graph, not in a profile of the model. When you like what you see, write that network as your entry in
# the last line.


# %%
@torch.no_grad()
def compressed(network: nn.Module) -> nn.Module:
    """A copy of a trained network with parameters in half precision."""
    network = deepcopy(network)
    for parameter in network.parameters():
        parameter.copy_(parameter.half())
    return network


if not being_graded():
    smaller = compressed(network)
    write_entry(smaller, "candidate.onnx")
    display(measure("entry.onnx", data), measure("candidate.onnx", data))
    # write_entry(smaller, "entry.onnx")

# %% check="entry" points=12
with TemporaryDirectory() as folder:
    practice_network = small_convnet((4, 8))
    nn.init.constant_(practice_network[-1].bias[3:4], 1e4)  # it answers 3, whatever it sees
    practice_file = Path(folder, "practice.onnx")
    write_entry(practice_network, practice_file)
    assert practice_file.is_file(), f"expected write_entry(network, path) to write {practice_file.name}, got no file"
    practice_data = replace(data.subset(train=1, test=20), test_labels=torch.full((20,), 3))
    got = measure(practice_file, practice_data)
    expected = profile_model(practice_network, data.input_shape)
    assert got.params == expected.params, f"expected {expected.params} parameters of this network, got {got.params}"
    assert got.correct == 20, f"expected the answers of this network, 20 of 20 correct, got {got.correct}"
public = measure("entry.onnx", data)
print(
    f"On the public test images: {points(public, 12):.1f} of 12 points. The grader uses other images of the same kind."
)
### BEGIN HIDDEN TESTS
# For CIFAR-10: held_out = load("cifar10"), with its test split as it is.
from dataclasses import replace

from factorkit.data.patterns import draw_patterns
from micronet_resources.challenge import measure, points

held_out_images, held_out_labels = draw_patterns(2_000, seed=7_305_824_119)
held_out = replace(
    load("patterns", progress=False),
    test_images=torch.from_numpy(held_out_images),
    test_labels=torch.from_numpy(held_out_labels),
)
measurement = measure("entry.onnx", held_out)
display(measurement)
float(points(measurement, 12))
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 5: what it bought, what it cost (3 points, 15 minutes)
#
# Write a short report, **six to ten sentences**, for somebody who wants to build on your entry:
#
# 1. What did you change compared with the baseline, and what did each change save, in parameters and in MACs?
# 2. What did it cost in accuracy? Give your numbers, and say whether a difference is larger than the spread you expect.
# 3. What did you try that did not help, and what would you try next, with the reason?

# %% [markdown] written="report" points=3
# ### BEGIN SOLUTION
# **Changes.** The first convolution has stride 2 and 12 maps, so nothing runs on 32 x 32 maps; there the baseline spends
# 2.8 of its 9.9 million MACs. All other convolutions are depthwise separable, and four of the five give 8 x 8 maps.
# Together this leaves 11,602 of 72,954 parameters (6.3 times fewer) and 0.80 of 9.88 million MACs (12.4 times fewer), and
# the score falls from 4 to 0.48. **Cost.** After 16 epochs with `lr=0.03` it classifies 92.8 % of the public test
# images; the baseline has 93.9 % and 93.1 % with two seeds after 6 epochs. The difference of about 0.7 points is as large
# as the spread between two trainings, so I would not call it a loss; what it did cost is training time, 16 epochs
# instead of 6. **Did not help.** Going to 8 x 8 maps already in the second layer, with a 5 x 5 depthwise kernel, stayed at
# 77 % after 8 epochs: the textures are too fine for it. **Next.** The pointwise
# convolutions on 8 x 8 maps are now the largest part, so I would try two groups with a channel shuffle there, and 16-bit
# weights, which would halve the first term.
# ### END SOLUTION
# ### BEGIN MARK SCHEME
# - 0 points: no report, or nothing that was done in this notebook.
# - 1 point: says what was changed, without what it saved and cost, or only one of the three questions is answered.
# - 2 points: changes and costs with numbers from the student's own runs; savings are given for parameters *and* MACs, or
#   the third question is answered with a reason, not both.
# - 3 points: all of it. Savings in parameters and MACs for each main change, the accuracy lost compared with the spread
#   (0.7 % for 2,000 images, or seeds of their own), one thing that did not help, and a next step that follows from where
#   the profile says that the cost is now.
# - Any design earns full marks here, also one below the threshold, if the report is honest about it.
# ### END MARK SCHEME

# %% [markdown]
# ## What you take away
#
# - A score of parameters *and* operations has two prices. Read the profile before you cut: weights sit in the late, wide
#   layers, operations in the early, large ones.
# - Profiling a candidate takes a second, training it takes minutes. Do the first often and the second rarely.
# - An accuracy is a measurement with a spread. A threshold that you just reach on the images you chose by is one that you
#   may miss on others.
#
# **Hand in** this notebook *and* `entry.onnx`. Before you do: *Restart Kernel and Run All Cells* (this trains again; on the
# same computer with the same result), look at the checks, save.
