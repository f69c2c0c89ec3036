"""The commands of the `autograder` program, and what they print."""
