"""Sphinx extension that gives the kernels of the chapters the same environment, whoever starts the build.

A kernel inherits the environment of the build. With ``MPLBACKEND=Agg`` in it, as test runs have, no figure would
reach the page, and the cache would keep the page without figures. Threads that wait actively for each other make a
chapter many times slower on a machine that is busy with something else. One thread for each kernel: sums then do not
depend on the number of processors, and pages are executed side by side instead.
"""

from __future__ import annotations

import os

from sphinx.application import Sphinx

__all__ = ["setup"]


def setup(app: Sphinx) -> dict[str, bool]:
    """Set the variables of this process; kernels are its children."""
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["OMP_NUM_THREADS"] = "1"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
