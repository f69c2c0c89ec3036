"""Wrong answers that must lose points in lab 05, and differently written right ones that must not.

The exercises build on each other: `ista` shrinks, `learn` and `denoise` use `ista`, a layer uses its kernels. `loses`
counts the points of all of them.
"""

from autograder.proofs import Lab

LAB = Lab("lab05_dictionaries")

# Exercise 1
LAB.mutant(
    "dct_dictionary",
    loses=2,
    why="does not divide by the lengths",
    answer="""
        cosines = torch.cos(math.pi * torch.arange(frequencies)[:, None] * (torch.arange(size) + 0.5) / frequencies)
        return torch.kron(cosines, cosines)
    """,
)
LAB.mutant(
    "dct_dictionary",
    loses=2,
    why="forgets the half pixel",
    answer="""
        cosines = torch.cos(math.pi * torch.arange(frequencies)[:, None] * torch.arange(size) / frequencies)
        cosines = cosines / cosines.norm(dim=1, keepdim=True)
        return torch.kron(cosines, cosines)
    """,
)
LAB.mutant(
    "dct_dictionary",
    loses=2,
    why="divides the frequencies by the size, which is right for as many frequencies as pixels",
    answer="""
        cosines = torch.cos(math.pi * torch.arange(frequencies)[:, None] * (torch.arange(size) + 0.5) / size)
        cosines = F.normalize(cosines, dim=1)
        return torch.kron(cosines, cosines)
    """,
)
LAB.mutant(
    "dct_dictionary",
    loses=2,
    why="lets the first index count along the columns",
    answer="""
        cosines = torch.cos(math.pi * torch.arange(frequencies)[:, None] * (torch.arange(size) + 0.5) / frequencies)
        cosines = F.normalize(cosines, dim=1)
        return torch.einsum("km,ln->lkmn", cosines, cosines).reshape(frequencies**2, size**2)
    """,
)
LAB.variant(
    "dct_dictionary",
    why="divides the finished atoms by their lengths",
    answer="""
        cosines = torch.stack(
            [torch.cos(math.pi * k * (torch.arange(size) + 0.5) / frequencies) for k in range(frequencies)]
        )
        atoms = torch.einsum("km,ln->klmn", cosines, cosines).reshape(frequencies**2, size**2)
        return F.normalize(atoms, dim=1)
    """,
)

# Exercise 2. ista, learn, denoise and proximal_step shrink: 1 + 3 + 1 + 2 + 2 points.
LAB.mutant(
    "shrink",
    loses=9,
    why="thresholds hard: leaves large numbers as they are",
    answer="return values * (values.abs() > threshold)",
)
LAB.mutant(
    "shrink",
    loses=9,
    why="loses negative numbers",
    answer="return (values - threshold).clamp(min=0)",
)
LAB.mutant(
    "shrink",
    loses=9,
    why="goes past zero",
    answer="return values - threshold * values.sign()",
)
LAB.mutant(
    "shrink",
    loses=9,
    why="loses the sign",
    answer="return (values.abs() - threshold).clamp(min=0)",
)
LAB.mutant(
    "shrink",
    loses=1,
    why="changes the values that were given",
    answer="""
        signs = values.sign()
        return values.abs_().sub_(threshold).clamp_(min=0).mul_(signs)
    """,
)
LAB.variant("shrink", why="torch's own", answer="return F.softshrink(values, threshold)")
LAB.variant(
    "shrink",
    why="what is above the threshold minus what is below",
    answer="return torch.relu(values - threshold) - torch.relu(-values - threshold)",
)

# Exercise 3. learn writes it down: 1 + 1 points.
LAB.mutant(
    "objective",
    loses=2,
    why="forgets the half",
    answer="return ((signals - codes @ dictionary).square().sum() + penalty * codes.abs().sum()).item()",
)
LAB.mutant(
    "objective",
    loses=2,
    why="adds the codes with their sign",
    answer="return (0.5 * (signals - codes @ dictionary).square().sum() + penalty * codes.sum()).item()",
)
LAB.mutant(
    "objective",
    loses=2,
    why="takes the length of the error",
    answer="return ((signals - codes @ dictionary).norm() + penalty * codes.abs().sum()).item()",
)
LAB.mutant(
    "objective",
    loses=2,
    why="takes means",
    answer="return (0.5 * (signals - codes @ dictionary).square().mean() + penalty * codes.abs().mean()).item()",
)
LAB.variant(
    "objective",
    why="from two norms",
    answer="""
        error = torch.linalg.matrix_norm(codes @ dictionary - signals)
        return float(error) ** 2 / 2 + penalty * float(codes.norm(p=1))
    """,
)

# Exercise 4. learn and denoise take this step: 1 + 1 + 2 points.
LAB.mutant(
    "step_size",
    loses=4,
    why="does not square the singular value",
    answer="return 1 / torch.linalg.matrix_norm(dictionary, ord=2).item()",
)
LAB.mutant(
    "step_size",
    loses=4,
    why="adds up all squares, which is the number of atoms: never too long, but far too short",
    answer="return 1 / torch.linalg.matrix_norm(dictionary).item() ** 2",
)
LAB.mutant(
    "step_size",
    loses=4,
    why="takes the smallest singular value",
    answer="return 1 / torch.linalg.svdvals(dictionary)[-1].item() ** 2",
)
LAB.mutant(
    "step_size",
    loses=1,
    why="returns a tensor",
    answer="return 1 / torch.linalg.matrix_norm(dictionary, ord=2) ** 2",
)
LAB.variant(
    "step_size",
    why="the largest eigenvalue of the smaller product",
    answer="return 1 / float(torch.linalg.eigvalsh(dictionary.T @ dictionary)[-1])",
)

# Exercise 5. learn and denoise code with it: 3 + 1 + 2 points.
LAB.mutant(
    "ista",
    loses=6,
    why="shrinks by the penalty, not by step times penalty",
    answer="codes = shrink(codes - step * (codes @ dictionary - signals) @ dictionary.T, penalty)",
)
LAB.mutant(
    "ista",
    loses=6,
    why="goes uphill",
    answer="codes = shrink(codes + step * (codes @ dictionary - signals) @ dictionary.T, step * penalty)",
)
LAB.mutant(
    "ista",
    loses=6,
    why="shrinks before the gradient step, which leaves no exact zeros",
    answer="""
        codes = shrink(codes, step * penalty)
        codes = codes - step * (codes @ dictionary - signals) @ dictionary.T
    """,
)
LAB.mutant(
    "ista",
    loses=6,
    why="shrinks the gradient instead of the codes",
    answer="codes = codes - step * shrink((codes @ dictionary - signals) @ dictionary.T, penalty)",
)
LAB.mutant(
    "ista",
    loses=6,
    why="subtracts the gradient of the penalty, which never makes an exact zero",
    answer="codes = codes - step * ((codes @ dictionary - signals) @ dictionary.T + penalty * codes.sign())",
)
LAB.mutant(
    "ista",
    loses=3,
    why="changes the codes that were given",
    answer="""
        codes -= step * (codes @ dictionary - signals) @ dictionary.T
        codes.copy_(shrink(codes, step * penalty))
    """,
)
LAB.variant(
    "ista",
    why="with products of the atoms",
    answer="""
        gram, cross = dictionary @ dictionary.T, signals @ dictionary.T
        codes = shrink(codes + step * (cross - codes @ gram), step * penalty)
    """,
)

# Exercise 6. learn updates with it: 2 + 1 points; its test has no atoms that are not used.
LAB.mutant(
    "update_dictionary",
    loses=3,
    why="does not divide by the length",
    answer="""
        g = cross[k] - gram[k] @ dictionary + gram[k, k] * dictionary[k]
        if gram[k, k] > 0:
            dictionary[k] = g / gram[k, k]
    """,
)
LAB.mutant(
    "update_dictionary",
    loses=2,
    why="makes NaN of atoms that are not used",
    answer="""
        g = cross[k] - gram[k] @ dictionary + gram[k, k] * dictionary[k]
        dictionary[k] = g / g.norm()
    """,
)
LAB.mutant(
    "update_dictionary",
    loses=2,
    why="makes zeros of atoms that are not used",
    answer="dictionary[k] = F.normalize(cross[k] - gram[k] @ dictionary + gram[k, k] * dictionary[k], dim=0)",
)
LAB.mutant(
    "update_dictionary",
    loses=3,
    why="does not add the atom's own part back",
    answer="""
        g = cross[k] - gram[k] @ dictionary
        if g.norm() > 0:
            dictionary[k] = g / g.norm()
    """,
)
LAB.mutant(
    "update_dictionary",
    loses=3,
    why="does not subtract what the other atoms explain",
    answer="""
        if cross[k].norm() > 0:
            dictionary[k] = cross[k] / cross[k].norm()
    """,
)
LAB.variant(
    "update_dictionary",
    why="with the residual, as in the text",
    answer="""
        used = codes[:, k] != 0
        if used.any():
            residual = signals - codes @ dictionary + torch.outer(codes[:, k], dictionary[k])
            dictionary[k] = F.normalize(codes[:, k] @ residual, dim=0)
    """,
)

# Exercise 7
LAB.mutant(
    "learn",
    loses=1,
    why="starts every turn from zeros",
    answer="""
        codes = ista(signals, dictionary, penalty, step_size(dictionary), iterations)
        dictionary = update_dictionary(signals, codes, dictionary)
    """,
)
LAB.mutant(
    "learn",
    loses=1,
    why="updates the atoms before the codes",
    answer="""
        dictionary = update_dictionary(signals, codes, dictionary)
        codes = ista(signals, dictionary, penalty, step_size(dictionary), iterations, codes)
    """,
)
LAB.variant(
    "learn",
    why="round by round, arguments by name",
    answer="""
        step = step_size(dictionary)
        for _ in range(iterations):
            codes = ista(signals, dictionary, penalty, step=step, iterations=1, codes=codes)
        dictionary = update_dictionary(signals=signals, codes=codes, dictionary=dictionary)
    """,
)

# Exercise 8
LAB.mutant(
    "denoise",
    loses=2,
    why="penalizes brightness: does not subtract the means",
    answer="""
        codes = ista(patches, dictionary, penalty, step_size(dictionary), iterations)
        return from_patches(codes @ dictionary, image.shape)
    """,
)
LAB.mutant(
    "denoise",
    loses=2,
    why="does not add the means again",
    answer="""
        centered = patches - patches.mean(dim=1, keepdim=True)
        codes = ista(centered, dictionary, penalty, step_size(dictionary), iterations)
        return from_patches(codes @ dictionary, image.shape)
    """,
)
LAB.mutant(
    "denoise",
    loses=2,
    why="subtracts the mean of the whole image",
    answer="""
        codes = ista(patches - patches.mean(), dictionary, penalty, step_size(dictionary), iterations)
        return from_patches(codes @ dictionary + patches.mean(), image.shape)
    """,
)
LAB.mutant(
    "denoise",
    loses=2,
    why="always does 30 rounds",
    answer="""
        means = patches.mean(dim=1, keepdim=True)
        codes = ista(patches - means, dictionary, penalty, step_size(dictionary), 30)
        return from_patches(codes @ dictionary + means, image.shape)
    """,
)
LAB.variant(
    "denoise",
    why="means as a vector, arguments by name",
    answer="""
        means = patches.mean(1)[:, None].expand_as(patches)
        options = {"penalty": penalty, "step": step_size(dictionary), "iterations": iterations}
        return from_patches(means + ista(patches - means, dictionary, **options) @ dictionary, tuple(image.shape))
    """,
)

# Exercise 9. DCTConv convolves with these kernels: 1 + 1 points.
LAB.mutant(
    "kernels_from_codes",
    loses=2,
    why="writes the pixels column after column",
    answer="return (codes @ atoms).unflatten(2, (math.isqrt(atoms.shape[1]), -1)).mT",
)
LAB.mutant(
    "kernels_from_codes",
    loses=2,
    why="exchanges inputs and outputs",
    answer="return (codes.transpose(0, 1) @ atoms).unflatten(2, (math.isqrt(atoms.shape[1]), -1))",
)
LAB.variant(
    "kernels_from_codes",
    why="with einsum and reshape",
    answer="""
        size = int(atoms.shape[1] ** 0.5)
        return torch.einsum("oik,kp->oip", codes, atoms).reshape(*codes.shape[:2], size, size)
    """,
)

# Exercise 10
LAB.mutant(
    "dct_conv",
    loses=1,
    why="trains the atoms",
    answer="self.codes, self.atoms = nn.Parameter(start), nn.Parameter(atoms)",
)
LAB.mutant(
    "dct_conv",
    loses=1,
    why="does not save the atoms with the layer",
    answer="""
        self.codes = nn.Parameter(start)
        self.atoms = atoms
    """,
)
LAB.mutant(
    "dct_conv",
    loses=1,
    why="begins with zeros",
    answer="""
        self.codes = nn.Parameter(torch.zeros_like(start))
        self.register_buffer("atoms", atoms)
    """,
)
LAB.variant(
    "dct_conv",
    why="registers both by name",
    answer="""
        self.register_buffer("atoms", atoms.clone())
        self.register_parameter("codes", nn.Parameter(start.clone()))
    """,
)

# Exercise 11
LAB.mutant(
    "count_weights",
    loses=1,
    why="counts frozen parameters",
    answer="""
        parameters = list(network.parameters())
        return Counts(sum(p.numel() for p in parameters), sum((p != 0).sum().item() for p in parameters))
    """,
)
LAB.mutant(
    "count_weights",
    loses=1,
    why="counts what is positive",
    answer="""
        parameters = [p for p in network.parameters() if p.requires_grad]
        return Counts(sum(p.numel() for p in parameters), sum((p > 0).sum().item() for p in parameters))
    """,
)
LAB.variant(
    "count_weights",
    why="as one long vector",
    answer="""
        numbers = nn.utils.parameters_to_vector(p for p in network.parameters() if p.requires_grad)
        return Counts(len(numbers), int(numbers.count_nonzero()))
    """,
)

# Exercise 12
LAB.mutant(
    "proximal_step",
    loses=2,
    why="shrinks by the penalty, as the report prints it",
    answer="return shrink(weight + momentum * (weight - previous) - lr * gradient, penalty)",
)
LAB.mutant(
    "proximal_step",
    loses=2,
    why="lets weights fade, as the report prints it",
    answer="""
        moved = momentum * (weight - previous) + (1 - momentum) * (weight - lr * gradient)
        return shrink(moved, lr * penalty)
    """,
)
LAB.mutant(
    "proximal_step",
    loses=2,
    why="adds the gradient of the penalty, which never makes an exact zero",
    answer="return weight + momentum * (weight - previous) - lr * (gradient + penalty * weight.sign())",
)
LAB.mutant(
    "proximal_step",
    loses=2,
    why="shrinks before it steps",
    answer="return shrink(weight, lr * penalty) + momentum * (weight - previous) - lr * gradient",
)
LAB.variant(
    "proximal_step",
    why="a velocity, then the threshold by hand",
    answer="""
        velocity = momentum * (weight - previous) - lr * gradient
        moved = weight + velocity
        return torch.where(moved.abs() > lr * penalty, moved - lr * penalty * moved.sign(), torch.zeros_like(moved))
    """,
)
