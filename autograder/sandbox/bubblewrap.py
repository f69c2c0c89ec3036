"""What a warm server sees of this machine: the system and Python's packages, read-only, and nothing of a course."""

from __future__ import annotations

import importlib.util
import os
import shutil
import site
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

from autograder.errors import CourseError

__all__ = ["FOLDER", "bubblewrap_command", "require_bubblewrap"]

FOLDER = "/sandbox"
"""Where each child has its private folder."""

_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = (
    "alternatives",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
)
_OF_AUTOGRADER = ("__init__.py", "errors.py", "jobs.py", "processes.py", "sandbox", "two_process", "worker.py")
_WHOLE = ("factorkit", "micronet_resources")


@cache
def require_bubblewrap() -> Path:
    """The path of bubblewrap's program, which has been tried.

    Raises
    ------
    CourseError
        If there is none, or it cannot make a sandbox here.
    """
    instead = "or, for submissions that you would run on your own account, grade with: --sandbox none --trusted"
    program = shutil.which("bwrap")
    if program is None:
        raise CourseError(
            "bubblewrap is not installed, and without it submissions could read and change whatever you can; install "
            f"it (Debian, Ubuntu: apt install bubblewrap), {instead}"
        )
    trial = [program, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    done = subprocess.run(trial, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        reason = done.stderr.strip() or f"exit status {done.returncode}"
        raise CourseError(
            f"bubblewrap cannot make a sandbox here ({reason}); user namespaces may be switched off, see sysctl "
            f"kernel.unprivileged_userns_clone and user.max_user_namespaces; allow them, {instead}"
        )
    return Path(program)


def bubblewrap_command(
    environment: dict[str, str],
    *,
    readable: dict[Path, str] | None = None,
    writable: dict[Path, str] | None = None,
    may_prepare: bool = False,
) -> list[str]:
    """The beginning of a command line: what follows it runs in a sandbox.

    Parameters
    ----------
    environment : dict of str
        All of the environment variables.
    readable, writable : dict, optional
        Further files and folders, from their paths here to those in the sandbox.
    may_prepare : bool
        Whether what is started has to make namespaces and mounts, which root must be allowed here; it drops that then.
    """
    command = [str(require_bubblewrap()), "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc"]
    command += ["--unshare-uts", "--unshare-cgroup-try", "--hostname", "grader", "--die-with-parent", "--new-session"]
    command += ["--cap-drop", "ALL"]
    if may_prepare and os.geteuid() == 0:
        command += ["--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETFCAP"]
    command.append("--clearenv")
    for name, value in environment.items():
        command += ["--setenv", name, value]
    command += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", FOLDER]
    command += ["--ro-bind", "/usr", "/usr"]
    for path in filter(os.path.lexists, _SYSTEM):
        kind = ["--symlink", os.readlink(path)] if os.path.islink(path) else ["--ro-bind", path]
        command += [*kind, path]
    for name in _ETC:
        command += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for path in python_paths():
        command += ["--ro-bind", str(path), str(path)]
    for path, place in (readable or {}).items():
        command += ["--ro-bind", str(path), place]
    for path, place in (writable or {}).items():
        command += ["--bind", str(path), place]
    return [*command, "--remount-ro", "/", "--remount-ro", "/dev", "--chdir", FOLDER]


@cache
def python_paths() -> tuple[Path, ...]:
    """What Python and the packages that children use consist of, outside /usr.

    Of packages that are installed from a working copy only the package's own folder is shown, of the grader only what
    runs inside; a course that lies beside them is not.
    """
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parents[1]}
    found |= {Path(path) for path in sysconfig.get_paths().values() if Path(path).is_dir()}
    if site.ENABLE_USER_SITE and os.path.isdir(site.getusersitepackages()):
        found.add(Path(site.getusersitepackages()))
    shown = {path for path in found if not _within(path, {Path("/usr")})}
    shown = {path for path in shown if not _within(path, shown - {path})}
    for package in (*_WHOLE, "autograder"):
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None  # they are installed together
        folder = Path(spec.origin).parent
        if not _within(folder, {*shown, Path("/usr")}):
            shown |= {folder} if package in _WHOLE else {folder / name for name in _OF_AUTOGRADER}
    return tuple(sorted(shown))


def _within(path: Path, folders: set[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
