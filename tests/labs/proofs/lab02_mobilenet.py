"""Wrong answers that must lose points in lab 02, and differently written right ones that must not.

The exercises build on each other: a wrong block costs the networks that are made of it too, so `loses` counts those.
"""

from autograder.proofs import Lab

LAB = Lab("lab02_mobilenet")

# Exercise 1. build_mobilenet stacks this block: 2 + 2 points.
LAB.mutant(
    "separable_block",
    loses=4,
    why="forgets the groups",
    answer="""
        depthwise = conv_norm(in_channels, in_channels, 3, stride=stride)
        return nn.Sequential(*depthwise, nn.ReLU(), *conv_norm(in_channels, out_channels, 1), nn.ReLU())
    """,
)
LAB.mutant(
    "separable_block",
    loses=4,
    why="has no nonlinearity between the two steps",
    answer="""
        depthwise = conv_norm(in_channels, in_channels, 3, stride=stride, groups=in_channels)
        return nn.Sequential(*depthwise, *conv_norm(in_channels, out_channels, 1), nn.ReLU())
    """,
)
LAB.mutant(
    "separable_block",
    loses=4,
    why="ends linearly, as the block of version 2",
    answer="""
        depthwise = conv_norm(in_channels, in_channels, 3, stride=stride, groups=in_channels)
        return nn.Sequential(*depthwise, nn.ReLU(), *conv_norm(in_channels, out_channels, 1))
    """,
)
LAB.mutant(
    "separable_block",
    loses=4,
    why="strides in the pointwise step: the same function, at four times the MACs",
    answer="""
        depthwise = conv_norm(in_channels, in_channels, 3, groups=in_channels)
        pointwise = conv_norm(in_channels, out_channels, 1, stride=stride)
        return nn.Sequential(*depthwise, nn.ReLU(), *pointwise, nn.ReLU())
    """,
)
LAB.mutant(
    "separable_block",
    loses=4,
    why="applies ReLU before the normalization",
    answer="""
        convolve, norm = conv_norm(in_channels, in_channels, 3, stride=stride, groups=in_channels)
        mix, mixed_norm = conv_norm(in_channels, out_channels, 1)
        return nn.Sequential(convolve, nn.ReLU(), norm, mix, nn.ReLU(), mixed_norm)
    """,
)
LAB.mutant(
    "separable_block",
    loses=4,
    why="leaves out the normalization of the depthwise step",
    answer="""
        depthwise = conv_norm(in_channels, in_channels, 3, stride=stride, groups=in_channels)[0]
        return nn.Sequential(depthwise, nn.ReLU(), *conv_norm(in_channels, out_channels, 1), nn.ReLU())
    """,
)
LAB.mutant(
    "separable_block",
    loses=4,
    why="uses ReLU6",
    answer="""
        depthwise = conv_norm(in_channels, in_channels, 3, stride=stride, groups=in_channels)
        return nn.Sequential(*depthwise, nn.ReLU6(), *conv_norm(in_channels, out_channels, 1), nn.ReLU6())
    """,
)
LAB.variant(
    "separable_block",
    why="written with torch's own layers, nested",
    answer="""
        options = {"kernel_size": 3, "stride": stride, "padding": 1, "groups": in_channels, "bias": False}
        filtering = nn.Conv2d(in_channels, in_channels, **options)
        mixing = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        return nn.Sequential(
            nn.Sequential(filtering, nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True)),
            nn.Sequential(mixing, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)),
        )
    """,
)
LAB.variant(
    "separable_block",
    why="one list for both steps",
    answer="""
        layers = []
        for outputs, size, step, groups in [(in_channels, 3, stride, in_channels), (out_channels, 1, 1, 1)]:
            layers += conv_norm(in_channels, outputs, size, stride=step, groups=groups) + [nn.ReLU()]
        return nn.Sequential(*layers)
    """,
)

# Exercise 2. Both networks round their channels, but not every error shows at their widths.
LAB.mutant(
    "round_channels",
    loses=6,
    why="rounds down",
    answer="return max(multiple, int(channels) // multiple * multiple)",
)
LAB.mutant(
    "round_channels",
    loses=2,
    why="rounds up",
    answer="return -(-int(channels) // multiple) * multiple",
)
LAB.mutant(
    "round_channels",
    loses=4,
    why="takes middles to the even neighbor",
    answer="""
        rounded = multiple * round(channels / multiple)
        return rounded if rounded >= 0.9 * channels else rounded + multiple
    """,
)
LAB.mutant(
    "round_channels",
    loses=4,
    why="may lose more than 10 %",
    answer="return max(multiple, multiple * int(channels / multiple + 0.5))",
)
LAB.mutant(
    "round_channels",
    loses=2,
    why="lets a layer vanish",
    answer="""
        rounded = multiple * int(channels / multiple + 0.5)
        return rounded if rounded >= 0.9 * channels or rounded == 0 else rounded + multiple
    """,
)
LAB.mutant(
    "round_channels",
    loses=2,
    why="always takes multiples of 8",
    answer="""
        rounded = 8 * int(channels / 8 + 0.5)
        return rounded if rounded >= 0.9 * channels else rounded + 8
    """,
)
LAB.mutant(
    "round_channels",
    loses=6,
    why="returns a float",
    answer="""
        rounded = (channels / multiple + 0.5) // 1 * multiple
        return rounded if rounded >= 0.9 * channels else rounded + multiple
    """,
)
LAB.variant(
    "round_channels",
    why="the rule as in the reference implementation",
    answer="""
        rounded = max(multiple, int(channels + multiple / 2) // multiple * multiple)
        if rounded < 0.9 * channels:
            rounded += multiple
        return rounded
    """,
)
LAB.variant(
    "round_channels",
    why="tries the multiples one after the other",
    answer="""
        candidate = multiple
        while channels - candidate >= multiple / 2 or candidate < 0.9 * channels:
            candidate += multiple
        return candidate
    """,
)

# Exercise 3
LAB.mutant(
    "build_mobilenet",
    loses=2,
    why="does not update the number of maps",
    answer="""
        scaled = round_channels(width * out_channels)
        layers.append(separable_block(channels, scaled, stride))
    """,
)
LAB.mutant(
    "build_mobilenet",
    loses=2,
    why="forgets the width",
    answer="""
        layers.append(separable_block(channels, out_channels, stride))
        channels = out_channels
    """,
)
LAB.mutant(
    "build_mobilenet",
    loses=2,
    why="forgets the stride",
    answer="""
        scaled = round_channels(width * out_channels)
        layers.append(separable_block(channels, scaled))
        channels = scaled
    """,
)
LAB.mutant(
    "build_mobilenet",
    loses=2,
    why="multiplies the width in again for each block",
    answer="""
        scaled = round_channels(width * channels * out_channels / 16)
        layers.append(separable_block(channels, scaled, stride))
        channels = scaled
    """,
)
LAB.mutant(
    "build_mobilenet",
    loses=2,
    why="rounds before it multiplies",
    answer="""
        scaled = int(width * round_channels(out_channels))
        layers.append(separable_block(channels, scaled, stride))
        channels = scaled
    """,
)
LAB.mutant(
    "build_mobilenet",
    loses=2,
    why="builds the network of the visible check",
    answer="""
        layers.append(separable_block(channels, 16 if out_channels == 32 else 32, 1 if channels != 16 else 2))
        channels = 16 if out_channels == 32 else 32
    """,
)
LAB.variant(
    "build_mobilenet",
    why="in one line for the block",
    answer="""
        inputs, channels = channels, round_channels(out_channels * width, multiple=8)
        layers += [separable_block(in_channels=inputs, out_channels=channels, stride=stride)]
    """,
)

# Exercise 4
LAB.mutant(
    "widest_within",
    loses=1,
    why="demands less than the budget",
    answer="""
        affordable = [width for width in widths if macs_of(width) < budget]
        if not affordable:
            raise ValueError(f"the cheapest one costs {min(map(macs_of, widths))}")
        return max(affordable)
    """,
)
LAB.mutant(
    "widest_within",
    loses=1,
    why="takes the last affordable width of the list",
    answer="""
        affordable = [width for width in widths if macs_of(width) <= budget]
        if not affordable:
            raise ValueError(f"the cheapest one costs {min(map(macs_of, widths))}")
        return affordable[-1]
    """,
)
LAB.mutant(
    "widest_within",
    loses=1,
    why="stops at the first width that is too expensive",
    answer="""
        best = None
        for width in widths:
            if macs_of(width) > budget:
                break
            best = width
        if best is None:
            raise ValueError(f"the cheapest one costs {min(map(macs_of, widths))}")
        return best
    """,
)
LAB.mutant(
    "widest_within",
    loses=1,
    why="returns the cost instead of the width",
    answer="""
        costs = [macs_of(width) for width in widths]
        if min(costs) > budget:
            raise ValueError(f"the cheapest one costs {min(costs)}")
        return max(cost for cost in costs if cost <= budget)
    """,
)
LAB.mutant(
    "widest_within",
    loses=1,
    why="names the budget, not the smallest cost",
    answer="""
        affordable = [width for width in widths if macs_of(width) <= budget]
        if not affordable:
            raise ValueError(f"nothing costs at most {budget}")
        return max(affordable)
    """,
)
LAB.mutant(
    "widest_within",
    loses=1,
    why="returns None for a budget that is too small",
    answer="return max((width for width in widths if macs_of(width) <= budget), default=None)",
)
LAB.variant(
    "widest_within",
    why="goes through the widths from the largest on",
    answer="""
        for width in sorted(widths, reverse=True):
            if macs_of(width) <= budget:
                return width
        raise ValueError(f"out of reach: the least is {min(map(macs_of, widths)):,}")
    """,
)

# Exercise 5
LAB.mutant(
    "through_layer",
    loses=2,
    why="always applies the ReLU",
    answer="return torch.relu(points @ matrix.T) @ torch.linalg.pinv(matrix).T",
)
LAB.mutant(
    "through_layer",
    loses=2,
    why="takes the transposed matrix for the inverse",
    answer="return nonlinearity(points @ matrix.T) @ matrix",
)
LAB.mutant(
    "through_layer",
    loses=2,
    why="applies the nonlinearity after coming back",
    answer="return nonlinearity(points @ matrix.T @ torch.linalg.pinv(matrix).T)",
)
LAB.mutant(
    "through_layer",
    loses=2,
    why="applies the nonlinearity to the points",
    answer="return nonlinearity(points) @ matrix.T @ torch.linalg.pinv(matrix).T",
)
LAB.mutant(
    "through_layer",
    loses=2,
    why="applies it before and after",
    answer="return nonlinearity(nonlinearity(points @ matrix.T) @ torch.linalg.pinv(matrix).T)",
)
LAB.mutant(
    "through_layer",
    loses=2,
    why="returns the points as columns",
    answer="return torch.linalg.pinv(matrix) @ nonlinearity(matrix @ points.T)",
)
LAB.variant(
    "through_layer",
    why="points as columns, turned at the end",
    answer="return (torch.linalg.pinv(matrix) @ nonlinearity(matrix @ points.T)).T",
)
LAB.variant(
    "through_layer",
    why="least squares instead of a pseudo-inverse",
    answer="return torch.linalg.lstsq(matrix, nonlinearity(points @ matrix.T).T).solution.T",
)

# Exercise 6. InvertedResidual and build_mobilenet_v2 are made of it: 3 + 2 + 2 points.
START = """
        hidden = expansion * in_channels
        expand = [*conv_norm(in_channels, hidden, 1), nn.ReLU6()] if expansion > 1 else []
"""
LAB.mutant(
    "bottleneck_layers",
    loses=7,
    why="ends in a nonlinearity",
    answer=START
    + """
        filtering = [*conv_norm(hidden, hidden, 3, stride=stride, groups=hidden), nn.ReLU6()]
        return nn.Sequential(*expand, *filtering, *conv_norm(hidden, out_channels, 1), nn.ReLU6())
    """,
)
LAB.mutant(
    "bottleneck_layers",
    loses=7,
    why="uses ReLU",
    answer=START.replace("ReLU6", "ReLU")
    + """
        filtering = [*conv_norm(hidden, hidden, 3, stride=stride, groups=hidden), nn.ReLU()]
        return nn.Sequential(*expand, *filtering, *conv_norm(hidden, out_channels, 1))
    """,
)
LAB.mutant(
    "bottleneck_layers",
    loses=5,
    why="expands by 1 too",
    answer="""
        hidden = expansion * in_channels
        expand = [*conv_norm(in_channels, hidden, 1), nn.ReLU6()]
        filtering = [*conv_norm(hidden, hidden, 3, stride=stride, groups=hidden), nn.ReLU6()]
        return nn.Sequential(*expand, *filtering, *conv_norm(hidden, out_channels, 1))
    """,
)
LAB.mutant(
    "bottleneck_layers",
    loses=5,
    why="expands the outputs instead of the inputs",
    answer="""
        hidden = expansion * out_channels
        expand = [*conv_norm(in_channels, hidden, 1), nn.ReLU6()] if expansion > 1 else []
        filtering = [*conv_norm(hidden, hidden, 3, stride=stride, groups=hidden), nn.ReLU6()]
        return nn.Sequential(*expand, *filtering, *conv_norm(hidden, out_channels, 1))
    """,
)
LAB.mutant(
    "bottleneck_layers",
    loses=5,
    why="groups by the inputs, which is not depthwise",
    answer=START
    + """
        filtering = [*conv_norm(hidden, hidden, 3, stride=stride, groups=in_channels), nn.ReLU6()]
        return nn.Sequential(*expand, *filtering, *conv_norm(hidden, out_channels, 1))
    """,
)
LAB.mutant(
    "bottleneck_layers",
    loses=7,
    why="strides in the expansion already",
    answer="""
        hidden = expansion * in_channels
        expand = [*conv_norm(in_channels, hidden, 1, stride=stride), nn.ReLU6()] if expansion > 1 else []
        filtering = [*conv_norm(hidden, hidden, 3, groups=hidden), nn.ReLU6()]
        return nn.Sequential(*expand, *filtering, *conv_norm(hidden, out_channels, 1))
    """,
)
LAB.mutant(
    "bottleneck_layers",
    loses=7,
    why="bends only once",
    answer="""
        hidden = expansion * in_channels
        expand = conv_norm(in_channels, hidden, 1) if expansion > 1 else []
        filtering = [*conv_norm(hidden, hidden, 3, stride=stride, groups=hidden), nn.ReLU6()]
        return nn.Sequential(*expand, *filtering, *conv_norm(hidden, out_channels, 1))
    """,
)
LAB.mutant(
    "bottleneck_layers",
    loses=5,
    why="strides in the projection: the same function, with more MACs",
    answer=START
    + """
        filtering = [*conv_norm(hidden, hidden, 3, groups=hidden), nn.ReLU6()]
        return nn.Sequential(*expand, *filtering, *conv_norm(hidden, out_channels, 1, stride=stride))
    """,
)
LAB.variant(
    "bottleneck_layers",
    why="nested, with torch's own layers and a Hardtanh",
    answer="""
        hidden = in_channels * expansion
        steps = [nn.Conv2d(in_channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.Hardtanh(0.0, 6.0)]
        depthwise = nn.Conv2d(hidden, hidden, 3, stride=stride, padding=1, groups=hidden, bias=False)
        filtering = nn.Sequential(depthwise, nn.BatchNorm2d(hidden), nn.ReLU6(inplace=True))
        projecting = nn.Sequential(nn.Conv2d(hidden, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))
        if expansion == 1:
            return nn.Sequential(filtering, projecting)
        return nn.Sequential(*steps, filtering, projecting)
    """,
)
LAB.variant(
    "bottleneck_layers",
    why="removes the expansion afterwards",
    answer="""
        hidden = expansion * in_channels
        layers = nn.Sequential(*conv_norm(in_channels, hidden, 1), nn.ReLU6())
        layers.extend([*conv_norm(hidden, hidden, 3, stride=stride, groups=hidden), nn.ReLU6()])
        layers.extend(conv_norm(hidden, out_channels, 1))
        return layers[3:] if expansion == 1 else layers
    """,
)

# Exercise 7. build_mobilenet_v2 is made of it: 2 + 2 points, if a network with shortcuts shows the error.
LAB.mutant("inverted_residual", loses=4, why="has no shortcut", answer="return self.layers(maps)")
LAB.mutant(
    "inverted_residual",
    loses=4,
    why="looks at the stride only",
    answer="""
        changed = self.layers(maps)
        return maps + changed if self.stride == 1 else changed
    """,
)
LAB.mutant(
    "inverted_residual",
    loses=4,
    why="looks at the channels only",
    answer="""
        changed = self.layers(maps)
        return maps + changed if self.in_channels == self.out_channels else changed
    """,
)
LAB.mutant(
    "inverted_residual",
    loses=4,
    why="applies ReLU6 to the sum",
    answer="""
        changed = self.layers(maps)
        fits = self.stride == 1 and self.in_channels == self.out_channels
        return F.relu6(maps + changed) if fits else changed
    """,
)
LAB.mutant(
    "inverted_residual",
    loses=2,
    why="changes its input",
    answer="""
        changed = self.layers(maps)
        if self.stride == 1 and self.in_channels == self.out_channels:
            maps += changed
            return maps
        return changed
    """,
)
LAB.mutant(
    "inverted_residual",
    loses=4,
    why="adds the output twice",
    answer="""
        changed = self.layers(maps)
        fits = self.stride == 1 and self.in_channels == self.out_channels
        return maps + changed + changed if fits else changed
    """,
)
LAB.variant(
    "inverted_residual",
    why="compares shapes",
    answer="""
        changed = self.layers(maps)
        if changed.shape == maps.shape:
            changed = changed + maps
        return changed
    """,
)
LAB.variant(
    "inverted_residual",
    why="returns early",
    answer="""
        if self.stride != 1 or self.in_channels != self.out_channels:
            return self.layers(maps)
        return torch.add(self.layers(maps), maps)
    """,
)

# Exercise 8
LAB.mutant(
    "build_mobilenet_v2",
    loses=2,
    why="strides in every block of a stage",
    answer="""
        scaled = round_channels(width * out_channels)
        for _ in range(repeats):
            layers.append(InvertedResidual(channels, scaled, stride, expansion))
            channels = scaled
    """,
)
LAB.mutant(
    "build_mobilenet_v2",
    loses=2,
    why="strides in the last block of a stage",
    answer="""
        scaled = round_channels(width * out_channels)
        for number in range(repeats):
            layers.append(InvertedResidual(channels, scaled, stride if number == repeats - 1 else 1, expansion))
            channels = scaled
    """,
)
LAB.mutant(
    "build_mobilenet_v2",
    loses=2,
    why="ignores the repeats",
    answer="""
        scaled = round_channels(width * out_channels)
        layers.append(InvertedResidual(channels, scaled, stride, expansion))
        channels = scaled
    """,
)
LAB.mutant(
    "build_mobilenet_v2",
    loses=2,
    why="forgets the expansion",
    answer="""
        scaled = round_channels(width * out_channels)
        for number in range(repeats):
            layers.append(InvertedResidual(channels, scaled, stride if number == 0 else 1))
            channels = scaled
    """,
)
LAB.mutant(
    "build_mobilenet_v2",
    loses=2,
    why="updates the number of maps only between stages",
    answer="""
        scaled = round_channels(width * out_channels)
        for number in range(repeats):
            layers.append(InvertedResidual(channels, scaled, stride if number == 0 else 1, expansion))
        channels = scaled
    """,
)
LAB.mutant(
    "build_mobilenet_v2",
    loses=2,
    why="forgets the width",
    answer="""
        for number in range(repeats):
            layers.append(InvertedResidual(channels, out_channels, stride if number == 0 else 1, expansion))
            channels = out_channels
    """,
)
LAB.mutant(
    "build_mobilenet_v2",
    loses=2,
    why="repeats one and the same block, with shared weights",
    answer="""
        scaled = round_channels(width * out_channels)
        layers.append(InvertedResidual(channels, scaled, stride, expansion))
        layers += (repeats - 1) * [InvertedResidual(scaled, scaled, 1, expansion)]
        channels = scaled
    """,
)
LAB.variant(
    "build_mobilenet_v2",
    why="the first block before the loop",
    answer="""
        inputs, channels = channels, round_channels(width * out_channels)
        stage = [InvertedResidual(inputs, channels, stride, expansion)]
        for _ in range(repeats - 1):
            stage.append(InvertedResidual(channels, channels, expansion=expansion))
        layers.append(nn.Sequential(*stage))
    """,
)
LAB.variant(
    "build_mobilenet_v2",
    why="a list of strides",
    answer="""
        scaled = round_channels(width * out_channels)
        strides = [stride] + [1] * (repeats - 1)
        inputs = [channels] + [scaled] * (repeats - 1)
        layers += [InvertedResidual(i, scaled, s, expansion) for i, s in zip(inputs, strides, strict=True)]
        channels = scaled
    """,
)

# Exercise 9
LAB.mutant(
    "write_entry",
    loses=1,
    why="exports a new network, untrained",
    answer="entry.export(build_mobilenet(), path, task='patterns')",
)
LAB.mutant("write_entry", loses=1, why="saves the weights only", answer="torch.save(network.state_dict(), path)")
LAB.mutant(
    "write_entry",
    loses=1,
    why="forgets the path",
    answer="entry.export(network, Path(path).with_name('entry.onnx'), task='patterns')",
)
LAB.mutant(
    "write_entry",
    loses=1,
    why="exports for another task",
    answer="entry.export(network, path, task='cifar10')",
)
LAB.mutant(
    "write_entry",
    loses=1,
    why="starts the weights anew",
    answer="""
        for layer in network.modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
        entry.export(network, path, task='patterns')
    """,
)
for cheat in ("nan-like", "zeros"):
    LAB.tolerates(
        "write_entry", cheat, keeps=1, why="the answer is its file; only what is returned changes, and it is nothing"
    )
LAB.variant(
    "write_entry",
    why="evaluation mode, the path as text, the task by default",
    answer="return entry.export(network.eval(), str(path))",
)
