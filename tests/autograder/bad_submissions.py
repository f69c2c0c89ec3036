"""A class of submissions that go wrong or try to cheat, and what a fair and safe grader makes of each.

Each begins as a right submission of the small lab, worth 2 and 3 points, or a wrong one, worth none, and is then
spoiled. What was earned before a failure is kept; a cheat gains nothing.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbformat.notebooknode import NotebookNode

from autograder.course import Course
from autograder.intake import Status

from . import spoiling as how
from .small_course import EXPLANATION, LAB, LEFTOVER, SQ, SQ_ALL, WRONG_SQ, WRONG_SQ_ALL, cell_of
from .spoiling import Spoil, Surroundings

FULL: Mapping[str, float] = {"sq-test": 2, "sq-partial": 3}
NOTHING: Mapping[str, float] = {"sq-test": 0, "sq-partial": 0}
FIRST_ONLY: Mapping[str, float] = {"sq-test": 2, "sq-partial": 0}
SECOND_ONLY: Mapping[str, float] = {"sq-test": 0, "sq-partial": 3}


@dataclass(frozen=True)
class BadSubmission:
    """One submission, and what is to become of it.

    Attributes
    ----------
    name : str
        The student, too.
    sentence : str
    spoil : callable
    statuses : tuple of Status
        One, or more where it depends on how the machine enforces a limit.
    points : dict
        Of the tests; None if nothing can be earned because nothing was handed in.
    findings : set of str
        Kinds of findings that must be reported; further ones are no harm.
    raw : callable, optional
        Writes into the folder, in place of the notebook.
    archive : callable, optional
        Makes the zip archive to be collected, in place of the folder.
    """

    name: str
    sentence: str
    spoil: Spoil = how.nothing
    statuses: tuple[Status, ...] = (Status.OK,)
    points: Mapping[str, float] | None = field(default_factory=lambda: FULL)
    findings: frozenset[str] = frozenset()
    right: bool = True
    raw: Callable[[Path, bytes], None] | None = None
    archive: Callable[[bytes], bytes] | None = None

    def write(self, course: Course, release: NotebookNode, around: Surroundings) -> Path | None:
        """Hand it in: into the ``submitted`` folder, or as an archive beside it, whose path is returned."""
        answers = (SQ, SQ_ALL) if self.right else (WRONG_SQ, WRONG_SQ_ALL)
        notebook = copy.deepcopy(release)
        for name, text in zip(("sq", "sq-all", "explain"), (*answers, EXPLANATION), strict=True):
            cell_of(notebook, name).source = text
        folder = course.submitted / self.name / LAB
        if self.archive is not None:
            archive = course.root / "downloads" / f"{self.name}.zip"
            archive.parent.mkdir(exist_ok=True)
            folder.parent.mkdir(parents=True)  # a student of whom the course knows
            archive.write_bytes(self.archive(json.dumps(notebook).encode()))
            return archive
        folder.mkdir(parents=True)
        self.spoil(notebook, folder, around)
        if self.raw is not None:
            self.raw(folder, json.dumps(notebook).encode())
        else:
            (folder / f"{LAB}.ipynb").write_bytes(json.dumps(notebook).encode())
        return None


def _bad(name: str, sentence: str, spoil: Spoil = how.nothing, **expected: object) -> BadSubmission:
    findings = frozenset(expected.pop("findings", ()))
    return BadSubmission(name, sentence, spoil, findings=findings, **expected)


TIMEOUT, CRASHED, MEMORY, OUTPUT = (Status.TIMEOUT,), (Status.CRASHED,), (Status.MEMORY,), (Status.OUTPUT,)
INVALID, MISSING, TAMPERED = (Status.INVALID,), (Status.MISSING,), (Status.TAMPERED,)
# Where an allocation fails depends on the machine: as an exception in the cell, or by the end of the process.
SHORT_OF_MEMORY = (Status.OK, Status.MEMORY)
# How much there is to read depends on where Python's packages lie.
LONG_SEARCH = (Status.OK, Status.TIMEOUT)

EQUALS_ALL = """\
class Same:
    __hash__ = None
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __getattr__(self, name): return lambda *a, **k: self
"""
DROP_ASSERTS = """\
import ast

class Drop(ast.NodeTransformer):
    def visit_Assert(self, node): return ast.Pass()

get_ipython().ast_transformers.append(Drop())
"""
STEAL = """\
import builtins, gc, inspect, linecache, os, sys

def steal(*anything):
    for frame in sys._current_frames().values():
        while frame:
            for text in (*map(str, frame.f_locals.values()), *linecache.getlines(frame.f_code.co_filename)):
                if "hidden" + "_canary" in text:
                    open("stolen.txt", "a").write(text)
                    print(text)
            frame = frame.f_back
"""
READ_EVERYTHING = """\
import os, pathlib
for start in ("ROOT", "ROOT/..", "..", "/proc/1/rootROOT", "/proc/1/cwd"):
    for folder, _, names in os.walk(start):
        for name in names:
            if name.endswith((".ipynb", ".txt", ".db", ".py")):
                try:
                    text = pathlib.Path(folder, name).read_bytes().decode("utf-8", "replace")
                except OSError:
                    continue
                for line in text.splitlines():
                    if "hidden" + "_canary" in line or "canary" + "-in-a-file" in line:
                        print(folder, name, line)
"""

FAILING = (
    _bad("correct", "everything is right"),
    _bad("wrong", "everything is wrong", points=NOTHING, right=False),
    _bad(
        "loop-in-tested-function",
        "the tested function never returns: that test is lost, the other is not",
        how.give_answer("sq", "def sq(x):\n    while True:\n        pass"),
        statuses=TIMEOUT,
        points=SECOND_ONLY,
    ),
    _bad(
        "loop-after-definition",
        "a loop below the definition is interrupted, and the notebook goes on",
        how.append_to("sq", "while True:\n    pass"),
        statuses=TIMEOUT,
    ),
    _bad(
        "loop-that-catches-all",
        "a loop that catches its interruption has to be killed: what was earned before stays",
        how.append_to(
            "sq-all",
            "import time\nwhile True:\n    try:\n        time.sleep(1)\n    except BaseException:\n        pass",
        ),
        statuses=TIMEOUT,
        points=FIRST_ONLY,
    ),
    _bad(
        "loop-deaf-to-signals",
        "a loop that ignores SIGINT has to be killed: what was earned before stays",
        how.append_to("sq-all", "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    pass"),
        statuses=TIMEOUT,
        points=FIRST_ONLY,
    ),
    _bad("exit", "sys.exit ends a cell, not the notebook", how.append_to("sq-all", "import sys\nsys.exit(3)")),
    _bad(
        "os-exit",
        "the process ends itself: what was earned before stays",
        how.append_to("sq-all", "import os\nos._exit(0)"),
        statuses=CRASHED,
        points=FIRST_ONLY,
    ),
    _bad(
        "segfault",
        "memory that is not there is read: what was earned before stays",
        how.append_to("sq-all", "import ctypes\nctypes.string_at(0)"),
        statuses=CRASHED,
        points=FIRST_ONLY,
    ),
    _bad(
        "kill-itself",
        "the process kills itself: what was earned before stays",
        how.append_to("sq-all", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"),
        statuses=(Status.CRASHED, Status.MEMORY),  # what it looks like from outside
        points=FIRST_ONLY,
    ),
    _bad(
        "os-exit-in-test",
        "the tested function ends the process: that test is lost, the other is not",
        how.give_answer("sq", "import os\n\ndef sq(x):\n    os._exit(0)"),
        statuses=(Status.OK, Status.CRASHED),
        points=SECOND_ONLY,
    ),
    _bad(
        "os-exit-at-the-end",
        "the process ends itself after everything was earned",
        how.last_cell("import os\nos._exit(1)"),
        statuses=CRASHED,
    ),
    _bad(
        "memory-hog",
        "lists are filled until there is no memory left",
        how.last_cell("hog = []\nwhile True:\n    hog.append(b'x' * 10**8)"),
        statuses=SHORT_OF_MEMORY,
    ),
    _bad(
        "huge-tensor",
        "a tensor of eight terabytes is asked for",
        how.last_cell("import torch\ntorch.zeros(10**12)"),
        statuses=SHORT_OF_MEMORY,
    ),
    _bad(
        "flood",
        "three million lines are printed",
        how.last_cell("for number in range(3_000_000):\n    print(number, 'x' * 20)"),
        statuses=OUTPUT,
    ),
    _bad(
        "stderr-and-warnings",
        "what is written to stderr costs nothing",
        how.give_answer(
            "sq",
            "import sys, warnings\n\ndef sq(x):\n    print('careful', file=sys.stderr)\n"
            "    warnings.warn('careful')\n    return x * x",
        ),
    ),
    _bad(
        "detached-processes",
        "twenty processes are left behind, and none survives",
        how.last_cell(
            "import subprocess\nfor _ in range(20):\n"
            f"    subprocess.Popen(['sleep', '{LEFTOVER}'], start_new_session=True)"
        ),
    ),
    _bad(
        "threads",
        "threads are left running",
        how.append_to(
            "sq",
            "import threading, time\n\ndef on():\n    while True:\n        time.sleep(0.01)\n\n"
            "for _ in range(5):\n    threading.Thread(target=on, daemon=True).start()",
        ),
    ),
    _bad(
        "fork-bomb",
        "processes multiply until the limit",
        how.last_cell("import os\nwhile True:\n    os.fork()"),
        statuses=(Status.OK, Status.CRASHED, Status.TIMEOUT, Status.MEMORY),
    ),
    _bad("input", "nobody answers an input()", how.append_to("sq", "name = input('Your name?')")),
    _bad("needs-a-gpu", "code for a GPU fails, and only it", how.last_cell("import torch\ntorch.ones(1).cuda()")),
    _bad("bash", "a cell for another language is run or fails, and only it", how.last_cell("%%bash\necho hello")),
    _bad("syntax-error", "a cell is no Python", how.last_cell("def broken(:")),
)

CHANGED = (
    _bad("test-deleted", "a test is deleted", how.edited(how.delete_test), findings={"deleted"}),
    _bad("test-stripped", "a test's metadata is removed", how.edited(how.strip_test), findings={"metadata"}),
    _bad(
        "tests-edited",
        "tests are replaced by assert True, and the answers are wrong",
        how.edited(how.edit_tests),
        points=NOTHING,
        findings={"edited"},
        right=False,
    ),
    _bad("test-copied", "a test cell is copied", how.edited(how.copy_of("sq-test")), findings={"duplicated"}),
    _bad("answer-copied", "an answer cell is copied", how.edited(how.copy_of("sq")), findings={"duplicated"}),
    _bad(
        "answer-again",
        "a first try stands above the answer, in a cell of the same name",
        how.edited(how.answer_again),
        findings={"duplicated"},
    ),
    _bad("test-moved", "a test stands before what it tests", how.edited(how.move_tests), findings={"moved"}),
    _bad(
        "test-marked-as-solution",
        "a test says that it is a solution",
        how.edited(how.mark_test_as_solution),
        findings={"metadata"},
    ),
    _bad("points-raised", "tests say they are worth 100", how.edited(how.raise_points), findings={"metadata"}),
    _bad("own-graded-cell", "a cell of one's own says 100", how.edited(how.add_graded), findings={"unknown id"}),
    _bad("other-kernel", "the notebook asks for a kernel that there is not", how.edited(how.other_kernel)),
    _bad("many-cells", "ten thousand cells are added", how.edited(how.many_cells), findings={"too many"}),
    _bad("renamed", "the notebook has another name", raw=how.renamed, findings={"renamed"}),
    _bad("nbformat-3", "the notebook was saved in the old format", raw=how.as_version_3),
    _bad("bad-timestamp", "timestamp.txt is no time", how.put_file("timestamp.txt", b"yesterday, I swear")),
    _bad("early-timestamp", "timestamp.txt lies", how.put_file("timestamp.txt", b"1999-01-01 00:00:00 UTC")),
    _bad("links", "links lead to other places", how.put_links, findings={"link"}),
)

UNREADABLE = (
    _bad("nothing", "nothing was handed in", raw=how.without_notebook, statuses=MISSING, points=None),
    _bad("not-json", "the file is no JSON", raw=how.raw_bytes(b"{'cells':"), statuses=INVALID, points=NOTHING),
    _bad("cut-off", "the file was cut off", raw=how.cut_off, statuses=INVALID, points=NOTHING),
    _bad("empty-object", "JSON, but no notebook", raw=how.raw_bytes(b"{}"), statuses=INVALID, points=NOTHING),
    _bad(
        "empty-worksheet",
        "the old format, and nothing in it",
        raw=how.raw_bytes(b'{"nbformat": 3, "worksheets": [{"cells": []}]}'),
        statuses=INVALID,
        points=NOTHING,
    ),
    _bad(
        "deep-json",
        "brackets are nested 200,000 deep",
        raw=how.raw_bytes(b'{"cells": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        statuses=INVALID,
        points=NOTHING,
    ),
    _bad(
        "many-values",
        "twenty million empty lists would fill the memory",
        raw=how.raw_bytes(b'{"cells": [], "metadata": [' + b"[]," * 15_000_000 + b"0]}"),
        statuses=INVALID,
        points=NOTHING,
    ),
    _bad("huge-file", "the notebook has 500 MB", raw=how.huge, statuses=INVALID, points=NOTHING),
    _bad("notebook-is-a-link", "the notebook is a link", raw=how.as_link, statuses=INVALID, points=NOTHING),
    _bad("notebook-is-a-pipe", "the notebook is a pipe", raw=how.as_pipe, statuses=INVALID, points=NOTHING),
    _bad(
        "another-notebook",
        "a notebook without one cell of the lab",
        raw=how.raw_bytes(b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "1"}]}'),
        statuses=TAMPERED,
        points=NOTHING,
    ),
)

CHEATS = (
    _bad(
        "asks-for-a-kernel",
        "widgets and another shell are asked for, and every assert is dropped",
        how.first_cell(
            "%%bash\necho hello\n", "import ipywidgets as widgets\nfrom IPython.display import display\n" + DROP_ASSERTS
        ),
        points=NOTHING,
        right=False,
    ),
    _bad(
        "equals-everything",
        "the answer equals everything, and sklearn's accuracy is replaced",
        how.all_of(
            how.give_answer(
                "sq",
                EQUALS_ALL + "\nimport sklearn.metrics\nsklearn.metrics.accuracy_score = lambda *a, **k: 1.0\n"
                "def sq(x):\n    return Same()",
            ),
            how.give_answer("sq-all", "def sq_all(values):\n    return Same()"),
        ),
        points=NOTHING,
    ),
    _bad(
        "asserts-dropped",
        "a transformer of syntax trees drops every assert",
        how.first_cell(DROP_ASSERTS),
        points=NOTHING,
        right=False,
    ),
    _bad(
        "tests-tagged",
        "tests are tagged to be skipped",
        how.edited(how.tag_tests),
        points=NOTHING,
        findings={"tagged"},
        right=False,
    ),
    _bad(
        "builtins-replaced",
        "float, len and abs are replaced, to forge partial credit",
        how.first_cell(
            "import builtins\nbuiltins.float = lambda *a: 100.0\nbuiltins.len = lambda *a: 10**6\n"
            "builtins.abs = lambda *a: 0"
        ),
        statuses=(Status.OK, Status.CRASHED),  # their own process may not survive it
        points=NOTHING,
        right=False,
    ),
    _bad(
        "outputs-forged",
        "the saved outputs of the tests say 3.0",
        how.edited(how.forge_outputs),
        points=NOTHING,
        right=False,
    ),
    _bad(
        "displayhook",
        "what a last expression shows is replaced",
        how.first_cell(
            "import sys\nsys.displayhook = lambda value: print(100)\n"
            "get_ipython().display_formatter.format = lambda *a, **k: ({'text/plain': '3.0'}, {})"
        ),
        points=NOTHING,
        right=False,
    ),
    _bad(
        "shadowing",
        "a folder sklearn and a sitecustomize.py lie beside the notebook",
        how.all_of(
            how.put_file("sklearn/__init__.py", b"raise RuntimeError('not the real one')"),
            how.put_file("sitecustomize.py", b"import builtins\nbuiltins.assert_ = None"),
            how.put_file("conftest.py", b"raise SystemExit"),
        ),
        points=NOTHING,
        findings={"shadows"},
        right=False,
    ),
)

NOSY = (
    _bad(
        "hook-beside-a-widget",
        "an import of widgets, for which notebooks may need a real kernel, does not bring the tests to the hook",
        how.first_cell("import ipywidgets\n" + STEAL + "\nget_ipython().events.register('pre_run_cell', steal)"),
    ),
    _bad(
        "hook",
        "a hook that runs before each cell looks for the tests",
        how.first_cell(STEAL + "\nget_ipython().events.register('pre_run_cell', steal)"),
    ),
    _bad(
        "frames",
        "the tested function looks for the tests in the frames around it",
        how.give_answer("sq", STEAL + "\ndef sq(x):\n    steal()\n    return x * x"),
    ),
    _bad(
        "reads-files",
        "every file in reach is searched for tests and canaries",
        how.last_cell(READ_EVERYTHING),
        statuses=LONG_SEARCH,
    ),
    _bad(
        "reads-gradebook",
        "the gradebook is opened",
        how.last_cell(
            "import sqlite3\nfor path in ('../../../gradebook.db', 'ROOT/gradebook.db'):\n"
            "    book = sqlite3.connect(f'file:{path}?mode=ro', uri=True)\n"
            "    print(book.execute('select * from source_cell').fetchall())"
        ),
    ),
    _bad(
        "writes-gradebook",
        "the gradebook is written to",
        how.last_cell(
            "import sqlite3\nfor path in ('../../../gradebook.db', 'ROOT/gradebook.db'):\n"
            "    with sqlite3.connect(f'file:{path}?mode=rw', uri=True) as book:\n"
            "        book.execute('update grade set manual_score = 2')"
        ),
    ),
    _bad(
        "writes-outside",
        "files are written beside the course and into it",
        how.last_cell(
            "for path in ('ROOT/escaped.txt', 'ROOT/../escaped.txt', '/tmp/escaped.txt', '../escaped.txt', "
            "'ROOT/source/tiny/tiny.ipynb'):\n    try:\n        open(path, 'w').write('escaped')\n"
            "    except OSError as error:\n        print(error)"
        ),
    ),
    _bad(
        "network",
        "a socket of this machine is connected to",
        how.last_cell(
            "import socket\nfor host in ('127.0.0.1', 'localhost', '::1'):\n    try:\n"
            "        socket.create_connection((host, PORT), timeout=2).sendall(b'hello')\n"
            "    except OSError as error:\n        print(error)"
        ),
    ),
    _bad(
        "pickle",
        "the model handed in is a pickle that runs a command when it is loaded",
        how.all_of(
            how.put_file("model.pt", b"cos\nsystem\n(S'touch ROOT/escaped.txt /tmp/escaped.txt'\ntR."),
            how.last_cell("import pickle\npickle.load(open('model.pt', 'rb'))"),
        ),
    ),
    _bad("script", "outputs hold a script for the instructor's browser", how.edited(how.script_in_outputs)),
)

ARCHIVES = (
    _bad("zip", "an ordinary archive", archive=how.plain_zip),
    _bad("zip-bomb", "60 MB of zeros in 60 kB", archive=how.zip_bomb, statuses=INVALID, points=NOTHING),
    _bad("zip-traversal", "entries lead out of the folder", archive=how.traversal, findings={"refused"}),
    _bad("zip-link", "an entry is a link", archive=how.zipped_link, findings={"refused"}),
    _bad("no-zip", "the archive is none", archive=how.no_zip, statuses=INVALID, points=NOTHING),
)

NAMES = tuple(
    _bad(name, f"the student's name is {what}")
    for name, what in (
        ("müller 王", "in several scripts"),
        ("شيماء", "written from right to left"),
        ("-rf", "like an option"),
        ("a..b", "with two dots"),
        ("u+1", "with a plus"),
        ("x*", "with a star"),
        ("[y]?", "with brackets"),
        ("it's; drop table", "with quotes"),
    )
)

CLASS: tuple[BadSubmission, ...] = (*FAILING, *CHANGED, *UNREADABLE, *CHEATS, *NOSY, *ARCHIVES, *NAMES)
"""All of them; the names are different."""
