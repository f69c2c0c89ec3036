"""What the errata of the lecture on low-rank decomposition say beyond "the number differs"."""

from __future__ import annotations

import pytest
import torch

from factorkit.decompositions.power_iteration import power_iteration_svd
from factorkit.decompositions.svd import truncated_svd

from . import lecture_numbers
from .lecture_numbers import MATRIX, RATINGS, SIGMA, V_T, B, U, exact, printed_product


def test_the_printed_rank_2_matrix_is_the_product_of_three_components():
    assert (B - printed_product(3)).abs().max() < 0.01 < 0.3 < (B - printed_product(2)).abs().max()
    values = torch.linalg.svdvals(B)
    assert [round(float(value), 2) for value in values[:3]] == [12.22, 9.36, 1.26]
    assert values[2] > 5 * 0.005 * RATINGS.numel() ** 0.5  # 0.005 is what rounding can change in an entry


def test_it_lies_on_the_other_side_of_the_best_matrix_of_rank_2():
    """Its third component has the wrong sign, so its distance is about 2 σ₃ instead of σ₃."""
    best = truncated_svd(RATINGS, 2)
    error = float((RATINGS - best.reconstruct()).norm())
    assert error == pytest.approx(1.3456, abs=1e-4)
    assert float((RATINGS - B).norm()) == pytest.approx(2.632, abs=1e-3)
    assert 1.9 < float((RATINGS - B).norm()) / error < 2
    left, _, right = exact()
    across = float(left[:, 2] @ (B - best.reconstruct()) @ right[2])
    assert across == pytest.approx(-1.26, abs=0.02)


def test_with_the_signs_of_the_third_row_reversed_the_printed_factors_are_right():
    assert 1.46 < (printed_product(3) - RATINGS).abs().max() < 1.48
    turned = V_T * torch.tensor([1.0, 1.0, -1.0], dtype=V_T.dtype)[:, None]
    assert ((U * SIGMA) @ turned - RATINGS).abs().max() < 0.2
    assert (turned - exact()[2]).abs().max() < 0.01


def test_power_iteration_finds_the_lectures_singular_values():
    found = power_iteration_svd(RATINGS, 3)
    torch.testing.assert_close(found.singular_values, exact()[1], rtol=1e-6, atol=0)
    assert found.relative_error < 1e-6


def test_the_negative_eigenvalue_of_the_lectures_matrix_turns_its_vector_around_at_every_step():
    """So "stop when consecutive x show little change" never stops on M*, and does on the square of M*."""
    rest = lecture_numbers.exact_deflated()
    first = rest @ lecture_numbers.START
    second = rest @ (first / first.norm())
    torch.testing.assert_close(second / second.norm(), -first / first.norm())
    assert float(power_iteration_svd(MATRIX, 2).singular_values[1]) == pytest.approx(5**0.5 - 2)


def test_a_rayleigh_quotient_forgives_the_length_of_x():
    x = lecture_numbers.PRINTED_X
    quotient = float(x @ MATRIX @ x / (x @ x))
    assert quotient == pytest.approx(2 + 5**0.5, abs=1e-4)
    assert float(x @ MATRIX @ x) / quotient == pytest.approx(1.0034)


def test_rank_selection_spends_the_same_on_other_layers():
    for times in ("2", "2.4", "3", "4", "5"):
        (plain, worse), (chosen, better) = (lecture_numbers.RANKS[times, choice] for choice in ("no", "yes"))
        speed_ups = [float(lecture_numbers.response_speed_up(ranks)) for ranks in (plain, chosen)]
        assert speed_ups[0] == pytest.approx(speed_ups[1], rel=0.01)
        assert better < worse and chosen[0] < plain[0] and max(chosen[2:]) > plain[2]
