"""Wrong answers that must lose points in lab 07, and differently written right ones that must not.

The exercises build on each other: `mode_product` folds and unfolds, `tucker2` and `energy_ranks` unfold, `als_step` and
`cp_error` multiply an unfolding by a Khatri-Rao product. `loses` counts the points of all of them.
"""

from autograder.proofs import Lab

LAB = Lab("lab07_cp_and_tucker")

# Exercise 1. mode_product, tucker2, als_step, cp_error and energy_ranks unfold.
LAB.mutant(
    "unfold",
    loses=8,
    why="only reshapes",
    answer="return tensor.reshape(tensor.shape[mode], -1)",
)
LAB.mutant(
    "unfold",
    loses=8,
    why="lets the first of the other modes vary fastest, as Fortran does",
    answer="""
        front = tensor.movedim(mode, 0)
        return front.permute(0, *range(tensor.dim() - 1, 0, -1)).reshape(tensor.shape[mode], -1)
    """,
)
LAB.mutant(
    "unfold",
    loses=5,
    why="swaps two modes instead of bringing one to the front",
    answer="return tensor.transpose(0, mode).reshape(tensor.shape[mode], -1)",
)
LAB.mutant(
    "unfold",
    loses=8,
    why="puts the mode into the columns",
    answer="return tensor.movedim(mode, -1).reshape(-1, tensor.shape[mode])",
)
LAB.variant(
    "unfold",
    why="slice by slice",
    answer="return torch.stack([tensor.select(mode, i).reshape(-1) for i in range(tensor.shape[mode])])",
)
LAB.variant(
    "unfold",
    why="TensorLy's own",
    answer="""
        import tensorly
        with tensorly.backend_context("pytorch"):
            return tensorly.unfold(tensor, mode)
    """,
)

# Exercise 2. mode_product folds, and tucker2 multiplies along modes.
LAB.mutant(
    "fold",
    loses=4,
    why="only reshapes",
    answer="return matrix.reshape(shape)",
)
LAB.mutant(
    "fold",
    loses=2,
    why="brings the mode to the front once more",
    answer="""
        rest = [size for m, size in enumerate(shape) if m != mode]
        return matrix.reshape(shape[mode], *rest).movedim(mode, 0)
    """,
)
LAB.mutant(
    "fold",
    loses=4,
    why="leaves out every size that is equal to the mode's",
    answer="""
        rest = [size for size in shape if size != shape[mode]]
        return matrix.reshape(shape[mode], *rest).movedim(0, mode)
    """,
)

# Exercise 3. tucker2 multiplies along modes 0 and 1.
LAB.mutant(
    "mode_product",
    loses=3,
    why="leaves the new mode at the end, where tensordot puts it",
    answer="return torch.tensordot(tensor, matrix, dims=([mode], [1]))",
)
LAB.mutant(
    "mode_product",
    loses=3,
    why="multiplies by the transposed matrix",
    answer="""
        shape = [*tensor.shape[:mode], matrix.shape[1], *tensor.shape[mode + 1 :]]
        return fold(matrix.T @ unfold(tensor, mode), mode, shape)
    """,
)
LAB.variant(
    "mode_product",
    why="with tensordot, and the new mode moved to its place",
    answer="return torch.tensordot(matrix, tensor, dims=([1], [mode])).movedim(0, mode)",
)

# Exercise 4
LAB.mutant(
    "tucker2",
    loses=2,
    why="takes the first right singular vectors",
    answer="""
        out_factor = torch.linalg.svd(unfold(weight, 0), full_matrices=True)[2][: weight.shape[0], :out_rank]
        in_factor = torch.linalg.svd(unfold(weight, 1), full_matrices=True)[2][: weight.shape[1], :in_rank]
        return Tucker2(mode_product(mode_product(weight, out_factor.T, 0), in_factor.T, 1), out_factor, in_factor)
    """,
)
LAB.mutant(
    "tucker2",
    loses=2,
    why="takes the smallest eigenvalues, which eigh returns first",
    answer="""
        factors = []
        for mode, rank in ((0, out_rank), (1, in_rank)):
            matrix = unfold(weight, mode)
            factors.append(torch.linalg.eigh(matrix @ matrix.T)[1][:, :rank])
        return Tucker2(mode_product(mode_product(weight, factors[0].T, 0), factors[1].T, 1), *factors)
    """,
)
LAB.mutant(
    "tucker2",
    loses=2,
    why="projects one mode only",
    answer="""
        out_factor = torch.linalg.svd(unfold(weight, 0), full_matrices=False)[0][:, :out_rank]
        in_factor = torch.linalg.svd(unfold(weight, 1), full_matrices=False)[0][:, :in_rank]
        core = mode_product(weight, out_factor.T, 0)[:, :in_rank]
        return Tucker2(core, out_factor, in_factor)
    """,
)
LAB.mutant(
    "tucker2",
    loses=2,
    why="multiplies by the factors without a transpose, which square ones allow",
    answer="""
        out_factor = torch.linalg.svd(unfold(weight, 0), full_matrices=False)[0]
        in_factor = torch.linalg.svd(unfold(weight, 1), full_matrices=False)[0]
        core = mode_product(mode_product(weight, out_factor, 0), in_factor, 1)[:out_rank, :in_rank]
        return Tucker2(core, out_factor[:, :out_rank], in_factor[:, :in_rank])
    """,
)
LAB.mutant(
    "tucker2",
    loses=2,
    why="keeps the first channels",
    answer="""
        factors = [torch.eye(n, r, dtype=weight.dtype) for n, r in zip(weight.shape, (out_rank, in_rank))]
        return Tucker2(weight[:out_rank, :in_rank], *factors)
    """,
)
LAB.variant(
    "tucker2",
    why="leading eigenvectors of the Gram matrices, and the core by einsum",
    answer="""
        values = weight.double()
        gram = torch.einsum("oihw,pihw->op", values, values)
        out_factor = torch.linalg.eigh(gram)[1].flip(1)[:, :out_rank].to(weight.dtype)
        gram = torch.einsum("oihw,ojhw->ij", values, values)
        in_factor = torch.linalg.eigh(gram)[1].flip(1)[:, :in_rank].to(weight.dtype)
        return Tucker2(torch.einsum("oihw,oa,ib->abhw", weight, out_factor, in_factor), out_factor, in_factor)
    """,
)
LAB.variant(
    "tucker2",
    why="taking turns (HOOI) by TensorLy",
    answer="""
        import tensorly
        from tensorly.decomposition import partial_tucker
        with tensorly.backend_context("pytorch"):
            (core, factors), _ = partial_tucker(weight, rank=[out_rank, in_rank], modes=[0, 1], init="svd")
        return Tucker2(core, *factors)
    """,
)

# Exercise 5
LAB.mutant(
    "tucker_error",
    loses=1,
    why="forgets the root",
    answer="return max(1 - (found.core.norm() / weight.norm()).item() ** 2, 0.0)",
)
LAB.mutant(
    "tucker_error",
    loses=1,
    why="subtracts norms, not squares",
    answer="return max(1 - (found.core.norm() / weight.norm()).item(), 0.0)",
)
LAB.mutant(
    "tucker_error",
    loses=1,
    why="takes the root of a negative number when nothing is lost",
    answer="return (1 - (found.core.norm() / weight.norm()) ** 2).sqrt().item()",
)
LAB.variant(
    "tucker_error",
    why="from the approximation itself",
    answer="return float((weight - found.reconstruct()).norm() / weight.norm())",
)

# Exercise 6
LAB.mutant(
    "tucker_layers",
    loses=2,
    why="gives the stride to the first layer",
    answer="""
        return nn.Sequential(
            convolution_of(found.in_factor.T[:, :, None, None], stride=convolution.stride),
            convolution_of(found.core, padding=convolution.padding),
            convolution_of(found.out_factor[:, :, None, None], bias=convolution.bias),
        )
    """,
)
LAB.mutant(
    "tucker_layers",
    loses=2,
    why="forgets the bias",
    answer="""
        core = convolution_of(found.core, stride=convolution.stride, padding=convolution.padding)
        reduce = convolution_of(found.in_factor.T[:, :, None, None])
        return nn.Sequential(reduce, core, convolution_of(found.out_factor[:, :, None, None]))
    """,
)
LAB.mutant(
    "tucker_layers",
    loses=2,
    why="uses the vertical stride and padding for both axes",
    answer="""
        stride, padding = convolution.stride[0], convolution.padding[0]
        core = convolution_of(found.core, stride=(stride, stride), padding=(padding, padding))
        reduce = convolution_of(found.in_factor.T[:, :, None, None])
        return nn.Sequential(reduce, core, convolution_of(found.out_factor[:, :, None, None], convolution.bias))
    """,
)
LAB.mutant(
    "tucker_layers",
    loses=2,
    why="gives the stride to the last layer, which drops what the core has computed",
    answer="""
        return nn.Sequential(
            convolution_of(found.in_factor.T[:, :, None, None]),
            convolution_of(found.core, padding=convolution.padding),
            convolution_of(found.out_factor[:, :, None, None], convolution.bias, stride=convolution.stride),
        )
    """,
)
LAB.mutant(
    "tucker_layers",
    loses=2,
    why="puts the dense kernels together again",
    answer="""
        settings = {"stride": convolution.stride, "padding": convolution.padding}
        return nn.Sequential(convolution_of(found.reconstruct(), convolution.bias, **settings))
    """,
)
LAB.variant(
    "tucker_layers",
    why="layers of torch with their weights set, padding in the first one",
    answer="""
        (o, r), (i, q) = found.out_factor.shape, found.in_factor.shape
        dtype = found.core.dtype
        first = nn.Conv2d(i, q, 1, padding=convolution.padding, bias=False, dtype=dtype)
        second = nn.Conv2d(q, r, found.core.shape[2:], stride=convolution.stride, bias=False, dtype=dtype)
        last = nn.Conv2d(r, o, 1, bias=convolution.bias is not None, dtype=dtype)
        first.weight.data, second.weight.data = found.in_factor.T.reshape(q, i, 1, 1), found.core
        last.weight.data = found.out_factor.reshape(o, r, 1, 1)
        if convolution.bias is not None:
            last.bias.data = convolution.bias.detach().clone()
        return nn.Sequential(first, second, last)
    """,
)

# Exercise 7. als_step and cp_error multiply by it: 1 + 3 + 1 points.
LAB.mutant(
    "khatri_rao",
    loses=5,
    why="lets the first matrix vary fastest",
    answer="""
        product = matrices[0]
        for matrix in matrices[1:]:
            product = (matrix[:, None] * product).flatten(0, 1)
        return product
    """,
)
LAB.mutant(
    "khatri_rao",
    loses=5,
    why="is the Kronecker product",
    answer="""
        product = matrices[0]
        for matrix in matrices[1:]:
            product = torch.kron(product, matrix)
        return product
    """,
)
LAB.variant(
    "khatri_rao",
    why="column by column",
    answer="""
        columns = []
        for r in range(matrices[0].shape[1]):
            column = matrices[0][:, r]
            for matrix in matrices[1:]:
                column = torch.outer(column, matrix[:, r]).flatten()
            columns.append(column)
        return torch.stack(columns, dim=1)
    """,
)

# Exercise 8
GRAM = """
others = [factor for m, factor in enumerate(factors) if m != mode]
gram = torch.stack([factor.T @ factor for factor in others]).prod(dim=0)
matched = unfold(tensor, mode) @ khatri_rao(others)
"""
LAB.mutant(
    "als_step",
    loses=3,
    why="forgets the ridge",
    answer=GRAM + "return torch.linalg.solve(gram, matched.T).T",
)
LAB.mutant(
    "als_step",
    loses=3,
    why="adds the ridge itself, whatever the size of the diagonal",
    answer=GRAM + "return torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=gram.dtype), matched.T).T",
)
LAB.mutant(
    "als_step",
    loses=3,
    why="enlarges the whole matrix",
    answer=GRAM + "return torch.linalg.solve((1 + ridge) * gram, matched.T).T",
)
LAB.mutant(
    "als_step",
    loses=3,
    why="adds the Gram matrices up",
    answer=GRAM.replace("prod", "sum")
    + "return torch.linalg.solve(gram + ridge * torch.diag(gram.diagonal()), matched.T).T",
)
LAB.mutant(
    "als_step",
    loses=3,
    why="has the mode's own factor in the Gram matrix",
    answer=GRAM.replace("for factor in others", "for factor in factors")
    + "return torch.linalg.solve(gram + ridge * torch.diag(gram.diagonal()), matched.T).T",
)
LAB.mutant(
    "als_step",
    loses=3,
    why="takes the other factors in the reverse order",
    answer=GRAM.replace("khatri_rao(others)", "khatri_rao(others[::-1])")
    + "return torch.linalg.solve(gram + ridge * torch.diag(gram.diagonal()), matched.T).T",
)
LAB.mutant(
    "als_step",
    loses=3,
    why="makes columns of length one and loses their scale",
    answer=GRAM
    + "new = torch.linalg.solve(gram + ridge * torch.diag(gram.diagonal()), matched.T).T\n"
    + "return F.normalize(new, dim=0)",
)
LAB.mutant(
    "als_step",
    loses=3,
    why="puts the new factor into the given list",
    answer=GRAM
    + "factors[mode] = torch.linalg.solve(gram + ridge * torch.diag(gram.diagonal()), matched.T).T\n"
    + "return factors[mode]",
)
LAB.variant(
    "als_step",
    why="einsum and the inverse",
    answer="""
        gram = torch.ones((), dtype=tensor.dtype)
        matched, letters = tensor.movedim(mode, 0), "bcdefg"
        others = [factors[m] for m in range(len(factors)) if m != mode]
        for factor in others:
            gram = gram * torch.einsum("nr,ns->rs", factor, factor)
        used = letters[: len(others)]
        matched = torch.einsum(f"a{used}," + ",".join(f"{letter}r" for letter in used) + "->ar", matched, *others)
        return matched @ torch.linalg.inv(gram * (1 + ridge * torch.eye(gram.shape[0], dtype=gram.dtype)))
    """,
)
LAB.variant(
    "als_step",
    why="least squares on the tall system, with a row of the ridge for each component",
    answer="""
        tall = khatri_rao([factor for m, factor in enumerate(factors) if m != mode])
        damping = torch.diag(tall.norm(dim=0) * ridge**0.5)
        target = unfold(tensor, mode).T
        target = torch.cat([target, target.new_zeros(len(damping), target.shape[1])])
        return torch.linalg.lstsq(torch.cat([tall, damping]), target).solution.T
    """,
)

# Exercise 9
TERMS = """
energy = tensor.square().sum()
inner = (unfold(tensor, 0) @ khatri_rao(factors[1:]) * factors[0]).sum()
approximated = torch.stack([factor.T @ factor for factor in factors]).prod(dim=0).sum()
"""
LAB.mutant(
    "cp_error",
    loses=1,
    why="forgets the root",
    answer=TERMS + "return max(((energy - 2 * inner + approximated) / energy).item(), 0.0)",
)
LAB.mutant(
    "cp_error",
    loses=1,
    why="counts the middle term once",
    answer=TERMS + "return math.sqrt(max(((energy - inner + approximated) / energy).item(), 0.0))",
)
LAB.mutant(
    "cp_error",
    loses=1,
    why="takes the root of a negative number when rounding makes one",
    answer=TERMS + "return ((energy - 2 * inner + approximated) / energy).sqrt().item()",
)
LAB.mutant(
    "cp_error",
    loses=1,
    why="treats the components as orthogonal",
    answer=TERMS.replace(".prod(dim=0).sum()", ".prod(dim=0).trace()")
    + "return math.sqrt(max(((energy - 2 * inner + approximated) / energy).item(), 0.0))",
)
LAB.variant(
    "cp_error",
    why="forms the approximation",
    answer="""
        approximation = (factors[0] @ khatri_rao(factors[1:]).T).reshape(tensor.shape)
        return ((tensor - approximation).norm() / tensor.norm()).item()
    """,
)

# Exercise 10
LAB.mutant(
    "component_norms",
    loses=1,
    why="adds the norms up",
    answer="return torch.stack([factor.norm(dim=0) for factor in factors]).sum(dim=0)",
)
LAB.mutant(
    "component_norms",
    loses=1,
    why="forgets the last factor, as if it held no scale",
    answer="return torch.stack([factor.norm(dim=0) for factor in factors[:-1]]).prod(dim=0)",
)
LAB.variant(
    "component_norms",
    why="the root of the diagonal of the Gram matrix",
    answer="return torch.stack([factor.T @ factor for factor in factors]).prod(dim=0).diagonal().sqrt()",
)

# Exercise 11
LAB.mutant(
    "cp_layers",
    loses=2,
    why="exchanges the vertical and the horizontal factor",
    answer="""
        return nn.Sequential(
            convolution_of(inputs.T[:, :, None, None]),
            convolution_of(horizontal.T[:, None, :, None], stride=(down, 1), padding=(above, 0), groups=rank),
            convolution_of(vertical.T[:, None, None, :], stride=(1, right), padding=(0, beside), groups=rank),
            convolution_of(outputs[:, :, None, None], bias=convolution.bias),
        )
    """,
)
LAB.mutant(
    "cp_layers",
    loses=2,
    why="gives both numbers of stride and padding to both layers",
    answer="""
        both = {"stride": (down, right), "padding": (above, beside), "groups": rank}
        return nn.Sequential(
            convolution_of(inputs.T[:, :, None, None]),
            convolution_of(vertical.T[:, None, :, None], **both),
            convolution_of(horizontal.T[:, None, None, :], **both),
            convolution_of(outputs[:, :, None, None], bias=convolution.bias),
        )
    """,
)
LAB.mutant(
    "cp_layers",
    loses=2,
    why="gives both strides to the horizontal layer, which drops rows that the vertical one has computed",
    answer="""
        return nn.Sequential(
            convolution_of(inputs.T[:, :, None, None]),
            convolution_of(vertical.T[:, None, :, None], padding=(above, 0), groups=rank),
            convolution_of(horizontal.T[:, None, None, :], stride=(down, right), padding=(0, beside), groups=rank),
            convolution_of(outputs[:, :, None, None], bias=convolution.bias),
        )
    """,
)
LAB.mutant(
    "cp_layers",
    loses=2,
    why="forgets the bias",
    answer="""
        return nn.Sequential(
            convolution_of(inputs.T[:, :, None, None]),
            convolution_of(vertical.T[:, None, :, None], stride=(down, 1), padding=(above, 0), groups=rank),
            convolution_of(horizontal.T[:, None, None, :], stride=(1, right), padding=(0, beside), groups=rank),
            convolution_of(outputs[:, :, None, None]),
        )
    """,
)
LAB.mutant(
    "cp_layers",
    loses=2,
    why="merges the two filters into one of k_h x k_w, which stores more",
    answer="""
        kernels = torch.einsum("hr,wr->rhw", vertical, horizontal)[:, None]
        return nn.Sequential(
            convolution_of(inputs.T[:, :, None, None]),
            convolution_of(kernels, stride=(down, right), padding=(above, beside), groups=rank),
            convolution_of(outputs[:, :, None, None], bias=convolution.bias),
        )
    """,
)

# Exercise 12
LAB.mutant(
    "energy_ranks",
    loses=1,
    why="does not square",
    answer="""
        ranks = []
        for mode in (0, 1):
            values = torch.linalg.svdvals(unfold(weight, mode))
            ranks.append((values.cumsum(dim=0) < energy * values.sum()).sum().item() + 1)
        return tuple(ranks)
    """,
)
LAB.mutant(
    "energy_ranks",
    loses=1,
    why="leaves out the entry that reaches the goal",
    answer="""
        ranks = []
        for mode in (0, 1):
            values = torch.linalg.svdvals(unfold(weight, mode)) ** 2
            ranks.append((values.cumsum(dim=0) < energy * values.sum()).sum().item())
        return tuple(ranks)
    """,
)
LAB.variant(
    "energy_ranks",
    why="a loop over eigenvalues of the Gram matrices",
    answer="""
        ranks = []
        for rows in (weight.flatten(1), weight.transpose(0, 1).flatten(1)):
            values = torch.linalg.eigvalsh(rows @ rows.T).flip(0)
            rank = 1
            while values[:rank].sum() < energy * values.sum():
                rank += 1
            ranks.append(rank)
        return ranks[0], ranks[1]
    """,
)

# Exercise 13
LAB.mutant(
    "compress",
    loses=1,
    why="changes the given network",
    answer="""
        for name, rank in plan.items():
            convolution = network.get_submodule(name)
            layers = make_layers(convolution, rank)
            if count(layers) < count(convolution):
                network.set_submodule(name, layers)
        return network
    """,
)
LAB.mutant(
    "compress",
    loses=1,
    why="replaces layers that become larger",
    answer="""
        small = copy.deepcopy(network)
        for name, rank in plan.items():
            small.set_submodule(name, make_layers(small.get_submodule(name), rank))
        return small
    """,
)
LAB.mutant(
    "compress",
    loses=1,
    why="gives up at the first layer that would not become smaller",
    answer="""
        small = copy.deepcopy(network)
        for name, rank in plan.items():
            layers = make_layers(small.get_submodule(name), rank)
            if count(layers) >= count(small.get_submodule(name)):
                break
            small.set_submodule(name, layers)
        return small
    """,
)
LAB.mutant(
    "compress",
    loses=1,
    why="replaces a layer by one of the same size",
    answer="""
        small = copy.deepcopy(network)
        for name, rank in plan.items():
            layers = make_layers(small.get_submodule(name), rank)
            if count(layers) <= count(small.get_submodule(name)):
                small.set_submodule(name, layers)
        return small
    """,
)
LAB.variant(
    "compress",
    why="looks for the layers by name, and sets them with setattr",
    answer="""
        small = copy.deepcopy(network)
        for name, convolution in list(small.named_modules()):
            if name in plan:
                layers = make_layers(convolution, plan[name])
                if sum(p.numel() for p in convolution.parameters()) > count(layers):
                    parent, _, last = name.rpartition(".")
                    setattr(small.get_submodule(parent), last, layers)
        return small
    """,
)
