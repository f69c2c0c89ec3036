"""Entries of the challenge: writing, measuring and running one ONNX file, in a guarded process."""
