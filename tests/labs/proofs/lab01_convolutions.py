"""Wrong answers that must lose points in lab 01, and differently written right ones that must not."""

from autograder.proofs import Lab

LAB = Lab("lab01_convolutions")

# Exercise 1. conv_macs and separable_macs call conv_params, so an error here may cost their 2 + 2 points too.
LAB.mutant(
    "conv_params",
    loses=1,
    why="adds one bias instead of one for each output map",
    answer="return out_channels * (in_channels // groups) * kernel_height * kernel_width + bias",
)
LAB.mutant(
    "conv_params",
    loses=1,
    why="adds one bias for each input map",
    answer="return out_channels * (in_channels // groups) * kernel_height * kernel_width + in_channels * bias",
)
LAB.mutant(
    "conv_params",
    loses=5,
    why="leaves out the groups",
    answer="return out_channels * in_channels * kernel_height * kernel_width + out_channels * bias",
)
LAB.mutant(
    "conv_params",
    loses=5,
    why="takes every kernel for square",
    answer="return out_channels * (in_channels // groups) * kernel_height**2 + out_channels * bias",
)
LAB.mutant(
    "conv_params",
    loses=5,
    why="returns a float because of /",
    answer="return out_channels * (in_channels / groups) * kernel_height * kernel_width + out_channels * bias",
)
LAB.mutant(
    "conv_params",
    loses=5,
    why="writes down the numbers of the visible check",
    answer="return {(3, False): 3456, (3, True): 3584}.get((in_channels, bias), 60)",
)
LAB.variant(
    "conv_params",
    why="product of the weight's shape",
    answer="""
        shape = (out_channels, in_channels // groups, *kernel_size)
        return math.prod(shape) + out_channels * bias
    """,
)
LAB.variant(
    "conv_params",
    why="asks PyTorch",
    answer="""
        layer = nn.Conv2d(in_channels, out_channels, kernel_size, groups=groups, bias=bias)
        return sum(parameter.numel() for parameter in layer.parameters())
    """,
)

# Exercise 2. separable_macs calls conv_macs: 2 + 2 points.
LAB.mutant(
    "conv_macs",
    loses=4,
    why="counts the positions of the input",
    answer="""
        height, width = input_size
        return height * width * conv_params(kernel_size, in_channels, out_channels, groups=groups)
    """,
)
LAB.mutant(
    "conv_macs",
    loses=4,
    why="leaves out the padding",
    answer="""
        out_height, out_width = output_size(input_size, kernel_size, stride)
        return out_height * out_width * conv_params(kernel_size, in_channels, out_channels, groups=groups)
    """,
)
LAB.mutant(
    "conv_macs",
    loses=4,
    why="takes every map for square",
    answer="""
        out_height, _ = output_size(input_size, kernel_size, stride, padding)
        return out_height**2 * conv_params(kernel_size, in_channels, out_channels, groups=groups)
    """,
)
LAB.mutant(
    "conv_macs",
    loses=4,
    why="counts the additions of biases",
    answer="""
        out_height, out_width = output_size(input_size, kernel_size, stride, padding)
        return out_height * out_width * conv_params(kernel_size, in_channels, out_channels, groups=groups, bias=True)
    """,
)
LAB.mutant(
    "conv_macs",
    loses=4,
    why="counts floating-point operations",
    answer="""
        out_height, out_width = output_size(input_size, kernel_size, stride, padding)
        return 2 * out_height * out_width * conv_params(kernel_size, in_channels, out_channels, groups=groups)
    """,
)
LAB.mutant(
    "conv_macs",
    loses=4,
    why="leaves out the groups",
    answer="""
        out_height, out_width = output_size(input_size, kernel_size, stride, padding)
        return out_height * out_width * conv_params(kernel_size, in_channels, out_channels)
    """,
)
LAB.variant(
    "conv_macs",
    why="the formula without the two helpers",
    answer="""
        (height, width), (kernel_height, kernel_width) = input_size, kernel_size
        rows = len(range(0, height + 2 * padding - kernel_height + 1, stride))
        columns = len(range(0, width + 2 * padding - kernel_width + 1, stride))
        return rows * columns * kernel_height * kernel_width * in_channels * out_channels // groups
    """,
)

# Exercise 3
LAB.mutant(
    "separable_macs",
    loses=2,
    why="runs the pointwise step on the input's positions",
    answer="""
        options = {"stride": stride, "padding": padding}
        depthwise = conv_macs(input_size, kernel_size, in_channels, in_channels, groups=in_channels, **options)
        return depthwise + conv_macs(input_size, (1, 1), in_channels, out_channels)
    """,
)
LAB.mutant(
    "separable_macs",
    loses=2,
    why="forgets that the pointwise step runs at every position",
    answer="""
        options = {"stride": stride, "padding": padding}
        depthwise = conv_macs(input_size, kernel_size, in_channels, in_channels, groups=in_channels, **options)
        return depthwise + in_channels * out_channels
    """,
)
LAB.mutant(
    "separable_macs",
    loses=2,
    why="mixes the maps in the depthwise step",
    answer="""
        options = {"stride": stride, "padding": padding}
        depthwise = conv_macs(input_size, kernel_size, in_channels, in_channels, **options)
        middle_size = output_size(input_size, kernel_size, stride, padding)
        return depthwise + conv_macs(middle_size, (1, 1), in_channels, out_channels)
    """,
)
LAB.mutant(
    "separable_macs",
    loses=2,
    why="strides twice",
    answer="""
        options = {"stride": stride, "padding": padding}
        depthwise = conv_macs(input_size, kernel_size, in_channels, in_channels, groups=in_channels, **options)
        middle_size = output_size(input_size, kernel_size, stride, padding)
        return depthwise + conv_macs(middle_size, (1, 1), in_channels, out_channels, stride=stride)
    """,
)
LAB.mutant(
    "separable_macs",
    loses=2,
    why="leaves out stride and padding",
    answer="""
        depthwise = conv_macs(input_size, kernel_size, in_channels, in_channels, groups=in_channels)
        return depthwise + conv_macs(output_size(input_size, kernel_size), (1, 1), in_channels, out_channels)
    """,
)
LAB.variant(
    "separable_macs",
    why="factored form",
    answer="""
        height, width = output_size(input_size, kernel_size, stride, padding)
        return height * width * in_channels * (math.prod(kernel_size) + out_channels)
    """,
)

# Exercise 4
LAB.mutant(
    "smallest_width",
    loses=1,
    why="rounds down",
    answer="""
        if factor >= kernel_size**2:
            raise ValueError(f"less than {kernel_size**2} times cheaper")
        return int(1 / (1 / factor - 1 / kernel_size**2))
    """,
)
LAB.mutant(
    "smallest_width",
    loses=1,
    why="lets the limit itself be reached",
    answer="""
        if factor > kernel_size**2:
            raise ValueError(f"less than {kernel_size**2} times cheaper")
        return math.ceil(1 / (1 / factor - 1 / kernel_size**2))
    """,
)
LAB.mutant(
    "smallest_width",
    loses=1,
    why="returns a negative width instead of an error",
    answer="return math.ceil(1 / (1 / factor - 1 / kernel_size**2))",
)
LAB.mutant(
    "smallest_width",
    loses=1,
    why="takes k for the limit",
    answer="""
        if factor >= kernel_size**2:
            raise ValueError(f"less than {kernel_size**2} times cheaper")
        return math.ceil(1 / abs(1 / factor - 1 / kernel_size))
    """,
)
LAB.variant(
    "smallest_width",
    why="tries one width after the other",
    answer="""
        limit = kernel_size**2
        if factor >= limit:
            raise ValueError(f"the gain stays below {limit}")
        width = 1
        while width * limit < factor * (width + limit):
            width += 1
        return width
    """,
)
LAB.variant(
    "smallest_width",
    why="whole numbers only",
    answer="""
        limit = kernel_size**2
        if not factor < limit:
            raise ValueError(f"{limit} is out of reach")
        return -(-factor * limit // (limit - factor))
    """,
)

# Exercise 5
LAB.mutant(
    "separate",
    loses=3,
    why="forgets the singular value",
    answer="""
        u, s, vh = torch.linalg.svd(kernel)
        if s[1] > tolerance * s[0]:
            raise ValueError("the rank is not one")
        return u[:, :1], vh[:1]
    """,
)
LAB.mutant(
    "separate",
    loses=3,
    why="puts the singular value into both factors",
    answer="""
        u, s, vh = torch.linalg.svd(kernel)
        if s[1] > tolerance * s[0]:
            raise ValueError("the rank is not one")
        return s[0] * u[:, :1], s[0] * vh[:1]
    """,
)
LAB.mutant(
    "separate",
    loses=3,
    why="takes the transposed factor for the factor",
    answer="""
        u, s, vh = torch.linalg.svd(kernel)
        if s[1] > tolerance * s[0]:
            raise ValueError("the rank is not one")
        return s[0] * u[:, :1], vh[:, :1].T
    """,
)
LAB.mutant(
    "separate",
    loses=3,
    why="takes a row of U for its first column",
    answer="""
        u, s, vh = torch.linalg.svd(kernel)
        if s[1] > tolerance * s[0]:
            raise ValueError("the rank is not one")
        return s[0] * u[:1].T, vh[:1]
    """,
)
LAB.mutant(
    "separate",
    loses=3,
    why="returns vectors instead of a column and a row",
    answer="""
        u, s, vh = torch.linalg.svd(kernel)
        if s[1] > tolerance * s[0]:
            raise ValueError("the rank is not one")
        return s[0] * u[:, 0], vh[0]
    """,
)
LAB.mutant(
    "separate",
    loses=3,
    why="compares the second singular value with a fixed number",
    answer="""
        u, s, vh = torch.linalg.svd(kernel)
        if s[1] > tolerance:
            raise ValueError("the rank is not one")
        return s[0] * u[:, :1], vh[:1]
    """,
)
LAB.mutant(
    "separate",
    loses=3,
    why="expects computed singular values to be exactly zero",
    answer="""
        u, s, vh = torch.linalg.svd(kernel)
        if s[1] != 0:
            raise ValueError("the rank is not one")
        return s[0] * u[:, :1], vh[:1]
    """,
)
LAB.mutant(
    "separate",
    loses=3,
    why="never complains",
    answer="""
        u, s, vh = torch.linalg.svd(kernel)
        return s[0] * u[:, :1], vh[:1]
    """,
)
LAB.mutant(
    "separate",
    loses=3,
    why="sets a tolerance of its own",
    answer="""
        if torch.linalg.matrix_rank(kernel) > 1:
            raise ValueError("the rank is not one")
        u, s, vh = torch.linalg.svd(kernel)
        return s[0] * u[:, :1], vh[:1]
    """,
)
LAB.mutant(
    "separate",
    loses=3,
    why="takes the last singular value instead of the second",
    answer="""
        u, s, vh = torch.linalg.svd(kernel)
        if s[-1] > tolerance * s[0]:
            raise ValueError("the rank is not one")
        return s[0] * u[:, :1], vh[:1]
    """,
)
LAB.variant(
    "separate",
    why="shares the singular value, in torch's own words for the rank",
    answer="""
        if torch.linalg.matrix_rank(kernel, rtol=tolerance) > 1:
            raise ValueError("expected a kernel of rank one")
        u, s, vh = torch.linalg.svd(kernel, full_matrices=False)
        return u[:, [0]] * s[0].sqrt(), vh[[0]] * s[0].sqrt()
    """,
)
LAB.variant(
    "separate",
    why="through numpy, with both signs changed",
    answer="""
        import numpy as np

        u, s, vt = np.linalg.svd(kernel.numpy(), full_matrices=False)
        if not s[1] <= tolerance * s[0]:
            raise ValueError(f"rank one is needed, the singular values are {s}")
        column, row = torch.from_numpy(-u[:, 0]), torch.from_numpy(-s[0] * vt[0])
        return column.reshape(-1, 1), row.reshape(1, -1)
    """,
)
LAB.variant(
    "separate",
    why="through the row and the column of the largest entry",
    answer="""
        i, j = divmod(int(kernel.abs().argmax()), kernel.shape[1])
        column, row = kernel[:, [j]] / kernel[i, j], kernel[[i]]
        rest = torch.linalg.matrix_norm(kernel - column @ row, 2)
        if rest > tolerance * torch.linalg.matrix_norm(kernel, 2):
            raise ValueError("the kernel is no column times row, its rank is above one")
        return column, row
    """,
)

# Exercise 6
LAB.mutant(
    "filter_separably",
    loses=1,
    why="adds two filtered images instead of filtering twice",
    answer="""
        vertical, horizontal = convolve(images, column[None, None]), convolve(images, row[None, None])
        height, width = vertical.shape[2], horizontal.shape[3]
        return vertical[..., :width] + horizontal[:, :, :height]
    """,
)
LAB.mutant(
    "filter_separably",
    loses=1,
    why="multiplies the kernel out and convolves once",
    answer="return convolve(images, (column @ row)[None, None])",
)
LAB.mutant(
    "filter_separably",
    loses=1,
    why="goes around the function that it was given",
    answer="return F.conv2d(images, (column @ row)[None, None])",
)
LAB.mutant(
    "filter_separably",
    loses=1,
    why="filters with the column twice",
    answer="return convolve(convolve(images, column[None, None]), column[None, None])",
)
LAB.variant(
    "filter_separably",
    why="row first",
    answer="return convolve(convolve(images, row.view(1, 1, 1, -1)), column.view(1, 1, -1, 1))",
)

# Exercise 7
LAB.mutant(
    "depthwise_separable",
    loses=3,
    why="forgets the groups",
    answer="""
        self.depthwise = nn.Conv2d(in_channels, in_channels, kernel_size, stride=stride, padding=padding, bias=False)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=bias)
    """,
)
LAB.mutant(
    "depthwise_separable",
    loses=3,
    why="already has all outputs after the depthwise step",
    answer="""
        options = {"stride": stride, "padding": padding, "bias": False}
        self.depthwise = nn.Conv2d(in_channels, out_channels, kernel_size, groups=in_channels, **options)
        self.pointwise = nn.Conv2d(out_channels, out_channels, 1, bias=bias)
    """,
)
LAB.mutant(
    "depthwise_separable",
    loses=3,
    why="strides and pads in both steps",
    answer="""
        options = {"stride": stride, "padding": padding}
        self.depthwise = nn.Conv2d(in_channels, in_channels, kernel_size, groups=in_channels, bias=False, **options)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=bias, **options)
    """,
)
LAB.mutant(
    "depthwise_separable",
    loses=3,
    why="forgets the stride",
    answer="""
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, kernel_size, padding=padding, groups=in_channels, bias=False
        )
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=bias)
    """,
)
LAB.mutant(
    "depthwise_separable",
    loses=3,
    why="gives both steps a bias",
    answer="""
        options = {"stride": stride, "padding": padding, "bias": bias}
        self.depthwise = nn.Conv2d(in_channels, in_channels, kernel_size, groups=in_channels, **options)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=bias)
    """,
)
LAB.mutant(
    "depthwise_separable",
    loses=3,
    why="has a bias whether it is asked for or not",
    answer="""
        options = {"stride": stride, "padding": padding, "bias": False}
        self.depthwise = nn.Conv2d(in_channels, in_channels, kernel_size, groups=in_channels, **options)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1)
    """,
)
LAB.variant(
    "depthwise_separable",
    why="positional arguments, pointwise first",
    answer="""
        self.pointwise = nn.Conv2d(in_channels, out_channels, kernel_size=(1, 1), bias=bias)
        self.depthwise = nn.Conv2d(in_channels, in_channels, kernel_size, stride, padding, 1, in_channels, False)
    """,
)

# Exercise 8
LAB.mutant(
    "dense_weight",
    loses=2,
    why="uses the group's outputs as its inputs",
    answer="""
        part = slice(group * group_out_channels, (group + 1) * group_out_channels)
        dense[part, part] = weight[part]
    """,
)
LAB.mutant(
    "dense_weight",
    loses=2,
    why="repeats the kernels for the inputs of all groups",
    answer="""
        outputs = slice(group * group_out_channels, (group + 1) * group_out_channels)
        dense[outputs] = weight[outputs].repeat(1, groups, 1, 1)
    """,
)
LAB.mutant(
    "dense_weight",
    loses=2,
    why="deals the inputs out in turn instead of in consecutive blocks",
    answer="""
        outputs = slice(group * group_out_channels, (group + 1) * group_out_channels)
        dense[outputs, group::groups] = weight[outputs]
    """,
)
LAB.mutant(
    "dense_weight",
    loses=2,
    why="copies the first group's kernels into every block",
    answer="""
        outputs = slice(group * group_out_channels, (group + 1) * group_out_channels)
        inputs = slice(group * group_in_channels, (group + 1) * group_in_channels)
        dense[outputs, inputs] = weight[:group_out_channels]
    """,
)
LAB.variant(
    "dense_weight",
    why="one kernel at a time",
    answer="""
        for o in range(group_out_channels):
            for i in range(group_in_channels):
                row = group * group_out_channels + o
                dense[row, group * group_in_channels + i] = weight[row, i]
    """,
)
LAB.variant(
    "dense_weight",
    why="cuts the target and the weight into parts",
    answer="""
        block = dense.chunk(groups, dim=0)[group].chunk(groups, dim=1)[group]
        block.copy_(weight.chunk(groups, dim=0)[group])
    """,
)

# Exercise 9
LAB.mutant(
    "grouped_by_parts",
    loses=1,
    why="leaves the work to the option groups",
    answer="return F.conv2d(images, weight, groups=groups)",
)
LAB.mutant(
    "grouped_by_parts",
    loses=1,
    why="concatenates along the batch",
    answer="""
        parts = zip(images.chunk(groups, dim=1), weight.chunk(groups), strict=True)
        return torch.cat([convolve(maps, kernels) for maps, kernels in parts])
    """,
)
LAB.mutant(
    "grouped_by_parts",
    loses=1,
    why="adds the parts up",
    answer="""
        parts = zip(images.chunk(groups, dim=1), weight.chunk(groups), strict=True)
        return sum(convolve(maps, kernels) for maps, kernels in parts)
    """,
)
LAB.mutant(
    "grouped_by_parts",
    loses=1,
    why="puts the parts together in the wrong order",
    answer="""
        parts = zip(images.chunk(groups, dim=1), weight.chunk(groups), strict=True)
        return torch.cat([convolve(maps, kernels) for maps, kernels in parts][::-1], dim=1)
    """,
)
LAB.variant(
    "grouped_by_parts",
    why="slices in a loop",
    answer="""
        outputs, inputs = weight.shape[0] // groups, weight.shape[1]
        results = []
        for g in range(groups):
            maps = images[:, g * inputs : (g + 1) * inputs]
            results.append(convolve(maps, weight[g * outputs : (g + 1) * outputs]))
        return torch.cat(results, 1)
    """,
)

# Exercise 10
LAB.mutant(
    "replace_convolutions",
    loses=2,
    why="forgets the stride",
    answer="""
        sizes = conv.in_channels, conv.out_channels, conv.kernel_size
        model.set_submodule(name, make_layer(*sizes, stride=1, padding=conv.padding, bias=conv.bias is not None))
    """,
)
LAB.mutant(
    "replace_convolutions",
    loses=2,
    why="forgets the padding",
    answer="""
        sizes = conv.in_channels, conv.out_channels, conv.kernel_size
        model.set_submodule(name, make_layer(*sizes, stride=conv.stride, padding=0, bias=conv.bias is not None))
    """,
)
LAB.mutant(
    "replace_convolutions",
    loses=2,
    why="hands over the bias itself",
    answer="""
        sizes = conv.in_channels, conv.out_channels, conv.kernel_size
        model.set_submodule(name, make_layer(*sizes, stride=conv.stride, padding=conv.padding, bias=conv.bias))
    """,
)
LAB.mutant(
    "replace_convolutions",
    loses=2,
    why="always without bias, which suits the lab's network only",
    answer="""
        sizes = conv.in_channels, conv.out_channels, conv.kernel_size
        model.set_submodule(name, make_layer(*sizes, stride=conv.stride, padding=conv.padding, bias=False))
    """,
)
LAB.mutant(
    "replace_convolutions",
    loses=2,
    why="writes a 3 x 3 kernel with padding 1, which suits the lab's network only",
    answer="""
        sizes = conv.in_channels, conv.out_channels, (3, 3)
        model.set_submodule(name, make_layer(*sizes, stride=conv.stride, padding=1, bias=conv.bias is not None))
    """,
)
LAB.mutant(
    "replace_convolutions",
    loses=2,
    why="setattr does not follow a dotted name",
    answer="""
        sizes = conv.in_channels, conv.out_channels, conv.kernel_size
        layer = make_layer(*sizes, stride=conv.stride, padding=conv.padding, bias=conv.bias is not None)
        setattr(model, name, layer)
    """,
)
LAB.mutant(
    "replace_convolutions",
    loses=2,
    why="makes the layer and does not use it",
    answer="""
        sizes = conv.in_channels, conv.out_channels, conv.kernel_size
        conv = make_layer(*sizes, stride=conv.stride, padding=conv.padding, bias=conv.bias is not None)
    """,
)
LAB.variant(
    "replace_convolutions",
    why="replaces in the parent module",
    answer="""
        parent, _, last = name.rpartition(".")
        options = {"stride": conv.stride, "padding": conv.padding, "bias": conv.bias is not None}
        layer = make_layer(conv.in_channels, conv.out_channels, conv.kernel_size, **options)
        setattr(model.get_submodule(parent), last, layer)
    """,
)
