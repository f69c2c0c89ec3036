"""The benchmark of grading runs, and both graders give the same scores."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "grading.py"


def measured(*arguments):
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_few_submissions_of_lab_01_get_the_scores_that_nbgrader_gives():
    found = measured("--submissions", "2", "--sample", "1", "--blocks", "1")
    assert found["same_scores"] and found["submissions"] == 2 and found["seconds"] > 0


@pytest.mark.slow
def test_a_simulated_class_is_measured_as_it_grows():
    [stage] = measured("--class", "3")
    assert stage["submissions"] == 3 and stage["seconds_each"] > 0 and stage["servers_mb"] > 100
