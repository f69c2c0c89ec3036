"""Sparse coding and dictionary learning: signals as sums of a few atoms, and what that is good for."""

from factorkit.dictionary.dct import dct_dictionary
from factorkit.dictionary.iterative import SparseCodes, fista, ista
from factorkit.dictionary.kernels import CompressedConvolution, DictionaryReport, compress_convolutions
from factorkit.dictionary.learning import DictionaryLearning, learn_dictionary
from factorkit.dictionary.patches import from_patches, image_patches, photograph, psnr
from factorkit.dictionary.pursuit import omp
from factorkit.dictionary.restoration import denoise, inpaint

__all__ = [
    "CompressedConvolution",
    "DictionaryLearning",
    "DictionaryReport",
    "SparseCodes",
    "compress_convolutions",
    "dct_dictionary",
    "denoise",
    "fista",
    "from_patches",
    "image_patches",
    "inpaint",
    "ista",
    "learn_dictionary",
    "omp",
    "photograph",
    "psnr",
]
