"""The check of a student's machine: what is well is said in a line, what is not has a remedy."""

import importlib.metadata
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from factorkit import check


def look(name: str) -> check.Look:
    return check.LOOKS[name](name)


def test_here_nothing_stops_the_labs(capsys):
    assert check.main([]) == 0
    printed = capsys.readouterr().out
    assert "All is ready" in printed and "STOP" not in printed and "11,173,962 parameters" in printed
    assert all(name in printed for name in check.LOOKS)


def test_whatever_is_not_well_has_a_remedy(monkeypatch, tmp_path, capsys):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("FACTORKIT_CACHE", str(file / "below"))  # a folder that cannot be made, whoever one is
    monkeypatch.setattr(check, "REFERENCE_PARAMS", 1)
    assert check.main(["--json"]) == 1
    looks = {found["name"]: found for found in json.loads(capsys.readouterr().out)}
    assert list(looks) == list(check.LOOKS)
    assert {name: found["level"] for name, found in looks.items() if found["level"] != "good"} == {
        "reference network": "bad",
        "cache": "note",
    }
    assert all(bool(found["remedy"]) == (found["level"] != "good") for found in looks.values())
    assert "FACTORKIT_CACHE" in looks["cache"]["remedy"]


def test_another_python_is_named(monkeypatch):
    monkeypatch.setattr(check, "sys", SimpleNamespace(version_info=(3, 10, 4), prefix="/usr", executable="/usr/python"))
    assert look("Python") == check.Look("Python", "bad", "3.10.4", look("Python").remedy)


def test_missing_and_old_packages_are_named(monkeypatch):
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "tensorly":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.1" if name == "scipy" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = look("packages")
    assert found.level == "bad" and "tensorly is missing" in found.found and "scipy 0.1 is not" in found.found


def test_a_file_that_hides_a_module_is_named(monkeypatch, tmp_path):
    (tmp_path / "torch.py").touch()
    monkeypatch.chdir(tmp_path)
    assert look("shadowed modules").level == "bad" and "torch.py" in look("shadowed modules").found


def test_a_file_that_hides_what_the_check_itself_needs_is_named(tmp_path):
    (tmp_path / "random.py").write_text("raise SystemExit('not the one of the standard library')\n")
    (tmp_path / "test.py").write_text("raise SystemExit('harmless')\n")
    command = [sys.executable, "-m", "factorkit.check", "--json"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    looks = {each["name"]: each for each in json.loads(ended.stdout)}
    assert ended.returncode == 1 and looks["shadowed modules"]["found"] == f"random.py in {tmp_path}"
    assert looks["torch"]["level"] == "good"


def test_an_error_nobody_foresaw_is_reported_and_the_other_looks_are_taken(monkeypatch):
    def broken(name: str) -> check.Look:
        raise RuntimeError("the disk is on fire\nsecond line")

    monkeypatch.setattr(check, "LOOKS", {"torch": broken, "memory": check.LOOKS["memory"]})
    torch, memory = check.examine()
    assert torch.found == "RuntimeError: the disk is on fire" and torch.remedy and memory.level == "good"


@pytest.mark.parametrize("options", [["--help"], ["--json"]])
def test_the_command(options, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "factorkit.check", *options], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 0 and not ended.stderr and len(ended.stdout) > 100
