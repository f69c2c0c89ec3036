"""The canonical polyadic (CP) form of a kernel: its components, their norms, and the layers that they become."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from factorkit.decompositions.als import khatri_rao
from factorkit.decompositions.results import Decomposition, Step
from factorkit.decompositions.weights import shape_text

__all__ = ["CP"]

AXES = {1: ("spatial",), 2: ("vertical", "horizontal"), 3: ("depth", "vertical", "horizontal")}


@dataclass(frozen=True, repr=False, eq=False)
class CP(Decomposition):
    r"""A kernel as a sum of R rank-one tensors, :math:`\hat W = \sum_r \lambda_r \, a_r \circ b_r \circ c_r \circ d_r`.

    Parameters
    ----------
    weight : Tensor, shape (O, I, k_1, ..., k_n)
        The kernel; it is not kept.
    weights : Tensor, shape (R,)
    factors : tuple of Tensor, shapes (O, R), (I, R), (k_1, R) ... (k_n, R)
        As TensorLy's ``CPTensor``; the last is (k_1 ... k_n) x R where the spatial modes are merged.

    Attributes
    ----------
    largest_norm : float
        Norm of the largest component, divided by that of the weight. Far above 1, components cancel each other: the
        decomposition is *degenerate*, and neither rounding nor fine-tuning gets on with it :cite:p:`phan2020stable`.

    Raises
    ------
    ValueError
        If the factors do not belong to the weight.

    Examples
    --------
    >>> from factorkit.decompositions.cp import cp
    >>> weight = torch.randn(64, 32, 3, 3, generator=torch.Generator().manual_seed(0))
    >>> found = cp(weight, 20)
    >>> found.params, 20 * (64 + 32 + 3 + 3), found.reconstruct().shape
    (2040, 2040, torch.Size([64, 32, 3, 3]))
    >>> found.to_layers(torch.nn.Conv2d(32, 64, 3, stride=2, padding=1))[1]
    Conv2d(20, 20, kernel_size=(3, 1), stride=(2, 1), padding=(1, 0), groups=20, bias=False)
    """

    weights: torch.Tensor
    factors: tuple[torch.Tensor, ...]
    largest_norm: float = field(init=False)

    def __post_init__(self, weight: torch.Tensor) -> None:
        rows = [len(factor) for factor in self.factors]
        merged = [*weight.shape[:2], math.prod(weight.shape[2:])]
        if rows not in ([*weight.shape], merged) or {f.shape[1:] for f in self.factors} != {self.weights.shape}:
            shapes = ", ".join(shape_text(factor.shape) for factor in self.factors)
            raise ValueError(
                f"factors of shapes {shapes} and {tuple(self.weights.shape)} weights do not stand for a weight of "
                f"shape {shape_text(weight.shape)}: give one factor for each mode, or one for all spatial "
                "modes, each as size x R."
            )
        super().__post_init__(weight)
        norm = float(torch.linalg.vector_norm(weight.detach(), dtype=torch.float64))
        object.__setattr__(self, "largest_norm", float(self.component_norms.max()) / norm if norm else 0.0)

    @property
    def rank(self) -> int:
        """Number of components."""
        return len(self.weights)

    @property
    def merged(self) -> bool:
        """Whether one factor stands for all spatial modes."""
        return len(self.factors) < len(self.shape)

    @property
    def component_norms(self) -> torch.Tensor:
        """Frobenius norms of the components, R numbers of type float64."""
        norms = self.weights.double().abs()
        for factor in self.factors:
            norms = norms * torch.linalg.vector_norm(factor, dim=0, dtype=torch.float64)
        return norms

    def reconstruct(self) -> torch.Tensor:
        """The sum of the components, O x I x k_1 ... k_n."""
        outputs, *others = (factor.T for factor in self.factors)
        return ((outputs * self.weights[:, None]).T @ khatri_rao(others)).reshape(self.shape)

    def balanced(self) -> tuple[torch.Tensor, ...]:
        """Factors whose columns have equal norms in all modes, and no weights beside them.

        Returns
        -------
        tuple of Tensor
            Of the shapes of ``factors``. Gradients of the layers made from them are of like size.
        """
        shared = self.component_norms.pow(1 / len(self.factors)).to(self.weights.dtype)
        outputs, *others = (factor * (shared / factor.norm(dim=0).clamp_min(1e-30)) for factor in self.factors)
        return outputs * torch.where(self.weights < 0, -1, 1), *others

    def steps(self) -> tuple[Step, ...]:
        r"""1 x 1 to R maps, one depthwise convolution for each spatial factor, 1 x 1 to O maps.

        The convolution by :math:`\hat W` one factor after the other :cite:p:`lebedev2015speeding`; with merged spatial
        modes, one depthwise convolution instead of two (Phan et al., 2020).
        """
        outputs, inputs, *spatial = self.balanced()
        axes = len(self.shape) - 2
        first = Step("pointwise_in", inputs.T.reshape(self.rank, -1, *[1] * axes))
        last = Step("pointwise_out", outputs.reshape(*outputs.shape, *[1] * axes))
        if len(spatial) == 1:
            kernel = spatial[0].T.reshape(self.rank, 1, *self.shape[2:])
            return first, Step("spatial", kernel, groups=self.rank), last
        middle = []
        for axis, factor in enumerate(spatial):
            size = [1] * axes
            size[axis] = len(factor)
            middle.append(Step(AXES[axes][axis], factor.T.reshape(self.rank, 1, *size), groups=self.rank))
        return first, *middle, last
