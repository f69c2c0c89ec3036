"""The challenge lab: wrong answers that must lose points, right ones that must not, and the demo's entries.

``solutions/micronet_challenge/entry.onnx`` is the lab's own network, made by running the lab's notebook from the top
to the cell that trains.
"""

from pathlib import Path

from autograder.proofs import Lab

ROOT = Path(__file__).resolve().parents[3]
ENTRY = ROOT / "solutions" / "micronet_challenge" / "entry.onnx"

LAB = Lab("micronet_challenge", files={"entry.onnx": ENTRY})

# Exercise 1.
LAB.mutant(
    "course_score",
    loses=2,
    why="takes the width of the narrower factor",
    answer="""
        parameter_term = weight_bits / 32 * params / REFERENCE_PARAMS
        return parameter_term + min(weight_bits, activation_bits) / 32 * macs / REFERENCE_MACS
    """,
)
LAB.mutant(
    "course_score",
    loses=2,
    why="counts operations at the width of the activations only",
    answer="""
        parameter_term = weight_bits / 32 * params / REFERENCE_PARAMS
        return parameter_term + activation_bits / 32 * macs / REFERENCE_MACS
    """,
)
LAB.mutant(
    "course_score",
    loses=2,
    why="stores the weights at the width of the operations",
    answer="return max(weight_bits, activation_bits) / 32 * (params / REFERENCE_PARAMS + macs / REFERENCE_MACS)",
)
LAB.mutant(
    "course_score",
    loses=2,
    why="leaves the bits out",
    answer="return params / REFERENCE_PARAMS + macs / REFERENCE_MACS",
)
LAB.mutant(
    "course_score",
    loses=2,
    why="rounds as the text prints it",
    answer="""
        parameter_term = weight_bits / 32 * params / REFERENCE_PARAMS
        return round(parameter_term + max(weight_bits, activation_bits) / 32 * macs / REFERENCE_MACS, 4)
    """,
)
LAB.variant(
    "course_score",
    why="both terms over one denominator",
    answer="""
        stored = params * weight_bits / REFERENCE_PARAMS
        return (stored + macs * max(weight_bits, activation_bits) / REFERENCE_MACS) / 32
    """,
)
LAB.mutant(
    "course_score",
    loses=2,
    why="takes the references of CIFAR-10",
    answer="return weight_bits / 32 * params / 5.6e6 + max(weight_bits, activation_bits) / 32 * macs / 2.8e8",
)
LAB.variant(
    "course_score",
    why="asks the profiler",
    answer="""
        from types import SimpleNamespace

        costs = SimpleNamespace(params=params, macs=macs)
        return float(estimate(costs, task="patterns", weight_bits=weight_bits, activation_bits=activation_bits))
    """,
)

# Exercise 2. The entry is measured from its file, so a wrong network here costs nothing there.
SAME_LAYERS = """
        layers = [*dense(3, 12, stride=2), *separable(12, 24), *separable(24, 48, stride=2)]
        for _ in range(3):
            layers += separable(48, 48)
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10)]
"""
LAB.mutant("build_network", loses=2, why="hands in the baseline", answer="return small_convnet()")
LAB.mutant("build_network", loses=2, why="has 100 classes", answer="return small_convnet((8, 16), num_classes=100)")
LAB.mutant("build_network", loses=2, why="returns the class, not a network", answer="return nn.Sequential")
LAB.mutant(
    "build_network",
    loses=2,
    why="returns the same network from each call",
    answer="""
        if not hasattr(build_network, "made"):
            build_network.made = small_convnet((8, 16, 32))
        return build_network.made
    """,
)
LAB.mutant(
    "build_network",
    loses=2,
    why="drops units in evaluation too",
    answer="""
        class Dropping(nn.Module):
            def forward(self, maps):
                return F.dropout(maps, 0.5, training=True)

        return nn.Sequential(*small_convnet((8, 16, 32))[:-1], Dropping(), nn.Linear(32, 10))
    """,
)
LAB.mutant(
    "build_network",
    loses=2,
    why="normalizes with the batch in evaluation too",
    answer="""
        network = small_convnet((8, 16, 32))
        network[1] = nn.BatchNorm2d(8, track_running_stats=False)
        return network
    """,
)
LAB.mutant(
    "build_network",
    loses=2,
    why="hides its weights from parameters()",
    answer="""
        class Hidden(nn.Sequential):
            def parameters(self, recurse=True):
                yield nn.Parameter(torch.zeros(1))

        return Hidden(*small_convnet((32, 64, 128)))
    """,
)
LAB.variant("build_network", why="list built in steps", answer=f"{SAME_LAYERS}        return nn.Sequential(*layers)\n")
LAB.variant(
    "build_network",
    why="a class with functional pooling",
    answer=f"""
{SAME_LAYERS}
        class Network(nn.Sequential):
            def forward(self, images):
                maps = images
                for layer in list(self)[:-3]:
                    maps = layer(maps)
                return self[-1](F.adaptive_avg_pool2d(maps, 1).flatten(1))

        return Network(*layers)
    """,
)

# Exercise 3.
LAB.mutant(
    "train_entry",
    loses=1,
    why="trains a copy",
    answer="""
        import copy

        return fit(copy.deepcopy(network), data, epochs=4)
    """,
)
LAB.mutant("train_entry", loses=1, why="does not return the table", answer="fit(network, data, epochs=4)")
LAB.mutant("train_entry", loses=1, why="returns the network", answer="fit(network, data, epochs=4)\nreturn network")
LAB.mutant(
    "train_entry",
    loses=1,
    why="takes another seed each time",
    answer="return fit(network, data, epochs=4, seed=torch.seed() % 2**32)",
)
LAB.mutant(
    "train_entry",
    loses=1,
    why="a learning rate at which nothing is learned",
    answer="return fit(network, data, epochs=4, lr=3.0)",
)
LAB.variant(
    "train_entry",
    why="fewer epochs and other options",
    answer="return fit(network, data, epochs=4, lr=0.02, batch_size=64, label_smoothing=0.0)",
)
LAB.variant(
    "train_entry",
    why="two runs, the second one with a small learning rate",
    answer="""
        first = fit(network, data, epochs=3, lr=0.02, seed=1)
        second = fit(network, data, epochs=2, lr=0.002, seed=2)
        return pd.concat([first, second], ignore_index=True)
    """,
)

# Exercise 4. What other files are worth stands in tests/micronet_resources/test_challenge_lab.py.
LAB.mutant(
    "entry",
    loses=12,
    why="exports a new network, untrained",
    answer="entry.export(build_network(), path, task=data.name)",
)
LAB.mutant(
    "entry",
    loses=12,
    why="exports for another task",
    answer='entry.export(network, path, task="cifar10")',
)
LAB.mutant("entry", loses=12, why="saves the weights only", answer="torch.save(network.state_dict(), path)")
LAB.mutant(
    "entry",
    loses=12,
    why="forgets the path",
    answer='entry.export(network, Path(path).with_name("entry.onnx"), task=data.name)',
)
LAB.mutant(
    "entry",
    loses=12,
    why="shuffles the weights",
    answer="""
        other = deepcopy(network)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.copy_(parameter.flatten().flip(0).view_as(parameter))
        entry.export(other, path, task=data.name)
    """,
)
for cheat in ("nan-like", "zeros"):
    LAB.tolerates(
        "entry", cheat, keeps=12, why="the answer is its file; only what is returned changes, and it is nothing"
    )
LAB.variant(
    "entry",
    why="returns the path, in evaluation mode, with the task's name written out",
    answer="""
        return entry.export(network.eval(), str(path), "patterns")
    """,
)
LAB.variant(
    "entry",
    why="exports a copy in half precision weights",
    answer="""
        network = deepcopy(network)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(parameter.half())
        entry.export(network, path, task=data.name)
    """,
)

# What the demo's students hand in; it trains each of them by running the whole notebook.
ENTRIES = {
    "strong entry, small maps early and weights of 8 bits": {
        "build_network": """
            layers = [*dense(3, 16, kernel_size=5, stride=2), *separable(16, 32), *separable(32, 48, stride=2)]
            layers += [*separable(48, 48), *separable(48, 48), *separable(48, 64)]
            return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
        """,
        "train_entry": "return fit(network, data, epochs=8, lr=0.03, channels_last=True)",
        "entry": """
            narrow = deepcopy(network)
            quantize_weights(narrow, 8, per_channel=False)
            entry.export(narrow, path, task=data.name)
        """,
    },
    "medium entry, separable and wide": {
        "build_network": """
            layers = [*dense(3, 24, kernel_size=5, stride=2), *separable(24, 48), *separable(48, 48)]
            layers += [*separable(48, 96, stride=2), *separable(96, 96), *separable(96, 96)]
            return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10))
        """,
        "train_entry": "return fit(network, data, epochs=6, lr=0.04, channels_last=True)",
    },
    "small entry, too thin to be accurate": {
        "build_network": "return small_convnet((4, 8, 16))",
        "train_entry": "return fit(network, data, epochs=4, lr=0.03, channels_last=True)",
    },
}
