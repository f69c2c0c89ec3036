"""Image data sets for the labs: one that is drawn on the spot, one that is bundled, four that torchvision reads.

:func:`load` gives an :class:`ImageData`; :func:`names` lists what there is. The default, ``"patterns"``, needs
neither a file nor a network.
"""

from factorkit.data.image_data import Batches, ImageData
from factorkit.data.sets import load, names

__all__ = ["Batches", "ImageData", "load", "names"]
