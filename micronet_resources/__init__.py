"""The MicroNet challenge of the course: profiler, rule sets, score and grading of entries.

Import from the modules: :mod:`micronet_resources.profile`, :mod:`~micronet_resources.rules` and
:mod:`~micronet_resources.challenge`. Never put this folder itself on ``sys.path``: its ``profile.py`` would hide the
standard library's, which torch needs.
"""
