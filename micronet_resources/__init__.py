"""The MicroNet challenge of the course: profiler, rule sets, score and entries.

Import from the modules:

- :mod:`micronet_resources.profile` counts a model, scores it and compares two;
- :mod:`micronet_resources.entry` writes, measures and runs an entry, one ONNX file;
- :mod:`micronet_resources.rules` and :mod:`~micronet_resources.scoring` hold the rule sets and their arithmetic;
- :mod:`micronet_resources.challenge` turns an entry into points.

Between them go the records of :mod:`~micronet_resources.operations`, :mod:`~micronet_resources.encoding` and
:mod:`~micronet_resources.inventory`. The packages inside serve these modules: ``counting`` follows a forward pass,
``onnx_graph`` reads a file, ``encodings`` finds grids in weights, ``rulebook`` has the rules as data, ``reporting`` the
views, ``entries`` the guarded process.

Never put this folder itself on ``sys.path``: its ``profile.py`` would hide the standard library's, which torch needs.
"""
