"""``autograder demo``: a whole round with a sample class, from the authored labs to the published site."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from autograder.authoring.release import write_labs
from autograder.commands.entries import EntryPlan, make_entry
from autograder.commands.rounds import grade_with_progress, print_leaderboard, print_round, round_as_json
from autograder.commands.sample_class import Sample, hand_in, sample_class
from autograder.commands.site import build_site, site_is_current
from autograder.course import Course
from autograder.engines import Place
from autograder.errors import CourseError
from autograder.execute import Limits
from autograder.feedback import feedback
from autograder.leaderboard import Leaderboard, write_leaderboards
from autograder.pipeline import Round
from autograder.proofs import load_proofs
from autograder.sandbox.bubblewrap import require_bubblewrap

__all__ = ["run_demo"]

CLASS_LAB = "lab01_convolutions"
CHALLENGE_LAB = "micronet_challenge"
LIMITS = Limits(cell_seconds=30, notebook_seconds=300)


def run_demo(
    course: Course,
    screen: Console,
    aside: Console,
    *,
    fresh: bool = False,
    svg: Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Release the labs, let a sample class hand in, grade it, rank it, give feedback and build the site.

    Parameters
    ----------
    course : Course
        Its root is used; the round lies in ``grading/demo``.
    screen, aside : Console
        For results, and for progress.
    fresh : bool
        Throw away an earlier demo first.
    svg : Path, optional
        Where to save a picture of the graded class.
    quiet : bool
        Print nothing on `screen`.

    Returns
    -------
    dict
        The results as plain JSON data.

    Raises
    ------
    CourseError
        If a lab cannot be built or graded, or the site not be built.
    """
    began = time.monotonic()
    course = Course(course.root, course.root / "grading" / "demo")
    console = Console(quiet=True) if quiet else screen
    if fresh:
        shutil.rmtree(course.grading, ignore_errors=True)
        shutil.rmtree(course.root / "_build" / "demo", ignore_errors=True)
    changed = [file for file in write_labs(course) if file.changed]
    console.print(f"Labs: {len(changed)} files written." if changed else "Labs: up to date.")
    _begin_anew_if_labs_changed(course, console)
    with ThreadPoolExecutor(1) as background:
        site = _start_site(course, background, console)
        entries = _make_entries(course, aside, console)
        hand_in(course, CLASS_LAB, sample_class(load_proofs(_proofs(course, CLASS_LAB))))
        hand_in(course, CHALLENGE_LAB, entries)
        place = _place(console)
        rounds = [grade_with_progress(course, lab, aside, place, limits=LIMITS) for lab in (CLASS_LAB, CHALLENGE_LAB)]
        boards = write_leaderboards(course)
        _print_results(console, course, rounds, boards)
        if svg is not None:
            _save_picture(svg, course, rounds, boards)
        with aside.status("Writing feedback"):
            pages = sum(len(feedback(course, finished.lab)) for finished in rounds)
        with aside.status("Building the site"):
            index = site.result()
    seconds = round(time.monotonic() - began)
    _print_end(console, course, index, pages, seconds)
    return {
        "rounds": [round_as_json(finished) for finished in rounds],
        "leaderboards": [board.to_dict() for board in boards],
        "feedback": str(course.feedback),
        "site": index.as_uri(),
        "seconds": seconds,
    }


def _place(console: Console) -> Place:
    """The sandbox, or none where there is none: the sample class's code is the kit's own."""
    try:
        require_bubblewrap()
    except CourseError as error:
        console.print(f"The sample class is graded without a sandbox: {error}", markup=False, soft_wrap=True)
        return Place("none", trusted=True)
    return Place()


def _begin_anew_if_labs_changed(course: Course, console: Console) -> None:
    """Throw the sample class's grades away if they are of other labs: nbgrader would refuse the new ones."""
    labs = [course.source / lab / f"{lab}.ipynb" for lab in (CLASS_LAB, CHALLENGE_LAB)]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in labs if path.is_file())).hexdigest()
    stamp = course.grading / "labs.sha256"
    if course.grading.is_dir() and not (stamp.is_file() and stamp.read_text() == digest):
        console.print("The labs have changed since the last demo: graded anew.")
        shutil.rmtree(course.grading)
    course.grading.mkdir(parents=True, exist_ok=True)
    stamp.write_text(digest, encoding="utf-8")


def _start_site(course: Course, background: ThreadPoolExecutor, console: Console) -> Future[Path]:
    """Build the site while the class is graded, unless it is there already."""
    current = site_is_current(course)
    if current is None:
        console.print("Site: being built meanwhile, its log is _build/site.log.")
        return background.submit(build_site, course)
    console.print("Site: up to date, reused.")
    done: Future[Path] = Future()
    done.set_result(current)
    return done


def _make_entries(course: Course, aside: Console, console: Console) -> list[Sample]:
    """The challenge's entries, trained once and then kept."""
    lab = load_proofs(_proofs(course, CHALLENGE_LAB))
    plans = _plans(course)
    samples, reused = [], 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=aside, transient=True, disable=not aside.is_terminal) as progress:
        for number, plan in enumerate(plans, 1):
            bar = progress.add_task(f"Training challenge entry {number} of {len(plans)}: {plan.what}", total=1.0)
            sample, was_there = make_entry(
                course, lab, plan, lambda share, bar=bar: progress.update(bar, completed=share)
            )
            progress.update(bar, completed=1.0)
            samples.append(sample)
            reused += was_there
    trained = len(plans) - reused
    console.print(f"Challenge entries: {trained} trained, {reused} reused from an earlier demo.")
    return samples


def _proofs(course: Course, lab: str) -> Path:
    return course.root / "tests" / "labs" / "proofs" / f"{lab}.py"


def _plans(course: Course) -> list[EntryPlan]:
    """The entries that the challenge's proof file describes in ``ENTRIES``: a name and the answers of each."""
    path = _proofs(course, CHALLENGE_LAB)
    spec = spec_from_file_location("challenge_entries", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    entries = getattr(module, "ENTRIES", None)
    if not entries:
        raise CourseError(f"{path}: expected ENTRIES, the demo's entries as name: answers by exercise")
    return [EntryPlan(f"student-{n:03d}", name, answers) for n, (name, answers) in enumerate(entries.items(), 1)]


def _print_results(console: Console, course: Course, rounds: list[Round], boards: list[Leaderboard]) -> None:
    for finished in rounds:
        console.rule(style="dim")
        print_round(console, course, finished)
    for board in boards:
        console.rule(style="dim")
        print_leaderboard(console, board)


def _save_picture(path: Path, course: Course, rounds: list[Round], boards: list[Leaderboard]) -> None:
    """Draw the graded class as it is printed; fonts are the viewer's own, nothing is fetched."""
    drawing = Console(record=True, width=104, file=StringIO(), force_terminal=True, highlight=False)
    graded = rounds[0]
    print_round(drawing, course, replace(graded, results=tuple(replace(r, reused=False) for r in graded.results)))
    for board in boards:
        drawing.print()
        print_leaderboard(drawing, board)
    picture = drawing.export_svg(title=f"autograder grade {CLASS_LAB}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL), encoding="utf-8")


def _print_end(console: Console, course: Course, index: Path, pages: int, seconds: int) -> None:
    folder = course.grading.relative_to(course.root)
    example = f"{folder}/feedback/student-003/{CLASS_LAB}/{CLASS_LAB}.html"
    console.rule(style="dim")
    console.print(f"Done in {seconds // 60} min {seconds % 60} s.", soft_wrap=True)
    console.print(f"  The site       {index.as_uri()}", soft_wrap=True)
    console.print(f"  Feedback       {pages} pages, for example {example}", soft_wrap=True)
    console.print(f"  One student    autograder show {CLASS_LAB} student-006 --grading {folder}", soft_wrap=True)
    console.print("  Open the site  autograder demo --open, or the address above in any browser", soft_wrap=True)
