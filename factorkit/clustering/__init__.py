"""K-means clustering, of vectors and of the weights of a network."""

from factorkit.clustering.bits import choose_bits
from factorkit.clustering.choosing import KChoice, choose_k
from factorkit.clustering.coding import StagesReport, huffman_bits, prune_share_code
from factorkit.clustering.points import Clustering, kmeans, lloyd
from factorkit.clustering.reports import SharedLayer, SharingReport
from factorkit.clustering.scalar import Codebook1D, kmeans_1d
from factorkit.clustering.sharing import share_weights, unshared
from factorkit.clustering.vectors import VectorQuantization, quantize_vectors

__all__ = [
    "Clustering",
    "Codebook1D",
    "KChoice",
    "SharedLayer",
    "SharingReport",
    "StagesReport",
    "VectorQuantization",
    "choose_bits",
    "choose_k",
    "huffman_bits",
    "kmeans",
    "kmeans_1d",
    "lloyd",
    "prune_share_code",
    "quantize_vectors",
    "share_weights",
    "unshared",
]
