"""Running other people's code: warm servers, a process of its own for each notebook, and limits for all of them.

- :mod:`~autograder.sandbox.limits`: what a child may use, and who holds it to that;
- :mod:`~autograder.sandbox.cgroups`, :mod:`~autograder.sandbox.watchdog`: the two ways of doing so;
- :mod:`~autograder.sandbox.bubblewrap`: what a server sees of this machine;
- :mod:`~autograder.sandbox.client`, :mod:`~autograder.sandbox.server_process`, :mod:`~autograder.sandbox.children`: a
  warm server, its processes and their children, from outside;
- :mod:`~autograder.sandbox.server`, :mod:`~autograder.sandbox.child`: the same from inside;
- :mod:`~autograder.sandbox.families`, :mod:`~autograder.sandbox.warm_up`, :mod:`~autograder.sandbox.huge_pages`: what a
  server does before it forks, so that each child has less to do;
- :mod:`~autograder.sandbox.namespaces`, :mod:`~autograder.sandbox.seccomp`: what a child gives up before it runs;
- :mod:`~autograder.sandbox.notebook`, :mod:`~autograder.sandbox.shell`, :mod:`~autograder.sandbox.capture`: the
  student's process: runs the cells, keeps what they show, forks a snapshot for each test;
- :mod:`~autograder.sandbox.engine`, :mod:`~autograder.sandbox.jobs`: both processes of a notebook, started and watched;
- :mod:`~autograder.sandbox.verdict`, :mod:`~autograder.sandbox.results`: what came of it, checked;
- :mod:`~autograder.sandbox.kernel`: a real Jupyter kernel, for notebooks that need one.
"""
