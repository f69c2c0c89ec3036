import math

import numpy as np
import pytest
import torch

from autograder.authoring.cheats import CHEATS, EqualsEverything, cheated, fit_cheats
from autograder.authoring.names import names_in, targets


def doubled(values):
    return values * 2


def test_cheats_on_a_function():
    values = torch.tensor([1.0, 2.0])
    assert cheated("none", doubled)(values) is None
    assert math.isnan(cheated("nan", doubled)(values))
    assert torch.isnan(cheated("nan-like", doubled)(values)).tolist() == [True, True]
    assert cheated("empty-list", doubled)(values) == []
    assert cheated("empty-array", doubled)(values).shape == cheated("empty-tensor", doubled)(values).shape == (0,)
    assert cheated("first-input", doubled)(values=values) is values
    assert isinstance(cheated("equals-everything", doubled)(values), EqualsEverything)
    with pytest.raises(ValueError, match="no answer"):
        cheated("raise", doubled)(values)
    assert values.tolist() == [1.0, 2.0]
    assert cheated("none", doubled).__name__ == "doubled"


def test_zeros_of_the_result_s_shape_after_zeroing_the_inputs():
    tensor, array, numbers = torch.ones(2, requires_grad=True), np.ones(3, dtype=int), [1, 2]
    result = cheated("zeros", lambda *inputs: {"a": inputs[1] + 1, "b": (inputs[0], 4)})(tensor, array, numbers)
    assert result["a"].tolist() == [0, 0, 0] and result["b"][0].tolist() == [0.0, 0.0] and result["b"][1] == 0
    assert tensor.tolist() == [0.0, 0.0] and array.tolist() == [0, 0, 0] and numbers == [0, 0]


def test_cheats_on_a_module_keep_everything_but_forward():
    class Double(torch.nn.Linear):
        def forward(self, x):
            return 2 * x

    layer = cheated("first-input", Double)(2, 3)
    x = torch.ones(2)
    assert layer(x) is x and layer.weight.shape == (3, 2)


def test_cheats_on_a_value():
    assert cheated("none", [1.0]) is None
    assert np.isnan(cheated("nan-like", [1.0])[0])


def test_every_cheat_is_one_that_some_careless_test_rewards():
    """Each of these tests is passed by the cheat named: the cheats do bite."""
    careless = {
        "none": lambda f: f(1) != 3,
        "nan": lambda f: not abs(f(1) - 2) > 1e-6,
        "nan-like": lambda f: not (abs(f(torch.ones(2)) - 2) > 1e-6).any(),
        "empty-list": lambda f: all(a == b for a, b in zip(f([1]), [2, 2], strict=False)),
        "empty-array": lambda f: np.allclose(f(np.ones(2)), 2),
        "empty-tensor": lambda f: bool((f(torch.ones(2)) == 2).all()),
        "first-input": lambda f: f(torch.ones(2)).shape == (2,),
        "zeros": lambda f: (lambda x: bool((f(x) == 2 * x).all()))(torch.ones(2)),
        "equals-everything": lambda f: f(1) == 2 and abs(f(1) - 2) < 1e-6 and f(1).shape == (2,),
        "raise": lambda f: isinstance(pytest.raises(ValueError, f, None), pytest.ExceptionInfo),
    }
    assert careless.keys() == CHEATS.keys()
    for name, test in careless.items():
        assert test(cheated(name, doubled)), name


def test_targets_of_an_exercise():
    code = "def f(x): ...\ndef g(): ...\nclass A(nn.Module): ...\nclass B:\n    def run(self): ...\nc, d = 1, 2\n"
    found, left_out = targets(code)
    kinds = {"f": "function", "g": "function without inputs", "A": "module", "c": "value", "d": "value"}
    assert found == kinds
    assert left_out == {"B": "class B has no forward"}


def test_cheats_fit_functions_before_values():
    assert fit_cheats("SIZE = 2\ndef f(x): ...").targets == ("f",)
    assert fit_cheats("class B: ...").left_out == {"B": "class B has no forward"}
    assert fit_cheats("print(1)").left_out == {"all": "the exercise defines nothing by name"}
    assert "first-input" not in fit_cheats("def g(): ...").cheats


def test_names_in_code():
    names = names_in("for i in range(3):\n    total = f(i)\ndef g(x): return h(x)\n")
    assert names.defined == {"i", "total", "g"}
    assert names.used == {"range", "f", "i", "h", "x"}
