"""Ordinary ways to write a test cell, as data."""

from .changes import CHANGES
from .networks import NETWORKS
from .notebook import NOTEBOOK
from .objects import OBJECTS
from .record import Idiom, cells_of
from .rewritten import REFUSED, REWRITTEN
from .training import TRAINING
from .values import VALUES

__all__ = ["GROUPS", "IDIOMS", "Idiom", "cells_of"]

GROUPS = {
    "values": VALUES,
    "notebook": NOTEBOOK,
    "objects": OBJECTS,
    "networks": NETWORKS,
    "training": TRAINING,
    "changes": CHANGES,
    "rewritten": REWRITTEN,
    "refused": REFUSED,
}
IDIOMS = [idiom for group in GROUPS.values() for idiom in group]
