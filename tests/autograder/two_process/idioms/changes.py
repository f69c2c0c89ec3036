"""Tests of randomness, and of what a function does to its arguments."""

from .record import idiom

__all__ = ["CHANGES"]

CHANGES = [
    idiom(
        "seeded_torch",
        right="""
            def noise(n):
                return torch.randn(n)
        """,
        wrong="""
            def noise(n):
                torch.manual_seed(0)
                return torch.randn(n)
        """,
        test="""
            torch.manual_seed(3)
            first = noise(4)
            torch.manual_seed(3)
            assert torch.equal(first, noise(4))
            torch.manual_seed(3)
            assert torch.equal(first, torch.randn(4))
            assert not torch.equal(noise(4), noise(4))
        """,
    ),
    idiom(
        "seeded_numpy_and_random",
        right="""
            def draw_both():
                return np.random.rand(), random.random()
        """,
        wrong="""
            def draw_both():
                return 0.5, random.random()
        """,
        test="""
            np.random.seed(5)
            random.seed(6)
            first = draw_both()
            np.random.seed(5)
            random.seed(6)
            assert draw_both() == first
            np.random.seed(5)
            assert first[0] == np.random.rand()
        """,
    ),
    idiom(
        "generator_of_torch",
        right="""
            def rand(generator):
                return torch.rand(2, generator=generator)
        """,
        wrong="""
            def rand(generator):
                return torch.rand(2)
        """,
        test="""
            generator = torch.Generator().manual_seed(5)
            first, second = rand(generator), rand(generator)
            expected = torch.rand(2, generator=torch.Generator().manual_seed(5))
            assert torch.equal(first, expected) and not torch.equal(first, second)
            generator.manual_seed(5)
            assert torch.equal(rand(generator), first)
        """,
    ),
    idiom(
        "generator_of_numpy",
        right="""
            def normal(rng):
                return rng.normal(size=2)
        """,
        wrong="""
            def normal(rng):
                return np.zeros(2)
        """,
        test="""
            rng, same = np.random.default_rng(1), np.random.default_rng(1)
            first, second = normal(rng), normal(rng)
            assert np.array_equal(first, same.normal(size=2))
            assert np.array_equal(second, same.normal(size=2))
        """,
    ),
    idiom(
        "tensor_changed_and_returned",
        right="""
            def double_(x):
                return x.mul_(2)
        """,
        wrong="""
            def double_(x):
                return x * 2
        """,
        test="""
            x = torch.ones(3)
            got = double_(x)
            assert got is x
            assert torch.equal(x, torch.full((3,), 2.0))
        """,
    ),
    idiom(
        "containers_changed",
        right="""
            def record(array, table, log):
                array += 1
                table["sum"] = array.sum()
                log.append(len(log))
        """,
        wrong="""
            def record(array, table, log):
                array = array + 1
                return array
        """,
        test="""
            array, table, log = np.zeros(3), {}, [0]
            assert record(array, table, log) is None
            assert (array == 1).all() and table["sum"] == 3 and log == [0, 1]
        """,
    ),
    idiom(
        "set_changed",
        right="""
            def mark(seen, key):
                seen.add(key)
                return key in seen
        """,
        wrong="""
            def mark(seen, key):
                return True
        """,
        test="""
            seen = {"a"}
            assert mark(seen, "b") is True
            assert seen == {"a", "b"}
        """,
    ),
    idiom(
        "argument_left_alone",
        right="""
            def cleared(x):
                return torch.zeros_like(x)
        """,
        wrong="""
            def cleared(x):
                return x.zero_()
        """,
        test="""
            x = torch.ones(3)
            before = x.clone()
            got = cleared(x)
            assert torch.equal(x, before) and got.sum() == 0
        """,
    ),
    idiom(
        "view_of_an_array",
        right="""
            def clear_every_other(row):
                row[::2] = 0
        """,
        wrong="""
            def clear_every_other(row):
                row = row * 0
        """,
        test="""
            grid = np.ones((2, 4))
            clear_every_other(grid[1])
            assert grid.sum() == 6 and grid[1, 0] == 0
        """,
    ),
    idiom(
        "view_of_a_tensor",
        right="""
            def clear(row):
                row.zero_()
        """,
        wrong="""
            def clear(row):
                row = row * 0
        """,
        test="""
            grid = torch.ones(2, 4)
            clear(grid[1])
            assert grid.sum() == 4
        """,
    ),
    idiom(
        "returned_object_is_the_argument",
        right="""
            def chained(items, item):
                items.append(item)
                return items
        """,
        wrong="""
            def chained(items, item):
                return [*items, item]
        """,
        test="""
            items = [1]
            assert chained(items, 2) is items
            assert items == [1, 2]
        """,
    ),
    idiom(
        "nested_results_changed_later",
        right="""
            history = []

            def log_step(value):
                history.append({"value": value})
                return history[-1]
        """,
        wrong="""
            history = []

            def log_step(value):
                history.append({"value": 0})
                return {"value": value}
        """,
        test="""
            for value in (3, 4):
                assert log_step(value) == {"value": value}
            assert [entry["value"] for entry in history] == [3, 4]
        """,
    ),
]
