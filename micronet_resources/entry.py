"""Entries of the challenge: one ONNX file that is written, measured and evaluated.

::

    from micronet_resources import entry
    entry.export(model, "entry.onnx", task="patterns")
    entry.measure("entry.onnx")
    entry.evaluate("entry.onnx", data.normalize(data.test_images), data.test_labels)

An entry is data: a graph of standard operators and the weights. It is never unpickled or executed as Python, and it is
read and run in a process of its own, with limits on time, memory and files. Every refusal is an :class:`EntryError`
that says what was found, which rule it breaks and what to do.
"""

from micronet_resources.entries.exporting import export
from micronet_resources.entries.measuring import Evaluation, evaluate, measure
from micronet_resources.entries.records import EntryProfile
from micronet_resources.onnx_graph.errors import EntryError
from micronet_resources.onnx_graph.limits import Limits

__all__ = ["EntryError", "EntryProfile", "Evaluation", "Limits", "evaluate", "export", "measure"]
