from pathlib import Path

import pytest

from autograder.authoring.lint import lint
from autograder.errors import CourseError, UsageError
from autograder.proofs import Lab, LeftOut, load_proofs

DATA = Path(__file__).parent / "data"


def lab(name: str) -> Lab:
    return Lab(name, source=DATA / name / f"{name}.py")


def changed(tmp_path: Path, *changes: tuple[str, str]) -> Lab:
    """The tiny lab with some of its text replaced."""
    text = (DATA / "lab_tiny" / "lab_tiny.py").read_text()
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = tmp_path / "lab_tiny" / "lab_tiny.py"
    path.parent.mkdir()
    path.write_text(text)
    return Lab("lab_tiny", source=path)


def prove(lab: Lab, *names: str) -> dict[str, str]:
    """Run the cases of these names, and return what is said of those that fail."""
    chosen = [case for case in lab.cases() if not names or case.name in names]
    assert len(chosen) >= len(names), [case.name for case in lab.cases()]
    return {proof.case: proof.message for proof in (case.run() for case in chosen) if not proof.holds}


def test_everything_about_the_layer_lab_holds():
    layers = lab("lab_layer")
    assert lint(layers.source) == []
    layers.mutant("shift", loses=2, why="subtracts", answer="return x - self.amount")
    layers.mutant("halved", loses=3, why="doubles, which the sides see too", answer="return x * 2")
    layers.variant("halved", why="a product", answer="return 0.5 * x")
    assert [str(proof) for proof in layers.prove() if not proof.holds] == []
    names = [case.name for case in layers.cases()]
    assert len(names) == len(set(names))
    assert names[:5] == ["solution", "blank", "alone-shift", "alone-halved", "alone-sides"]
    assert "mutant-halved-doubles-which-the-sides-see-too" in names and "variant-halved-a-product" in names
    assert sum(name.startswith("cheat-shift-") for name in names) == 10


def test_cheats_that_do_not_apply_are_listed():
    assert lab("lab_layer").left_out() == [
        LeftOut("sides", "first-input", "sides takes no input"),
        LeftOut("sides", "raise", "sides is a value, not called"),
    ]


def test_a_weak_check_is_found_by_the_cheats(tmp_path):
    failing = prove(lab("lab_tiny"), "cheat-area-equals-everything", "cheat-area-nan", "cheat-area-none")
    assert list(failing) == ["cheat-area-equals-everything"]
    assert failing["cheat-area-equals-everything"] == "check_area takes 0 of 2 (no error)"
    careless = changed(
        tmp_path,
        ('assert got == 6, f"expected 2 * 3 = 6, got {got}"', "assert not abs(got - 6) > 1e-6"),
        ("area(hidden_height, hidden_width) ==", "hidden_height * hidden_width =="),
    )
    assert prove(careless, "cheat-area-nan") == {"cheat-area-nan": "check_area takes 0 of 2 (no error)"}


def test_a_tolerated_cheat_may_keep_what_is_stated(tmp_path):
    tiny = lab("lab_tiny")
    tiny.tolerates("area", "equals-everything", keeps=2, why="the pipeline sends plain numbers only")
    assert prove(tiny, "cheat-area-equals-everything") == {}
    with pytest.raises(ValueError, match="unknown cheat 'luck'; the cheats are none, nan"):
        tiny.tolerates("area", "luck", keeps=1, why="it happens")
    with pytest.raises(ValueError, match="say why the check of 'area' may give 1 points"):
        tiny.tolerates("area", "nan", keeps=1, why="")


def test_a_mutant_must_cost_what_is_stated():
    tiny = lab("lab_tiny")
    tiny.mutant("area", loses=2, why="adds", answer="return height + width")
    tiny.mutant("area", loses=1, why="costs more", answer="return height + width + 1")
    tiny.mutant("area", loses=2, why="is right", answer="return width * height")
    tiny.mutant("area", loses=2, why="is mistyped", answer="return hieght + width")
    tiny.mutant("area", loses=2, why="is not python", answer="retrun 3")
    failing = prove(tiny, *[f"mutant-area-{why}" for why in ("adds", "costs-more", "is-right", "is-mistyped")])
    assert list(failing) == ["mutant-area-costs-more", "mutant-area-is-right", "mutant-area-is-mistyped"]
    message = (
        "costs more: must cost 1 points, costs 2; check_area takes 2 of 2 (AssertionError: expected 2 * 3 = 6, got 6)"
    )
    assert failing["mutant-area-costs-more"].startswith(message[:50])
    assert "must cost 2 points, costs 0; check_area takes 0 of 2 (no error)" in failing["mutant-area-is-right"]
    assert failing["mutant-area-is-mistyped"].endswith("NameError proves nothing about the test")
    assert (
        "the mutant's own code fails, mend it: SyntaxError"
        in prove(tiny, "mutant-area-is-not-python")["mutant-area-is-not-python"]
    )


def test_a_variant_must_get_everything():
    tiny = lab("lab_tiny")
    tiny.variant("areas", why="columns", answer="return sides[:, 0] * sides[:, 1]")
    tiny.variant("areas", why="a list", answer="return list(sides.prod(axis=1))")
    [(case, message)] = prove(tiny, "variant-areas-columns", "variant-areas-a-list").items()
    assert case == "variant-areas-a-list" and message.startswith(
        "a list: a right answer gets check_areas 0/3 (AttributeError"
    )


def test_a_lab_s_files_and_those_handed_in(tmp_path):
    reads = (
        "surface = height * width",
        "surface = height * width * int(open('one').read()) * int(open('unit').read())",
    )
    reading = changed(tmp_path, reads)
    (tmp_path / "lab_tiny" / "files").mkdir()
    (tmp_path / "lab_tiny" / "files" / "unit").write_text("1")
    (tmp_path / "one").write_text("1")
    (tmp_path / "two").write_text("2")
    handed_in = Lab("lab_tiny", source=reading.source.path, files={"one": tmp_path / "one"})
    assert sorted(handed_in.files) == ["one", "unit"]
    answer = "return height * width * int(open('one').read())"
    handed_in.mutant("area", loses=2, why="other file", answer=answer, files={"one": tmp_path / "two"})
    handed_in.variant("area", why="same file", answer=answer)
    assert prove(handed_in, "solution", "mutant-area-other-file", "variant-area-same-file") == {}
    assert "No such file or directory: 'one'" in prove(reading, "solution")["solution"]


def test_a_check_that_needs_its_neighbors_is_found(tmp_path):
    leaning = changed(
        tmp_path, ("sides = np.array([[1.0, 2.0], [3.0, 4.0]])\n", "assert got == 6\nsides = np.ones((2, 2))\n")
    )
    assert "check_areas 0/3 (NameError" in prove(leaning, "alone-areas")["alone-areas"]


def test_a_solution_or_a_given_cell_that_fails_is_found(tmp_path):
    broken = changed(tmp_path, ('UNIT = "cm"', "UNIT = 1 / 0"))
    failing = prove(broken, "solution", "blank")
    assert "cell given_setup: ZeroDivisionError" in failing["solution"]
    assert "given cell given_setup: ZeroDivisionError" in failing["blank"]


def test_points_for_the_blank_lab_are_found(tmp_path):
    generous = changed(
        tmp_path,
        ("got = areas(sides.copy())\n", "got = expected\n"),
        ("hidden_got = areas(hidden_sides.copy())\n", "hidden_got = expected\n"),
    )
    assert "the blank lab gets check_area 0/2 (NotImpl" in prove(generous, "blank")["blank"]


def test_answers_to_exercises_that_do_not_exist():
    tiny = lab("lab_tiny")
    tiny.mutant("volume", loses=1, why="wrong lab", answer="return 1")
    with pytest.raises(CourseError, match=r"lab_tiny: no exercise 'volume' \(wrong lab\); there are area, areas"):
        tiny.cases()


def test_the_source_is_that_of_the_course(tmp_path, monkeypatch):
    (tmp_path / "nbgrader_config.py").touch()
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "lab_tiny").symlink_to(DATA / "lab_tiny")
    monkeypatch.chdir(tmp_path)
    assert Lab("lab_tiny").source.points == 7
    with pytest.raises(UsageError, match="unknown lab 'lab_tini'; did you mean 'lab_tiny'"):
        Lab("lab_tini").source  # noqa: B018


def test_proof_files(tmp_path):
    path = tmp_path / "lab_tiny.py"
    with pytest.raises(CourseError, match=r"no proof file; write one with LAB = Lab\('lab_tiny'\)"):
        load_proofs(path)
    path.write_text("from autograder.proofs import Lab\nLAB = Lab('lab_other')\n")
    with pytest.raises(CourseError, match=r"expected LAB = Lab\('lab_tiny'\), found Lab\('lab_other', 0 mutants"):
        load_proofs(path)
    path.write_text(
        "from autograder.proofs import Lab\nLAB = Lab('lab_tiny')\nLAB.variant('area', why='a', answer='b')\n"
    )
    assert repr(load_proofs(path)) == "Lab('lab_tiny', 0 mutants, 1 variants)"
