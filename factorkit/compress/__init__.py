"""Decompose the layers of a whole network, with ranks by a policy, report what that saves and loses, and fine-tune."""

from factorkit.compress.network import compress
from factorkit.compress.pipeline import TunedCompression, compress_and_tune
from factorkit.compress.report import CompressionReport, LayerCompression
from factorkit.compress.scratch import build_low_rank

__all__ = [
    "CompressionReport",
    "LayerCompression",
    "TunedCompression",
    "build_low_rank",
    "compress",
    "compress_and_tune",
]
