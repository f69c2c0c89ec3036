"""Sparse codes and learned dictionaries: the solvers against scikit-learn, and what their formulas promise."""

import pytest
import torch
from sklearn.decomposition import sparse_encode
from torch.nn import functional as F

from factorkit.dictionary import dct_dictionary, fista, ista, learn_dictionary, omp

GENERATOR = torch.Generator().manual_seed(7)
ATOMS = F.normalize(torch.randn(24, 12, generator=GENERATOR), dim=1)
SIGNALS = torch.randn(300, 12, generator=GENERATOR)


def relative(difference: torch.Tensor, reference: torch.Tensor) -> float:
    return (torch.linalg.norm(difference) / torch.linalg.norm(reference)).item()


def sums_of(atoms: torch.Tensor, count: int, nonzeros: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Signals that are sums of a few atoms, and their codes."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.rand(count, len(atoms), generator=generator).argsort(dim=1)[:, :nonzeros]
    values = torch.randn(count, nonzeros, generator=generator)
    codes = torch.zeros(count, len(atoms)).scatter_(1, chosen, values + values.sign())
    return codes @ atoms, codes


class TestDCT:
    @pytest.mark.parametrize(("size", "frequencies"), [(2, 2), (3, 5), (8, 8), (8, 16), (12, 16)])
    def test_atoms_are_separable_of_norm_one_and_only_the_first_has_a_mean(self, size, frequencies):
        atoms = dct_dictionary(size, frequencies)
        assert atoms.shape == (frequencies**2, size**2)
        assert torch.allclose(torch.linalg.vector_norm(atoms, dim=1), torch.ones(frequencies**2))
        assert torch.allclose(atoms[0], torch.full((size**2,), 1 / size))
        assert atoms[1:].sum(dim=1).abs().max() < 1e-5
        ranks = torch.linalg.matrix_rank(atoms.unflatten(1, (size, size)), atol=1e-4)
        assert (ranks == 1).all()
        assert torch.linalg.matrix_rank(atoms) == size**2

    def test_the_order_is_frequency_down_then_across(self):
        atom = dct_dictionary(4, 6)[1].reshape(4, 4)
        assert torch.allclose(atom, atom[:1].expand(4, 4)) and atom[0].diff().abs().min() > 0.01

    def test_too_few_frequencies(self):
        with pytest.raises(ValueError, match="8"):
            dct_dictionary(8, 7)


class TestShrinkage:
    def test_ista_never_rises_and_fista_comes_further(self):
        slow, fast = (solve(SIGNALS, ATOMS, 0.3, iterations=60) for solve in (ista, fista))
        assert len(slow.objectives) == 61
        assert all(b <= a * (1 + 1e-6) for a, b in zip(slow.objectives, slow.objectives[1:], strict=False))
        assert fast.objectives[-1] < slow.objectives[-1]

    @pytest.mark.parametrize("penalty", [0.05, 0.4])
    def test_fista_reaches_the_minimum_of_scikit_learns_lasso(self, penalty):
        ours = fista(SIGNALS, ATOMS, penalty, iterations=1000)
        theirs = torch.from_numpy(
            sparse_encode(SIGNALS.numpy(), ATOMS.numpy(), algorithm="lasso_lars", alpha=penalty)
        ).float()
        fit = (SIGNALS - theirs @ ATOMS).square().sum(dim=1) / 2
        objective = (fit + penalty * theirs.abs().sum(dim=1)).mean().item()
        assert ours.objectives[-1] == pytest.approx(objective, rel=1e-5)
        assert relative(ours.codes - theirs, theirs) < 0.01

    def test_the_first_objective_is_that_of_zero_codes(self):
        expected = SIGNALS.square().sum(dim=1).mean().item() / 2
        assert ista(SIGNALS, ATOMS, 0.3, iterations=1).objectives[0] == pytest.approx(expected)

    def test_a_penalty_above_every_correlation_gives_zeros_and_none_gives_the_signals(self):
        largest = (SIGNALS @ ATOMS.T).abs().max().item()
        assert ista(SIGNALS, ATOMS, largest * 1.001).nonzeros == 0
        exact = fista(SIGNALS, ATOMS, 0, iterations=2000)
        assert relative(exact.reconstruct() - SIGNALS, SIGNALS) < 1e-3

    def test_codes_of_a_larger_penalty_are_sparser(self):
        counts = [fista(SIGNALS, ATOMS, penalty).nonzeros for penalty in (0.1, 0.5, 1.0)]
        assert counts[0] > counts[1] > counts[2] > 0
        assert f"{counts[1]:.1f} of 24 atoms" in repr(fista(SIGNALS, ATOMS, 0.5))

    def test_atoms_of_any_norm_will_do(self):
        scaled = ista(SIGNALS, 3 * ATOMS, 0.3, iterations=60).objectives
        assert all(b <= a * (1 + 1e-6) for a, b in zip(scaled, scaled[1:], strict=False))

    @pytest.mark.parametrize("penalty", [-0.1, float("nan"), float("inf")])
    def test_impossible_penalties(self, penalty):
        with pytest.raises(ValueError, match="penalty"):
            ista(SIGNALS, ATOMS, penalty)

    def test_a_dictionary_of_zeros(self):
        with pytest.raises(ValueError, match="zero everywhere"):
            ista(torch.ones(2, 3), torch.zeros(4, 3), 0.1)


class TestPursuit:
    @pytest.mark.parametrize("nonzeros", [1, 2, 5, 9])
    def test_the_codes_are_scikit_learns(self, nonzeros):
        theirs = torch.from_numpy(
            sparse_encode(SIGNALS.numpy(), ATOMS.numpy(), algorithm="omp", n_nonzero_coefs=nonzeros)
        )
        assert torch.allclose(omp(SIGNALS, ATOMS, nonzeros), theirs.float(), atol=1e-3)

    def test_more_signals_than_are_coded_at_once(self):
        many = SIGNALS.repeat(8, 1)
        assert torch.allclose(omp(many, ATOMS, 3), omp(SIGNALS, ATOMS, 3).repeat(8, 1), atol=1e-5)

    def test_the_residual_is_orthogonal_to_the_chosen_atoms(self):
        codes = omp(SIGNALS, ATOMS, 4)
        correlations = (SIGNALS - codes @ ATOMS) @ ATOMS.T
        assert correlations[codes != 0].abs().max() < 1e-4
        assert (codes.count_nonzero(dim=1) == 4).all()

    def test_sums_of_few_atoms_of_an_orthonormal_basis_are_found(self):
        basis = dct_dictionary(4, 4)
        signals, codes = sums_of(basis, 100, 3, seed=0)
        assert torch.allclose(omp(signals, basis, 3), codes, atol=1e-5)

    def test_the_tolerance_stops_each_signal_at_the_first_atom_that_meets_it(self):
        tolerance = 0.2
        codes = omp(SIGNALS, ATOMS, 12, tolerance=tolerance)
        left = (SIGNALS - codes @ ATOMS).square().mean(dim=1)
        assert (left <= tolerance + 1e-5).all()
        counts = codes.count_nonzero(dim=1)
        assert len(counts.unique()) > 3
        for number in counts.unique().tolist():
            if number:
                rows = counts == number
                assert torch.allclose(codes[rows], omp(SIGNALS[rows], ATOMS, number), atol=1e-4)
                fewer = omp(SIGNALS[rows], ATOMS, number - 1) if number > 1 else torch.zeros_like(codes[rows])
                assert ((SIGNALS[rows] - fewer @ ATOMS).square().mean(dim=1) > tolerance).all()

    def test_a_signal_that_is_small_from_the_start_takes_no_atom(self):
        assert omp(SIGNALS * 1e-3, ATOMS, 3, tolerance=0.1).count_nonzero() == 0
        assert omp(torch.zeros(2, 12), ATOMS, 3).tolist() == torch.zeros(2, 24).tolist()

    def test_missing_entries_do_not_matter(self):
        known = torch.rand(SIGNALS.shape, generator=torch.Generator().manual_seed(1)) < 0.7
        codes = omp(SIGNALS, ATOMS, 2, known=known)
        assert torch.equal(codes, omp(torch.where(known, SIGNALS, 1e3), ATOMS, 2, known=known))
        for row in range(10):  # coded alone, without the missing entries
            seen = known[row]
            shorter = ATOMS[:, seen]
            norms = torch.linalg.vector_norm(shorter, dim=1)
            alone = omp(SIGNALS[row : row + 1, seen], shorter / norms[:, None], 2) / norms
            assert torch.allclose(codes[row : row + 1], alone, atol=1e-4)

    def test_a_dictionary_with_a_repeated_atom_gives_finite_codes(self):
        doubled = torch.cat([ATOMS[:6], ATOMS[:6]])
        codes = omp(SIGNALS, doubled, 8)
        assert codes.isfinite().all() and codes.abs().max() < 100

    def test_double_precision_and_its_errors_stay(self):
        codes = omp(SIGNALS.double(), F.normalize(ATOMS.double(), dim=1), 12)
        assert codes.dtype == torch.float64
        assert relative(codes @ F.normalize(ATOMS.double(), dim=1) - SIGNALS.double(), SIGNALS.double()) < 1e-10

    @pytest.mark.parametrize(
        ("signals", "atoms", "nonzeros", "message"),
        [
            (SIGNALS, ATOMS, 13, "nonzeros=13"),
            (SIGNALS, ATOMS, 0, "nonzeros=0"),
            (SIGNALS, 2 * ATOMS, 2, "norm 2"),
            (SIGNALS[:, :5], ATOMS, 2, r"\(300, 5\)"),
            (SIGNALS[0], ATOMS, 2, "matrix"),
            (SIGNALS.long(), ATOMS, 2, "int64"),
            (SIGNALS / 0, ATOMS, 2, "finite"),
        ],
    )
    def test_what_it_refuses(self, signals, atoms, nonzeros, message):
        with pytest.raises(ValueError, match=message):
            omp(signals, atoms, nonzeros)

    @pytest.mark.parametrize(
        "signals, atoms, message",
        [
            (torch.ones(2, 3).half(), torch.eye(3).half(), r"float16.*x\.float\(\)"),
            (torch.ones(2, 3).double(), torch.eye(3), r"float64 and a dictionary of torch\.float32"),
        ],
    )
    def test_types_that_it_refuses(self, signals, atoms, message):
        for code in (lambda: omp(signals, atoms, 1), lambda: fista(signals, atoms, 0.1)):
            with pytest.raises(ValueError, match=message):
                code()

    def test_strided_signals_are_coded_like_others(self):
        strided = SIGNALS.T.contiguous().T
        atoms = F.normalize(torch.randn(24, 12, generator=torch.Generator().manual_seed(1)), dim=1)
        assert torch.allclose(omp(strided, atoms, 3), omp(SIGNALS, atoms, 3), atol=1e-5)

    def test_weights_that_are_trained_are_signals_too(self):
        weights = torch.nn.Parameter(SIGNALS.clone())
        assert torch.equal(omp(weights, ATOMS, 2), omp(SIGNALS, ATOMS, 2))
        assert not learn_dictionary(weights, 8, 2, iterations=1).codes.requires_grad
        assert not ista(weights, ATOMS, 0.1, iterations=2).codes.requires_grad

    def test_a_mask_of_another_shape(self):
        with pytest.raises(ValueError, match="one bool for each entry"):
            omp(SIGNALS, ATOMS, 2, known=torch.ones(12, dtype=torch.bool))


class TestLearning:
    @pytest.mark.parametrize("method", ["mod", "ksvd"])
    def test_the_atoms_behind_the_signals_are_found(self, method):
        atoms = torch.linalg.qr(torch.randn(10, 10, generator=torch.Generator().manual_seed(2))).Q
        signals, _ = sums_of(atoms, 1500, 2, seed=3)
        learned = learn_dictionary(signals, 10, 2, method=method, iterations=30)
        nearest = (learned.dictionary @ atoms.T).abs().max(dim=0).values
        assert learned.relative_error < 0.01 and nearest.min() > 0.999

    @pytest.mark.parametrize("method", ["mod", "ksvd", "sklearn"])
    def test_what_is_returned_fits_together(self, method):
        learned = learn_dictionary(SIGNALS, 24, 3, method=method, iterations=8)
        assert learned.dictionary.shape == (24, 12) and learned.codes.shape == (300, 24)
        assert torch.allclose(torch.linalg.vector_norm(learned.dictionary, dim=1), torch.ones(24), atol=1e-5)
        assert learned.codes.count_nonzero(dim=1).max() == 3
        assert learned.relative_error == pytest.approx(relative(learned.reconstruct() - SIGNALS, SIGNALS), rel=1e-4)
        assert len(learned.errors) == (1 if method == "sklearn" else 9)
        assert method in repr(learned) and "24 atoms" in repr(learned)

    @pytest.mark.parametrize("method", ["mod", "ksvd"])
    def test_learning_lowers_the_error_below_that_of_signals_as_atoms(self, method):
        errors = learn_dictionary(SIGNALS, 24, 3, method=method).errors
        assert errors[-1] < 0.9 * errors[0]

    @pytest.mark.parametrize("method", ["mod", "ksvd", "sklearn"])
    def test_the_same_seed_gives_the_same_atoms_and_the_scale_of_the_signals_does_not_matter(self, method):
        def learn(signals, seed):
            return learn_dictionary(signals[:60], 16, 2, method=method, iterations=2, seed=seed).dictionary

        first = learn(SIGNALS, 0)
        assert torch.equal(first, learn(SIGNALS, 0))
        assert not torch.allclose(first, learn(SIGNALS, 1), atol=1e-3)
        assert torch.allclose(first, learn(1024 * SIGNALS, 0), atol=1e-3)

    def test_no_error_is_higher_than_that_of_scikit_learn(self):
        errors = {method: learn_dictionary(SIGNALS, 24, 3, method=method).relative_error for method in ("mod", "ksvd")}
        assert max(errors.values()) <= learn_dictionary(SIGNALS, 24, 3, method="sklearn").relative_error

    @pytest.mark.parametrize("method", ["mod", "ksvd"])
    def test_atoms_that_nobody_uses_are_replaced(self, method):
        common = F.normalize(torch.randn(1, 12, generator=torch.Generator().manual_seed(4)), dim=1)
        many = torch.linspace(1, 2, 500)[:, None] * common  # all atoms start as the same one
        rare = torch.eye(12)[:3] * torch.tensor([[3.0], [4.0], [5.0]])
        learned = learn_dictionary(torch.cat([many, rare]), 4, 1, method=method, iterations=6)
        assert learned.relative_error < 1e-3

    def test_signals_that_are_all_zero_are_no_atoms(self):
        with pytest.raises(ValueError, match="300 here"):
            learn_dictionary(torch.cat([SIGNALS, torch.zeros(50, 12)]), 301, 2)

    @pytest.mark.parametrize("method", ["mod", "ksvd", "sklearn"])
    def test_equal_signals_need_one_atom(self, method):
        learned = learn_dictionary(torch.ones(20, 4), 3, 1, method=method, iterations=3)
        assert learned.relative_error < 1e-4 and learned.dictionary.isfinite().all()

    def test_an_unknown_method(self):
        with pytest.raises(ValueError, match="'mod' or 'ksvd' or 'sklearn'"):
            learn_dictionary(SIGNALS, 24, 3, method="pca")
