"""Collecting: archives of students and of learning platforms become folders, and nothing else happens."""

from __future__ import annotations

import io
import json
import os
import random
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest

from autograder.collect import collect
from autograder.errors import UsageError
from autograder.intake import Status, intake
from autograder.receiving import archives
from autograder.receiving.roster import read_roster

from .small_course import LAB, make_course

NAME = f"{LAB}.ipynb"
NOTEBOOK = json.dumps(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])).encode()
OTHER = json.dumps(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("2")])).encode()


@pytest.fixture
def course(tmp_path):
    return make_course(tmp_path / "course")


@pytest.fixture
def packed(tmp_path):
    """A function that makes an archive of entries, each a name or a ZipInfo and its content."""

    def make(name: str, entries, compression: int = zipfile.ZIP_DEFLATED) -> Path:
        path = tmp_path / "downloads" / name
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w", compression) as archive:
            for entry, content in entries.items() if isinstance(entries, dict) else entries:
                archive.writestr(entry, content, compression)
        return path

    return make


def taken(course):
    """What now lies in the submitted folder, hidden folders left out."""
    paths = (path.relative_to(course.submitted) for path in course.submitted.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts))


def refused(collected):
    return {finding.cell: finding.message for each in collected for finding in each.findings}


def test_one_archive_of_one_student(course, packed):
    [one] = collect(course, LAB, packed("ada.zip", {NAME: NOTEBOOK, "data/a.csv": b"1"}))
    assert (one.student, one.outcome, one.files) == ("ada", "new", ("data/a.csv", NAME))
    assert taken(course) == ["ada/tiny/data/a.csv", f"ada/tiny/{NAME}"]


@pytest.mark.parametrize("folder", ["my work/", f"{LAB}/", f"a/b/{LAB}/"])
def test_a_folder_in_the_archive_makes_no_difference(course, packed, folder):
    collect(course, LAB, packed("ada.zip", {f"{folder}{NAME}": NOTEBOOK, f"{folder}a.csv": b"1"}))
    assert taken(course) == ["ada/tiny/a.csv", f"ada/tiny/{NAME}"]


def test_what_file_managers_leave_is_passed_over(course, packed):
    rubbish = {"__MACOSX/._tiny.ipynb": b"x", ".DS_Store": b"x", f".ipynb_checkpoints/{NAME}": b"x", "Thumbs.db": b"x"}
    [one] = collect(course, LAB, packed("ada.zip", {**rubbish, NAME: NOTEBOOK}))
    assert one.findings == () and taken(course) == [f"ada/tiny/{NAME}"]


def test_a_folder_of_archives_and_folders(course, packed, tmp_path):
    packed("ada.zip", {NAME: NOTEBOOK})
    packed("bob.zip", {"work/" + NAME: NOTEBOOK})
    for student in ("carl", "dora/tiny"):
        (tmp_path / "downloads" / student).mkdir(parents=True)
        (tmp_path / "downloads" / student / NAME).write_bytes(NOTEBOOK)
    collected = collect(course, LAB, tmp_path / "downloads")
    assert [each.student for each in collected] == ["ada", "bob", "carl", "dora"]
    assert taken(course) == [f"{student}/tiny/{NAME}" for student in ("ada", "bob", "carl", "dora")]


MOODLE = {
    f"Ada Lovelace_101_assignsubmission_file_/{NAME}": NOTEBOOK,
    "Ada Lovelace_101_assignsubmission_file_/data/a.csv": b"1",
    f"María José Ñ_102_assignsubmission_file/{NAME}": NOTEBOOK,
    "Ada Lovelace_101_assignsubmission_onlinetext/onlinetext.html": b"see file",
}


def test_moodles_download_in_folders(course, packed):
    collected = collect(course, LAB, packed("CS1-tiny-42.zip", MOODLE))
    assert [(each.student, each.outcome) for each in collected] == [("Ada Lovelace", "new"), ("María José Ñ", "new")]
    assert f"Ada Lovelace/tiny/{NAME}" in taken(course) and "Ada Lovelace/tiny/data/a.csv" in taken(course)


def test_moodles_download_unpacked_or_in_another_folder(course, packed, tmp_path):
    with zipfile.ZipFile(packed("class.zip", MOODLE)) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert len(collect(course, LAB, tmp_path / "unpacked")) == 2
    again = packed("again.zip", {f"CS1-tiny-42/{name}": content for name, content in MOODLE.items()})
    assert {each.outcome for each in collect(course, LAB, again)} == {"unchanged"}


def test_moodles_download_without_folders(course, packed):
    flat = {f"{name}_assignsubmission_file_{NAME}": NOTEBOOK for name in ("Ada Lovelace_101", "Bob_102")}
    collect(course, LAB, packed("class.zip", flat))
    assert taken(course) == [f"Ada Lovelace/tiny/{NAME}", f"Bob/tiny/{NAME}"]


CANVAS = {
    f"lovelaceada_1234_98765_{NAME}": NOTEBOOK,
    "lovelaceada_1234_98766_a.csv": b"1",
    f"vonneumannjohn_LATE_77_98767_{LAB}-2.ipynb": NOTEBOOK,
}


def test_canvas_download(course, packed, tmp_path):
    collected = collect(course, LAB, packed("submissions.zip", CANVAS))
    assert taken(course) == [
        "lovelaceada_1234/tiny/a.csv",
        f"lovelaceada_1234/tiny/{NAME}",
        f"vonneumannjohn_77/tiny/{LAB}-2.ipynb",
    ]
    assert [finding.kind for each in collected for finding in each.findings] == ["late"]
    late = intake(course, LAB)[1]
    assert late.notebooks == (f"{LAB}-2.ipynb",) and {finding.kind for finding in late.findings} == {"late", "renamed"}
    with zipfile.ZipFile(tmp_path / "downloads" / "submissions.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    assert {each.outcome for each in collect(course, LAB, tmp_path / "unpacked")} == {"unchanged"}


def test_canvas_anonymous_download(course, packed):
    collect(course, LAB, packed("submissions.zip", {f"LATE_anon_X7b_5_{NAME}": NOTEBOOK, f"anon_Q_6_{NAME}": OTHER}))
    assert taken(course) == [f"anon_Q/tiny/{NAME}", f"anon_X7b/tiny/{NAME}"]


def test_a_roster_gives_students_their_own_names(course, packed, tmp_path):
    roster = tmp_path / "roster.csv"
    roster.write_text("student,name,moodle,canvas\nal1,Ada Lovelace,101,1234\njvn,John von Neumann,,77\n")
    collect(course, LAB, packed("canvas.zip", CANVAS), roster=roster)
    assert sorted(path.name for path in course.submitted.iterdir()) == ["al1", "jvn"]
    assert {each.student for each in collect(course, LAB, packed("moodle.zip", MOODLE), roster=roster)} == {
        "al1",
        "María José Ñ",
    }


@pytest.mark.parametrize(
    "text",
    [
        'Identifier,"Full name","Email address",Status\nParticipant 101,"Ada Lovelace",ada@x.org,Submitted\n',
        'Student,ID,"SIS Login ID",Section\n"Lovelace, Ada",1234,ada@x.org,One\n    Points Possible,,,\n',
    ],
)
def test_the_platforms_own_lists_are_rosters(tmp_path, text):
    (tmp_path / "list.csv").write_text("\ufeff" + text)
    [person] = read_roster(tmp_path / "list.csv")
    assert person.student == "ada@x.org" and "Ada" in person.name and person.moodle == "101" or person.canvas == "1234"


def test_a_list_that_names_no_students_is_refused(tmp_path):
    (tmp_path / "list.csv").write_text("colour,size\nred,3\n")
    with pytest.raises(
        UsageError, match=r"no column names the students; expected one of student, .* found colour, size"
    ):
        read_roster(tmp_path / "list.csv")


def test_two_students_of_one_name_are_not_guessed_at(course, packed, tmp_path):
    twins = {f"Ada Lovelace_{number}_assignsubmission_file_/{NAME}": NOTEBOOK for number in (101, 202)}
    collected = collect(course, LAB, packed("class.zip", {**twins, **MOODLE}))
    assert [each.outcome for each in collected] == ["refused", "refused", "new"]
    assert "2 submissions are by 'Ada Lovelace': give the platform's own list" in collected[0].message
    (tmp_path / "roster.csv").write_text("student,moodle\nada-1,101\nada-2,202\n")
    collected = collect(course, LAB, packed("class.zip", twins), roster=tmp_path / "roster.csv")
    assert [(each.student, each.outcome) for each in collected] == [("ada-1", "new"), ("ada-2", "new")]


def link_entry(name: str, mode: int = 0o120777) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("../../escaped.txt", "it leads out of its folder ('..')"),
        ("a/../../../escaped.txt", "it leads out of its folder ('..')"),
        ("/tmp/escaped.txt", "it is absolute"),
        ("C:/escaped.txt", "it is absolute"),
        ("..\\escaped.txt", "it has a backslash"),
        ("a/nul.txt", "'nul.txt' is reserved on Windows"),
        ("ends with dot.", "begins or ends with a space, or ends with a dot"),
        ("turned\u202eslx.exe", "it has an invisible character"),
        ("x" * 256, "it is longer than 255 bytes"),
        ("d/" * 25 + "deep.txt", "folders deep, the limit is 20"),
        ("TINY.ipynb", "it differs from 'tiny.ipynb' only in case or accents"),
        (link_entry("link.txt"), "a link or no plain file"),
        (link_entry("device", 0o060666), "a link or no plain file"),
    ],
)
def test_a_file_that_is_a_trick_is_left_out_and_the_rest_taken(course, packed, tmp_path, entry, says):
    before = sorted(tmp_path.iterdir())
    [one] = collect(course, LAB, packed("ada.zip", [(NAME, NOTEBOOK), (entry, b"/etc/passwd")]))
    assert one.outcome == "new" and taken(course) == [f"ada/tiny/{NAME}"]
    [message] = refused([one]).values()
    assert message.startswith("left out: ") and says in message
    assert sorted(tmp_path.iterdir()) == sorted({*before, tmp_path / "downloads"})
    assert [finding.kind for finding in intake(course, LAB)[0].findings] == ["refused"]


def test_a_refused_file_of_one_student_is_not_blamed_on_the_only_other_one(course, packed):
    bad = f"Student Two_102_assignsubmission_file_/../../{NAME}"
    nobody, one = collect(
        course, LAB, packed("class.zip", {f"Student One_101_assignsubmission_file_/{NAME}": NOTEBOOK, bad: OTHER})
    )
    assert (one.student, one.findings) == ("Student One", ())
    assert nobody.student == "" and list(refused([nobody])) == [bad]


def test_the_same_file_twice_counts_once(course, packed):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = packed("ada.zip", [(NAME, NOTEBOOK), (NAME, OTHER)])
    [one] = collect(course, LAB, path)
    assert "it is in the archive twice" in refused([one])[NAME]
    assert (course.submitted / "ada" / LAB / NAME).read_bytes() == NOTEBOOK


def test_accents_encoded_in_two_ways_are_one_name(course, packed):
    [one] = collect(course, LAB, packed("ada.zip", {NAME: NOTEBOOK, "caf\u00e9.csv": b"1", "cafe\u0301.csv": b"2"}))
    assert one.files == ("caf\u00e9.csv", NAME)
    assert len(one.findings) == 1


def test_an_encrypted_notebook_is_refused(course, packed):
    path = packed("ada.zip", {NAME: NOTEBOOK})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    [one] = collect(course, LAB, path)
    assert one.outcome == "refused" and "it is encrypted; make the archive without a password" in refused([one])[NAME]


def test_an_unusual_compression_is_refused(course, packed):
    [one] = collect(course, LAB, packed("ada.zip", {NAME: NOTEBOOK}, zipfile.ZIP_BZIP2))
    assert one.outcome == "refused" and "compressed with method 12" in refused([one])[NAME]


def bomb_that_lies(data: bytes, claimed: int) -> bytes:
    """An archive whose table of contents says that its largest file is small."""
    changed = bytearray(data)
    place = changed.rindex(b"PK\x01\x02")
    changed[place + 24 : place + 28] = claimed.to_bytes(4, "little")
    return bytes(changed)


def test_an_archive_that_inflates_is_refused_whatever_it_claims(course, packed):
    honest = packed("ada.zip", {NAME: NOTEBOOK, "zeros.bin": bytes(30_000_000)})
    lying = honest.with_name("bob.zip")
    lying.write_bytes(bomb_that_lies(honest.read_bytes(), 1000))
    [first], [second] = collect(course, LAB, honest), collect(course, LAB, lying)
    assert first.outcome == "refused" and "more than 200 times its size in the archive" in first.message
    assert second.outcome == "refused"
    assert taken(course) == []
    assert [(each.student, each.problem.status) for each in intake(course, LAB)] == [
        ("ada", Status.INVALID),
        ("bob", Status.INVALID),
    ]


def test_too_much_is_refused(course, packed, monkeypatch):
    noise = random.Random(0).randbytes(300_000)
    monkeypatch.setattr("autograder.receiving.unpacking._QUOTA", (10, 500_000))
    [one] = collect(course, LAB, packed("ada.zip", {NAME: NOTEBOOK, "a.bin": noise, "b.bin": noise}))
    assert one.outcome == "refused" and "more than 0.5 MB when unpacked" in one.message
    [one] = collect(course, LAB, packed("bob.zip", {NAME: NOTEBOOK, **{f"{n}.txt": b"" for n in range(10)}}))
    assert one.outcome == "refused" and "more than 10 files" in one.message
    monkeypatch.setattr(archives, "MAX_ENTRIES", 5)
    [one] = collect(course, LAB, packed("carl.zip", {NAME: NOTEBOOK, **{f"{n}.txt": b"" for n in range(10)}}))
    assert one.outcome == "refused" and "11 entries, the limit is 5" in one.message
    monkeypatch.setattr(archives, "MAX_DIRECTORY_BYTES", 100)
    [one] = collect(course, LAB, packed("dora.zip", {NAME: NOTEBOOK, "a": b"", "b": b""}))
    assert one.outcome == "refused" and "a table of contents of" in one.message


@pytest.mark.parametrize("damage", [b"no archive", b"", b"PK\x05\x06" + bytes(18)])
def test_one_bad_archive_does_not_stop_the_others(course, packed, tmp_path, damage):
    packed("ada.zip", {NAME: NOTEBOOK})
    packed("carl.zip", {"readme.txt": b"no notebook"})
    (tmp_path / "downloads" / "bob.zip").write_bytes(damage)
    collected = collect(course, LAB, tmp_path / "downloads")
    assert [(each.student, each.outcome) for each in collected] == [
        ("ada", "new"),
        ("bob", "refused"),
        ("carl", "refused"),
    ]
    assert all(each.message for each in collected[1:])
    assert intake(course, LAB)[1].problem.message.startswith("refused when it was collected: ")


def test_a_broken_archive_of_nobody_known_makes_no_student(course, packed, tmp_path):
    path = packed("CS1-tiny-42.zip", {})
    path.write_bytes(b"broken")
    [one] = collect(course, LAB, path)
    assert (one.student, one.outcome) == ("", "refused") and one.message.startswith("CS1-tiny-42.zip: not a zip")
    assert intake(course, LAB) == []
    (tmp_path / "roster.csv").write_text("student\nCS1-tiny-42\n")
    assert collect(course, LAB, path, roster=tmp_path / "roster.csv")[0].student == "CS1-tiny-42"
    assert intake(course, LAB)[0].problem.status is Status.INVALID


def test_a_cut_or_flipped_archive_never_raises(course, packed):
    good = packed("good.zip", {NAME: NOTEBOOK, "a.bin": bytes(range(256)) * 40}).read_bytes()
    chance = random.Random(1)
    path = course.root / "ada.zip"
    for _ in range(150):
        data = bytearray(good[: chance.randrange(len(good))] if chance.random() < 0.3 else good)
        for _ in range(chance.randrange(4)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        for each in collect(course, LAB, path):
            assert each.outcome in ("new", "replaced", "unchanged", "refused")


def test_an_earlier_submission_is_put_aside_and_said_so(course, packed):
    first = datetime(2026, 1, 31, 12, tzinfo=UTC)
    collect(course, LAB, packed("ada.zip", {NAME: NOTEBOOK}), received=first)
    [same] = collect(course, LAB, packed("ada.zip", {NAME: NOTEBOOK}))
    assert (same.outcome, same.received) == ("unchanged", "2026-01-31T12:00:00+00:00")
    [later] = collect(course, LAB, packed("ada.zip", {NAME: OTHER}), received=datetime(2026, 2, 1, 12, tzinfo=UTC))
    assert later.outcome == "replaced"
    assert (Path(later.earlier) / NAME).read_bytes() == NOTEBOOK
    [submission] = intake(course, LAB)
    assert (submission.received, submission.problem) == ("2026-02-01T12:00:00+00:00", None)


def test_a_refused_one_leaves_the_earlier_one_in_place(course, packed):
    path = packed("ada.zip", {NAME: NOTEBOOK})
    collect(course, LAB, path)
    path.write_bytes(b"broken")
    assert collect(course, LAB, path)[0].outcome == "refused"
    [submission] = intake(course, LAB)
    assert submission.problem is None
    assert "an earlier one was graded, the last was refused" in submission.findings[0].message


def test_the_time_of_receipt_is_our_own(course, packed):
    entry = zipfile.ZipInfo(NAME, (1999, 1, 1, 0, 0, 0))
    before = datetime.now(UTC).replace(microsecond=0)
    [one] = collect(course, LAB, packed("ada.zip", {entry: NOTEBOOK, "timestamp.txt": b"1999-01-01 00:00:00 UTC"}))
    assert before <= datetime.fromisoformat(one.received) <= datetime.now(UTC)
    assert intake(course, LAB)[0].received == one.received
    os.utime(course.submitted / "ada" / LAB / NAME, (0, 0))
    assert intake(course, LAB)[0].received == one.received


@pytest.mark.parametrize("student", ["-rf", "a..b", "u+1", "x*", "müller 王", "شيماء", "it's; drop table"])
def test_any_honest_name_is_a_students(course, packed, student):
    [one] = collect(course, LAB, packed(f"{student}.zip", {NAME: NOTEBOOK}))
    assert (one.student, one.outcome) == (student, "new")


@pytest.mark.parametrize("student", [".hidden", "..", "turned\u202eabc", "CON", "ends."])
def test_a_name_that_is_a_trick_is_refused(course, packed, student):
    entries = {f"{student}_101_assignsubmission_file_/{NAME}": NOTEBOOK}
    [one] = collect(course, LAB, packed("class.zip", entries))
    assert one.outcome == "refused" and taken(course) == []


def test_students_that_differ_only_in_case_are_told_apart(course, packed):
    collect(course, LAB, packed("Ada.zip", {NAME: NOTEBOOK}))
    [one] = collect(course, LAB, packed("ada.zip", {NAME: OTHER}))
    assert one.outcome == "refused" and "differs from the student 'Ada' only in case" in one.message


def test_links_in_a_folder_are_not_followed(course, tmp_path):
    folder = tmp_path / "downloads" / "ada"
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(NOTEBOOK)
    (folder / "passwd").symlink_to("/etc/passwd")
    (tmp_path / "downloads" / "bob").symlink_to(course.root / "source" / LAB)
    collected = collect(course, LAB, tmp_path / "downloads")
    assert [each.student for each in collected if each.outcome == "new"] == ["ada"]
    assert taken(course) == [f"ada/tiny/{NAME}"]
    assert set(refused(collected)) == {"ada/passwd", "bob"}


def test_a_link_in_place_of_the_students_folder_is_not_written_through(course, packed, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    course.submitted.mkdir()
    (course.submitted / "ada").symlink_to(tmp_path / "elsewhere")
    [one] = collect(course, LAB, packed("ada.zip", {NAME: NOTEBOOK}))
    assert one.outcome == "refused" and list((tmp_path / "elsewhere").iterdir()) == []


def test_files_of_nobody_are_named(course, tmp_path):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "readme.txt").write_text("hello")
    [one] = collect(course, LAB, tmp_path / "downloads")
    assert (one.student, one.outcome) == ("", "refused") and "does not say whose it is" in one.message


def test_nothing_to_collect_and_an_unknown_lab(course, tmp_path):
    with pytest.raises(UsageError, match="there is nothing to collect"):
        collect(course, LAB, tmp_path / "none.zip")
    with pytest.raises(UsageError, match="unknown lab 'tinny'; did you mean 'tiny'"):
        collect(course, "tinny", tmp_path)


def test_an_archive_inside_a_submission_is_unpacked_once(course, packed):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr(f"work/{NAME}", NOTEBOOK)
    entries = {"Ada_101_assignsubmission_file_/homework.zip": inner.getvalue()}
    collect(course, LAB, packed("class.zip", entries))
    assert taken(course) == [f"Ada/tiny/{NAME}"]
