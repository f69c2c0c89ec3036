# ---
# jupyter:
#   kernelspec: {display_name: Python 3 (ipykernel), language: python, name: python3}
#   lab:
#     title: "Rectangles: a lab to test the tools with"
#     minutes: 12
#     points: 7
#     not_imported: [wave]
# ---

# %% [markdown]
# # Rectangles
#
# A small lab. It shows every kind of cell.

# %% given="setup"
import numpy as np

from factorkit.checks import not_imported

UNIT = "cm"

# %% [markdown]
# ## Exercise 1: the area of a rectangle (2 points, 3 minutes)
#
# Fill the marked line.


# %% exercise="area"
def area(height: float, width: float) -> float:
    """Area of a rectangle."""
    ### BEGIN SOLUTION stub="Exercise 1: return the area, height times width"
    surface = height * width
    return surface
    ### END SOLUTION


# %% check="area" points=2
not_imported("wave")
got = area(2, 3)
assert got == 6, f"expected 2 * 3 = 6, got {got}"
### BEGIN HIDDEN TESTS
for hidden_height, hidden_width in [(1, 1), (7, 0.5), (0, 4)]:
    assert area(hidden_height, hidden_width) == hidden_height * hidden_width, "wrong for another rectangle"
### END HIDDEN TESTS

# %%
print(f"{area(4, 5)} square {UNIT}")

# %% [markdown]
# ## Exercise 2: the areas of many (3 points, 4 minutes)


# %% exercise="areas"
def areas(sides: np.ndarray) -> np.ndarray:
    """Areas of N rectangles, from their sides, N x 2."""
    ### BEGIN SOLUTION stub="Exercise 2: return the N areas, shape (N,)"
    products = sides.prod(axis=1)
    return products
    ### END SOLUTION


# %% check="areas" points=3
sides = np.array([[1.0, 2.0], [3.0, 4.0]])
expected = np.array([2.0, 12.0])
got = areas(sides.copy())
np.testing.assert_allclose(got, expected, strict=True, err_msg="areas of 1 x 2 and 3 x 4")
credit = 1.0
### BEGIN HIDDEN TESTS
hidden_sides = np.random.default_rng(0).uniform(1, 2, (5, 2))
hidden_expected = hidden_sides[:, 0] * hidden_sides[:, 1]
hidden_got = areas(hidden_sides.copy())
if hidden_got.shape == (5,) and np.allclose(hidden_got, hidden_expected):
    credit += 2.0
### END HIDDEN TESTS
float(credit)

# %% [markdown]
# ## Exercise 3: when do areas mislead? (2 points, 5 minutes)
#
# Say in one sentence when two rectangles of the same area differ.

# %% [markdown] written="mislead" points=2
# ### BEGIN SOLUTION
# They differ when their perimeters differ: 1 x 4 and 2 x 2.
# ### END SOLUTION
# ### BEGIN MARK SCHEME
# - 2 points: names the perimeter, with an example
# - 1 point: names the perimeter
# - 0 points: anything else
# ### END MARK SCHEME
