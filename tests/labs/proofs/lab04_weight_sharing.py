"""Wrong answers that must lose points in lab 04, and differently written right ones that must not.

The exercises build on each other: a wrong step of k-means costs what uses it too, so `loses` counts those.
"""

from autograder.proofs import Lab

LAB = Lab("lab04_weight_sharing")

# Exercise 1. k-means (2), its start (1) and all that shares weights (2 + 2 + 2 + 1) stand on it; a network of one value
# for each layer still has centroids to train, so most wrong answers leave that point.
LAB.mutant(
    "nearest",
    loses=11,
    why="takes the farthest centroid",
    answer="return (points[:, None] - centroids).square().sum(dim=2).argmax(dim=1)",
)
LAB.mutant(
    "nearest",
    loses=5,
    why="adds up differences instead of squares",
    answer="return (points[:, None] - centroids).abs().sum(dim=2).argmin(dim=1)",
)
LAB.mutant(
    "nearest",
    loses=11,
    why="takes the largest scalar product",
    answer="return (points @ centroids.T).argmax(dim=1)",
)
LAB.mutant(
    "nearest",
    loses=12,
    why="names the nearest point of each centroid",
    answer="return (points[:, None] - centroids).square().sum(dim=2).argmin(dim=0)",
)
LAB.variant(
    "nearest",
    why="with torch.cdist",
    answer="return torch.cdist(points, centroids).argmin(dim=1)",
)
LAB.variant(
    "nearest",
    why="without the squares of the points, which are the same for all centroids",
    answer="return (centroids.square().sum(1) - 2 * points @ centroids.T).argmin(dim=1)",
)
LAB.variant(
    "nearest",
    why="centroid by centroid",
    answer="""
        distances = [(points - centroid).pow(2).sum(-1) for centroid in centroids]
        return torch.stack(distances).min(dim=0).indices
    """,
)

# Exercise 2
LAB.mutant(
    "move",
    loses=8,
    why="takes the mean of an empty cluster",
    answer="return torch.stack([points[labels == k].mean(dim=0) for k in range(len(centroids))])",
)
LAB.mutant(
    "move",
    loses=6,
    why="sends the centroid of an empty cluster to zero",
    answer="""
        member = F.one_hot(labels, len(centroids)).to(points.dtype)
        return member.T @ points / member.sum(0).clamp(min=1)[:, None]
    """,
)
LAB.mutant(
    "move",
    loses=4,
    why="changes the old centroids",
    answer="""
        for k in range(len(centroids)):
            if (labels == k).any():
                centroids[k] = points[labels == k].mean(dim=0)
        return centroids
    """,
)
LAB.mutant(
    "move",
    loses=10,
    why="divides by the number of all points",
    answer="""
        moved = centroids.clone()
        for k in range(len(centroids)):
            if (labels == k).any():
                moved[k] = points[labels == k].sum(dim=0) / len(points)
        return moved
    """,
)
LAB.mutant(
    "move",
    loses=8,
    why="takes medians",
    answer="""
        moved = centroids.clone()
        for k in range(len(centroids)):
            if (labels == k).any():
                moved[k] = points[labels == k].median(dim=0).values
        return moved
    """,
)
LAB.mutant(
    "move",
    loses=4,
    why="takes one mean of all coordinates",
    answer="""
        moved = centroids.clone()
        for k in range(len(centroids)):
            if (labels == k).any():
                moved[k] = points[labels == k].mean()
        return moved
    """,
)
LAB.variant(
    "move",
    why="without a loop",
    answer="""
        member = F.one_hot(labels, len(centroids)).to(points.dtype)
        counts = member.sum(0)[:, None]
        return torch.where(counts > 0, member.T @ points / counts.clamp(min=1), centroids)
    """,
)

# Exercise 3
LAB.mutant(
    "lloyd",
    loses=4,
    why="never labels the points anew",
    answer="""
        before = centroids
        centroids = move(points, labels, centroids)
        errors.append(mean_squared_distance(points, centroids, labels))
        if torch.equal(centroids, before):
            break
    """,
)
LAB.mutant(
    "lloyd",
    loses=4,
    why="stops after one round",
    answer="""
        centroids = move(points, labels, centroids)
        labels = nearest(points, centroids)
        errors.append(mean_squared_distance(points, centroids, labels))
        break
    """,
)
LAB.mutant(
    "lloyd",
    loses=2,
    why="goes on when nothing changes any more",
    answer="""
        centroids = move(points, labels, centroids)
        labels = nearest(points, centroids)
        errors.append(mean_squared_distance(points, centroids, labels))
    """,
)
LAB.mutant(
    "lloyd",
    loses=2,
    why="takes the error before the points are labeled anew",
    answer="""
        centroids = move(points, labels, centroids)
        errors.append(mean_squared_distance(points, centroids, labels))
        before, labels = labels, nearest(points, centroids)
        if torch.equal(labels, before):
            break
    """,
)
LAB.mutant(
    "lloyd",
    loses=4,
    why="labels by the centroids before they have moved",
    answer="""
        before, labels = labels, nearest(points, centroids)
        centroids = move(points, labels, centroids)
        errors.append(mean_squared_distance(points, centroids, labels))
        if torch.equal(labels, before):
            break
    """,
)
LAB.mutant(
    "lloyd",
    loses=2,
    why="stops when the labels are those of the start",
    answer="""
        centroids = move(points, labels, centroids)
        labels = nearest(points, centroids)
        errors.append(mean_squared_distance(points, centroids, labels))
        if torch.equal(labels, nearest(points, start)):
            break
    """,
)
LAB.variant(
    "lloyd",
    why="remembers the old labels first",
    answer="""
        old = labels.clone()
        centroids = move(points, old, centroids)
        labels = nearest(points, centroids)
        errors += [mean_squared_distance(points, centroids, labels)]
        if (labels == old).all():
            return Clusters(centroids, labels, errors)
    """,
)

# Exercise 4
LAB.mutant(
    "chances",
    loses=1,
    why="takes the distances without the square",
    answer="""
        distances = (points - centroids[nearest(points, centroids)]).square().sum(dim=1).sqrt()
        return distances / distances.sum()
    """,
)
LAB.mutant(
    "chances",
    loses=1,
    why="does not divide",
    answer="return (points - centroids[nearest(points, centroids)]).square().sum(dim=1)",
)
LAB.mutant(
    "chances",
    loses=1,
    why="looks at the last centroid only",
    answer="""
        squared = (points - centroids[-1]).square().sum(dim=1)
        return squared / squared.sum()
    """,
)
LAB.mutant(
    "chances",
    loses=1,
    why="takes the farthest centroid",
    answer="""
        squared = (points[:, None] - centroids).square().sum(dim=2).amax(dim=1)
        return squared / squared.sum()
    """,
)
LAB.variant(
    "chances",
    why="the smallest of all distances",
    answer="""
        squared = torch.cdist(points, centroids).pow(2).min(dim=1).values
        return squared / squared.sum()
    """,
)

# Exercise 5. No other check uses it.
LAB.mutant("stored_bits", loses=2, why="forgets the indices", answer="return k * size * value_bits")
LAB.mutant(
    "stored_bits",
    loses=2,
    why="rounds the bits of an index down",
    answer="return k * size * value_bits + count * int(math.log2(k))",
)
LAB.mutant(
    "stored_bits",
    loses=2,
    why="counts one bit for k = 1",
    answer="return k * size * value_bits + count * max(1, math.ceil(math.log2(k)))",
)
LAB.mutant(
    "stored_bits",
    loses=2,
    why="takes one bit too many for powers of two",
    answer="return k * size * value_bits + count * k.bit_length()",
)
LAB.mutant(
    "stored_bits",
    loses=2,
    why="returns a float",
    answer="return k * size * value_bits + count * (math.log2(k) // 1 + (math.log2(k) % 1 > 0))",
)
LAB.mutant(
    "stored_bits",
    loses=2,
    why="always takes 32 bits for a value",
    answer="return k * size * 32 + count * math.ceil(math.log2(k))",
)
LAB.variant(
    "stored_bits",
    why="the length of the largest index",
    answer="return k * size * value_bits + count * (k - 1).bit_length()",
)

# Exercise 6
LAB.mutant(
    "share_weight",
    loses=2,
    why="starts at quantiles",
    answer="""
        values = weight.reshape(-1, 1)
        start = torch.quantile(values, (torch.arange(k) + 0.5) / k).reshape(-1, 1)
        clusters = lloyd(values, start)
        return clusters.centroids.flatten(), clusters.labels.reshape(weight.shape)
    """,
)
LAB.mutant(
    "share_weight",
    loses=6,
    why="leaves out k-means",
    answer="""
        values = weight.reshape(-1, 1)
        start = torch.linspace(values.min(), values.max(), k).reshape(-1, 1)
        return start.flatten(), nearest(values, start).reshape(weight.shape)
    """,
)
LAB.mutant(
    "share_weight",
    loses=4,
    why="starts from minus to plus the largest magnitude",
    answer="""
        values = weight.reshape(-1, 1)
        limit = values.abs().max()
        clusters = lloyd(values, torch.linspace(-limit, limit, k).reshape(-1, 1))
        return clusters.centroids.flatten(), clusters.labels.reshape(weight.shape)
    """,
)
LAB.mutant(
    "share_weight",
    loses=6,
    why="returns the shared weights instead of the index",
    answer="""
        values = weight.reshape(-1, 1)
        clusters = lloyd(values, torch.linspace(values.min(), values.max(), k).reshape(-1, 1))
        return clusters.centroids.flatten(), clusters.centroids[clusters.labels].reshape(weight.shape)
    """,
)
LAB.mutant(
    "share_weight",
    loses=6,
    why="leaves the index flat",
    answer="""
        values = weight.reshape(-1, 1)
        clusters = lloyd(values, torch.linspace(values.min(), values.max(), k).reshape(-1, 1))
        return clusters.centroids.flatten(), clusters.labels
    """,
)
LAB.variant(
    "share_weight",
    why="the start written as a formula, with a step for each centroid",
    answer="""
        flat = weight.flatten()
        low, high = flat.aminmax()
        start = low + (high - low) * torch.arange(k) / (k - 1)
        found = lloyd(flat[:, None], start[:, None])
        return found.centroids.squeeze(1), found.labels.view_as(weight)
    """,
)

# Exercise 7. Sharing a network (2) and training its codebooks (1) use the layer.
LAB.mutant(
    "shared_conv",
    loses=3,
    why="makes a buffer of the centroids",
    answer="""
        self.register_buffer("centroids", centroids)
        self.register_buffer("index", index)
    """,
)
LAB.mutant(
    "shared_conv",
    loses=4,
    why="keeps the index as an ordinary attribute, which is not saved",
    answer="""
        self.centroids = nn.Parameter(centroids)
        self.index = index
    """,
)
LAB.mutant(
    "shared_conv",
    loses=3,
    why="makes a parameter of the index too",
    answer="""
        self.centroids = nn.Parameter(centroids)
        self.index = nn.Parameter(index, requires_grad=False)
    """,
)
LAB.mutant(
    "shared_conv",
    loses=5,
    why="a value for every weight",
    answer="""
        self.centroids = nn.Parameter(centroids[index].flatten())
        self.register_buffer("index", torch.arange(index.numel()).reshape(index.shape))
    """,
)
LAB.variant(
    "shared_conv",
    why="registered by name, with an index of one byte turned back",
    answer="""
        self.register_parameter("centroids", nn.Parameter(centroids.clone()))
        self.register_buffer("index", index.to(torch.int32))
    """,
)

# Exercise 8. No other check uses it.
LAB.mutant(
    "centroid_gradient",
    loses=2,
    why="takes means",
    answer="return torch.stack([gradient[index == j].sum() / max(1, (index == j).sum()) for j in range(k)])",
)
LAB.mutant(
    "centroid_gradient",
    loses=2,
    why="adds where an index occurs several times, of which one addition survives",
    answer="""
        sums = torch.zeros(k)
        sums[index] += gradient
        return sums
    """,
)
LAB.mutant(
    "centroid_gradient",
    loses=2,
    why="has as many values as the largest index says",
    answer="return torch.stack([gradient[index == j].sum() for j in range(int(index.max()) + 1)])",
)
LAB.mutant(
    "centroid_gradient",
    loses=2,
    why="adds up magnitudes",
    answer="return torch.stack([gradient[index == j].abs().sum() for j in range(k)])",
)
LAB.variant(
    "centroid_gradient",
    why="a loop over the values",
    answer="return torch.stack([gradient[index == j].sum() for j in range(k)])",
)
LAB.variant(
    "centroid_gradient",
    why="bincount with weights, in double precision",
    answer="return index.flatten().bincount(gradient.flatten().double(), minlength=k)",
)

# Exercise 9. Training the codebooks (1) uses it.
LAB.mutant(
    "share_network",
    loses=2,
    why="changes the network that it was given",
    answer="""
        for name, b in bits.items():
            network.set_submodule(name, SharedConv2d(network.get_submodule(name), 2**b))
        return network
    """,
)
LAB.mutant(
    "share_network",
    loses=3,
    why="takes the bits for the number of values",
    answer="""
        shared = copy.deepcopy(network)
        for name, b in bits.items():
            shared.set_submodule(name, SharedConv2d(shared.get_submodule(name), b))
        return shared
    """,
)
LAB.mutant(
    "share_network",
    loses=3,
    why="shares all convolutions with the largest number of bits",
    answer="""
        shared = copy.deepcopy(network)
        for name, layer in list(shared.named_modules()):
            if isinstance(layer, nn.Conv2d):
                shared.set_submodule(name, SharedConv2d(layer, 2 ** max(bits.values(), default=1)))
        return shared
    """,
)
LAB.mutant(
    "share_network",
    loses=2,
    why="makes a shallow copy",
    answer="""
        shared = copy.copy(network)
        for name, b in bits.items():
            shared.set_submodule(name, SharedConv2d(shared.get_submodule(name), 2**b))
        return shared
    """,
)
LAB.variant(
    "share_network",
    why="walks through the children",
    answer="""
        shared = copy.deepcopy(network)
        for path, parent in list(shared.named_modules()):
            for name, layer in list(parent.named_children()):
                full = f"{path}.{name}" if path else name
                if full in bits:
                    setattr(parent, name, SharedConv2d(layer, 1 << bits[full]))
        return shared
    """,
)

# Exercise 10
LAB.mutant(
    "train_only_codebooks",
    loses=1,
    why="freezes nothing",
    answer="return sum(layer.centroids.numel() for layer in network.modules() if isinstance(layer, SharedConv2d))",
)
LAB.mutant(
    "train_only_codebooks",
    loses=1,
    why="freezes the centroids too",
    answer="""
        network.requires_grad_(False)
        return sum(layer.centroids.numel() for layer in network.modules() if isinstance(layer, SharedConv2d))
    """,
)
LAB.mutant(
    "train_only_codebooks",
    loses=1,
    why="does not switch on what was off",
    answer="""
        count = 0
        for name, parameter in network.named_parameters():
            if name.endswith("centroids"):
                count += parameter.numel()
            else:
                parameter.requires_grad_(False)
        return count
    """,
)
LAB.mutant(
    "train_only_codebooks",
    loses=1,
    why="counts the layers",
    answer="""
        network.requires_grad_(False)
        layers = [layer for layer in network.modules() if isinstance(layer, SharedConv2d)]
        for layer in layers:
            layer.centroids.requires_grad_(True)
        return len(layers)
    """,
)
LAB.variant(
    "train_only_codebooks",
    why="by the names of the parameters",
    answer="""
        count = 0
        for name, parameter in network.named_parameters():
            parameter.requires_grad = name.split(".")[-1] == "centroids"
            count += parameter.numel() if parameter.requires_grad else 0
        return count
    """,
)
