"""The grading engine of factorkit and the `autograder` command.

A round goes one way, each stage a module with one public function: :mod:`~autograder.intake`,
:mod:`~autograder.normalise`, :mod:`~autograder.execute` (which checks too: tests run in a process of their own) and
:mod:`~autograder.record`, then :mod:`~autograder.feedback`, :mod:`~autograder.exports`, :mod:`~autograder.leaderboard`
and :mod:`~autograder.report`. :mod:`~autograder.pipeline` puts them together. What they stand on:

- :mod:`~autograder.authoring`: lab sources, their release, their lint, the runs that prove their tests;
- :mod:`~autograder.receiving`: archives, names and files from strangers;
- :mod:`~autograder.sandbox`, :mod:`~autograder.two_process`: other people's code, and tests that run where it is not;
- :mod:`~autograder.clusters`: the same on many machines;
- :mod:`~autograder.recording`: the gradebook, the event log, what a killed round had run;
- :mod:`~autograder.pages`: what students and instructors read;
- :mod:`~autograder.commands`: what the `autograder` program does and prints.
"""
