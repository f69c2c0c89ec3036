"""Tests that run where the student's code is not.

The student's process (A) answers requests; the grader's process (B) runs the test cells and does every comparison, on
values of exact types that it has built itself. What A says is an answer, never a verdict.

- :mod:`~autograder.two_process.wire`: frames, and limits that are checked before memory is taken;
- :mod:`~autograder.two_process.values`: the closed set of types that cross by value;
- :mod:`~autograder.two_process.student`: A, a snapshot of the student's process that serves one test;
- :mod:`~autograder.two_process.session`, :mod:`~autograder.two_process.proxies`: B's side of one test;
- :mod:`~autograder.two_process.plan`, :mod:`~autograder.two_process.needs`: which name is whose and which one a cell
  takes from others, from the instructor's text alone;
- :mod:`~autograder.two_process.compiled`: the instructor's cells as B runs them, compiled once for a class;
- :mod:`~autograder.two_process.checks`: B's main function;
- :mod:`~autograder.two_process.local`: a whole notebook on this machine, without a sandbox.
"""
