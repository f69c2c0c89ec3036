"""Servers import what the instructor's text of a lab names, and nothing because of a student's."""

import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from autograder.jobs import Job, JobCell
from autograder.sandbox.engine import Engine
from autograder.sandbox.families import ALL, families_of
from autograder.sandbox.huge_pages import reserve_memory
from autograder.sandbox.limits import Limits
from autograder.two_process.plan import checked_text

PLAIN = (
    JobCell(0, "answer", "solution", "def double(x): return 2 * x", reference="def double(x): return 2 * x"),
    JobCell(1, "extra", "extra", "import pandas  # factorkit"),
    JobCell(
        2, "check", "test", "import sys\nassert double(2) == 4\nassert 'mat' 'plotlib' not in sys.modules", points=1
    ),
)
FIGURES = (
    JobCell(0, "setup", "locked", "import matplotlib.pyplot as plt"),
    replace(PLAIN[0], index=1),
    JobCell(2, "check", "test", "import sys\nassert double(2) == 4\nassert 'PIL.Image' in sys.modules", points=1),
)


def job(cells):
    return Job("student-001", "lab", "lab", cells, 30, 60)


def servers_of(engine):
    return [engine._student._process, engine._tests._process]


def memory_of(process):
    return max(each.memory_info().rss for each in psutil.Process(process._popen.pid).children(recursive=True))


@pytest.mark.slow
def test_a_plain_lab_has_small_servers_which_give_way_when_a_lab_needs_more():
    with Engine() as engine:
        assert [test.outcome for test in engine.run(job(PLAIN), Limits(), {}, {}).tests] == ["passed"]
        small = servers_of(engine)
        sizes = [memory_of(process) for process in small]
        assert [test.outcome for test in engine.run(job(FIGURES), Limits(), {}, {}).tests] == ["passed"]
        large = servers_of(engine)
        assert all(process.is_retired for process in small) and not any(process.is_retired for process in large)
        assert all(memory_of(process) > size for process, size in zip(large, sizes, strict=True))
        assert [test.outcome for test in engine.run(job(FIGURES), Limits(), {}, {}).tests] == ["passed"]
        assert servers_of(engine) == large


def test_a_student_decides_nothing():
    assert families_of(job(PLAIN).instructors_text()) == frozenset()
    edited = replace(PLAIN[0], source="import torch, factorkit")
    assert families_of(job((edited, *PLAIN[1:])).instructors_text()) == frozenset()


def test_the_kits_own_labs_get_what_they_use():
    assert ALL - families_of("from factorkit.checks import trusted_copy") == {"onnx", "scipy", "sklearn"}
    assert "sklearn" in families_of("from factorkit import data\ndigits = data.load('digits')")


def test_the_checking_process_needs_nothing_that_only_the_notebook_uses():
    cells = (JobCell(0, "free", "solution", "", "from sklearn.datasets import load_sample_image"), *PLAIN)
    assert families_of(job(cells).instructors_text()) == {"sklearn"}
    assert families_of(checked_text(cells)) == frozenset()


def test_the_grader_itself_does_without_torch():
    code = (
        "import sys, autograder.pipeline\nfrom autograder.sandbox.environment import data_cache\ndata_cache()\n"
        "from factorkit.data.patterns import load_patterns\nassert 'torch' not in sys.modules\n"
        "from factorkit import data\ndata.load\nassert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_reserved_memory_is_held_by_one_small_object_in_each_piece():
    held = reserve_memory(8)
    assert 32 <= len(held) < 100 and len({id(one) >> 20 for one in held}) >= 8
