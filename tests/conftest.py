"""Settings for the whole test run."""

import os
from pathlib import Path

# One drawing of the data set for all tests, in the repository's own folder for built output; kernels inherit it.
os.environ.setdefault("FACTORKIT_CACHE", str(Path(__file__).parents[1] / "_build" / "test-cache"))
os.environ.setdefault("MPLBACKEND", "Agg")
