"""The environment variables and the files that sandboxed processes get from here."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

__all__ = ["data_cache", "font_lists", "server_environment"]

_PASSED_ON = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
_PASSED_ON_UNSANDBOXED = ("PYTHONPATH",)
_PATH = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin"


def server_environment(cache: Path | None, folder: str, *, isolated: bool) -> dict[str, str]:
    """All that a server sees of this process's environment, and what tells its children that they are graded.

    Numerical libraries get one thread: a process in which OpenMP has started others cannot be forked, and each test
    runs in a fork. The C library keeps memory that it has once taken, up to pieces of 32 MB: a figure's pixels would go
    back to the kernel after each figure, and every page of the next one's would be asked for on its own.
    """
    names = _PASSED_ON if isolated else (*_PASSED_ON, *_PASSED_ON_UNSANDBOXED)
    passed = {name: os.environ[name] for name in names if name in os.environ}
    if cache is not None:
        passed["FACTORKIT_CACHE"] = str(cache)
    temporary = "/tmp" if isolated else folder
    one = dict.fromkeys(("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {
        **passed,
        **one,
        "GLIBC_TUNABLES": f"glibc.malloc.mmap_threshold={32 << 20}:glibc.malloc.trim_threshold={1 << 30}",
        "HOME": temporary,
        "JUPYTER_PLATFORM_DIRS": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # figures stay in the notebook, for the feedback
        "MPLCONFIGDIR": f"{temporary}/matplotlib",
        "NBGRADER_EXECUTION": "autograde",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PATH": _PATH,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "TMPDIR": temporary,
    }


def data_cache() -> Path:
    """The folder of data sets that are made once, which exists."""
    from factorkit.data.cache import cache_folder

    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.cache
def font_lists() -> tuple[Path, ...]:
    """matplotlib's lists of fonts, which each new home folder would have to wait for."""
    import matplotlib.font_manager  # makes the list if there is none

    return tuple(Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))
