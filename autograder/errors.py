"""The two errors that the `autograder` command turns into a message and an exit status."""

__all__ = ["CourseError", "UsageError"]


class UsageError(Exception):
    """What was asked for cannot be done: an unknown lab, no course here. The command ends with status 2.

    The message names the value, the rule and the remedy; it is shown as it stands, without a traceback.
    """

    exit_status = 2


class CourseError(Exception):
    """Something in the course is wrong: a lab source with a duplicate id, say. The command ends with status 1.

    The message names the file (with a line where there is one), what is wrong and the remedy.
    """

    exit_status = 1
