"""Wrong answers that must lose points in lab 06, and differently written right ones that must not.

The exercises build on each other: the second iterates with the first, all layers are made of `factors`, and the
separable ones of `separable_matrix`. `loses` counts the points of all of them.
"""

from autograder.proofs import Lab

LAB = Lab("lab06_low_rank")

# Exercise 1. svd_by_power iterates with it: 2 + 2 points.
LAB.mutant(
    "power_iteration",
    loses=4,
    why="brings the vector to length one at the end only, so that its numbers overflow",
    answer="""
        x = start
        for _ in range(steps):
            x = matrix @ x
        x = x / x.norm()
        return (x @ matrix @ x).item(), x
    """,
)
LAB.mutant(
    "power_iteration",
    loses=4,
    why="takes the length of Mx as the eigenvalue, without a sign",
    answer="""
        x = start
        for _ in range(steps):
            x = matrix @ x
            x = x / x.norm()
        return (matrix @ x).norm().item(), x
    """,
)
LAB.mutant(
    "power_iteration",
    loses=4,
    why="begins every step with the start",
    answer="""
        for _ in range(steps):
            x = matrix @ start
            x = x / x.norm()
        return (x @ matrix @ x).item(), x
    """,
)
LAB.mutant(
    "power_iteration",
    loses=2,
    why="returns the value as a tensor",
    answer="""
        x = start
        for _ in range(steps):
            x = matrix @ x
            x = x / x.norm()
        return x @ matrix @ x, x
    """,
)
LAB.mutant(
    "power_iteration",
    loses=2,
    why="changes the start that was given",
    answer="""
        for _ in range(steps):
            start.copy_(matrix @ start)
            start /= start.norm()
        return (start @ matrix @ start).item(), start
    """,
)
LAB.variant(
    "power_iteration",
    why="with numpy, and the quotient of Rayleigh",
    answer="""
        m, x = matrix.numpy(), start.numpy()
        for _ in range(steps):
            x = m.dot(x)
            x = x / (x**2).sum() ** 0.5
        return float(x.dot(m.dot(x)) / x.dot(x)), torch.from_numpy(x)
    """,
)

# Exercise 2
LAB.mutant(
    "svd_by_power",
    loses=2,
    why="forgets the root",
    answer="""
        value, v = power_iteration(remaining, start, steps)
        values.append(value)
        left.append(matrix @ v / value)
        right.append(v)
        remaining = remaining - value * torch.outer(v, v)
    """,
)
LAB.mutant(
    "svd_by_power",
    loses=2,
    why="does not deflate",
    answer="""
        value, v = power_iteration(remaining, start, steps)
        values.append(math.sqrt(value))
        left.append(matrix @ v / values[-1])
        right.append(v)
    """,
)
LAB.mutant(
    "svd_by_power",
    loses=2,
    why="deflates by the singular value instead of its square",
    answer="""
        value, v = power_iteration(remaining, start, steps)
        values.append(math.sqrt(value))
        left.append(matrix @ v / values[-1])
        right.append(v)
        remaining = remaining - values[-1] * torch.outer(v, v)
    """,
)
LAB.mutant(
    "svd_by_power",
    loses=2,
    why="leaves u as long as the singular value",
    answer="""
        value, v = power_iteration(remaining, start, steps)
        values.append(math.sqrt(value))
        left.append(matrix @ v)
        right.append(v)
        remaining = remaining - value * torch.outer(v, v)
    """,
)
LAB.mutant(
    "svd_by_power",
    loses=2,
    why="finds u for itself, with a sign of its own",
    answer="""
        value, v = power_iteration(remaining, start, steps)
        square = matrix @ matrix.T - sum(s**2 * torch.outer(u, u) for s, u in zip(values, left))
        begin = torch.randn(len(square), generator=generator, dtype=matrix.dtype)
        left.append(power_iteration(square, begin, steps)[1])
        values.append(math.sqrt(value))
        right.append(v)
        remaining = remaining - value * torch.outer(v, v)
    """,
)
LAB.mutant(
    "svd_by_power",
    loses=2,
    why="asks torch for the decomposition",
    answer="""
        u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
        k = len(values)
        left.append(u[:, k])
        values.append(s[k].item())
        right.append(vt[k])
    """,
)
LAB.variant(
    "svd_by_power",
    why="deflates the matrix, and takes the length of Av as the singular value",
    answer="""
        _, v = power_iteration(remaining, start, steps)
        image = matrix @ v
        values.append(image.norm().item())
        left.append(image / image.norm())
        right.append(v)
        rest = matrix - torch.stack(left, 1) @ torch.diag(torch.tensor(values, dtype=v.dtype)) @ torch.stack(right)
        remaining = rest.T @ rest
    """,
)

# Exercise 3. The three pairs of layers are made of these factors: 1 + 2 + 2 + 2 points.
LAB.mutant(
    "factors",
    loses=7,
    why="leaves out the singular values",
    answer="""
        u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
        return u[:, :rank], vt[:rank]
    """,
)
LAB.mutant(
    "factors",
    loses=7,
    why="takes the whole singular values on both sides",
    answer="""
        u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
        return u[:, :rank] * s[:rank], s[:rank, None] * vt[:rank]
    """,
)
LAB.mutant(
    "factors",
    loses=7,
    why="transposes what is transposed already",
    answer="""
        u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
        return u[:, :rank] * s[:rank], vt.T[:rank]
    """,
)
LAB.mutant(
    "factors",
    loses=7,
    why="subtracts the mean of the columns, as in an analysis of principal components",
    answer="""
        u, s, vt = torch.linalg.svd(matrix - matrix.mean(dim=0), full_matrices=False)
        return u[:, :rank] * s[:rank], vt[:rank]
    """,
)
LAB.mutant(
    "factors",
    loses=7,
    why="computes in float32 whatever is given",
    answer="""
        u, s, vt = torch.linalg.svd(matrix.float(), full_matrices=False)
        return u[:, :rank] * s[:rank], vt[:rank]
    """,
)
LAB.variant(
    "factors",
    why="full matrices, all of the singular values on the left, signs turned",
    answer="""
        u, s, vt = torch.linalg.svd(matrix)
        return -u[:, :rank] @ torch.diag(s[:rank]), -vt[:rank, :]
    """,
)
LAB.variant(
    "factors",
    why="with numpy",
    answer="""
        import numpy as np

        u, s, vt = np.linalg.svd(matrix.detach().numpy(), full_matrices=False)
        root = np.diag(np.sqrt(s[:rank]))
        return torch.from_numpy(u[:, :rank] @ root), torch.from_numpy(root @ vt[:rank])
    """,
)
LAB.variant(
    "factors",
    why="from the eigenvectors of the smaller product",
    answer="""
        v = torch.linalg.eigh(matrix.T @ matrix).eigenvectors.flip(1)[:, :rank]
        return matrix @ v, v.T
    """,
)

# Exercise 4
LAB.mutant(
    "relative_error",
    loses=1,
    why="forgets the root",
    answer="return (singular_values[rank:].square().sum() / singular_values.square().sum()).item()",
)
LAB.mutant(
    "relative_error",
    loses=1,
    why="adds up the singular values",
    answer="return (singular_values[rank:].sum() / singular_values.sum()).item()",
)
LAB.mutant(
    "relative_error",
    loses=1,
    why="measures what is kept",
    answer="return (singular_values[:rank].norm() / singular_values.norm()).item()",
)
LAB.variant(
    "relative_error",
    why="from the energy that is kept",
    answer="""
        energy = singular_values.double().square()
        return math.sqrt(max(0.0, 1 - float(energy[:rank].sum() / energy.sum())))
    """,
)

# Exercise 5
LAB.mutant(
    "energy_rank",
    loses=1,
    why="adds up the singular values",
    answer="return int((singular_values.cumsum(0) / singular_values.sum() < share).sum()) + 1",
)
LAB.mutant(
    "energy_rank",
    loses=1,
    why="wants more than the share",
    answer="""
        energy = singular_values.square().cumsum(0)
        return min(len(energy), int((energy / energy[-1] <= share).sum()) + 1)
    """,
)
LAB.mutant(
    "energy_rank",
    loses=1,
    why="returns the index of the last component",
    answer="""
        energy = singular_values.square().cumsum(0)
        return int((energy / energy[-1] < share).sum())
    """,
)
LAB.variant(
    "energy_rank",
    why="from the error of each rank",
    answer="""
        ranks = range(1, len(singular_values) + 1)
        return next(rank for rank in ranks if relative_error(singular_values, rank) ** 2 <= 1 - share)
    """,
)
LAB.variant(
    "energy_rank",
    why="adds one component after the other",
    answer="""
        squares = [value * value for value in singular_values.tolist()]
        kept, rank = 0.0, 0
        while kept < share * sum(squares):
            kept, rank = kept + squares[rank], rank + 1
        return rank
    """,
)
LAB.variant(
    "energy_rank",
    why="searches with numpy",
    answer="""
        import numpy as np

        energy = np.cumsum(singular_values.numpy().astype(float) ** 2)
        return int(np.searchsorted(energy / energy[-1], share)) + 1
    """,
)

# Exercise 6
LAB.mutant(
    "low_rank_linear",
    loses=2,
    why="forgets the bias",
    answer="""
        left, right = factors(layer.weight, rank)
        return nn.Sequential(make_linear(right), make_linear(left))
    """,
)
LAB.mutant(
    "low_rank_linear",
    loses=2,
    why="exchanges the two layers",
    answer="""
        left, right = factors(layer.weight, rank)
        return nn.Sequential(make_linear(left), make_linear(right, layer.bias))
    """,
)
LAB.mutant(
    "low_rank_linear",
    loses=2,
    why="puts a nonlinearity between the layers",
    answer="""
        left, right = factors(layer.weight, rank)
        return nn.Sequential(make_linear(right), nn.ReLU(), make_linear(left, layer.bias))
    """,
)
LAB.variant(
    "low_rank_linear",
    why="layers by hand, with names, and a decomposition of its own",
    answer="""
        from collections import OrderedDict

        u, s, vt = torch.linalg.svd(layer.weight.detach(), full_matrices=False)
        options = {"dtype": layer.weight.dtype}
        first = nn.Linear(layer.in_features, rank, bias=False, **options)
        second = nn.Linear(rank, layer.out_features, bias=layer.bias is not None, **options)
        with torch.no_grad():
            first.weight.copy_(s[:rank, None] * vt[:rank])
            second.weight.copy_(u[:, :rank])
            second.bias is None or second.bias.copy_(layer.bias)
        return nn.Sequential(OrderedDict(reduce=first, expand=second))
    """,
)

# Exercise 7
LAB.mutant(
    "largest_useful_rank",
    loses=1,
    why="takes break-even itself, where nothing is saved",
    answer="return inputs * outputs // (inputs + outputs)",
)
LAB.mutant("largest_useful_rank", loses=1, why="takes half of the full rank", answer="return min(inputs, outputs) // 2")
LAB.variant(
    "largest_useful_rank",
    why="tries all ranks",
    answer="""
        ranks = range(min(inputs, outputs) + 1)
        return max(r for r in ranks if r == 0 or r * inputs + outputs * r < inputs * outputs)
    """,
)

# Exercise 8
LAB.mutant(
    "channel_layers",
    loses=2,
    why="strides in the 1 x 1 step, which gives the same maps for more work",
    answer="""
        left, right = factors(layer.weight.flatten(1), rank)
        first = make_conv(right.reshape(rank, *layer.weight.shape[1:]), None, 1, layer.padding)
        return nn.Sequential(first, make_conv(left[:, :, None, None], layer.bias, layer.stride))
    """,
)
LAB.mutant(
    "channel_layers",
    loses=2,
    why="pads in both steps",
    answer="""
        left, right = factors(layer.weight.flatten(1), rank)
        first = make_conv(right.reshape(rank, *layer.weight.shape[1:]), None, layer.stride, layer.padding)
        return nn.Sequential(first, make_conv(left[:, :, None, None], layer.bias, 1, layer.padding))
    """,
)
LAB.mutant(
    "channel_layers",
    loses=2,
    why="forgets the bias",
    answer="""
        left, right = factors(layer.weight.flatten(1), rank)
        first = make_conv(right.reshape(rank, *layer.weight.shape[1:]), None, layer.stride, layer.padding)
        return nn.Sequential(first, make_conv(left[:, :, None, None]))
    """,
)
LAB.mutant(
    "channel_layers",
    loses=2,
    why="mixes the order of the filters' numbers",
    answer="""
        left, right = factors(layer.weight.permute(0, 2, 3, 1).flatten(1), rank)
        first = make_conv(right.reshape(rank, *layer.weight.shape[1:]), None, layer.stride, layer.padding)
        return nn.Sequential(first, make_conv(left[:, :, None, None], layer.bias))
    """,
)
LAB.variant(
    "channel_layers",
    why="the matrix transposed and in another order, all singular values on one side",
    answer="""
        outputs, inputs, height, width = layer.weight.shape
        matrix = layer.weight.detach().permute(2, 3, 1, 0).reshape(-1, outputs)
        u, s, vt = torch.linalg.svd(matrix, full_matrices=True)
        spatial = (u[:, :rank] * s[:rank]).reshape(height, width, inputs, rank).permute(3, 2, 0, 1)
        first = make_conv(spatial, stride=layer.stride, padding=layer.padding)
        return nn.Sequential(first, make_conv(vt[:rank].T.reshape(outputs, rank, 1, 1), bias=layer.bias))
    """,
)

# Exercise 9. separable_layers decomposes this matrix: 1 + 2 points.
LAB.mutant(
    "separable_matrix",
    loses=3,
    why="reshapes right away",
    answer="""
        o, i, h, w = weight.shape
        return weight.reshape(i * h, o * w)
    """,
)
LAB.mutant(
    "separable_matrix",
    loses=3,
    why="counts the kernel's rows before the input maps",
    answer="""
        o, i, h, w = weight.shape
        return weight.permute(2, 1, 0, 3).reshape(i * h, o * w)
    """,
)
LAB.mutant(
    "separable_matrix",
    loses=3,
    why="exchanges rows and columns of the kernels",
    answer="""
        o, i, h, w = weight.shape
        return weight.permute(1, 3, 0, 2).reshape(i * w, o * h)
    """,
)
LAB.variant(
    "separable_matrix",
    why="puts the kernels side by side",
    answer="return torch.cat([torch.cat([*weight[:, i]], dim=1) for i in range(weight.shape[1])])",
)

# Exercise 10
LAB.mutant(
    "separable_layers",
    loses=2,
    why="reshapes the horizontal kernels without exchanging ranks and outputs",
    answer="""
        first = make_conv(left.T.reshape(rank, inputs, height, 1), None, (layer.stride[0], 1), (layer.padding[0], 0))
        weight = right.reshape(outputs, rank, 1, width)
        return nn.Sequential(first, make_conv(weight, layer.bias, (1, layer.stride[1]), (0, layer.padding[1])))
    """,
)
LAB.mutant(
    "separable_layers",
    loses=2,
    why="reshapes the vertical kernels without transposing",
    answer="""
        first = make_conv(left.reshape(rank, inputs, height, 1), None, (layer.stride[0], 1), (layer.padding[0], 0))
        weight = right.reshape(rank, outputs, 1, width).transpose(0, 1)
        return nn.Sequential(first, make_conv(weight, layer.bias, (1, layer.stride[1]), (0, layer.padding[1])))
    """,
)
LAB.mutant(
    "separable_layers",
    loses=2,
    why="strides in the second step only, which gives the same maps for more work",
    answer="""
        first = make_conv(left.T.reshape(rank, inputs, height, 1), None, 1, (layer.padding[0], 0))
        weight = right.reshape(rank, outputs, 1, width).transpose(0, 1)
        return nn.Sequential(first, make_conv(weight, layer.bias, layer.stride, (0, layer.padding[1])))
    """,
)
LAB.mutant(
    "separable_layers",
    loses=2,
    why="gives the stride of the columns to the rows, which is right for square strides",
    answer="""
        first = make_conv(left.T.reshape(rank, inputs, height, 1), None, (layer.stride[1], 1), (layer.padding[1], 0))
        weight = right.reshape(rank, outputs, 1, width).transpose(0, 1)
        return nn.Sequential(first, make_conv(weight, layer.bias, (1, layer.stride[0]), (0, layer.padding[0])))
    """,
)
LAB.mutant(
    "separable_layers",
    loses=2,
    why="forgets the bias",
    answer="""
        first = make_conv(left.T.reshape(rank, inputs, height, 1), None, (layer.stride[0], 1), (layer.padding[0], 0))
        weight = right.reshape(rank, outputs, 1, width).transpose(0, 1)
        return nn.Sequential(first, make_conv(weight, None, (1, layer.stride[1]), (0, layer.padding[1])))
    """,
)
LAB.variant(
    "separable_layers",
    why="a decomposition of its own with einsum, in another order, signs turned",
    answer="""
        weight = layer.weight.detach().permute(2, 1, 3, 0).reshape(height * inputs, width * outputs)
        u, s, vt = torch.linalg.svd(weight, full_matrices=False)
        columns = (-u * s)[:, :rank].reshape(height, inputs, rank)
        rows = -vt[:rank].reshape(rank, width, outputs)
        down = make_conv(
            torch.einsum("aik->kia", columns).unsqueeze(3),
            stride=(layer.stride[0], 1),
            padding=(layer.padding[0], 0),
        )
        across = torch.einsum("kbo->okb", rows)[:, :, None]
        return nn.Sequential(down, make_conv(across, layer.bias, (1, layer.stride[1]), (0, layer.padding[1])))
    """,
)

# Exercise 11
LAB.mutant(
    "separable_macs",
    loses=1,
    why="lets both steps run on the output map, which is right without a stride",
    answer="return after[0] * after[1] * rank * (kernel[0] * inputs + kernel[1] * outputs)",
)
LAB.mutant(
    "separable_macs",
    loses=1,
    why="lets the vertical step run on the input map",
    answer="return rank * (before[0] * before[1] * kernel[0] * inputs + after[0] * after[1] * kernel[1] * outputs)",
)
LAB.variant(
    "separable_macs",
    why="row by row",
    answer="return after[0] * rank * (before[1] * kernel[0] * inputs + after[1] * kernel[1] * outputs)",
)

# Exercise 12
LAB.mutant(
    "cheapest",
    loses=2,
    why="does not ask what a component costs",
    answer="""
        shares = {n: (v[ranks[n] - 1] / v.norm()).item() ** 2 for n, v in spectra.items() if ranks[n] > 1}
        return min(shares, key=shares.get)
    """,
)
LAB.mutant(
    "cheapest",
    loses=2,
    why="takes the smallest singular value of all layers, whatever their size",
    answer="""
        losses = {n: v[ranks[n] - 1].item() ** 2 / macs[n] for n, v in spectra.items() if ranks[n] > 1}
        return min(losses, key=losses.get)
    """,
)
LAB.mutant(
    "cheapest",
    loses=2,
    why="does not square",
    answer="""
        losses = {n: (v[ranks[n] - 1] / v.sum()).item() / macs[n] for n, v in spectra.items() if ranks[n] > 1}
        return min(losses, key=losses.get)
    """,
)
LAB.mutant(
    "cheapest",
    loses=2,
    why="looks at the last singular value instead of the last one that is left",
    answer="""
        losses = {n: (v[-1] / v.norm()).item() ** 2 / macs[n] for n, v in spectra.items() if ranks[n] > 1}
        return min(losses, key=losses.get)
    """,
)
LAB.mutant(
    "cheapest",
    loses=2,
    why="takes the share of the energy that is left, not of the whole",
    answer="""
        losses = {}
        for n, v in spectra.items():
            if ranks[n] > 1:
                losses[n] = (v[ranks[n] - 1] / v[: ranks[n]].norm()).item() ** 2 / macs[n]
        return min(losses, key=losses.get)
    """,
)
LAB.mutant(
    "cheapest",
    loses=2,
    why="takes the only component of a layer",
    answer="""
        losses = {n: (v[ranks[n] - 1] / v.norm()).item() ** 2 / macs[n] for n, v in spectra.items()}
        return min(losses, key=losses.get)
    """,
)
LAB.variant(
    "cheapest",
    why="sorts pairs",
    answer="""
        pairs = []
        for name in spectra:
            r = ranks[name]
            squares = [x * x for x in spectra[name].tolist()]
            if r >= 2:
                pairs.append((squares[r - 1] / (macs[name] * sum(squares)), name))
        return sorted(pairs)[0][1]
    """,
)
