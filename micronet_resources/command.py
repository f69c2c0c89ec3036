"""The command ``python -m micronet_resources.profile``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence

from torch import nn

from micronet_resources.profile import profile_model, score
from micronet_resources.rules import RULES

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the profile and the score of a network.

    Returns
    -------
    int
        Exit status: 0, or 2 if an argument is wrong.
    """
    parser = argparse.ArgumentParser(
        prog="python -m micronet_resources.profile",
        description="Count parameters and multiply-accumulates of a network and score it under the MicroNet rules.",
        epilog="Example: python -m micronet_resources.profile factorkit.models:resnet18_cifar --input 3x32x32",
    )
    parser.add_argument("factory", metavar="PACKAGE.MODULE:FACTORY", help="a function or class that builds the network")
    parser.add_argument("--input", required=True, metavar="CxHxW", help="shape of one example, such as 3x32x32")
    parser.add_argument("--bits", type=int, default=32, help="width of weights and activations (default: 32)")
    parser.add_argument("--rules", default="course2025", help=f"rule set: {', '.join(RULES)} (default: course2025)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args(arguments)
    try:
        profile = profile_model(_build(options.factory), _shape(options.input))
        result = score(profile, options.rules, weight_bits=options.bits, activation_bits=options.bits)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        layers = profile.to_frame().to_dict(orient="records")
        costs = {"model": profile.model, "input_shape": profile.input_shape}
        costs |= {"params": profile.params, "macs": profile.macs, "buffers": profile.buffers}
        terms = {"parameter_term": result.parameter_term, "operation_term": result.operation_term}
        scored = {"rules": options.rules, "bits": options.bits, "score": float(result), **terms}
        print(json.dumps({**costs, **scored, "layers": layers, "notes": profile.notes}, indent=2))
    else:
        print(profile, result, sep="\n\n")
    return 0


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.lower().split("x"))
    except ValueError:
        raise ValueError(f"--input {text!r} is no shape: write it as 3x32x32 (channels x height x width).") from None


def _build(path: str) -> nn.Module:
    module_name, colon, factory_name = path.partition(":")
    if not (module_name and colon and factory_name):
        raise ValueError(f"{path!r} does not name a network: write package.module:factory.")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"cannot import {module_name!r} ({error}): run from the folder that contains it.") from error
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise ValueError(f"{module_name} has no function or class called {factory_name!r}.")
    try:
        model = factory()
    except TypeError as error:
        raise ValueError(f"{path} must build a network without arguments: {error}.") from error
    if not isinstance(model, nn.Module):
        raise ValueError(f"{path} built a {type(model).__name__}: it must return an nn.Module.")
    return model
