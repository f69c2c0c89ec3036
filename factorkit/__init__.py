"""factorkit: the helper package of a course lab kit on factorizing deep neural networks."""

__all__ = ["__version__"]

__version__ = "0.1.0"
