"""Tests of exceptions, classes, dataclasses, closures, generators and of functions that take functions."""

from .record import idiom

__all__ = ["OBJECTS"]

OBJECTS = [
    idiom(
        "raises",
        right="""
            def check_rank(rank):
                if rank < 1:
                    raise ValueError(f"rank must be positive, got {rank}")
                return rank
        """,
        wrong="""
            def check_rank(rank):
                if rank < 1:
                    raise IndexError("rank")
                return rank
        """,
        test="""
            with pytest.raises(ValueError, match="positive, got 0"):
                check_rank(0)
            assert check_rank(1) == 1
        """,
    ),
    idiom(
        "try_except_else",
        right="""
            def not_yet(x):
                raise NotImplementedError("later")
        """,
        wrong="""
            def not_yet(x):
                return None
        """,
        test="""
            try:
                not_yet(1)
            except NotImplementedError as error:
                assert str(error) == "later"
            else:
                raise AssertionError("expected a NotImplementedError")
        """,
    ),
    idiom(
        "exception_class_of_the_student",
        right="""
            class ShapeError(ValueError):
                pass

            def check_shape(x):
                raise ShapeError("2-D expected")
        """,
        wrong="""
            class ShapeError(ValueError):
                pass

            def check_shape(x):
                raise TypeError("2-D expected")
        """,
        test="""
            assert issubclass(ShapeError, ValueError)
            with pytest.raises(ShapeError, match="2-D"):
                check_shape(1)
        """,
    ),
    idiom(
        "dataclass_result",
        right="""
            @dataclass
            class LowRank:
                rank: int
                left: torch.Tensor

                def params(self):
                    return self.left.numel()

            def low_rank(matrix):
                return LowRank(2, matrix[:, :2])
        """,
        wrong="""
            @dataclass
            class LowRank:
                rank: int
                left: torch.Tensor

                def params(self):
                    return self.rank

            def low_rank(matrix):
                return LowRank(2, matrix[:, :2])
        """,
        test="""
            got = low_rank(torch.eye(3))
            assert got.rank == 2 and got.left.shape == (3, 2)
            assert got.params() == 6
        """,
    ),
    idiom(
        "dataclass_of_the_student_compared",
        right="""
            @dataclass(frozen=True)
            class Cost:
                macs: int

            def cost(n):
                return Cost(9 * n)
        """,
        wrong="""
            @dataclass(frozen=True)
            class Cost:
                macs: int

            def cost(n):
                return Cost(n)
        """,
        test="""
            assert cost(2) == Cost(18)
            assert cost(2).macs == 18
        """,
    ),
    idiom(
        "given_dataclass",
        right="""
            def widened(setting):
                return Setting(rank=setting.rank * 2)
        """,
        wrong="""
            def widened(setting):
                return Setting(rank=setting.rank)
        """,
        test="""
            got = widened(Setting(3, nn.GELU))
            assert isinstance(got, Setting)
            assert got.rank == 6 and got.activation is nn.ReLU
        """,
    ),
    idiom(
        "given_dataclass_compared",
        right="""
            def default_setting():
                return Setting(3)
        """,
        wrong="""
            def default_setting():
                return Setting(4)
        """,
        test="assert default_setting() == Setting(3)",
    ),
    idiom(
        "operators",
        right="""
            class Vector:
                def __init__(self, *values):
                    self.values = list(values)

                def __add__(self, other):
                    return Vector(*[a + b for a, b in zip(self.values, other.values)])

                def __len__(self):
                    return len(self.values)

                def __getitem__(self, index):
                    return self.values[index]

                def __repr__(self):
                    return f"Vector{tuple(self.values)}"
        """,
        wrong="""
            class Vector:
                def __init__(self, *values):
                    self.values = list(values)

                def __add__(self, other):
                    return self

                def __len__(self):
                    return len(self.values)

                def __getitem__(self, index):
                    return self.values[index]
        """,
        test="""
            total = Vector(1, 2) + Vector(3, 4)
            assert len(total) == 2 and total[1] == 6
            assert list(total) == [4, 6] and str(total) == "Vector(4, 6)"
        """,
    ),
    idiom(
        "autograd_by_hand",
        right="""
            class Value:
                def __init__(self, data, sources=()):
                    self.data, self.grad, self.sources = data, 0.0, sources

                def __mul__(self, other):
                    other = other if isinstance(other, Value) else Value(other)
                    return Value(self.data * other.data, ((self, other.data), (other, self.data)))

                def backward(self, grad=1.0):
                    self.grad += grad
                    for source, slope in self.sources:
                        source.backward(grad * slope)
        """,
        wrong="""
            class Value:
                def __init__(self, data):
                    self.data, self.grad = data, 0.0

                def __mul__(self, other):
                    return Value(self.data * (other.data if isinstance(other, Value) else other))

                def backward(self):
                    self.grad = 1.0
        """,
        test="""
            a, b = Value(2.0), Value(3.0)
            c = a * b * 4
            c.backward()
            assert c.data == 24
            assert (a.grad, b.grad) == (12, 8)
        """,
    ),
    idiom(
        "equality_of_the_student",
        right="""
            class Token:
                def __init__(self, text):
                    self.text = text

                def __eq__(self, other):
                    return self.text == other.text
        """,
        wrong="""
            class Token:
                def __init__(self, text):
                    self.text = text
        """,
        test="""
            assert Token("a") == Token("a")
            assert not Token("a") == Token("b")
        """,
    ),
    idiom(
        "classmethod_and_property",
        right="""
            class Kernel:
                size = 3

                def __init__(self, scale):
                    self._scale = scale

                @classmethod
                def default(cls):
                    return cls(5)

                @property
                def scale(self):
                    return self._scale

                @staticmethod
                def area(k):
                    return k * k
        """,
        wrong="""
            class Kernel:
                size = 3

                def __init__(self, scale):
                    self._scale = scale

                @classmethod
                def default(cls):
                    return None
        """,
        test="""
            assert Kernel.size == 3 and Kernel.area(4) == 16
            assert Kernel.default().scale == 5
            assert isinstance(Kernel.default(), Kernel)
        """,
    ),
    idiom(
        "attributes_set_by_the_test",
        right="""
            class Meter:
                def __init__(self):
                    self.total = 0

                def add(self, x):
                    self.total += x
        """,
        wrong="""
            class Meter:
                def __init__(self):
                    self.total = 0

                def add(self, x):
                    self.total = x
        """,
        test="""
            meter = Meter()
            meter.total = 10
            meter.add(5)
            meter.unit = "s"
            assert meter.total == 15 and meter.unit == "s"
            del meter.unit
            assert not hasattr(meter, "unit")
        """,
    ),
    idiom(
        "generator",
        right="""
            def powers(base):
                value = 1
                while True:
                    yield value
                    value *= base
        """,
        wrong="""
            def powers(base):
                while True:
                    yield base
        """,
        test="""
            assert list(itertools.islice(powers(2), 5)) == [1, 2, 4, 8, 16]
            stream = powers(3)
            next(stream)
            assert next(stream) == 3
        """,
    ),
    idiom(
        "closure",
        right="""
            def multiplier(k):
                def multiply(x):
                    return x * k

                return multiply
        """,
        wrong="""
            def multiplier(k):
                def multiply(x):
                    return x + k

                return multiply
        """,
        test="""
            triple = multiplier(3)
            assert callable(triple) and triple(4) == 12
            assert multiplier(5)(2) == 10
            assert list(map(triple, [1, 2])) == [3, 6]
        """,
    ),
    idiom(
        "takes_a_function",
        right="""
            def slope(function, x, step=1e-5):
                return (function(x + step) - function(x - step)) / (2 * step)
        """,
        wrong="""
            def slope(function, x, step=1e-5):
                return function(x)
        """,
        test="""
            def cube(x):
                return x**3

            assert abs(slope(lambda x: x**2, 4.0) - 8) < 1e-4
            assert abs(slope(math.sin, 0.0) - 1) < 1e-4
            assert abs(slope(cube, 1.0) - 3) < 1e-4
        """,
    ),
    idiom(
        "function_that_raises",
        right="""
            def guarded(function):
                try:
                    return function()
                except KeyError:
                    return "caught"
        """,
        wrong="""
            def guarded(function):
                return function()
        """,
        test="""
            def fails():
                raise KeyError("key")

            assert guarded(fails) == "caught"
            assert guarded(lambda: 3) == 3
        """,
    ),
    idiom(
        "context_manager",
        right="""
            opened = []

            @contextlib.contextmanager
            def session(n):
                opened.append(n)
                yield n + 1
                opened.remove(n)
        """,
        wrong="""
            opened = []

            @contextlib.contextmanager
            def session(n):
                opened.append(n)
                yield n + 1
        """,
        test="""
            with session(4) as value:
                assert value == 5 and opened == [4]
            assert opened == []
        """,
    ),
    idiom(
        "given_helper_calls_the_student",
        right="""
            def fade(t):
                return t * t
        """,
        wrong="""
            def fade(t):
                return 2 * t
        """,
        test="assert stays_in_unit_interval(fade)",
    ),
    idiom(
        "axis_of_arguments",
        right="""
            def collect(first, *rest, key="k", **options):
                return [first, *rest, key, sorted(options)]
        """,
        wrong="""
            def collect(first, *rest, key="k", **options):
                return [first, key]
        """,
        test="""
            assert collect(1, 2, 3, key="z", b=1, a=2) == [1, 2, 3, "z", ["a", "b"]]
            assert collect(*[1, 2], **{"c": 0}) == [1, 2, "k", ["c"]]
        """,
    ),
    idiom(
        "memo_by_decorator",
        right="""
            import functools

            calls_made = []

            @functools.lru_cache
            def remembered(n):
                calls_made.append(n)
                return n * n
        """,
        wrong="""
            calls_made = []

            def remembered(n):
                calls_made.append(n)
                return n * n
        """,
        test="""
            assert remembered(7) == remembered(7) == 49
            assert calls_made == [7]
        """,
    ),
]
