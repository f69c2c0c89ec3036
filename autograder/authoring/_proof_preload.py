"""What the fork server of `autograder.authoring.running` imports once, so that each run starts at once.

The modules a lab may forbid (its ``not_imported``) are not among them. With more than one thread no torch operation
might run here: the forked processes would hang on its threads.
"""

import contextlib
import importlib
import os

from autograder.sandbox.warm_up import convolve_once, draw_once, export_once

for _variable in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["NBGRADER_EXECUTION"] = "autograde"  # long training cells are left out

_MODULES = (
    "numpy",
    "pandas",
    "scipy.linalg",
    "sklearn.datasets",
    "matplotlib.pyplot",
    "torch",
    "torch._dynamo",  # an optimizer's first step imports it
    "torch.export",
    "pytest",
    "factorkit.checks",
    "factorkit.data.sets",
    "factorkit.plots",
    "factorkit.training",
    "micronet_resources.challenge",
    "micronet_resources.profile",
    "autograder.authoring.cheats",
    "autograder.authoring._proof_worker",
    "autograder.two_process.local",
)

for _module in _MODULES:
    with contextlib.suppress(ImportError):  # the run that needs it reports it
        importlib.import_module(_module)

convolve_once()
draw_once()
export_once()
