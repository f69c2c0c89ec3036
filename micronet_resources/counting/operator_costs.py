"""What operators cost per element, by the names that they have in torch's operator library."""

from __future__ import annotations

import re

__all__ = ["ACTIVATIONS", "ELEMENTWISE", "FREE", "INTERPOLATIONS", "REDUCTIONS", "is_uncounted", "words"]


def words(text: str) -> list[str]:
    """Split a list of names.

    Examples
    --------
    >>> words("mul div")
    ['mul', 'div']
    """
    return text.split()


def _table(costs: dict[tuple[int, int], str]) -> dict[str, tuple[int, int]]:
    return {name: cost for cost, names in costs.items() for name in words(names)}


# Multiplications and additions per element of the result.
ACTIVATIONS = _table(
    {
        (1, 0): """
            relu hardtanh clamp clamp_min clamp_max leaky_relu prelu _prelu_kernel threshold rrelu_with_noise hardshrink
            softshrink exp exp2 expm1 log log2 log10 log1p erf erfc erfinv sqrt rsqrt pow sin cos tan asin acos atan
            atan2 sinh cosh asinh acosh atanh sinc lgamma digamma logit special_erfcx i0""",
        (2, 1): """
            sigmoid tanh hardsigmoid _softmax _log_softmax _safe_softmax _masked_softmax elu celu selu softplus
            log_sigmoid log_sigmoid_forward logaddexp logaddexp2 xlogy""",
        (3, 1): "silu hardswish gelu mish",
    }
)
ELEMENTWISE = _table(
    {
        (0, 1): """
            abs neg sign sgn signbit floor ceil round trunc frac eq ne lt le gt ge maximum minimum fmax fmin where
            logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not masked_fill
            isnan isinf isfinite isposinf isneginf nan_to_num isin bucketize searchsorted heaviside cumsum cummax
            cummin""",
        (1, 0): "reciprocal fmod remainder floor_divide cumprod bitwise_left_shift bitwise_right_shift",
        (2, 2): """
            fake_quantize_per_tensor_affine_cachemask fake_quantize_per_channel_affine_cachemask
            _fake_quantize_per_tensor_affine_cachemask_tensor_qparams""",
    }
)
INTERPOLATIONS = _table(
    {
        (2, 1): "upsample_linear1d",
        (4, 3): "upsample_bilinear2d _upsample_bilinear2d_aa grid_sampler_2d",
        (8, 7): "upsample_trilinear3d grid_sampler_3d",
        (16, 15): "upsample_bicubic2d _upsample_bicubic2d_aa",
    }
)
# Multiplications and additions per element that goes in, multiplications per element that comes out. Of the additions
# one less is needed for each element that comes out.
REDUCTIONS = {
    name: cost
    for cost, names in {
        (0, 1, 1): "mean",
        (0, 1, 0): """
            sum nansum amax amin max min argmax argmin aminmax any all count_nonzero""",
        (1, 0, 0): "prod",
        (1, 1, 1): "linalg_vector_norm norm _weight_norm_interface logsumexp",
        (1, 2, 2): "var var_mean",
        (1, 2, 3): "std std_mean",
    }.items()
    for name in words(names)
}
# They move, copy, choose or make numbers. What only gives another view of a tensor is known by its schema.
FREE = frozenset(
    words(
        """
        clone copy _to_copy cat stack index index_select gather take _unsafe_index index_copy index_fill
        masked_scatter slice_scatter select_scatter diagonal_scatter embedding constant_pad_nd reflection_pad1d
        reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d im2col roll flip
        rot90 repeat repeat_interleave pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle
        upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
        _upsample_nearest_exact2d _upsample_nearest_exact3d empty empty_like empty_strided empty_permuted
        new_empty new_empty_strided new_zeros new_ones new_full zeros zeros_like ones ones_like full full_like
        arange linspace eye rand rand_like randn randn_like randint randint_like randperm bernoulli uniform
        normal normal_functional random exponential native_dropout fill zero tril triu tril_indices triu_indices
        masked_select nonzero nonzero_static scalar_tensor lift lift_fresh lift_fresh_copy contiguous
        _unsafe_view _reshape_copy resize resize_as _local_scalar_dense item _assert_async
        _assert_tensor_metadata is_same_size equal _pin_memory real imag view_as_real view_as_complex complex
        polar unfold_copy _to_sparse to_sparse _to_dense block_diag max_unpool2d max_unpool3d
        split_with_sizes_copy unbind_copy detach alias set_ _resize_output hann_window hamming_window _conj
        _neg_view resolve_conj resolve_neg unsafe_split unsafe_split_with_sizes unsafe_chunk embedding_renorm
        """
    )
)
# Operators of torch that multiply and add, known by their names.
COMPUTES = re.compile(
    r"mm(?![ai])|matmul|linalg_|^_fft|conv(?!ert)|attention|transformer|rnn|lstm|gru|linear|sparse_semi|"
    r"cholesky|matrix_exp|(?<!re)solve|svd|(?<!s)qr|householder|pdist|cdist"
)
CHEAP = re.compile(r"upsample|linalg_(vector_norm|cross|diagonal|_powsum)")
HARMLESS_NAMESPACES = frozenset({"aten", "prim", "prims", "profiler"})


def is_uncounted(operator: str) -> bool:
    """Whether an operator without a rule may multiply and accumulate, by its name.

    Examples
    --------
    >>> is_uncounted("aten.linalg_inv_ex"), is_uncounted("aten.relu"), is_uncounted("my_library.fast_conv")
    (True, False, True)
    """
    namespace, _, name = operator.partition(".")
    return namespace not in HARMLESS_NAMESPACES or bool(COMPUTES.search(name) and not CHEAP.search(name))
