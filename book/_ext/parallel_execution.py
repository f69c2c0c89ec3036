"""Sphinx extension that executes pages side by side, before Sphinx reads them one after the other.

MyST-NB executes a page when it reads it and keeps the outputs in a cache. Here the pages that will be read are executed
first, as many at a time as there are processors, and put into that cache. A page that fails is left to MyST-NB, which
executes it again and reports the error.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import ExecutionResult, single_nb_execution
from myst_nb.core.read import create_nb_reader
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

__all__ = ["setup"]

LOGGER = logging.getLogger(__name__)


def _execute(app: Sphinx, env: BuildEnvironment, names: list[str]) -> None:
    """Execute those of the pages whose code is not in the cache."""
    if env.mystnb_config.execution_mode != "cache":
        return
    cache = get_cache(env.mystnb_config.execution_cache_path)
    waiting = {}
    for name in names:
        notebook = _notebook(env, name)
        if notebook is not None and not _cached(cache, notebook):
            waiting[Path(env.doc2path(name))] = notebook
    workers = min(len(waiting), os.cpu_count() or 1)
    if workers < 2:
        return
    timeout = env.mystnb_config.execution_timeout
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(_run, waiting[path], path.parent, timeout): path for path in waiting}
        for done, future in enumerate(as_completed(running), start=1):
            result, name = future.result(), running[future].name
            if result.err is None:
                data = {"execution_seconds": result.time}
                bundle = CacheBundleIn(result.nb, str(running[future]), data=data)
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            LOGGER.info("executed %s in %.1f seconds, %d of %d", name, result.time, done, len(running))


def _notebook(env: BuildEnvironment, name: str) -> Any | None:
    """A page as the notebook that MyST-NB will look for in the cache; None if it is not executed."""
    path = Path(env.doc2path(name))
    if path.suffix != ".md":
        return None
    text = path.read_text(encoding="utf-8")
    reader = create_nb_reader(str(path), env.myst_config, env.mystnb_config, text)
    return None if reader is None else reader.read(text)


def _cached(cache: Any, notebook: Any) -> bool:
    try:
        cache.match_cache_notebook(notebook)
    except KeyError:
        return False
    return True


def _run(notebook: Any, folder: Path, timeout: int) -> ExecutionResult:
    return single_nb_execution(notebook, cwd=str(folder), timeout=timeout, allow_errors=False)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("env-before-read-docs", _execute)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
