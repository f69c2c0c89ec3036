# ---
# jupyter:
#   kernelspec: {display_name: Python 3 (ipykernel), language: python, name: python3}
#   lab:
#     title: "Layers: a lab to test the cheats with"
#     minutes: 6
#     points: 5
# ---

# %% given="setup"
import torch
from torch import nn


def twice_side(layer: nn.Module, side: int) -> float:
    """Given code that uses an exercise of later."""
    return 2 * float(halved(torch.tensor([float(side)])))


# %% [markdown]
# ## Exercise 1: a layer (2 points, 3 minutes)


# %% exercise="shift"
class Shift(nn.Module):
    """Adds a number to its input."""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ### BEGIN SOLUTION stub="Exercise 1: return x plus the amount"
        return x + self.amount
        ### END SOLUTION


# %% check="shift" points=2
got = Shift(2.0)(torch.tensor([1.0, 3.0]))
torch.testing.assert_close(got, torch.tensor([3.0, 5.0]))
### BEGIN HIDDEN TESTS
hidden_input = torch.rand(3, 2, generator=torch.Generator().manual_seed(0))
hidden_expected = hidden_input - 1.5
torch.testing.assert_close(Shift(-1.5)(hidden_input.clone()), hidden_expected)
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 2: a function and one that uses it (3 points, 3 minutes)


# %% exercise="halved"
def halved(x: torch.Tensor) -> torch.Tensor:
    """Half of every element."""
    ### BEGIN SOLUTION stub="Exercise 2: return half of x"
    return x / 2
    ### END SOLUTION


# %% check="halved" points=1
torch.testing.assert_close(halved(torch.tensor([4.0])), torch.tensor([2.0]))
### BEGIN HIDDEN TESTS
torch.testing.assert_close(halved(torch.tensor([[6.0, 1.0]])), torch.tensor([[3.0, 0.5]]))
### END HIDDEN TESTS

# %% exercise="sides"
### BEGIN SOLUTION stub="Exercise 2: set sides to the numbers 1 to 3"
sides = [1, 2, 3]
### END SOLUTION

# %% check="sides" points=2
got = [twice_side(Shift(0.0), side) for side in sides]
assert isinstance(sides, list), f"expected a list, got {sides!r}"
assert got == [1.0, 2.0, 3.0], f"expected 1.0, 2.0, 3.0, got {got}"
### BEGIN HIDDEN TESTS
assert sorted(sides) == [1, 2, 3], "expected the sides 1, 2, 3"
### END HIDDEN TESTS
