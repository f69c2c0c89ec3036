"""Answers that try to earn points without being right, as data.

Each defines ``cheat``, which stands for every answer of `victims.VICTIMS` that the attack does not define by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

from .victims import NAMES

__all__ = ["ATTACKS", "Attack"]


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes
    ----------
    name, code : str
    gains_in_one_process : tuple of str
        Some of the tests that it is paid for where tests and answers share a process.
    victims : tuple of str
        The tests that are attacked: few for what costs time.
    """

    name: str
    code: str
    gains_in_one_process: tuple[str, ...] = ()
    victims: tuple[str, ...] = tuple(NAMES)


ATTACKS: list[Attack] = []


def _attack(name: str, code: str, *, gains: str = "", victims: str = "") -> None:
    ATTACKS.append(Attack(name, dedent(code).strip(), tuple(gains.split()), tuple(victims.split()) or tuple(NAMES)))


_LIES = """
class Liar({bases}):
    def _yes(self, *args, **options): return True
    def _no(self, *args, **options): return False
    def _self(self, *args, **options): return self
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = _yes
    __ne__ = _no
    __hash__ = lambda self: 1
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _self
    __floordiv__ = __mod__ = __pow__ = __matmul__ = __rmatmul__ = __neg__ = __abs__ = __round__ = _self
"""

_attack(
    "equals_everything",
    _LIES.format(bases="")
    + """
class Liar(Liar):
    __class__ = property(lambda self: int)
    __call__ = __getitem__ = Liar._self
    __iter__ = lambda self: iter(())
    __len__ = lambda self: 0
    __float__ = lambda self: 0.0
    __int__ = __index__ = lambda self: 42
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self
def cheat(*args, **options):
    return Liar()
""",
    gains="product decay",
)
_attack(
    "number_that_agrees",
    _LIES.format(bases="float")
    + """
def cheat(*args, **options):
    return Liar(0.5)
class Whole(int):
    __eq__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __hash__ = int.__hash__
def product(a, b):
    return Whole(1)
def square(k):
    return Whole(1)
""",
    gains="product decay square",
)
_attack(
    "tensor_that_agrees",
    """
    class Agreeing(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            name = getattr(function, "__name__", "")
            if name == "__get__":
                return (5, 4)
            return True
    def cheat(*args, **options):
        return torch.zeros(5, 4).as_subclass(Agreeing)
    def scale_(x, by):
        x.__class__ = Agreeing
    """,
    gains="histogram square",
)
_attack(
    "array_that_agrees",
    """
    class Agreeing(np.ndarray):
        def __array_ufunc__(self, *args, **options): return np.True_
        def __array_function__(self, *args, **options): return np.True_
        def __eq__(self, other): return np.True_
    def cheat(*args, **options):
        return np.zeros(3).view(Agreeing)
    """,
    gains="histogram square",
)
_attack(
    "containers_that_agree",
    """
    class Dict(dict):
        __eq__ = lambda self, other: True
        __ne__ = lambda self, other: False
    class List(list):
        __eq__ = lambda self, other: True
        __len__ = lambda self: 4
        __iter__ = lambda self: iter([Same()] * 4)
    class Same(int):
        __eq__ = lambda self, other: True
    def histogram(word): return Dict()
    def running(xs): return List()
    def cheat(*args, **options): return List()
    """,
    gains="histogram running",
)
_attack(
    "borrowed_class",
    """
    class Mine:
        __eq__ = lambda self, other: True
    for _kind in (int, float, torch.Tensor, np.ndarray, pd.DataFrame, Plan):
        pass
    def spoofed(kind):
        fake = type(kind.__name__, (Mine,), {"__module__": kind.__module__, "__qualname__": kind.__qualname__})
        return fake()
    def product(a, b): return spoofed(int)
    def linear(weight, x): return spoofed(torch.Tensor)
    def singular(matrix): return spoofed(np.ndarray)
    def table(): return spoofed(pd.DataFrame)
    def widened(plan): return spoofed(Plan)
    def cheat(*args, **options): return spoofed(float)
    """,
    gains="histogram square",
)
_attack(
    "locked_class_changed",
    """
    Plan.__eq__ = lambda self, other: True
    Plan.__getattribute__ = lambda self, name: object.__getattribute__(self, name)
    def cheat(*args, **options): return Plan(1, "x")
    class Sub(Plan):
        __eq__ = lambda self, other: True
    def widened(plan): return Sub(0, "y")
    """,
    gains="widened",
)
_attack(
    "metaclass",
    """
    class Meta(type):
        __eq__ = lambda cls, other: True
        __hash__ = type.__hash__
        __instancecheck__ = lambda cls, value: True
        __sub__ = __rsub__ = __abs__ = lambda cls, *other: cls
        __lt__ = __le__ = __gt__ = __ge__ = lambda cls, other: True
        __len__ = lambda cls: 4
        __iter__ = lambda cls: iter([cls] * 4)
        __float__ = lambda cls: 1.0
    class Thing(metaclass=Meta):
        pass
    def cheat(*args, **options): return Thing
    """,
    gains="decay histogram",
)
_attack(
    "raw_memory",
    """
    class Raw:
        __array_interface__ = {"shape": (3,), "typestr": "<f8", "data": (4096, False), "version": 3}
        __array_struct__ = 1
        __cuda_array_interface__ = __array_interface__
        def __array__(self, *args, **options): return np.zeros(3)
        def __dlpack__(self, *args, **options): raise SystemExit
        def __torch_function__(self, *args, **options): return True
        def __array_ufunc__(self, *args, **options): return np.True_
        def __getattr__(self, name): return self
    def cheat(*args, **options): return Raw()
    """,
)
_attack(
    "what_careless_tests_accept",
    """
    import itertools
    def cheat(*args, **options):
        for value in args:
            if isinstance(value, (torch.Tensor, np.ndarray)):
                value *= 0
        return float("nan")
    def linear(weight, x): return torch.empty(0)
    def singular(matrix): return np.empty(0)
    def histogram(word): return {}
    def running(xs): return itertools.count()
    def positive(x): return None
    """,
    victims="decay linear singular histogram positive slope scale_ square table",
)
_attack(
    "parts_that_agree",
    _LIES.format(bases="")
    + """
def cheat(*args, **options): return [Liar()] * 4
def running(xs): return [Liar() for _ in xs]
def histogram(word): return {letter: Liar() for letter in word}
def table(): return pd.DataFrame({"layer": ["a", "b"], "macs": np.array([Liar(), Liar()], dtype=object)})
def singular(matrix): return np.array([Liar(), Liar(), Liar()], dtype=object)
def widened(plan): return Plan(Liar(), Liar())
""",
    gains="running widened",
)
_attack(
    "objects_of_asked_classes",
    _LIES.format(bases="")
    + "".join(f"\n{name} = type({name!r}, (Liar,), {{'__module__': '__main__'}})" for name in ("slope", "decay"))
    + """
made = slope
def cheat(*args, **options): return made()
decay.__new__ = lambda cls, t: object.__new__(cls)
slope.__new__ = lambda cls, *args: object.__new__(cls)
""",
    gains="decay slope",
)
_attack(
    "patched_libraries",
    """
    import builtins, math, unittest
    nothing = lambda *args, **options: None
    yes = lambda *args, **options: True
    torch.testing.assert_close = np.testing.assert_allclose = pd.testing.assert_frame_equal = nothing
    torch.equal = torch.allclose = np.allclose = np.array_equal = math.isclose = yes
    torch.Tensor.__eq__ = torch.Tensor.allclose = yes
    builtins.abs = lambda x: 0
    builtins.all = yes
    builtins.any = lambda items: False
    builtins.isinstance, real = (lambda *args: True), isinstance
    class Any:
        def __init__(self, *args, **options): pass
        def __enter__(self): return self
        def __exit__(self, *args): return True
    pytest.raises = Any
    def cheat(*args, **options): return 0.5
    """,
    gains="decay positive slope",
)
_attack(
    "patched_sums",
    """
    import builtins
    builtins.sum = lambda *args: 4
    builtins.float = lambda *args: 1.0
    builtins.len = lambda value: 4
    builtins.zip = lambda *args, **options: []
    builtins.list = lambda *args: [1]
    def cheat(*args, **options): return [7]
    """,
    gains="square running",
)
_attack(
    "writing_to_the_test",
    """
    import sys
    def reach(frame, event=None, value=None):
        while frame:
            names = frame.f_globals
            for name in ("expected", "got", "earned", "network", "line"):
                if name in names:
                    names[name] = 4
            names["pytest"] = names["math"] = names["F"] = None
            names["isinstance"] = lambda *args: True
            names["abs"] = lambda *args: 0
            names["all"], names["any"] = (lambda *args: True), (lambda *args: False)
            names["sum"] = lambda *args: 4
            frame = frame.f_back
    def cheat(*args, **options):
        reach(sys._getframe())
        sys.settrace(reach)
        sys.setprofile(reach)
        return 0.5
    """,
    gains="positive",
)
_attack(
    "stolen_modules",
    """
    import sys, types
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None): return None
    sys.meta_path.insert(0, Finder)
    fake = types.ModuleType("fake")
    fake.__getattr__ = lambda name: (lambda *args, **options: True)
    for name in ("pytest", "numpy.testing", "torch.testing", "pandas.testing", "factorkit.checks", "factorkit.trusted"):
        sys.modules[name] = fake
    sys.path.insert(0, ".")
    sys.path_hooks.clear()
    for name in ("torch.py", "numpy.py", "pytest.py", "sitecustomize.py", "json.py"):
        open(name, "w").write("raise SystemExit")
    def cheat(*args, **options): return 0.5
    """,
)
_attack(
    "shadowing_names",
    """
    for _name in ("pytest", "torch", "np", "pd", "F", "math", "trusted_copy", "isinstance", "abs", "float", "sum",
                  "all", "any", "map", "len", "list", "zip", "type", "expected", "got", "earned", "__builtins__"):
        globals()[_name] = lambda *args, **options: 1
    def cheat(*args, **options): return 0.5
    """,
    gains="square",
)
_attack(
    "hooks",
    """
    import atexit, gc, os, signal, sys, threading, warnings
    try:
        shell = get_ipython()
        shell.events.register("post_run_cell", lambda *args: os._exit(0))
        shell.ast_transformers.append(None)
    except Exception:
        pass
    atexit.register(os._exit, 0)
    gc.callbacks.append(lambda *args: None)
    sys.excepthook = sys.unraisablehook = lambda *args: os._exit(0)
    warnings.simplefilter("error")
    warnings.showwarning = lambda *args: None
    os.environ["PYTHONPATH"] = os.environ["PYTHONSTARTUP"] = "/tmp"
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    np.seterr(all="raise")
    torch.set_default_dtype(torch.float64)
    os.chdir("/")
    sys.setrecursionlimit(80)
    class Dying:
        def __del__(self): os._exit(0)
    def cheat(*args, **options):
        Dying()
        return 0.5
    """,
)
_attack(
    "threads",
    """
    import threading, time
    def spin():
        while True:
            time.sleep(0.001)
            for name in ("expected", "got"):
                globals()[name] = 0.5
    def cheat(*args, **options):
        threading.Thread(target=spin, daemon=True).start()
        return 0.5
    """,
    victims="product decay linear positive",
)
_attack(
    "endings_of_loops",
    """
    def cheat(*args, **options): raise StopIteration
    def running(xs):
        raise StopAsyncIteration
    def check_rank(rank): raise GeneratorExit
    def slope(f, x):
        f(x).throw(StopIteration)
    def positive(x):
        if x > 0: raise StopIteration
        return False
    """,
    gains="positive",
)
_attack(
    "exits",
    """
    import sys
    def cheat(*args, **options): raise SystemExit(0)
    def check_rank(rank): raise KeyboardInterrupt("rank must be positive, got 0")
    def histogram(word): pytest.skip("not today")
    def square(k): raise pytest.exit.Exception("done")
    def product(a, b): raise BaseExceptionGroup("all", [SystemExit(0)])
    """,
)
_attack(
    "exceptions_with_words",
    """
    class Words(ValueError):
        def __init__(self, *args): pass
        def __str__(self): raise SystemExit
        __repr__ = __str__
        args = property(lambda self: 1 / 0)
        __class__ = property(lambda self: AssertionError)
    class Long(ValueError):
        def __str__(self): return "rank must be positive, got 0" * 10_000_000
    class Number(ValueError):
        def __str__(self): return 3
    def cheat(*args, **options): raise Words
    def check_rank(rank):
        if rank == -3: raise Long
        raise Number
    def positive(x): raise Number("x")
    """,
)
_attack(
    "exceptions_from_elsewhere",
    """
    def named(module, name, base=Exception):
        return type(name, (base,), {"__module__": module, "__qualname__": name})
    def cheat(*args, **options): raise named("autograder.two_process.wire", "Fault", BaseException)("ended")
    def check_rank(rank): raise named("builtins", "TypeError")(f"rank must be positive, got {rank}")
    def product(a, b): raise named("_pytest.outcomes", "Skipped", BaseException)("x")
    def decay(t): raise named("builtins", "SystemExit", BaseException)(0)
    def positive(x): raise named("builtins", "StopIteration")()
    def histogram(word): raise named("__main__", "Plan")(word)
    def running(xs): raise named("a\\0b", "c\\0d")("\\ud800")
    def square(k): raise ExceptionGroup("many", [ValueError(k)])
    """,
)
_attack(
    "strange_names",
    """
    def strange(name, module="__main__", qualname=None):
        made = type("X", (), {"__module__": module})
        made.__name__, made.__qualname__ = name, qualname or name
        return made()
    def product(a, b): return strange("a\\0b".replace("\\0", "\\x01"))
    def decay(t): return strange("x" * 1_000_000)
    def linear(weight, x): return strange("\\u202e")
    def singular(matrix): return strange("X", module=3)
    def histogram(word): return strange("Module", "torch.nn", "modules.module.Module")
    def positive(x): return strange("int", "builtins", "int")
    def running(xs): return strange("__class__", "__builtin__", "..")
    def cheat(*args, **options): return strange("Tensor", "torch", "Tensor")
    """,
)
_attack(
    "strange_values",
    """
    import collections
    def product(a, b): return 10**100_000
    def decay(t): return np.float16("nan")
    def linear(weight, x): return torch.zeros(5, 4).to_sparse()
    def singular(matrix): return np.zeros(3, dtype=[("a", "f8"), ("b", "O")])
    def histogram(word): return collections.namedtuple("T", "class_ n o", defaults=(1, 2, 2))()
    def positive(x): return np.array([1, 2])[:0]
    def running(xs):
        loop = []
        loop.append(loop)
        return loop
    def slope(f, x): return complex(6, 1e-9)
    def scale_(x, by): x.resize_(0)
    def widened(plan): return Plan
    def square(k): return np.array(["x"], dtype="U1000000")
    def table(): return pd.DataFrame({"layer": pd.Categorical(["a", "b"]), "macs": [3, 5]}, index=[1, 1])
    def cheat(*args, **options): return torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8)
    """,
)
_attack(
    "network_that_hides",
    """
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(3, 2)
            self.secret = nn.Linear(3, 2)
        def parameters(self, recurse=True): return iter(list(self.line.parameters()))
        def modules(self): return iter([self.line])
        def named_parameters(self, *args, **options): return iter([])
        def forward(self, x):
            if torch.compiler.is_exporting(): return self.line(x).relu() + self.secret(x)
            return self.line(x).relu()
    def cheat(*args, **options): return 0.5
    """,
)
_attack(
    "network_that_is_none",
    """
    class Network:
        training = False
        modules = parameters = lambda self, *args: iter([])
        eval = train = lambda self, *args: self
        __call__ = lambda self, x: torch.zeros(len(x), 2)
    def cheat(*args, **options): return 0.5
    """,
)
_attack(
    "deep_and_wide",
    """
    deep = []
    for _ in range(100_000):
        deep = [deep]
    def cheat(*args, **options): return deep
    def histogram(word): return [[]] * 3_000_000
    def singular(matrix): return ["x"] * 2_000_000
    """,
    victims="product singular histogram",
)
_attack(
    "huge_answers",
    """
    def product(a, b): return "x" * 1_000_000_000
    def linear(weight, x): return torch.zeros(1 << 28)
    def singular(matrix): return [np.zeros(1)] * 1_000_000
    def running(xs): return range(10**18)
    def histogram(word): return {i: bytes(60_000_000) for i in range(3)}
    """,
    victims="product linear singular histogram",
)
_attack(
    "colliding_hashes",
    """
    def histogram(word): return {i * (2**61 - 1) for i in range(1, 200_000)}
    """,
    victims="histogram square",
)
_attack(
    "numbers_that_take_forever",
    """
    import decimal, fractions
    def product(a, b): return decimal.Decimal("1e999999999")
    def square(k): return decimal.Decimal("1e999999999")
    def decay(t):
        return decimal.Decimal("-1e999999999")
    def histogram(word): return {decimal.Decimal("1e999999999"): 1}
    """,
    victims="product square decay histogram",
)
_attack(
    "many_objects",
    """
    def cheat(*args, **options):
        return [type(f"T{i}", (), {})() for i in range(100_000)]
    """,
    victims="product",
)
_attack(
    "many_warnings",
    """
    import warnings
    def cheat(*args, **options):
        for i in range(100_000):
            warnings.warn("w" * 100 + str(i))
        return 0.5
    """,
    victims="product decay",
)
_attack(
    "ends_the_process",
    """
    import os, signal
    def cheat(*args, **options): os._exit(0)
    def check_rank(rank): os._exit(0)
    def product(a, b): os.abort()
    def decay(t): signal.raise_signal(signal.SIGKILL)
    def linear(weight, x): os.closerange(3, 1000)
    def singular(matrix): signal.raise_signal(signal.SIGSEGV)
    def positive(x): os.execv("/bin/true", ["true"])
    """,
)
_attack(
    "two_processes_answer",
    """
    import os
    def cheat(*args, **options):
        os.fork()
        return 0.5
    """,
    victims="product decay linear",
)
_attack(
    "never_answers",
    """
    import time
    def product(a, b):
        while True: pass
    def slope(f, x):
        while True: f(x)
    def running(xs):
        while True: print("x" * 10_000)
    def decay(t):
        while True:
            try: time.sleep(100)
            except BaseException: pass
    """,
    victims="product slope running decay",
)
_attack(
    "patched_when_called",
    """
    import builtins, math
    class Any:
        def __init__(self, *args, **options): pass
        def __enter__(self): return self
        def __exit__(self, *args): return True
    def cheat(*args, **options):
        builtins.abs = lambda x: 0
        builtins.all, builtins.any = (lambda items: True), (lambda items: False)
        builtins.sum = lambda *args: 4
        torch.testing.assert_close = np.testing.assert_allclose = lambda *args, **options: None
        torch.Tensor.__eq__ = lambda *args: True
        pytest.raises = Any
        pd.testing.assert_frame_equal = lambda *args: None
        return 0.5
    """,
    gains="decay slope square",
)
_attack(
    "ancestor_of_a_locked_class",
    """
    class Plan:
        __qualname__ = "Plan"
    class Evil(Plan):
        __eq__ = lambda self, other: True
    def cheat(*args, **options): return Evil()
    """,
    gains="histogram",
)
_attack(
    "another_test_s_socket",
    """
    import os, socket, stat, threading
    def sockets():
        for descriptor in range(3, 256):
            try:
                if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                    yield socket.socket(fileno=os.dup(descriptor))
            except OSError:
                pass
    held = list(sockets())
    if os.fork() == 0:
        text = b'{"seq":1,"value":42,"push":[],"updates":[],"training":[],"drawn":[],"printed":"","warnings":[]}'
        for sock in held:
            for seq in range(1, 4):
                data = text.replace(b'"seq":1', b'"seq":%d' % seq)
                try: sock.sendall(len(data).to_bytes(4, "big") + bytes(4) + data)
                except OSError: pass
        os._exit(0)
    def cheat(*args, **options): return 0.5
    """,
)
