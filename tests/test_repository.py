"""The repository as a whole: requirements, package order, names that must not appear."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from autograder.authoring.release import drift
from autograder.course import Course

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PYPROJECT["optional-dependencies"]


def requirements(lines: list[str]) -> dict[str, Requirement]:
    return {Requirement(line).name.lower(): Requirement(line) for line in lines if not line.startswith("--")}


def test_conda_environment_has_the_requirements_of_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert f"python{PYPROJECT['requires-python']}" in environment
    (pip,) = [entry["pip"] for entry in environment if isinstance(entry, dict)]
    assert requirements(pip) == requirements(PYPROJECT["dependencies"] + EXTRAS["book"] + EXTRAS["grade"])


def test_constraints_satisfy_every_requirement():
    pinned = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().lower().splitlines() if "==" in line
    )
    pinned = {name.replace("_", "-"): version for name, version in pinned.items()}
    everything = requirements(PYPROJECT["dependencies"] + [line for extra in EXTRAS.values() for line in extra])
    everything.pop("factorkit")
    assert [name for name in everything if name.replace("_", "-") not in pinned] == []
    for name, requirement in everything.items():
        assert requirement.specifier.contains(Version(pinned[name])), (
            f"{requirement} but constraints pin {pinned[name]}"
        )


FORBIDDEN_IMPORTS = {
    "factorkit": {"micronet_resources", "autograder"},
    "micronet_resources": {"autograder"},
    "labs": {"autograder", "nbgrader"},
}


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("package", FORBIDDEN_IMPORTS)
def test_imports_run_one_way(package):
    folder = ROOT / ("solutions" if package == "labs" else package)
    files = [path for path in folder.rglob("*.py") if "__pycache__" not in path.parts]
    assert files
    wrong = {path.name: found for path in files if (found := imported(path) & FORBIDDEN_IMPORTS[package])}
    assert wrong == {}


def test_no_executed_page_imports_the_grader():
    pages = [page for page in (ROOT / "book").rglob("*.md") if page.read_text().startswith("---\njupytext:")]
    assert len(pages) > 20
    pattern = re.compile(r"^\s*(from|import) autograder", re.MULTILINE)
    assert [page.name for page in pages if pattern.search(page.read_text())] == []


def test_the_profiler_does_not_hide_the_standard_librarys_profile_module():
    code = "import cProfile, profile, torch; assert profile.run; torch.optim.SGD([torch.zeros(1)], lr=0.1)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listing.split("\0") if name]


def test_nothing_unexpected_stands_at_the_top():
    known = {
        "README.md CONTRIBUTING.md LICENSE LICENSE-TEXT.md Makefile pyproject.toml constraints.txt environment.yml",
        "nbgrader_config.py .gitignore .gitattributes .editorconfig .pre-commit-config.yaml",
        "book solutions labs factorkit micronet_resources autograder tests benchmarks .ci .github",
    }
    tops = {path.relative_to(ROOT).parts[0] for path in tracked_files()}
    assert tops - {name for line in known for name in line.split()} == set()


def test_every_tracked_file_is_small():
    large = {str(path): path.stat().st_size for path in tracked_files() if path.stat().st_size > 1_000_000}
    assert {name for name in large if "mathjax" not in name} == set()


def test_labs_are_what_their_sources_give():
    assert drift(Course.find(ROOT)) == []
