"""The operators of torch that a graded network may run: they compute tensors from tensors, and do nothing else."""

from __future__ import annotations

import torch

__all__ = ["is_graded"]

_NAMES = """
    abs absolute acos acosh adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool2d add addbmm addcdiv addcmul addmm addmv alias alpha_dropout amax amin aminmax arange argmax
    argmin argsort asin asinh atan atan2 atanh avg_pool1d avg_pool2d avg_pool3d baddbmm batch_norm bilinear
    bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor bmm broadcast_to bucketize
    cat cdist ceil celu channel_shuffle chunk clamp clamp_max clamp_min clone col2im complex concat concatenate conj
    constant_pad_nd contiguous conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d copy cos cosh
    cosine_similarity count_nonzero cross cummax cummin cumprod cumsum detach diag diag_embed diagonal diff div
    divide dot dropout einsum elu embedding eq erf erfc exp exp2 expand expand_as expm1 eye feature_dropout fft_fft
    fft_fft2 fft_fftn fft_ifft fft_ifft2 fft_ifftn fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn fill
    flatten flip fliplr flipud floor floor_divide fmod frac full full_like gather ge gelu glu greater greater_equal
    grid_sampler grid_sampler_2d group_norm gt hardshrink hardsigmoid hardswish hardtanh im2col imag index index_add
    index_copy index_fill index_put index_select inner instance_norm isfinite isinf isnan kron layer_norm le
    leaky_relu lerp less less_equal lift_fresh lift_fresh_copy linalg_matrix_norm linalg_norm linalg_qr linalg_svd
    linalg_vector_norm linear linspace log log10 log1p log2 log_sigmoid log_softmax logaddexp logical_and
    logical_not logical_or logical_xor logit logsumexp lt masked_fill masked_scatter masked_select matmul max
    max_pool1d max_pool2d max_pool2d_with_indices max_pool3d maximum mean median min minimum mish mm moveaxis
    movedim mul multiply mv nan_to_num narrow native_batch_norm native_group_norm native_layer_norm ne neg negative
    new_full new_ones new_zeros nll_loss norm not_equal numpy_T one_hot ones ones_like outer pad permute
    pixel_shuffle pixel_unshuffle polar pow prelu prod quantile real reciprocal reflection_pad1d reflection_pad2d
    relu relu6 remainder repeat repeat_interleave replication_pad1d replication_pad2d reshape reshape_as rms_norm
    roll rot90 round rsqrt rsub scalar_tensor scaled_dot_product_attention scatter scatter_add searchsorted select
    selu sgn sigmoid sign silu sin sinc sinh slice slice_scatter softmax softplus softshrink sort split
    split_with_sizes sqrt square squeeze stack std std_mean sub subtract sum swapaxes swapdims sym_size t take
    take_along_dim tan tanh tensor_split tensordot tile to topk transpose tril triu true_divide trunc type_as unbind
    unflatten unfold unsqueeze upsample_bilinear2d upsample_bicubic2d upsample_linear1d upsample_nearest1d
    upsample_nearest2d upsample_nearest3d var var_mean vdot view view_as view_as_complex view_as_real where xlogy
    zeros zeros_like zero
"""
_GRADED = frozenset(_NAMES.split())


def is_graded(name: str) -> bool:
    """Whether a network that runs this operator can be graded.

    Parameters
    ----------
    name : str
        As torch writes it: ``aten.conv2d.default``.

    Examples
    --------
    >>> is_graded("aten.conv2d.default"), is_graded("aten.relu_.default"), is_graded("aten.from_file.default")
    (True, True, False)
    """
    namespace, _, rest = str(name).partition(".")
    packet, _, overload = rest.partition(".")
    known = packet in _GRADED or packet.removesuffix("_") in _GRADED
    is_there = packet.isidentifier() and overload.isidentifier() and "out" not in overload.split("_")
    return namespace == "aten" and known and is_there and overload in _overloads(packet)


def _overloads(packet: str) -> list[str]:
    found = getattr(torch.ops.aten, packet, None)
    return [] if found is None else found.overloads()
