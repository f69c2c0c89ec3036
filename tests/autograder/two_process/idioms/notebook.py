"""Tests that look at the notebook itself: its names, what was printed, warned of or drawn, its text, and time."""

from .record import idiom

__all__ = ["NOTEBOOK"]

NOTEBOOK = [
    idiom(
        "global_value",
        right="""
            best_rank = 12
            shares = [0.25, 0.75]
        """,
        wrong="""
            best_rank = 11
            shares = [1, 2]
        """,
        test="""
            assert best_rank == 12, f"expected 12, got {best_rank}"
            assert sum(shares) == 1 and len(shares) == 2
        """,
    ),
    idiom(
        "global_counter",
        right="""
            visits = 0

            def visit():
                global visits
                visits += 1
        """,
        wrong="""
            visits = 0

            def visit():
                visits = 1
        """,
        test="""
            before = visits
            visit()
            visit()
            assert visits == before + 2
        """,
    ),
    idiom(
        "test_sets_a_global",
        right="""
            SCALE = 1

            def scaled(x):
                return x * SCALE
        """,
        wrong="""
            SCALE = 1

            def scaled(x):
                return x
        """,
        test="""
            SCALE = 5
            assert scaled(2) == 10
        """,
    ),
    idiom(
        "partial_credit",
        right="""
            def square(x):
                return x * x
        """,
        wrong="""
            def square(x):
                return x if x < 3 else -1
        """,
        test="""
            earned = sum(square(k) == k * k for k in (0, 1, 4, 5))
            print(f"{earned} of 4 numbers are right")
            float(earned / 4)
        """,
        points=1,
    ),
    idiom(
        "missing_name",
        right="""
            def forgotten():
                return 1
        """,
        wrong="pass",
        test="""
            assert forgotten() == 1
        """,
    ),
    idiom(
        "globals_check",
        right="""
            def defined():
                return 7
        """,
        wrong="pass",
        test="""
            assert "defined" in globals() and globals()["defined"]() == 7
            assert "never_defined" not in globals()
        """,
    ),
    idiom(
        "name_of_an_earlier_test",
        right="""
            def step(k):
                return k + 2
        """,
        wrong="""
            def step(k):
                return k + 1
        """,
        earlier="""
            start = step(0)
            assert start in (1, 2)
        """,
        test="""
            assert start == 2 and step(start) == 4
        """,
    ),
    idiom(
        "stdout",
        right="""
            def report(rank):
                print(f"rank {rank}")
        """,
        wrong="""
            def report(rank):
                return f"rank {rank}"
        """,
        test="""
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                report(3)
            assert out.getvalue() == "rank 3\\n"
        """,
    ),
    idiom(
        "warns",
        right="""
            def slow_path():
                warnings.warn("takes the slow path", UserWarning)
                return 1
        """,
        wrong="""
            def slow_path():
                return 1
        """,
        test="""
            with pytest.warns(UserWarning, match="slow"):
                assert slow_path() == 1
        """,
    ),
    idiom(
        "timing",
        right="""
            def triangle(n):
                return n * (n + 1) // 2
        """,
        wrong="""
            def triangle(n):
                time.sleep(0.6)
                return sum(range(n + 1))
        """,
        test="""
            begin = time.perf_counter()
            got = triangle(100_000)
            seconds = time.perf_counter() - begin
            assert got == 5_000_050_000
            assert seconds < 0.5, f"took {seconds:.1f} s"
        """,
    ),
    idiom(
        "source_text",
        right="""
            def norm(a):
                return (a * a).sum() ** 0.5
        """,
        wrong="""
            def norm(a):
                return np.linalg.norm(a)
        """,
        test="""
            text = inspect.getsource(norm)
            assert "linalg" not in text
            used = {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}
            assert "norm" not in used
            assert norm(np.ones(4)) == 2
        """,
    ),
    idiom(
        "signature",
        right='''
            def decompose(weight, rank=3, *, seed=0):
                """Split a weight."""
                return rank
        ''',
        wrong="""
            def decompose(weight, rank):
                return 3
        """,
        test="""
            parameters = inspect.signature(decompose).parameters
            assert list(parameters) == ["weight", "rank", "seed"]
            assert parameters["rank"].default == 3
            assert parameters["seed"].kind is inspect.Parameter.KEYWORD_ONLY
            assert decompose.__name__ == "decompose" and decompose.__doc__ == "Split a weight."
            assert decompose(None) == 3
        """,
    ),
    idiom(
        "axes",
        right="""
            def draw(ranks, errors):
                figure, ax = plt.subplots()
                ax.plot(ranks, errors, label="SVD")
                ax.set_xlabel("rank")
                ax.legend()
                return ax
        """,
        wrong="""
            def draw(ranks, errors):
                figure, ax = plt.subplots()
                ax.plot(ranks, ranks)
                return ax
        """,
        test="""
            import matplotlib.axes

            ax = draw([1, 2, 3], [9.0, 4.0, 1.0])
            assert isinstance(ax, matplotlib.axes.Axes)
            assert ax.get_xlabel() == "rank" and len(ax.lines) == 1
            np.testing.assert_allclose(ax.lines[0].get_ydata(), [9.0, 4.0, 1.0], strict=True)
            assert [text.get_text() for text in ax.get_legend().get_texts()] == ["SVD"]
            plt.close("all")
        """,
    ),
    idiom(
        "current_axes",
        right="""
            def draw_here():
                plt.figure()
                plt.plot([1, 2])
                plt.title("spectrum")
        """,
        wrong="""
            def draw_here():
                plt.figure()
        """,
        test="""
            draw_here()
            ax = plt.gca()
            assert ax.get_title() == "spectrum" and len(ax.get_lines()) == 1
            plt.close("all")
        """,
    ),
    idiom(
        "axes_passed_in",
        right="""
            def draw_on(ax):
                ax.plot([1, 2])
        """,
        wrong="""
            def draw_on(ax):
                pass
        """,
        test="""
            figure, ax = plt.subplots()
            draw_on(ax)
            assert len(ax.lines) == 1
            plt.close("all")
        """,
    ),
]
