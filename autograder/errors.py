"""The errors that the `autograder` command turns into a message and an exit status."""

__all__ = ["ClusterLost", "CourseError", "StorageError", "UsageError"]


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


class StorageError(CourseError):
    """A disk or a database takes nothing now: no submission can be recorded until someone has mended that."""


class ClusterLost(CourseError):
    """There is nothing left to run notebooks on, whoever's they are: someone has to start workers again."""
