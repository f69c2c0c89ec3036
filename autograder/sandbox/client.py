"""A warm server, seen by the grader."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from autograder.errors import CourseError
from autograder.sandbox.children import Child, Ended, ServerLost
from autograder.sandbox.limits import Limits
from autograder.sandbox.server_process import Role, Sandbox, ServerProcess

__all__ = ["Child", "Ended", "Role", "Sandbox", "ServerLost", "WarmServer"]


class WarmServer:
    """A server of one role; a new process takes over when the old one has ended or has forked often.

    Parameters
    ----------
    role : str
        ``student`` or ``tests``.
    sandbox : str
        ``bubblewrap`` or ``none``.
    cache : Path, optional
        A folder of data sets that children may read.
    forks : int
        After how many forks a new process takes over.
    """

    def __init__(
        self, role: Role, *, sandbox: Sandbox = "bubblewrap", cache: Path | None = None, forks: int = 500
    ) -> None:
        self.role: Role = role
        self._options = (role, sandbox, cache)
        self._families: frozenset[str] = frozenset()
        self._forks = forks
        self._lock = threading.Lock()
        self._process: ServerProcess | None = None

    def start(
        self,
        target: str,
        payload: bytes,
        files: Mapping[str, bytes | Path],
        descriptors: Sequence[int],
        limits: Limits,
        *,
        threads: int = 1,
    ) -> Child:
        """Run a function of the server's closed list in a new child.

        Parameters
        ----------
        target : str
            ``module:function``; it is called with the payload and the descriptors.
        payload : bytes
        files : mapping
            What its working folder holds: contents, or where they are, by relative name.
        descriptors : sequence of int
            Passed on; the caller closes its own.
        limits : Limits
        threads : int
            What numerical libraries are told in ``OMP_NUM_THREADS``.

        Raises
        ------
        CourseError
            If the server does not start.
        """
        for last in (False, True):
            process = self._take()
            try:
                return process.fork(target, payload, files, descriptors, limits, threads)
            except (OSError, EOFError, ServerLost) as error:
                process.release()
                if last:
                    raise CourseError(f"the {self.role} server forks no process: {error!r}") from error
                process.retire()
            except BaseException:
                process.release()
                raise
        raise AssertionError("unreachable")

    def warm_up(self, families: frozenset[str] = frozenset()) -> None:
        """Start the server's process, which takes seconds, before it is needed.

        Parameters
        ----------
        families : frozenset of str
            Modules that it imports, beside those that it has had to import until now: see
            `autograder.sandbox.families`. If there are new ones, a new process takes over.
        """
        with self._lock:
            if not families <= self._families:
                self._families |= families
                if self._process is not None:
                    self._process.retire()
        self._take().release()

    def is_warm(self, families: frozenset[str]) -> bool:
        """Whether it has been started with these modules."""
        return self._process is not None and families <= self._families

    def close(self) -> None:
        """End the server and its children."""
        with self._lock:
            if self._process is not None:
                self._process.end()
                self._process = None

    def _take(self) -> ServerProcess:
        with self._lock:
            current = self._process
            if current is None or current.is_retired or current.has_ended() or current.forks >= self._forks:
                if current is not None:
                    current.retire()
                self._process = current = ServerProcess(*self._options, self._families)
            current.hold()
            return current
