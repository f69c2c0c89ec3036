"""The grading engine of factorkit and the `autograder` command."""
