"""A PostgreSQL server of its own in a temporary folder, which can be killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

__all__ = ["PostgresServer"]


class PostgresServer:
    """A server that listens on a socket in its own folder only; PostgreSQL refuses to run as root."""

    def __init__(self) -> None:
        self._programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("nobody")
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self._server: subprocess.Popen[bytes] | None = None
        self._run("initdb", "--no-sync", "-A", "trust", "-U", "grader", "-D", self._data)
        self.start()
        self._run("createdb", "-h", self._folder, "-U", "grader", "gradebook")

    @property
    def url(self) -> str:
        """The gradebook's address, for `CourseDirectory.db_url`."""
        return f"postgresql+psycopg://grader@/gradebook?host={self._folder}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        command = [self._programs / "postgres", "-D", self._data, "-k", self._folder, "-c", "listen_addresses="]
        null = subprocess.DEVNULL
        self._server = subprocess.Popen(
            [*self._as_user, *command], stdin=null, stdout=null, stderr=null, cwd="/", start_new_session=True
        )
        end = time.monotonic() + 60
        while self._ask() != 0:
            assert self._server.poll() is None and time.monotonic() < end, "the server did not start"
            time.sleep(0.05)

    def kill(self) -> None:
        """End all of its processes at once, as if the machine had failed."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            self._server = None

    def remove(self) -> None:
        """Kill it, and remove its data."""
        self.kill()
        shutil.rmtree(self._folder)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _ask(self) -> int:
        command = [self._programs / "pg_isready", "-q", "-h", self._folder]
        return subprocess.run(command, check=False).returncode

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [*self._as_user, self._programs / program, *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL)
