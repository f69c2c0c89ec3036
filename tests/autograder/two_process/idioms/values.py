"""Tests of functions that return plain data: numbers, arrays, tensors, containers, tables."""

from .record import idiom

__all__ = ["VALUES"]

VALUES = [
    idiom(
        "number",
        right="""
            def rectangle(height, width):
                return height * width
        """,
        wrong="""
            def rectangle(height, width):
                return height + width
        """,
        test="""
            got = rectangle(3, 4)
            assert got == 12, f"expected 3 * 4 = 12, got {got}"
            assert isinstance(got, int)
        """,
    ),
    idiom(
        "float_close",
        right="""
            def decay(t, rate):
                return math.exp(-rate * t)
        """,
        wrong="""
            def decay(t, rate):
                return 1 - rate * t
        """,
        test="""
            got = decay(0.5, 2.0)
            assert isinstance(got, float)
            assert abs(got - math.exp(-1)) < 1e-12
            assert math.isclose(decay(3, 0.1), math.exp(-0.3))
            assert got == pytest.approx(0.36788, abs=1e-4)
        """,
        points=2,
    ),
    idiom(
        "tensor_allclose",
        right="""
            def project(weight, x):
                return x @ weight.T
        """,
        wrong="""
            def project(weight, x):
                return x @ weight
        """,
        test="""
            weight, x = torch.randn(4, 4), torch.randn(7, 4)
            expected = F.linear(x, weight)
            got = project(weight, x.clone())
            assert got.shape == (7, 4) and got.dtype == torch.float32
            torch.testing.assert_close(got, expected)
            assert torch.allclose(got, expected, atol=1e-6)
        """,
    ),
    idiom(
        "numpy",
        right="""
            def spectrum(matrix):
                return np.linalg.svd(matrix, compute_uv=False)
        """,
        wrong="""
            def spectrum(matrix):
                return np.sort(matrix.diagonal())
        """,
        test="""
            matrix = np.random.default_rng(2).normal(size=(5, 3))
            expected = np.sqrt(np.linalg.eigvalsh(matrix.T @ matrix))[::-1]
            got = spectrum(matrix.copy())
            assert isinstance(got, np.ndarray) and got.dtype == np.float64
            np.testing.assert_allclose(got, expected, strict=True)
        """,
    ),
    idiom(
        "namedtuple",
        right="""
            Factors = collections.namedtuple("Factors", "left right rank")

            def split(matrix):
                return Factors(matrix[:, :1], {"rows": [matrix[0], (2,)]}, 1)
        """,
        wrong="""
            Factors = collections.namedtuple("Factors", "left right rank")

            def split(matrix):
                return Factors(matrix[:, :1], {}, 2)
        """,
        test="""
            left, right, rank = split(torch.eye(2))
            assert left.shape == (2, 1) and rank == 1
            assert right["rows"][1] == (2,)
            assert split(torch.eye(2)).right["rows"][0].tolist() == [1.0, 0.0]
            assert split(torch.eye(2))[2] == 1
        """,
    ),
    idiom(
        "dict_of_tensors",
        right="""
            def state_of(n):
                return {"weight": torch.eye(n), "bias": [torch.zeros(n)], "steps": np.float64(3)}
        """,
        wrong="""
            def state_of(n):
                return {"weight": torch.ones(n, n)}
        """,
        test="""
            got = state_of(2)
            assert set(got) == {"weight", "bias", "steps"}
            assert torch.equal(got["weight"], torch.eye(2))
            assert got["bias"][0].sum().item() == 0
            assert isinstance(got["steps"], float) and got["steps"] == 3
        """,
    ),
    idiom(
        "counter",
        right="""
            def histogram(word):
                return collections.Counter(word)
        """,
        wrong="""
            def histogram(word):
                return collections.Counter(set(word))
        """,
        test="""
            got = histogram("kernel")
            assert got["e"] == 2 and got["z"] == 0
            assert got == {"k": 1, "e": 2, "r": 1, "n": 1, "l": 1}
            assert got.most_common(1) == [("e", 2)]
        """,
    ),
    idiom(
        "ordered_and_default_dicts",
        right="""
            def grouped(pairs):
                groups = collections.defaultdict(list)
                for key, value in pairs:
                    groups[key].append(value)
                return groups, collections.OrderedDict(sorted(groups.items()))
        """,
        wrong="""
            def grouped(pairs):
                return dict(pairs), collections.OrderedDict(pairs)
        """,
        test="""
            groups, ordered = grouped([("b", 1), ("a", 2), ("b", 3)])
            assert groups["b"] == [1, 3] and len(groups) == 2
            assert list(ordered) == ["a", "b"] and isinstance(ordered, dict)
        """,
    ),
    idiom(
        "dataframe",
        right="""
            def table():
                return pd.DataFrame({"layer": ["conv", "fc"], "macs": [900, 20]}, index=[1, 2])
        """,
        wrong="""
            def table():
                return pd.DataFrame({"layer": ["conv"], "macs": [900]})
        """,
        test="""
            got = table()
            assert isinstance(got, pd.DataFrame) and list(got.columns) == ["layer", "macs"]
            assert len(got) == 2 and got.loc[2, "macs"] == 20
            expected = pd.DataFrame({"layer": ["conv", "fc"], "macs": [900, 20]}, index=[1, 2])
            pd.testing.assert_frame_equal(got, expected)
            assert got.sort_values("macs").iloc[0]["layer"] == "fc"
        """,
    ),
    idiom(
        "series_argument",
        right="""
            def mean_accuracy(table):
                return table["accuracy"].mean()
        """,
        wrong="""
            def mean_accuracy(table):
                return table["accuracy"].max()
        """,
        test="""
            assert abs(mean_accuracy(pd.DataFrame({"accuracy": [0.5, 0.9]})) - 0.7) < 1e-12
        """,
    ),
    idiom(
        "results_of_torch",
        right="""
            def largest(x):
                return torch.topk(x, 2)
        """,
        wrong="""
            def largest(x):
                return torch.topk(x, 2, largest=False)
        """,
        test="""
            values, indices = largest(torch.tensor([4.0, 9.0, 7.0]))
            assert indices.tolist() == [1, 2]
            assert largest(torch.tensor([4.0, 9.0, 7.0])).values[0] == 9
            assert isinstance(largest(torch.ones(3)), tuple)
        """,
    ),
    idiom(
        "scalars_of_numpy",
        right="""
            def relu(x):
                return np.maximum(x, 0)
        """,
        wrong="""
            def relu(x):
                return np.abs(x)
        """,
        test="""
            grid = np.linspace(-1, 1, 9)
            assert np.array_equal(relu(grid), np.where(grid > 0, grid, 0))
            assert np.isscalar(relu(-3.0)) and relu(-3.0) == 0
        """,
    ),
    idiom(
        "reference_in_the_test",
        right="""
            def truncate(weight, rank):
                u, s, vh = torch.linalg.svd(weight, full_matrices=False)
                return u[:, :rank] * s[:rank] @ vh[:rank]
        """,
        wrong="""
            def truncate(weight, rank):
                return weight
        """,
        test="""
            def tail_energy(weight, rank):
                return torch.linalg.svdvals(weight)[rank:].square().sum()

            for seed in range(3):
                weight = torch.randn(7, 5, generator=torch.Generator().manual_seed(seed))
                got = truncate(weight.clone(), 2)
                assert got.shape == weight.shape
                assert torch.linalg.matrix_rank(got) == 2
                torch.testing.assert_close((weight - got).norm() ** 2, tail_energy(weight, 2))
        """,
    ),
    idiom(
        "many_random_inputs",
        right="""
            def descending(numbers):
                return sorted(numbers, reverse=True)
        """,
        wrong="""
            def descending(numbers):
                return numbers
        """,
        test="""
            for _ in range(100):
                numbers = [random.random() for _ in range(random.randint(2, 6))]
                assert descending(list(numbers)) == sorted(numbers)[::-1]
        """,
    ),
    idiom(
        "complex_bytes_and_ranges",
        right="""
            def parts(n):
                return complex(n, 1), bytes(range(n)), range(n), slice(0, n), {n}, frozenset({n}), None, ...
        """,
        wrong="""
            def parts(n):
                return complex(n, 0), b"", range(n), slice(0, n), {n}, frozenset({n}), None, ...
        """,
        test="""
            got = parts(3)
            assert got[0] == 3 + 1j and got[1] == b"\\x00\\x01\\x02" and list(got[2]) == [0, 1, 2]
            assert [4, 5, 6, 7][got[3]] == [4, 5, 6]
            assert got[4] == {3} == got[5] and got[6] is None and got[7] is ...
        """,
    ),
    idiom(
        "strings",
        right="""
            def shape_text(*sizes):
                return " × ".join(map(str, sizes))
        """,
        wrong="""
            def shape_text(*sizes):
                return " x ".join(map(str, sizes))
        """,
        test="""
            assert shape_text(3, 32, 32) == "3 × 32 × 32"
            assert shape_text(1).isdigit() and shape_text(2, 3).split(" × ") == ["2", "3"]
        """,
    ),
]
