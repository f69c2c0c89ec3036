"""What students get is complete, can be installed, and tells no answer."""

import json
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from autograder.authoring.regions import HIDDEN_TESTS, MARK_SCHEME, SOLUTION, find_regions
from autograder.authoring.source import read_source, source_notebook
from autograder.course import Course
from autograder.errors import CourseError
from autograder.student_kit import StudentKit, write_student_kit

ROOT = Path(__file__).parents[2]
COURSE = Course.find(ROOT)
TELLING = 32  # characters of a line that are no coincidence (`shared = copy.deepcopy(network)` is one)


@pytest.fixture(scope="module")
def kit(tmp_path_factory) -> StudentKit:
    return write_student_kit(COURSE, tmp_path_factory.mktemp("kit"))


@pytest.fixture(scope="module")
def secret() -> dict[str, set[str]]:
    """The lines of solutions, hidden tests and mark schemes that stand nowhere in the open, by label."""
    inside, outside = {SOLUTION: set(), HIDDEN_TESTS: set(), MARK_SCHEME: set()}, set()
    for lab in COURSE.lab_names():
        for cell in source_notebook(read_source(COURSE.source_file(lab))).cells:
            regions, lines = find_regions(cell.source), [line.strip() for line in cell.source.splitlines()]
            for region in regions:
                inside[region.label] |= set(lines[region.start : region.stop + 1])
            hidden = {number for region in regions for number in range(region.start, region.stop + 1)}
            outside |= {line for number, line in enumerate(lines) if number not in hidden}
    return {label: {line for line in lines - outside if len(line) >= TELLING} for label, lines in inside.items()}


def test_it_holds_every_lab_the_packages_and_how_to_install_them(kit):
    assert {name.split("/")[0] for name in kit.files} == {
        *("LICENSE", "LICENSE-TEXT.md", "README.md", "environment.yml", "pyproject.toml"),
        *("book", "factorkit", "labs", "micronet_resources"),
    }
    for lab in COURSE.lab_names():
        assert f"labs/{lab}/{lab}.ipynb" in kit.files
        assert f"labs/{lab}/{lab}.ipynb" in (kit.folder / "README.md").read_text()
    assert {"factorkit/check.py", "micronet_resources/profile.py", "micronet_resources/RULES.md"} <= set(kit.files)
    pages = [page.stem for page in (ROOT / "book" / "chapters").glob("*.md")]
    assert len(pages) > 20 and {f"book/chapters/{page}.ipynb" for page in pages} <= set(kit.files)
    assert not [name for name in kit.files if "__pycache__" in name or "checkpoint.ipynb" in name]


def test_no_line_of_a_solution_a_hidden_test_or_a_mark_scheme_is_in_a_lab_or_a_text(kit, secret):
    assert min(map(len, secret.values())) > 30
    every = set().union(*secret.values())
    read = [name for name in kit.files if name.endswith((".ipynb", ".md", ".toml", ".yml"))]
    assert len(read) >= len(COURSE.lab_names()) + 4
    for name in read:
        text = (kit.folder / name).read_text(encoding="utf-8")
        strings = list(_strings(json.loads(text))) if name.endswith(".ipynb") else [text]
        assert not every & {line.strip() for string in strings for line in string.splitlines()}


def test_no_hidden_test_is_in_the_packages(kit, secret):
    """They hold what the labs have one write; the labs' checks see that nobody imports it."""
    code = [path.read_text(encoding="utf-8") for path in kit.folder.rglob("*.py")]
    assert len(code) > 100
    tests = {line for line in secret[HIDDEN_TESTS] if "assert" in line} | secret[MARK_SCHEME]
    assert len(tests) > 200 and not [line for line in tests if any(line in text for text in code)]


def test_the_same_files_give_the_same_bytes_and_the_archive_holds_them(kit, tmp_path):
    again = write_student_kit(COURSE, tmp_path)
    assert again.files == kit.files and again.archive.read_bytes() == kit.archive.read_bytes()
    with zipfile.ZipFile(kit.archive) as archive:
        assert archive.namelist() == [f"{kit.folder.name}/{name}" for name in kit.files]
        assert archive.read(f"{kit.folder.name}/README.md") == (kit.folder / "README.md").read_bytes()


@pytest.mark.timeout(900)
def test_installed_from_the_archive_lab_01_runs_and_asks_for_its_answers(kit, tmp_path, monkeypatch):
    with zipfile.ZipFile(kit.archive) as archive:
        archive.extractall(tmp_path)
    home, python = tmp_path / kit.folder.name, tmp_path / "env" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    # The packages that the kit requires come from here, which needs no network; the kit itself must not.
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (tmp_path / "env" / "lib" / version / "site-packages" / "required.pth").write_text(sysconfig.get_path("purelib"))
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--no-build-isolation", "--editable", home], check=True)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")  # the cells that train for minutes are skipped
    where = subprocess.run(
        [python, "-c", "import factorkit, importlib.util as u; print(factorkit.__file__, u.find_spec('autograder'))"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.split() == [str(home / "factorkit" / "__init__.py"), "None"]
    checked = subprocess.run([python, "-m", "factorkit.check"], cwd=home, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    lab = home / "labs" / "lab01_convolutions" / "lab01_convolutions.ipynb"
    notebook = nbformat.read(lab, 4)
    client = NotebookClient(notebook, timeout=300, allow_errors=True, resources={"metadata": {"path": str(lab.parent)}})
    client.create_kernel_manager()
    client.km.kernel_spec.argv[0] = str(python)
    client.execute()
    errors = [output.ename for cell in notebook.cells for output in cell.get("outputs", []) if "ename" in output]
    assert errors.count("NotImplementedError") >= 11 and set(errors) <= {"NotImplementedError", "NameError"}


def test_the_chapters_find_their_data_the_labs_and_each_other(kit):
    found = 0
    for name in kit.files:
        if not name.startswith("book/") or not name.endswith(".ipynb"):
            continue
        notebook = nbformat.read(kit.folder / name, 4)
        nbformat.validate(notebook)
        assert not any(cell.get("outputs") for cell in notebook.cells)
        source = "\n".join(cell.source for cell in notebook.cells)
        assert not re.search(r"\]\([\w./#-]+\.md", source), f"{name} links a page that is not here"
        places = re.findall(r"\]\(([\w./]+\.ipynb)|\"(data/\w+\.json)\"", source)
        for place in ("".join(each) for each in places):
            assert ((kit.folder / name).parent / place).resolve().is_file(), f"{name}: {place}"
        found += len(places)
    assert found > 60


def test_a_lab_that_is_not_up_to_date_is_not_handed_out(tmp_path, monkeypatch):
    monkeypatch.setattr("autograder.student_kit.drift", lambda course: ["lab01_convolutions: run `autograder build`"])
    with pytest.raises(CourseError, match="run `autograder build`"):
        write_student_kit(COURSE, tmp_path)
    assert not list(tmp_path.iterdir())


def _strings(value: object) -> Iterator[str]:
    """Every string in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)
