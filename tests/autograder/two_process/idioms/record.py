"""What an idiom is, and the given cell that stands above each of them."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

from autograder.jobs import JobCell

__all__ = ["GIVEN", "Idiom", "cells_of", "idiom"]

GIVEN = """\
%matplotlib inline
import ast
import collections
import contextlib
import copy
import inspect
import io
import itertools
import math
import random
import time
import warnings
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from factorkit.checks import hand_over, trusted_copy

torch.manual_seed(0)
points = torch.randn(96, 6)
labels = (points[:, 0] + points[:, 1] > 0).long()


@dataclass
class Setting:
    rank: int = 2
    activation: type = nn.ReLU


class Counted(nn.Module):
    def count(self):
        return sum(p.numel() for p in self.parameters())


class Halver(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 3)

    def forward(self, x):
        return self.line(x) / 2


def stays_in_unit_interval(function):
    return all(0 <= function(t / 8) <= 1 for t in range(9))


def count_by_hooks(model, shape):
    macs, hooks = {}, []

    def note(name):
        def hook(layer, inputs, output):
            each = layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else layer.in_features
            macs[name] = each * output.numel()

        return hook

    for name, layer in model.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            hooks.append(layer.register_forward_hook(note(name)))
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return sum(p.numel() for p in model.parameters()), sum(macs.values())


def accuracy(model, loader):
    training = model.training
    model.eval()
    right = total = 0
    with torch.no_grad():
        for x, y in loader:
            right += (model(x).argmax(1) == y).sum().item()
            total += len(y)
    model.train(training)
    return right / total


def train(model, loader, epochs, lr):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses
"""


@dataclass(frozen=True)
class Idiom:
    """One ordinary way to write a test, with an answer that it accepts and one that it does not.

    Attributes
    ----------
    name : str
    right, wrong : str
        What a student might write.
    test : str
        The test cell.
    given : str
        A locked cell above the answer, besides `GIVEN`.
    earlier : str
        A test cell between the answer and the test.
    points : float
    refused : str
        Empty where the two processes give the scores that one gives. Otherwise what the refusal must say: the words of
        the way to write it that works.
    """

    name: str
    right: str
    wrong: str
    test: str
    given: str = ""
    earlier: str = ""
    points: float = 1.0
    refused: str = ""


def idiom(name: str, *, right: str, wrong: str, test: str, given: str = "", earlier: str = "", **options) -> Idiom:
    """An idiom, from indented texts."""
    texts = [dedent(text).strip("\n") for text in (right, wrong, test, given, earlier)]
    return Idiom(name, *texts, **options)


def cells_of(idioms: list[Idiom], which: str) -> tuple[JobCell, ...]:
    """A notebook of these idioms, all with their ``right`` or all with their ``wrong`` answer."""
    cells = [JobCell(0, "given", "locked", GIVEN)]

    def add(name: str, kind: str, source: str, **options) -> None:
        if source:
            cells.append(JobCell(len(cells), name, kind, source, **options))

    for each in idioms:
        add(f"given_{each.name}", "locked", each.given)
        add(f"answer_{each.name}", "solution", getattr(each, which), reference=each.right)
        add(f"earlier_{each.name}", "test", each.earlier, points=1.0)
        add(each.name, "test", each.test, points=each.points)
    return tuple(cells)
