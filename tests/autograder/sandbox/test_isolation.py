"""Isolation: what a student's process can see, reach and change is its own folder, and nothing else of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import factorkit
from autograder.errors import CourseError
from autograder.sandbox import bubblewrap
from autograder.sandbox.client import WarmServer

from .cells import DOUBLE, QUICK, RIGHT, errors, job_of, scores, told

JSON = "import json, os\n"
PATIENT = replace(QUICK, cell_seconds=60, notebook_seconds=120)  # for what takes long on a busy machine


def attempt(statement):
    """Python that prints as JSON what a statement raises, or ``done``."""
    return f"""
try:
    {statement}
    print('"done"')
except BaseException as error:
    print(json.dumps(type(error).__name__ + ': ' + str(error)))
"""


@pytest.fixture
def listening():
    """A socket on this machine's loopback that would take a connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_the_network_is_not_reached(run, listening):
    port = listening.getsockname()[1]
    result = run(f"{JSON}import socket{attempt(f'socket.create_connection(({chr(39)}127.0.0.1{chr(39)}, {port}), 2)')}")
    assert "unreachable" in told(result)
    listening.settimeout(0.2)
    with pytest.raises(TimeoutError):
        listening.accept()


def test_abstract_sockets_of_this_machine_are_not_reached(run):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0factorkit-canary")
        server.listen()
        connect = "socket.socket(socket.AF_UNIX).connect('\\0factorkit-canary')"
        assert "refused" in told(run(f"{JSON}import socket{attempt(connect)}"))


def test_only_families_of_sockets_that_namespaces_hold_back_can_be_made(run):
    assert "not supported" in told(run(f"{JSON}import socket{attempt('socket.socket(40, socket.SOCK_STREAM)')}"))


def test_files_of_the_course_and_of_the_user_are_not_there(run, tmp_path):
    canary = tmp_path / "canary.txt"
    canary.write_text("a secret")
    root = Path(factorkit.__file__).parents[1]
    wanted = [canary, root / "solutions", root / "tests", root / "nbgrader_config.py", root / "grading", root / ".git"]
    wanted += [
        Path.home() / ".bashrc",
        Path("/etc/passwd"),
        Path("/etc/shadow"),
        Path("/var"),
        Path("/home"),
        Path("/sys"),
    ]
    wanted = [path for path in wanted if not any(shown.is_relative_to(path) for shown in bubblewrap.python_paths())]
    assert len(wanted) > 8  # a working copy or its Python may lie below one of these
    look = f"{JSON}print(json.dumps([path for path in {[str(path) for path in wanted]!r} if os.path.exists(path)]))"
    assert told(run(look)) == []


def test_a_search_of_the_whole_file_system_finds_no_source_of_a_lab(run):
    search = (
        f"{JSON}found = [os.path.join(a, c) for a, _, b in os.walk('/') for c in b]\n"
        "found = [name for name in found if 'lab01' in name or 'gradebook' in name]\n"
        "print(json.dumps([name for name in found if 'site-packages' not in name]))"
    )
    assert told(run(search, limits=PATIENT)) == []


@pytest.mark.parametrize("place", ["/", "/usr", "/etc", "/dev", "/run", sys.prefix, Path(factorkit.__file__).parent])
def test_nothing_can_be_written_outside_the_folder(run, place):
    assert "Read-only file system" in told(run(JSON + attempt(f"open('{place}/mine', 'w')")))


def test_the_folder_is_private_and_gone_with_the_process(run):
    write = (
        "import os\nfor place in ('.', '/tmp', '/dev/shm', os.path.expanduser('~')):\n    open(place + '/left', 'w')"
    )
    assert errors(run(write), 0) == []
    look = f"{JSON}places = ('.', '/tmp', '/dev/shm', os.path.expanduser('~'))\n"
    assert told(run(look + "print(json.dumps([place for place in places if os.path.exists(place + '/left')]))")) == []


def test_the_environment_is_a_short_list(run):
    environment = told(run(f"{JSON}print(json.dumps(dict(os.environ)))"))
    assert environment["NBGRADER_EXECUTION"] == "autograde" and environment["OMP_THREAD_LIMIT"] == "1"
    assert "A_SECRET_TOKEN" not in environment and "USER" not in environment
    assert "secret" not in environment.values()


def test_only_its_own_processes_are_seen(run):
    seen = told(
        run(f"{JSON}print(json.dumps([[int(name) for name in os.listdir('/proc') if name.isdigit()], os.getpid()]))")
    )
    assert seen == [[1, 2], 2]


def test_its_supervisor_can_be_neither_read_nor_killed_nor_stopped(run):
    read = "open('/proc/1/mem', 'rb').read(1)", "os.readlink('/proc/1/fd/0')", "open('/proc/1/environ').read()"
    for statement in read:
        assert "PermissionError" in told(run(JSON + attempt(statement)))
    kill = "import os, signal\nfor number in (9, 19, 2, 15):\n    os.kill(1, number)"
    assert scores(run(DOUBLE, kill, RIGHT)) == [1.0]


def test_the_server_and_its_socket_are_out_of_reach(run):
    look = (
        f"{JSON}import socket, stat\nfound = []\nfor number in range(3, 200):\n    try:\n"
        "        mode = os.fstat(number).st_mode\n    except OSError:\n        continue\n"
        "    found.append(stat.S_ISSOCK(mode))\nprint(json.dumps(sum(found)))"
    )
    # one socket for its outputs and one for each test that is to come
    assert told(run(look)) == 1
    assert told(run(look, RIGHT, RIGHT)) == 3


def test_programs_that_it_starts_inherit_no_socket(run):
    look = "import os\nfor name in os.listdir('/proc/self/fd')[:-1]:\n    print(os.readlink('/proc/self/fd/' + name))"
    start = (
        f"import json, subprocess, sys\ndone = subprocess.run([sys.executable, '-c', {look!r}], capture_output=True)"
    )
    listed = told(run(f"{start}\nprint(json.dumps(done.stdout.decode()))", RIGHT))
    assert "null" in listed and "socket" not in listed


def test_it_has_no_capabilities_and_can_gain_none(run):
    status = told(run(f"{JSON}print(json.dumps(open('/proc/self/status').read().split()))"))
    values = {name: status[place + 1] for place, name in enumerate(status) if name.endswith(":")}
    assert {values[f"Cap{kind}:"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert values["NoNewPrivs:"] == "1" and values["Seccomp:"] == "2"


@pytest.mark.parametrize(
    "call",
    ["ptrace(0, 0, 0, 0)", "unshare(0x10000000)", "mount(b'none', b'/tmp', b'tmpfs', 0, None)", "chroot(b'.')",
     "setns(0, 0)", "process_vm_readv(1, 0, 0, 0, 0, 0)", "syscall(250, 0, 0, 0)", "syscall(425, 1, 0)"],
)  # fmt: skip
def test_calls_that_open_sandboxes_are_refused(run, call):
    ask = f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint(libc.{call}, ctypes.get_errno())"
    result = run(ask)
    assert "".join(output["text"] for output in result.cells[0].outputs) == "-1 1\n"


def test_a_process_in_a_namespace_of_its_own_cannot_be_made(run):
    clone = "libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0), ctypes.get_errno()"
    assert told(
        run(f"{JSON}import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint(json.dumps([{clone}]))")
    ) == [-1, 1]


def test_neighbours_are_out_of_reach(engine):
    """Two at the same time: neither sees the other's processes or files."""
    hold = "open('/tmp/mine', 'w').write('x')\nimport time; time.sleep(3)"
    look = (
        f"import time; time.sleep(1.5)\n{JSON}"
        "print(json.dumps([len([n for n in os.listdir('/proc') if n.isdigit()]), os.path.exists('/tmp/mine')]))\n"
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "for pid in range(3, 3000):\n    try:\n        os.kill(pid, 9)\n    except OSError:\n        pass"
    )
    found = {}

    def go(name, *cells):
        found[name] = engine.run(job_of(*cells), QUICK, {}, {})

    threads = [
        threading.Thread(target=go, args=("first", DOUBLE, hold, RIGHT)),
        threading.Thread(target=go, args=("second", look)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scores(found["first"]) == [1.0] and errors(found["first"], 1) == []
    assert told(found["second"]) == [2, False]


def test_nothing_of_an_earlier_submission_is_in_memory(run):
    first, second = os.urandom(8).hex(), os.urandom(8).hex()
    search = """
import re
found = 0
with open('/proc/self/mem', 'rb') as memory:
    for line in open('/proc/self/maps'):
        start, end = (int(part, 16) for part in line.split()[0].split('-'))
        while 'rw' in line and start < end:  # in pieces that overlap, so that none lies across two
            try:
                memory.seek(start)
                content = memory.read(min(end - start, 1 << 24))
                found += sum(content[m.end() : m.end() + 16] == b'SECOND' for m in re.finditer(b'FIRST', content))
            except (OSError, ValueError):
                pass
            start += (1 << 24) - 64
print(found)
"""
    search = search.replace("FIRST", first).replace("SECOND", second)
    assert told(run(f"mark = '{first}{second}'", search, limits=PATIENT), 1) > 0  # its own it does find
    assert told(run(search, limits=PATIENT)) == 0


def test_the_servers_see_no_more_than_their_children_need(engine):
    shown = [str(path) for path in bubblewrap.python_paths()]
    root = Path(factorkit.__file__).parents[1]
    assert str(root) not in shown and str(root / "autograder") not in shown
    assert str(root / "autograder" / "two_process") in shown
    assert not any(Path(path) in (Path("/"), Path.home()) for path in shown)


def test_a_function_that_is_not_on_the_list_is_not_run(engine):
    server: WarmServer = engine._student
    child = server.start("os:system", b"true", {}, [], QUICK)
    with pytest.raises(CourseError, match="none of this server's functions"):
        child.wait(10)
    child.kill()


def test_a_server_ends_with_the_grader(tmp_path):
    start = (
        "import sys, time\nfrom pathlib import Path\nfrom autograder.sandbox.client import WarmServer\n"
        "server = WarmServer('student')\nserver.warm_up()\nprint('ready', flush=True)\ntime.sleep(100)"
    )
    grader = subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE)
    assert grader.stdout.readline() == b"ready\n"
    below = psutil.Process(grader.pid).children(recursive=True)
    assert below
    grader.kill()
    grader.wait()
    grader.stdout.close()
    end = time.monotonic() + 10
    while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in below):
        assert time.monotonic() < end, "the server still runs"
        time.sleep(0.1)


def test_without_bubblewrap_the_remedy_is_named(monkeypatch):
    bubblewrap.require_bubblewrap.cache_clear()
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(CourseError, match="apt install bubblewrap.*--sandbox none --trusted"):
        bubblewrap.require_bubblewrap()
    monkeypatch.undo()
    assert bubblewrap.require_bubblewrap().name == "bwrap"
