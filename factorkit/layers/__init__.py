"""Factorized convolution layers, and the blocks of compact networks that are made of them."""

from factorkit.layers.binary import BinaryConv2d
from factorkit.layers.dct import DCTConv2d, effective_kernels, overcomplete_dct
from factorkit.layers.fire import Fire
from factorkit.layers.grouped import ResNeXtBlock, SplitResNeXtBlock, channel_shuffle
from factorkit.layers.mobile import DepthwiseSeparableBlock, InvertedResidual
from factorkit.layers.separable import DepthwiseSeparableConv2d, SpatiallySeparableConv2d
from factorkit.layers.shared_weight import SharedWeightConv2d, SharedWeightLinear
from factorkit.layers.shift import ShiftConv2d
from factorkit.layers.shift_attention import ShiftAttentionConv2d, shift_layers

__all__ = [
    "BinaryConv2d",
    "DCTConv2d",
    "DepthwiseSeparableBlock",
    "DepthwiseSeparableConv2d",
    "Fire",
    "InvertedResidual",
    "ResNeXtBlock",
    "SharedWeightConv2d",
    "SharedWeightLinear",
    "ShiftAttentionConv2d",
    "ShiftConv2d",
    "SpatiallySeparableConv2d",
    "SplitResNeXtBlock",
    "channel_shuffle",
    "effective_kernels",
    "overcomplete_dct",
    "shift_layers",
]
