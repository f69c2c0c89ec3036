"""Low-rank and tensor decompositions of the weights of a network, and the layers that they become."""

from factorkit.decompositions.admm import shrink_columns, shrink_singular_values
from factorkit.decompositions.cp import CP, cp, error_preserving_correction
from factorkit.decompositions.low_rank_sparse import LowRankSparse, low_rank_sparse
from factorkit.decompositions.power_iteration import power_iteration_svd
from factorkit.decompositions.ranks import VBMF, Tucker2Ranks, energy_rank, tucker2_ranks, vbmf_rank
from factorkit.decompositions.response import ResponseLowRank, zhang
from factorkit.decompositions.response_ranks import response_energies, zhang_ranks
from factorkit.decompositions.results import Decomposition, Step
from factorkit.decompositions.separable import Separable, tai
from factorkit.decompositions.svd import ChannelSVD, LowRank, channel_svd, linear_svd, truncated_svd
from factorkit.decompositions.tensor_train import TensorTrain, tensor_train, tensor_train_ranks
from factorkit.decompositions.tensor_train_linear import TTLinear
from factorkit.decompositions.tensor_train_matrix import TTMatrix, balanced_shape, tensor_train_matrix, tt_linear
from factorkit.decompositions.trains import tt_svd, tt_to_tensor
from factorkit.decompositions.tucker import Tucker1, Tucker2, tucker1, tucker2
from factorkit.decompositions.weights import relative_error

__all__ = [
    "CP",
    "VBMF",
    "ChannelSVD",
    "Decomposition",
    "LowRank",
    "LowRankSparse",
    "ResponseLowRank",
    "Separable",
    "Step",
    "TTLinear",
    "TTMatrix",
    "TensorTrain",
    "Tucker1",
    "Tucker2",
    "Tucker2Ranks",
    "balanced_shape",
    "channel_svd",
    "cp",
    "energy_rank",
    "error_preserving_correction",
    "linear_svd",
    "low_rank_sparse",
    "power_iteration_svd",
    "relative_error",
    "response_energies",
    "shrink_columns",
    "shrink_singular_values",
    "tai",
    "tensor_train",
    "tensor_train_matrix",
    "tensor_train_ranks",
    "truncated_svd",
    "tt_linear",
    "tt_svd",
    "tt_to_tensor",
    "tucker1",
    "tucker2",
    "tucker2_ranks",
    "vbmf_rank",
    "zhang",
    "zhang_ranks",
]
