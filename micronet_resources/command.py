"""The command ``python -m micronet_resources.profile``."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import pkgutil
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import NoReturn

from torch import nn

from micronet_resources.profile import profile_model
from micronet_resources.reporting.comparison import Comparison, compare
from micronet_resources.reporting.views import Views
from micronet_resources.rules import RULES, rule_set
from micronet_resources.scoring import Score, estimate

__all__ = ["main"]

DEFAULT_RULES = "course2025"
DESCRIPTION = """\
Show what a network costs for one example: parameters, multiply-accumulates (MACs), and all multiplications and
additions, layer by layer. With --rules or --task, its MicroNet score too, measured on its weights."""
RULES_AND_TASKS = "\n".join(f"  {name:<12} {', '.join(rules.tasks)}" for name, rules in RULES.items())
EPILOG = f"""\
TARGET is one of
  package.module:factory   a function or class that builds the network without arguments, found from this folder
  path/to/entry.onnx       an entry of the challenge; input shape, rules and task are in the file

rules and their tasks
{RULES_AND_TASKS}

examples
  python -m micronet_resources.profile factorkit.models:small_convnet --task patterns
  python -m micronet_resources.profile factorkit.models:resnet18_cifar --input 3x32x32 --tree
  python -m micronet_resources.profile factorkit.models:resnet18_cifar --task cifar10 --bits 16
  python -m micronet_resources.profile mine:dense --compare mine:separable --input 3x32x32
  python -m micronet_resources.profile entry.onnx --plot cost.svg

exit status
  0, or 2 if an argument is wrong: one line on standard error then says which"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the profile of a network or of an entry.

    Returns
    -------
    int
        Exit status: 0, or 2 if an argument is wrong.
    """
    try:
        return _run(arguments)
    except BrokenPipeError:  # whoever reads the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = _parse(arguments)
        profile, estimated = _profile(options.target, options), None
        if options.bits is not None:
            estimated = _estimate(profile, options)
            profile = dataclasses.replace(profile, rules=None, task=None)  # then nothing is measured
        shown = profile if options.compare is None else compare(profile, _profile(options.compare, options))
        if options.plot is not None:
            _save_plot(shown, options.plot)
    except (ValueError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    if options.json:
        record = shown.to_dict()
        text = json.dumps(record if estimated is None else record | {"score": estimated.to_dict()}, indent=2)
    else:
        text = str(profile.tree() if options.tree else shown)
        score = profile.measured_score if options.tree and estimated is None else estimated
        text += "" if score is None else f"\n\n{score}"
    print(text, flush=True)
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; --help shows examples.")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m micronet_resources.profile",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", metavar="TARGET", help="a network or an entry, see below")
    parser.add_argument(
        "--input",
        metavar="CxHxW",
        action="append",
        help="shape of one example, such as 3x32x32; once for each input. Default: that of the images of the task",
    )
    parser.add_argument("--rules", metavar="NAME", help=f"rule set of the score (default with --task: {DEFAULT_RULES})")
    parser.add_argument("--task", metavar="NAME", help="data set, whose references the score uses")
    parser.add_argument(
        "--bits",
        metavar="N",
        type=int,
        help="print, in place of the measured score, an estimate of what N-bit weights and activations would give",
    )
    parser.add_argument("--compare", metavar="OTHER", help="a second network or entry, shown beside the first")
    looks = parser.add_mutually_exclusive_group()
    looks.add_argument("--tree", action="store_true", help="nested modules with their sums in place of the table")
    looks.add_argument("--json", action="store_true", help="JSON in place of the table")
    parser.add_argument("--plot", metavar="FILE", help="also draw where the cost lies, into an .svg, .png or .pdf file")
    options = parser.parse_args(arguments)
    if options.compare is not None and (options.tree or options.bits is not None):
        raise ValueError(f"--compare shows two networks, {'--tree' if options.tree else '--bits'} one: leave one out.")
    if options.plot is not None:
        _check_plot(options.plot)
    if options.rules is None and options.task is not None:
        options.rules = DEFAULT_RULES
    if options.rules is not None:
        options.task = rule_set(options.rules).task(options.task).data
    return options


def _profile(target: str, options: argparse.Namespace) -> Views:
    if target.lower().endswith(".onnx"):
        profile = _measure_entry(target, options)
    else:
        profile = profile_model(_build(target), _shapes(options), rules=options.rules, task=options.task)
    if options.bits is None and options.rules is not None and isinstance(profile.measured_score, str):
        raise ValueError(profile.measured_score)
    return profile


def _measure_entry(path: str, options: argparse.Namespace) -> Views:
    from micronet_resources import entry

    if options.input:
        raise ValueError(f"{path} says itself what its input is: leave --input out.")
    try:
        return entry.measure(path, rules=options.rules, task=options.task)
    except entry.EntryError as error:
        raise error if os.path.basename(path) in str(error) else ValueError(f"{path}: {error}") from error


def _estimate(profile: Views, options: argparse.Namespace) -> Score:
    rules, task = (profile.rules or DEFAULT_RULES, profile.task)  # of an entry, those in its file
    return estimate(profile, rules, task, weight_bits=options.bits, activation_bits=options.bits)


def _check_plot(path: str) -> None:
    """Refuse before the network is profiled what could not be written afterwards."""
    from matplotlib.backend_bases import FigureCanvasBase

    ending = os.path.splitext(path)[1].removeprefix(".").lower()
    known = FigureCanvasBase.get_supported_filetypes()
    if ending not in known:
        formats = ", ".join(f".{name}" for name in sorted(known))
        what = f"a figure cannot be written as {ending!r}" if ending else "the ending says in which format to write"
        raise ValueError(f"--plot {path}: {what}. Choose one of {formats}.")
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise ValueError(f"--plot {path}: there is no folder {folder}.")


def _save_plot(shown: Views | Comparison, path: str) -> None:
    import matplotlib.pyplot as plt

    costs = shown.costs if isinstance(shown, Comparison) else ("score",) if shown.layer_scores else ()
    figure = shown.plot(by="score" if "score" in costs else "macs").figure
    try:
        figure.savefig(path)
    finally:
        plt.close(figure)


def _shapes(options: argparse.Namespace) -> tuple[int, ...] | tuple[tuple[int, ...], ...]:
    if options.input:
        shapes = tuple(_shape(text) for text in options.input)
        return shapes[0] if len(shapes) == 1 else shapes
    task = None if options.rules is None else rule_set(options.rules).task(options.task)
    if task is None or task.sizes_vary:
        why = "" if task is None else f": images of {task.data} come in many sizes"
        raise ValueError(f"--input is missing{why}. Give the shape of one example, such as --input 3x32x32.")
    return task.input_shape


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.lower().split("x"))
    except ValueError:
        raise ValueError(f"--input {text!r} is no shape: write it as 3x32x32 (channels x height x width).") from None


def _build(path: str) -> nn.Module:
    module_name, colon, factory_name = path.partition(":")
    if not (module_name and colon and factory_name):
        raise ValueError(
            f"{path!r} names neither a network nor an entry: write package.module:factory or the path of an .onnx file."
        )
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        hint = _nearest(module_name, _modules_beside(module_name)) or "run from the folder that contains it."
        raise ValueError(f"cannot import {module_name!r} ({error}): {hint}") from error
    except Exception as error:
        raise ValueError(f"importing {module_name!r} failed with {type(error).__name__}: {error}") from error
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        hint = _nearest(factory_name, [name for name, value in vars(module).items() if callable(value)])
        raise ValueError(f"{module_name} has no function or class called {factory_name!r}{hint and f': {hint}'}")
    try:
        model = factory()
    except TypeError as error:
        raise ValueError(f"{path} must build a network without arguments: {error}.") from error
    except Exception as error:
        raise ValueError(f"{path} failed with {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise ValueError(f"{path} built a {type(model).__name__}: it must return an nn.Module.")
    return model


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _modules_beside(name: str) -> list[str]:
    """Names of the modules in the package that a module should be in, or in this folder."""
    package, dot, _ = name.rpartition(".")
    try:
        folders = importlib.import_module(package).__path__ if package else [os.getcwd()]
    except Exception:  # then the package itself is what cannot be imported
        return []
    return [package + dot + module.name for module in pkgutil.iter_modules(folders)]
