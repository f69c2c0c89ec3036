"""nbgrader's configuration: this folder is the course.

`autograder` reads this file too, and puts the folders of the round being graded in place of those named here.
"""

import os
import sys
from pathlib import Path

from autograder.authoring.release import RELEASE_PREPROCESSORS

c = get_config()  # noqa: F821 - nbgrader provides it
root = Path(__file__).resolve().parent
(root / "grading").mkdir(exist_ok=True)  # SQLite makes no folder

# nbgrader starts `alembic` by name: let it be found although the virtual environment is not activated.
scripts = str(Path(sys.executable).parent)
if scripts not in os.environ["PATH"].split(os.pathsep):
    os.environ["PATH"] = os.pathsep.join([scripts, os.environ["PATH"]])

c.CourseDirectory.course_id = "factorkit"
c.CourseDirectory.root = str(root)
c.CourseDirectory.source_directory = "_build/source"
c.CourseDirectory.release_directory = "labs"
c.CourseDirectory.submitted_directory = "grading/submitted"
c.CourseDirectory.autograded_directory = "grading/autograded"
c.CourseDirectory.feedback_directory = "grading/feedback"
c.CourseDirectory.db_url = f"sqlite:///{root / 'grading' / 'gradebook.db'}"

# Stubs come from the lab source: ### BEGIN SOLUTION stub="Exercise 1: return ..."
c.GenerateAssignment.preprocessors = RELEASE_PREPROCESSORS

# A deleted test cell comes back; a cell tagged to be skipped is executed all the same.
c.OverwriteCells.add_missing_cells = True
c.ExecutePreprocessor.skip_cells_with_tag = ""
c.ExecutePreprocessor.timeout = 60
c.ExecutePreprocessor.shutdown_kernel = "immediate"
