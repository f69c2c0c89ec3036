"""Wrong answers that must lose points in lab 03, and differently written right ones that must not."""

from autograder.proofs import Lab

LAB = Lab("lab03_shift_attention")

# Exercise 1. attend calls normalize, and the layer of exercise 5 calls attend: 2 + 2 points more where these change.
LAB.mutant(
    "normalize",
    loses=6,
    why="divides by S instead of S - 1 inside the deviation",
    answer="return scores / (scores.std(dim=-1, keepdim=True, correction=0) + eps)",
)
LAB.mutant(
    "normalize",
    loses=6,
    why="takes one deviation for all slices",
    answer="return scores / (scores.std() + eps)",
)
LAB.mutant(
    "normalize",
    loses=6,
    why="takes the deviation over the input maps",
    answer="return scores / (scores.std(dim=1, keepdim=True, correction=0) + eps)",
)
LAB.mutant(
    "normalize",
    loses=6,
    why="divides by the variance",
    answer="return scores / (scores.var(dim=-1, keepdim=True) + eps)",
)
LAB.mutant(
    "normalize",
    loses=2,
    why="subtracts the mean too",
    answer="return (scores - scores.mean(dim=-1, keepdim=True)) / (scores.std(dim=-1, keepdim=True) + eps)",
)
LAB.mutant(
    "normalize",
    loses=2,
    why="divides by zero where all scores are equal",
    answer="return scores / scores.std(dim=-1, keepdim=True)",
)
LAB.mutant(
    "normalize",
    loses=6,
    why="changes the scores in place",
    answer="""
        scores /= scores.std(dim=-1, keepdim=True) + eps
        return scores
    """,
)
LAB.variant(
    "normalize",
    why="the formula, with the deviation written out",
    answer="""
        centered = scores - scores.mean(-1, keepdim=True)
        deviation = (centered.square().sum(-1, keepdim=True) / (scores.shape[-1] - 1)).sqrt()
        return scores / deviation.clamp(min=eps)
    """,
)
LAB.variant(
    "normalize",
    why="adds eps under the root",
    answer="return scores / (scores.var(-1, keepdim=True) + eps).sqrt()",
)
LAB.variant(
    "normalize",
    why="slice by slice",
    answer="""
        slices = [row / (row.std() + eps) for row in scores.flatten(0, 1)]
        return torch.stack(slices).reshape(scores.shape)
    """,
)

# Exercise 2. The layer of exercise 5 calls attend: 2 points more.
LAB.mutant(
    "attend",
    loses=4,
    why="divides by the temperature",
    answer="return torch.softmax(normalize(scores) / temperature, dim=-1)",
)
LAB.mutant(
    "attend",
    loses=4,
    why="leaves out the normalization",
    answer="return torch.softmax(temperature * scores, dim=-1)",
)
LAB.mutant(
    "attend",
    loses=4,
    why="multiplies by the temperature before the normalization takes it out",
    answer="return torch.softmax(normalize(temperature * scores), dim=-1)",
)
LAB.mutant(
    "attend",
    loses=4,
    why="softmax over the input maps",
    answer="return torch.softmax(temperature * normalize(scores), dim=1)",
)
LAB.mutant(
    "attend",
    loses=2,
    why="overflows at high temperatures",
    answer="""
        powers = torch.exp(temperature * normalize(scores))
        return powers / powers.sum(dim=-1, keepdim=True)
    """,
)
LAB.mutant(
    "attend",
    loses=4,
    why="cuts the gradient",
    answer="return torch.softmax(temperature * normalize(scores.detach()), dim=-1)",
)
LAB.variant(
    "attend",
    why="exponentials of differences to the largest",
    answer="""
        logits = temperature * normalize(scores)
        powers = torch.exp(logits - logits.max(dim=-1, keepdim=True).values)
        return powers / powers.sum(dim=-1, keepdim=True)
    """,
)
LAB.variant(
    "attend",
    why="the method of the tensor, and the temperature after it",
    answer="return (normalize(scores) * temperature).softmax(2)",
)

# Exercise 3
LAB.mutant(
    "growth_factor",
    loses=1,
    why="what to add after each batch",
    answer="return (final - initial) / batches",
)
LAB.mutant(
    "growth_factor",
    loses=1,
    why="divides the ratio by the number of batches",
    answer="return final / initial / batches",
)
LAB.mutant(
    "growth_factor",
    loses=1,
    why="one batch too few",
    answer="return (final / initial) ** (1 / max(batches - 1, 1))",
)
LAB.mutant(
    "growth_factor",
    loses=1,
    why="falls instead of growing",
    answer="return (initial / final) ** (1 / batches)",
)
LAB.mutant(
    "growth_factor",
    loses=1,
    why="forgets the exponential after the logarithm",
    answer="return math.log(final / initial) / batches",
)
LAB.mutant(
    "growth_factor",
    loses=1,
    why="knows the visible check",
    answer="return 3.0",
)
LAB.variant(
    "growth_factor",
    why="through logarithms",
    answer="return math.exp((math.log(final) - math.log(initial)) / batches)",
)

# Exercise 4. The layer of exercise 5 calls attended_conv: 2 points more.
LAB.mutant(
    "attended_conv",
    loses=3,
    why="adds the attention",
    answer="return F.conv2d(images, weight + attention.reshape(weight.shape), stride=stride, padding=padding)",
)
LAB.mutant(
    "attended_conv",
    loses=3,
    why="leaves the attention out",
    answer="return F.conv2d(images, weight, stride=stride, padding=padding)",
)
LAB.mutant(
    "attended_conv",
    loses=3,
    why="fills the kernel column after column",
    answer="""
        o, i, height, width = weight.shape
        kernels = weight * attention.reshape(o, i, width, height).transpose(2, 3)
        return F.conv2d(images, kernels, stride=stride, padding=padding)
    """,
)
LAB.mutant(
    "attended_conv",
    loses=3,
    why="leaves out stride and padding",
    answer="return F.conv2d(images, weight * attention.reshape(weight.shape))",
)
LAB.mutant(
    "attended_conv",
    loses=3,
    why="takes the softmax once more",
    answer="""
        kernels = weight * attention.softmax(dim=-1).reshape(weight.shape)
        return F.conv2d(images, kernels, stride=stride, padding=padding)
    """,
)
LAB.variant(
    "attended_conv",
    why="flat weights, unfolded images",
    answer="""
        o, i, height, width = weight.shape
        rows = (images.shape[2] + 2 * padding - height) // stride + 1
        columns = F.unfold(images, (height, width), padding=padding, stride=stride)
        flat = (weight.flatten(2) * attention).flatten(1)
        return (flat @ columns).unflatten(2, (rows, -1))
    """,
)
LAB.variant(
    "attended_conv",
    why="positional arguments, the attention in the weight's shape",
    answer="return F.conv2d(images, attention.view_as(weight) * weight, None, stride, padding)",
)

# Exercise 5
LAB.mutant(
    "shift_attention",
    loses=2,
    why="trains the temperature",
    answer="""
        self.weight = nn.Parameter(weight)
        self.scores = nn.Parameter(torch.rand(out_channels, in_channels, kernel_size**2))
        self.temperature = nn.Parameter(torch.tensor(float(temperature)))
    """,
)
LAB.mutant(
    "shift_attention",
    loses=2,
    why="the temperature is not saved",
    answer="""
        self.weight = nn.Parameter(weight)
        self.scores = nn.Parameter(torch.rand(out_channels, in_channels, kernel_size**2))
        self.temperature = torch.tensor(float(temperature))
    """,
)
LAB.mutant(
    "shift_attention",
    loses=2,
    why="the scores are not trained",
    answer="""
        self.weight = nn.Parameter(weight)
        self.register_buffer("scores", torch.rand(out_channels, in_channels, kernel_size**2))
        self.register_buffer("temperature", torch.tensor(float(temperature)))
    """,
)
LAB.mutant(
    "shift_attention",
    loses=2,
    why="all scores begin equal",
    answer="""
        self.weight = nn.Parameter(weight)
        self.scores = nn.Parameter(torch.ones(out_channels, in_channels, kernel_size**2))
        self.register_buffer("temperature", torch.tensor(float(temperature)))
    """,
)
LAB.mutant(
    "shift_attention",
    loses=2,
    why="inputs before outputs",
    answer="""
        self.weight = nn.Parameter(weight)
        self.scores = nn.Parameter(torch.rand(in_channels, out_channels, kernel_size**2))
        self.register_buffer("temperature", torch.tensor(float(temperature)))
    """,
)
LAB.mutant(
    "shift_attention",
    loses=2,
    why="one attention for all output maps",
    answer="""
        self.weight = nn.Parameter(weight)
        self.scores = nn.Parameter(torch.rand(1, in_channels, kernel_size**2))
        self.register_buffer("temperature", torch.tensor(float(temperature)))
    """,
)
LAB.mutant(
    "shift_attention",
    loses=2,
    why="an integer temperature, which cannot grow by a factor",
    answer="""
        self.weight = nn.Parameter(weight)
        self.scores = nn.Parameter(torch.rand(out_channels, in_channels, kernel_size**2))
        self.register_buffer("temperature", torch.tensor(int(temperature)))
    """,
)
LAB.variant(
    "shift_attention",
    why="registers the parameters by name",
    answer="""
        self.register_parameter("weight", nn.Parameter(weight.clone()))
        scores = torch.empty(out_channels, in_channels, kernel_size * kernel_size).uniform_(0, 1)
        self.register_parameter("scores", nn.Parameter(scores))
        self.register_buffer("temperature", torch.full((), temperature, dtype=torch.float32))
    """,
)

# Exercise 6
LAB.mutant(
    "empty_slices",
    loses=1,
    why="takes a largest entry of exactly one half for a survivor",
    answer="return int((attention.amax(dim=-1) < 0.5).sum())",
)
LAB.mutant(
    "empty_slices",
    loses=1,
    why="counts the slices that survive",
    answer="return int((attention.round().sum(dim=-1) > 0).sum())",
)
LAB.mutant(
    "empty_slices",
    loses=1,
    why="counts the entries that become zero",
    answer="return int((attention.round() == 0).sum())",
)
LAB.mutant(
    "empty_slices",
    loses=1,
    why="sums over the input maps",
    answer="return int((attention.round().sum(dim=1) == 0).sum())",
)
LAB.mutant(
    "empty_slices",
    loses=1,
    why="returns a tensor",
    answer="return (attention.round().sum(dim=-1) == 0).sum()",
)
LAB.mutant(
    "empty_slices",
    loses=1,
    why="returns the share of the slices",
    answer="return (attention.round().sum(dim=-1) == 0).float().mean().item()",
)
LAB.variant(
    "empty_slices",
    why="by the largest entry",
    answer="return int((attention.max(dim=-1).values <= 0.5).sum())",
)
LAB.variant(
    "empty_slices",
    why="slices less those that have a survivor",
    answer="return attention[..., 0].numel() - attention.round().any(dim=-1).count_nonzero().item()",
)

# Exercise 7
LAB.mutant(
    "keep_one",
    loses=2,
    why="rounds",
    answer="return attention.round()",
)
LAB.mutant(
    "keep_one",
    loses=2,
    why="compares with the maximum and keeps several equal entries",
    answer="return (attention == attention.amax(dim=-1, keepdim=True)).to(attention.dtype)",
)
LAB.mutant(
    "keep_one",
    loses=2,
    why="keeps one entry for each output map",
    answer="""
        places = attention.flatten(1).argmax(dim=-1)
        return F.one_hot(places, attention[0].numel()).reshape(attention.shape).to(attention.dtype)
    """,
)
LAB.mutant(
    "keep_one",
    loses=2,
    why="returns integers",
    answer="return F.one_hot(attention.argmax(dim=-1), attention.shape[-1])",
)
LAB.mutant(
    "keep_one",
    loses=2,
    why="lets one_hot guess the number of entries",
    answer="return F.one_hot(attention.argmax(dim=-1)).to(attention.dtype)",
)
LAB.mutant(
    "keep_one",
    loses=2,
    why="keeps the value of the largest entry instead of 1",
    answer="return attention * F.one_hot(attention.argmax(dim=-1), attention.shape[-1])",
)
LAB.mutant(
    "keep_one",
    loses=2,
    why="always float32",
    answer="return F.one_hot(attention.argmax(dim=-1), attention.shape[-1]).float()",
)
LAB.variant(
    "keep_one",
    why="scatters ones",
    answer="""
        places = attention.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(attention).scatter_(-1, places, 1.0)
    """,
)
LAB.variant(
    "keep_one",
    why="compares the positions, and takes the last of equal entries",
    answer="""
        number = attention.shape[-1]
        places = number - 1 - attention.flip(-1).argmax(dim=-1)
        return (torch.arange(number) == places[..., None]).to(attention)
    """,
)

# Exercise 8
LAB.mutant(
    "to_shift",
    loses=2,
    why="keeps the largest absolute weight",
    answer="""
        positions = weight.flatten(2).abs().argmax(dim=-1)
        return weight.flatten(2).gather(2, positions.unsqueeze(2)).squeeze(2), positions
    """,
)
LAB.mutant(
    "to_shift",
    loses=2,
    why="multiplies the kept weight by its attention",
    answer="""
        positions = attention.argmax(dim=-1)
        return (weight.flatten(2) * attention).gather(2, positions.unsqueeze(2)).squeeze(2), positions
    """,
)
LAB.mutant(
    "to_shift",
    loses=2,
    why="counts the positions column after column",
    answer="""
        _, _, height, width = weight.shape
        positions = attention.argmax(dim=-1)
        kept = weight.flatten(2).gather(2, positions.unsqueeze(2)).squeeze(2)
        return kept, positions % width * height + positions // width
    """,
)
LAB.mutant(
    "to_shift",
    loses=2,
    why="the largest attention instead of its position",
    answer="""
        kept = weight.flatten(2).gather(2, attention.argmax(dim=-1, keepdim=True)).squeeze(2)
        return kept, attention.amax(dim=-1)
    """,
)
LAB.mutant(
    "to_shift",
    loses=2,
    why="positions first",
    answer="""
        positions = attention.argmax(dim=-1)
        return positions, weight.flatten(2).gather(2, positions.unsqueeze(2)).squeeze(2)
    """,
)
LAB.mutant(
    "to_shift",
    loses=2,
    why="leaves a dimension of size one",
    answer="""
        positions = attention.argmax(dim=-1, keepdim=True)
        return weight.flatten(2).gather(2, positions), positions
    """,
)
LAB.variant(
    "to_shift",
    why="weights times a one-hot attention, summed",
    answer="""
        positions = attention.argmax(dim=2)
        mask = F.one_hot(positions, attention.shape[2])
        return (weight.reshape(attention.shape) * mask).sum(2), positions
    """,
)
LAB.variant(
    "to_shift",
    why="max gives the positions, indices by broadcasting",
    answer="""
        positions = attention.max(-1).indices
        o, i = positions.shape
        return weight.flatten(2)[torch.arange(o)[:, None], torch.arange(i), positions], positions
    """,
)

# Exercise 9
LAB.mutant(
    "shift_conv",
    loses=3,
    why="convolves all copies with kernels full of zeros",
    answer="""
        kernels = kept[o][None, :, None, None] * F.one_hot(index[o], copies.shape[2])[None, :, :, None]
        maps = copies.flatten(1, 2)
        outputs.append(convolve(maps, kernels.reshape(1, -1, 1, 1)))
    """,
)
LAB.mutant(
    "shift_conv",
    loses=3,
    why="goes around the function that it was given",
    answer="""
        inputs = torch.arange(images.shape[1])
        outputs.append(F.conv2d(copies[:, inputs, index[o]], kept[o][None, :, None, None]))
    """,
)
LAB.mutant(
    "shift_conv",
    loses=3,
    why="uses the positions of the first output map for all",
    answer="""
        inputs = torch.arange(images.shape[1])
        outputs.append(convolve(copies[:, inputs, index[0]], kept[o][None, :, None, None]))
    """,
)
LAB.mutant(
    "shift_conv",
    loses=3,
    why="never shifts",
    answer="outputs.append(convolve(copies[:, :, copies.shape[2] // 2], kept[o][None, :, None, None]))",
)
LAB.mutant(
    "shift_conv",
    loses=3,
    why="forgets the weights",
    answer="""
        inputs = torch.arange(images.shape[1])
        outputs.append(convolve(copies[:, inputs, index[o]], torch.ones(1, len(inputs), 1, 1)))
    """,
)
LAB.mutant(
    "shift_conv",
    loses=3,
    why="takes the weights of the position, not of the map",
    answer="""
        inputs = torch.arange(images.shape[1])
        outputs.append(convolve(copies[:, inputs, index[o]], kept[o].flip(0)[None, :, None, None]))
    """,
)
LAB.variant(
    "shift_conv",
    why="gathers",
    answer="""
        n, i, _, height, width = copies.shape
        places = index[o].reshape(1, i, 1, 1, 1).expand(n, i, 1, height, width)
        outputs.append(convolve(copies.gather(2, places).squeeze(2), kept[o].reshape(1, i, 1, 1)))
    """,
)
LAB.variant(
    "shift_conv",
    why="stacks one copy after the other",
    answer="""
        chosen = torch.stack([copies[:, i, index[o, i]] for i in range(kept.shape[1])], dim=1)
        outputs.append(convolve(chosen, kept[o : o + 1, :, None, None]))
    """,
)

# Exercise 10
LAB.mutant(
    "shift_cost",
    loses=2,
    why="a bit for each position",
    answer="""
        weights = in_channels * out_channels
        rows = (height + 2 * padding - kernel_height) // stride + 1
        columns = (width + 2 * padding - kernel_width) // stride + 1
        return LayerCost(weights, weights * kernel_height * kernel_width, weights * rows * columns)
    """,
)
LAB.mutant(
    "shift_cost",
    loses=2,
    why="rounds the bits down",
    answer="""
        weights = in_channels * out_channels
        rows = (height + 2 * padding - kernel_height) // stride + 1
        columns = (width + 2 * padding - kernel_width) // stride + 1
        return LayerCost(weights, weights * int(math.log2(kernel_height * kernel_width)), weights * rows * columns)
    """,
)
LAB.mutant(
    "shift_cost",
    loses=2,
    why="one bit too many for powers of two",
    answer="""
        weights = in_channels * out_channels
        rows = (height + 2 * padding - kernel_height) // stride + 1
        columns = (width + 2 * padding - kernel_width) // stride + 1
        return LayerCost(weights, weights * (kernel_height * kernel_width).bit_length(), weights * rows * columns)
    """,
)
LAB.mutant(
    "shift_cost",
    loses=2,
    why="one position for each input map, as if it were shared",
    answer="""
        weights = in_channels * out_channels
        bits = math.ceil(math.log2(kernel_height * kernel_width))
        rows = (height + 2 * padding - kernel_height) // stride + 1
        columns = (width + 2 * padding - kernel_width) // stride + 1
        return LayerCost(weights, in_channels * bits, weights * rows * columns)
    """,
)
LAB.mutant(
    "shift_cost",
    loses=2,
    why="counts the products of the dense convolution",
    answer="""
        weights = in_channels * out_channels
        slices = kernel_height * kernel_width
        rows = (height + 2 * padding - kernel_height) // stride + 1
        columns = (width + 2 * padding - kernel_width) // stride + 1
        return LayerCost(weights, weights * math.ceil(math.log2(slices)), weights * slices * rows * columns)
    """,
)
LAB.mutant(
    "shift_cost",
    loses=2,
    why="counts the positions of the input",
    answer="""
        weights = in_channels * out_channels
        bits = math.ceil(math.log2(kernel_height * kernel_width))
        return LayerCost(weights, weights * bits, weights * height * width)
    """,
)
LAB.variant(
    "shift_cost",
    why="the bits of the largest position, the size by counting",
    answer="""
        weights = in_channels * out_channels
        bits = (kernel_height * kernel_width - 1).bit_length()
        rows = len(range(0, height + 2 * padding - kernel_height + 1, stride))
        columns = len(range(0, width + 2 * padding - kernel_width + 1, stride))
        return LayerCost(weights, weights * bits, weights * rows * columns)
    """,
)
LAB.variant(
    "shift_cost",
    why="asks PyTorch for the size",
    answer="""
        layer = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=padding)
        positions = layer(torch.zeros(1, in_channels, height, width))[0, 0].numel()
        pairs, bits = in_channels * out_channels, 0
        while 2**bits < math.prod(kernel_size):
            bits += 1
        return LayerCost(pairs, pairs * bits, pairs * positions)
    """,
)
