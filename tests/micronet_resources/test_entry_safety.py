"""Hostile entries through the public functions: each is refused in time, and its benign twin passes."""

import os
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from micronet_resources.entries import guard, measuring
from micronet_resources.entries.guard import GuardedWorker
from micronet_resources.entry import EntryError, Limits, evaluate, measure
from micronet_resources.references import reference_path

REPOSITORY = Path(guard.__file__).resolve().parents[2]
IMAGES = np.random.default_rng(0).normal(size=(6, 3, 32, 32)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 4, 5])
LAST_DIMENSIONS = [3, 32, 32]


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def constant(name, value):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))


def network(before=(), source="images", after=(), result="scores", weights=(), **changes):
    """A small entry: one convolution, global average, linear layer; nodes can be put in front and behind."""
    nodes = [
        *before,
        helper.make_node("Conv", [source, "conv.weight"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["means"]),
        helper.make_node("Flatten", ["means"], ["features"]),
        helper.make_node("Gemm", ["features", "fc.weight", "fc.bias"], ["scores"], transB=1),
        *after,
    ]
    stored = {"conv.weight": values(8, 3, 3, 3), "fc.weight": values(10, 8), "fc.bias": values(10), **dict(weights)}
    batch = changes.pop("batch", "batch")
    graph = helper.make_graph(
        nodes,
        "entry",
        changes.pop("inputs", [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, *LAST_DIMENSIONS])]),
        changes.pop("outputs", [helper.make_tensor_value_info(result, TensorProto.FLOAT, [batch, 10])]),
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
        **changes.pop("parts", {}),
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21), *changes.pop("domains", [])], ir_version=10, **changes
    )


PARAMS = 8 * 27 + 80 + 10
PLAIN = network().SerializeToString()


def refused(model, words, **limits):
    """Both public functions refuse it, quickly and with the same kind of words."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    for question in (lambda: measure(data, **limits), lambda: evaluate(data, IMAGES, LABELS, **limits)):
        start = time.monotonic()
        with pytest.raises(EntryError, match=words):
            question()
        assert time.monotonic() - start < 20


def accepted(model, params=PARAMS):
    data = model if isinstance(model, bytes) else model.SerializeToString()
    assert measure(data).params == params
    assert evaluate(data, IMAGES, LABELS).total == len(LABELS)


def test_the_plain_network_is_an_entry():
    accepted(PLAIN)


# --- Bombs ------------------------------------------------------------------------------------------------------------


def subgraph(name):
    value = helper.make_tensor_value_info(f"{name}.out", TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node("Identity", ["images"], [f"{name}.out"])], name, [], [value])


def endless_loop():
    condition = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    count = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    carried = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    again = helper.make_tensor_value_info("again", TensorProto.BOOL, [])
    steps = [helper.make_node("Identity", ["go"], ["again"]), helper.make_node("Identity", ["x"], ["y"])]
    body = helper.make_graph(steps, "body", [count, condition, carried[0]], [again, carried[1]])
    return [constant("yes", True), helper.make_node("Loop", ["", "yes", "images"], ["looped"], body=body)]


def large_product():
    shape = constant("shape", np.array([8000, 8000]))
    fill = [helper.make_node("ConstantOfShape", ["shape"], [name]) for name in ("left", "right")]
    product = helper.make_node("MatMul", ["left", "right"], ["product"])
    total = helper.make_node("ReduceSum", ["product"], ["total"], keepdims=0)
    return [shape, *fill, product, total, helper.make_node("Add", ["images", "total"], ["changed"])]


def doubled(times):
    """Each node doubles the width of the image."""
    names = ["images", *(f"wide{i}" for i in range(times - 1)), "changed"]
    return [helper.make_node("Concat", [a, a], [b], axis=3) for a, b in zip(names, names[1:], strict=False)]


def test_a_loop_that_never_ends_is_refused():
    refused(network(endless_loop(), "looped"), "sub-graph|Loop")


def test_branches_are_refused():
    node = helper.make_node("If", ["yes"], ["chosen"], then_branch=subgraph("a"), else_branch=subgraph("b"))
    refused(network([constant("yes", True), node], "chosen"), "sub-graph|If")
    both = [constant("yes", True), helper.make_node("Where", ["yes", "images", "images"], ["chosen"])]
    accepted(network(both, "chosen"))


def test_a_chain_that_doubles_the_image_is_refused():
    refused(network(doubled(30), "changed"), r"shape|elements")
    accepted(network(doubled(2), "changed"))


def test_arithmetic_on_large_constants_is_refused():
    refused(network(large_product(), "changed"), "elements")


def test_a_dilation_beyond_the_image_is_refused():
    nodes = helper.make_node("Conv", ["images", "extra"], ["changed"], dilations=[2**40, 1], pads=[1, 1, 1, 1])
    refused(network([nodes], "changed", weights={"extra": values(3, 3, 3, 3)}), "dilation|attribute|dimension|Conv")


def test_too_many_nodes_are_refused():
    names = ["images", *(f"copy{i}" for i in range(300_000))]
    nodes = [helper.make_node("Identity", [a], [b]) for a, b in zip(names, names[1:], strict=False)]
    refused(network(nodes, names[-1]), "300,0.. nodes")
    accepted(network(nodes[:3], "copy2"))


def test_a_file_that_is_too_large_is_refused():
    refused(PLAIN, "at most|more than 1,000 bytes", limits=Limits(file_bytes=1_000))


# --- What only pretends to be a network -------------------------------------------------------------------------------


def test_other_operators_than_the_standard_ones_are_refused():
    node = helper.make_node("Gelu", ["images"], ["changed"], domain="com.microsoft")
    refused(network([node], "changed", domains=[helper.make_opsetid("com.microsoft", 1)]), "domain")
    accepted(network([helper.make_node("Gelu", ["images"], ["changed"])], "changed"))


@pytest.mark.parametrize(
    "nodes",
    [
        [
            constant("ratio", np.float32(0.5)),
            constant("yes", True),
            helper.make_node("Dropout", ["images", "ratio", "yes"], ["changed"]),
        ],
        [
            *(constant(name, np.ones(3, np.float32)) for name in ("scale", "shift", "mean", "var")),
            helper.make_node(
                "BatchNormalization",
                ["images", "scale", "shift", "mean", "var"],
                ["changed", "m", "v"],
                training_mode=1,
            ),
        ],
    ],
    ids=["dropout", "batch normalization"],
)
def test_operators_that_are_still_training_are_refused(nodes):
    refused(network(nodes, "changed"), "training")


def test_local_functions_are_refused():
    inner = [helper.make_node("Relu", ["a"], ["b"])]
    function = helper.make_function("mine", "Twice", ["a"], ["b"], inner, [helper.make_opsetid("", 21)])
    node = helper.make_node("Twice", ["images"], ["changed"], domain="mine")
    refused(
        network([node], "changed", domains=[helper.make_opsetid("mine", 1)], functions=[function]), "domain|function"
    )


def test_random_weights_are_refused():
    node = helper.make_node("RandomNormal", [], ["noise"], shape=LAST_DIMENSIONS)
    refused(network([node, helper.make_node("Add", ["images", "noise"], ["changed"])], "changed"), "RandomNormal")
    stored = {"noise": values(*LAST_DIMENSIONS)}
    add = helper.make_node("Add", ["images", "noise"], ["changed"])
    accepted(network([add], "changed", weights=stored), PARAMS + 3 * 32 * 32)


@pytest.mark.parametrize("place", ["/etc/passwd", "../secret.bin", "weights.bin"])
def test_weights_in_other_files_are_refused(place):
    model = network()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    refused(model, "another file")


def test_weights_as_inputs_are_refused():
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", *LAST_DIMENSIONS])
    weight = helper.make_tensor_value_info("conv.weight", TensorProto.FLOAT, [8, 3, 3, 3])
    refused(network(inputs=[images, weight]), "2 inputs")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(number):
    weight = values(8, 3, 3, 3)
    weight[3, 1, 1, 1] = number
    refused(network(weights={"conv.weight": weight}), "finite")


def test_tensors_that_claim_more_than_they_hold_are_refused():
    model = network()
    model.graph.initializer[0].dims[0] = 2**40
    refused(model, "shape")
    model = network()
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    refused(model, "data|size")


@pytest.mark.parametrize("shape", [["batch", 3, 64, 64], ["batch", 1, 32, 32], ["batch", 3072]])
def test_another_input_shape_is_refused_for_a_task(shape):
    model = network(inputs=[helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)])
    with pytest.raises(EntryError, match="images|shape|input|Conv"):
        measure(model.SerializeToString(), rules="course2025", task="patterns")
    with pytest.raises(EntryError, match="images|shape|input|Conv"):
        evaluate(model.SerializeToString(), IMAGES, LABELS)
    assert measure(PLAIN, rules="course2025", task="patterns").task == "patterns"


def test_another_number_of_classes_is_refused_for_a_task():
    with pytest.raises(EntryError, match=r"\(1, 10\).*100 classes"):
        measure(PLAIN, rules="course2025", task="cifar100")
    pooled = network(after=[helper.make_node("Flatten", ["maps"], ["many"])], result="many")
    with pytest.raises(EntryError, match=r"8192|output"):
        measure(pooled.SerializeToString(), rules="course2025", task="patterns")


def test_scores_that_are_not_finite_are_refused_and_ties_are_wrong():
    broken = network(after=[helper.make_node("Log", ["scores"], ["result"])], result="result")
    with pytest.raises(EntryError, match="NaN or infinite for image"):
        evaluate(broken.SerializeToString(), IMAGES, LABELS)
    tied = network(weights={"fc.weight": np.zeros((10, 8), np.float32), "fc.bias": np.ones(10, np.float32)})
    assert evaluate(tied.SerializeToString(), IMAGES, np.zeros(6, int)).correct == 0
    clear = np.arange(10, dtype=np.float32)
    constant_answer = network(weights={"fc.weight": np.zeros((10, 8), np.float32), "fc.bias": clear})
    assert evaluate(constant_answer.SerializeToString(), IMAGES, np.full(6, 9)).correct == 6


# --- What runs is what was measured -----------------------------------------------------------------------------------


def winner_from_infinity(factor):
    """Only the largest score becomes infinite; times zero, that is no number, and a choice can tell it."""
    numbers = {"along": np.array([1]), "factor": np.float32(factor), "no": np.float32(0), "yes": np.float32(1)}
    tail = [
        ("ReduceMax", ["scores", "along"], "largest"),
        ("Sub", ["largest", "scores"], "behind"),
        ("Reciprocal", ["behind"], "infinite"),
        ("Mul", ["infinite", "factor"], "hidden"),
        ("Equal", ["hidden", "hidden"], "same"),
        ("Where", ["same", "no", "yes"], "result"),
    ]
    made = [constant(name, value) for name, value in numbers.items()]
    made += [helper.make_node(op, inputs, [output]) for op, inputs, output in tail]
    return network(after=made, result="result")


def test_what_only_infinity_tells_is_no_entry():
    """All of the network in front of zero times infinity counts as dead, so that nothing is left that multiplies."""
    refused(winner_from_infinity(0), "convolutions, matrix products and products")
    accepted(winner_from_infinity(2))


def cancelled(size):
    """Weights between two large numbers that cancel: what is left depends on the order in which they are added."""
    weight = values(10, 8)
    parts = np.zeros((10, 8, 8), np.float32)
    parts[..., 0], parts[..., 1], parts[..., 2] = size, weight, -size
    before = [constant("last", np.array([-1])), helper.make_node("ReduceSum", ["parts", "last"], ["sum"], keepdims=0)]
    model = network(before=before, weights={"parts": parts})
    (gemm,) = (node for node in model.graph.node if node.op_type == "Gemm")
    gemm.input[1] = "sum"
    return model.SerializeToString()


@pytest.mark.parametrize("size", [2.0**30, 0.0])
def test_the_sum_of_constants_that_is_measured_is_the_one_that_runs(size):
    data = cancelled(size)
    weight = next(tensor for tensor in measure(data).inventory.tensors if tensor.shape == (10, 8))
    assert weight.live == (0 if size else 80)
    spread = np.ptp(measuring.run(data, IMAGES), axis=0)
    assert (spread == 0).all() if size else (spread > 0).all()


def test_a_sum_over_an_image_by_einsum_is_an_entry():
    summed = [
        helper.make_node("Einsum", ["positive"], ["sums"], equation="bchw->bc"),
        helper.make_node("Gemm", ["sums", "fc.weight", "fc.bias"], ["result"], transB=1),
    ]
    accepted(network(after=summed, result="result"))


def test_looking_up_a_class_that_is_not_there_is_refused():
    def picked(last):
        order = np.array([*range(9), last])
        nodes = [constant("order", order), helper.make_node("Gather", ["scores", "order"], ["result"], axis=1)]
        return network(after=nodes, result="result")

    accepted(picked(9))
    refused(picked(10), "looks up elements 0 to 10 of 10: count from 0 to 9")


def test_a_divisor_with_zeros_is_refused():
    def divided(first):
        divisor = np.array([first, *range(1, 10)], np.float32)
        nodes = [helper.make_node("Div", ["scores", "divisor"], ["result"])]
        return network(after=nodes, result="result", weights={"divisor": divisor})

    accepted(divided(0.5), PARAMS + 10)
    refused(divided(-0.0), "divides by a constant of which 1 of 10 elements are zero")


def test_a_damaged_graph_says_what_to_do():
    def joined(**attributes):
        nodes = [helper.make_node("Concat", ["scores"], ["result"], **attributes)]
        return network(after=nodes, result="result")

    accepted(joined(axis=1))
    refused(joined(), r"axis.*Write it again with entry.export\(model, path\)")


# --- Weights for free -------------------------------------------------------------------------------------------------


def test_weights_in_whole_numbers_count():
    """Stored as int8 and scaled, cast, or chosen with a mask: all of it is stored."""
    numbers = np.random.default_rng(1).integers(-99, 99, size=(3, 32, 32)).astype(np.int8)
    scaled = [
        constant("q", numbers),
        constant("scale", np.float32(0.01)),
        helper.make_node("DequantizeLinear", ["q", "scale"], ["extra"]),
    ]
    cast = [constant("q", numbers), helper.make_node("Cast", ["q"], ["extra"], to=TensorProto.FLOAT)]
    for nodes in (scaled, cast):
        add = helper.make_node("Add", ["images", "extra"], ["changed"])
        accepted(network([*nodes, add], "changed"), PARAMS + numbers.size)
    chosen = [
        constant("mask", numbers > 0),
        helper.make_node("Neg", ["images"], ["negative"]),
        helper.make_node("Where", ["mask", "images", "negative"], ["changed"]),
    ]
    accepted(network(chosen, "changed"), PARAMS + numbers.size)


def test_a_network_that_wakes_up_in_batches_gains_nothing():
    """Weights that are switched on for more than one image would not be measured; images are run one by one."""
    switch = [
        helper.make_node("Shape", ["images"], ["batch_size"], end=1),
        constant("one", np.array([1])),
        helper.make_node("Equal", ["batch_size", "one"], ["alone"]),
        helper.make_node("Where", ["alone", "scores", "other"], ["result"]),
    ]
    other = {"other": np.eye(10, dtype=np.float32)[:1] * 100}
    for_one = network(after=switch, result="result", weights=other)
    alone = evaluate(PLAIN, IMAGES, LABELS)
    assert evaluate(for_one.SerializeToString(), IMAGES, LABELS) == alone
    import onnxruntime

    session = onnxruntime.InferenceSession(for_one.SerializeToString(), providers=["CPUExecutionProvider"])
    (together,) = session.run(None, {"images": IMAGES})
    assert (together.argmax(1) == 0).all(), "in a batch, this network answers 0"


# --- The file ---------------------------------------------------------------------------------------------------------


def test_what_is_no_regular_file_is_refused(tmp_path):
    target = tmp_path / "entry.onnx"
    target.write_bytes(PLAIN)
    assert measure(target).model == "entry.onnx"
    (tmp_path / "link.onnx").symlink_to(target)
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    cases = {
        "link.onnx": "is a link",
        "pipe.onnx": "not a regular file",
        "empty.onnx": "is empty",
        "absent.onnx": "is missing",
        ".": "cannot be opened|not a regular file",
        "a\0b": "cannot be opened|null",
    }
    for name, words in cases.items():
        for question in (measure, lambda path: evaluate(path, IMAGES, LABELS)):
            with pytest.raises(EntryError, match=words):
                question(tmp_path / name)
    with pytest.raises(EntryError, match="not a regular file"):
        measure("/dev/zero")


@pytest.mark.parametrize("data", [b"nonsense", b"\x80\x04\x95", b"PK\x03\x04" + bytes(100), b"\x00" * 64])
def test_what_is_no_onnx_file_is_refused(data):
    refused(data, "not an ONNX|ONNX model|inputs|operator set")


def test_a_pickle_is_not_opened(tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (Path(tmp_path / "executed").write_text, ("",))

    refused(pickle.dumps(Evil()), "ONNX")
    assert not (tmp_path / "executed").exists()


# --- The process ------------------------------------------------------------------------------------------------------


def worker_script(tmp_path, monkeypatch, text):
    """Let guarded processes run another script."""
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(text))
    monkeypatch.setattr(guard, "SCRIPT", script)


TASK = """
    import os, runpy, sys
    sys.path.append({repository!r})
    from micronet_resources.entries import tasks
    def task(data, report):
        {body}
    tasks.TASKS["task"] = task
    runpy.run_path({script!r}, run_name="__main__")
"""


def in_worker(tmp_path, monkeypatch, body, **settings):
    """Run one line inside a guarded process."""
    script = str(Path(guard.__file__).with_name("worker.py"))
    worker_script(tmp_path, monkeypatch, TASK.format(repository=str(REPOSITORY), script=script, body=body))
    with GuardedWorker(**{"memory": 2 * 2**30, "processor_seconds": 30, **settings}) as worker:
        return worker.ask({"do": "task"}, [b""], seconds=30)


def test_a_crash_is_a_refusal_that_says_so(tmp_path, monkeypatch):
    with pytest.raises(EntryError, match="crashed .SIGSEGV"):
        in_worker(tmp_path, monkeypatch, "import ctypes; ctypes.string_at(0)")
    with pytest.raises(EntryError, match="crashed .exit status 3"):
        in_worker(tmp_path, monkeypatch, "os._exit(3)")
    with pytest.raises(EntryError, match="killed, most likely for want of memory"):
        in_worker(tmp_path, monkeypatch, "os.kill(os.getpid(), 9)")
    assert in_worker(tmp_path, monkeypatch, "return 7") == 7


def test_a_hang_is_stopped_by_the_clock(tmp_path, monkeypatch):
    with pytest.raises(EntryError, match=r"longer than 0.01 seconds and was stopped"):
        measure(reference_path(), seconds=0.01)
    worker_script(tmp_path, monkeypatch, "import time; time.sleep(600)")
    start = time.monotonic()
    with pytest.raises(EntryError, match="longer than 1 seconds"):
        evaluate(PLAIN, IMAGES, LABELS, seconds=1)
    assert time.monotonic() - start < 10


def test_processor_time_is_limited(tmp_path, monkeypatch):
    with pytest.raises(EntryError, match="more than 2 seconds of processor time"):
        in_worker(tmp_path, monkeypatch, "exec('while True: pass')", processor_seconds=2)


def test_memory_is_limited(tmp_path, monkeypatch):
    with pytest.raises(EntryError, match="memory"):
        in_worker(tmp_path, monkeypatch, "return len(bytearray(3 * 2**30))")
    assert in_worker(tmp_path, monkeypatch, "return len(bytearray(2**28))") == 2**28


def test_what_a_runtime_prints_does_not_disturb_the_answer(tmp_path, monkeypatch):
    body = "os.write(1, b'EP Error\\n'); print('noise'); os.system('echo more noise'); return 7"
    assert in_worker(tmp_path, monkeypatch, body) == 7


def test_an_answer_that_is_no_json_is_a_refusal(tmp_path, monkeypatch):
    worker_script(tmp_path, monkeypatch, "print('EP Error', flush=True); import time; time.sleep(60)")
    with pytest.raises(EntryError, match="answered nonsense"):
        measure(PLAIN)


def test_a_process_that_floods_its_answers_is_stopped(tmp_path, monkeypatch):
    worker_script(tmp_path, monkeypatch, 'while True: print(\'{"done": 1, "total": 2}\', flush=True)')
    start = time.monotonic()
    with pytest.raises(EntryError, match="longer than 1 seconds"):
        evaluate(PLAIN, IMAGES, LABELS, seconds=1, progress=lambda done, total: None)
    assert time.monotonic() - start < 10


def test_the_process_finds_nothing_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "secret")
    names = in_worker(tmp_path, monkeypatch, "return sorted(os.environ)")
    assert "SECRET_TOKEN" not in names
    assert set(names) <= {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LC_CTYPE"}
    place = str(tmp_path / "written")
    with pytest.raises(EntryError, match="File too large"):
        in_worker(tmp_path, monkeypatch, f"open({place!r}, 'wb', buffering=0).write(b'x')")
    assert not os.path.getsize(place)
    core = in_worker(tmp_path, monkeypatch, "import resource; return resource.getrlimit(resource.RLIMIT_CORE)")
    assert core == [0, 0]


def test_the_process_needs_no_torch(tmp_path, monkeypatch):
    """It starts in a fraction of a second, and what it does not import cannot be attacked."""
    body = f"tasks.measure({PLAIN!r}, rules=None, task=None, limits={{}}, report=None)"
    assert in_worker(tmp_path, monkeypatch, body + "; return 'torch' in sys.modules") is False


def test_the_callers_folder_and_path_choose_no_module(tmp_path, monkeypatch):
    for name in ("json", "numpy", "onnx", "onnxruntime", "sitecustomize", "micronet_resources"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "json.py"))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    accepted(PLAIN)
    assert not (tmp_path / "imported").exists()


def test_the_labels_never_reach_the_process(monkeypatch):
    asked = []
    original = GuardedWorker.ask

    def ask(self, question, blobs, **options):
        asked.append((dict(question), [bytes(blob) for blob in blobs]))
        return original(self, question, blobs, **options)

    monkeypatch.setattr(GuardedWorker, "ask", ask)
    evaluate(PLAIN, IMAGES, LABELS)
    [(question, blobs)] = asked
    assert set(question) == {"do", "shape", "limits"}
    assert blobs == [PLAIN, IMAGES.tobytes()]


def test_many_images_are_sent_in_parts(monkeypatch):
    whole, told = evaluate(PLAIN, IMAGES, LABELS), []
    monkeypatch.setattr(measuring, "CHUNK", 2 * IMAGES[0].nbytes)
    monkeypatch.setattr(GuardedWorker, "ask", lambda *a, ask=GuardedWorker.ask, **k: told.append(a[2]) or ask(*a, **k))
    assert evaluate(PLAIN, IMAGES, LABELS) == whole
    assert [len(images) for _, images in told] == [2 * IMAGES[0].nbytes] * 3


def test_one_worker_outlives_refusals():
    with GuardedWorker(memory=6 * 2**30, processor_seconds=60) as worker:
        question = {"do": "measure", "rules": None, "task": None, "limits": vars(Limits())}
        for _ in range(2):
            with pytest.raises(EntryError, match="ONNX"):
                worker.ask(question, [b"nonsense"], seconds=30)
            assert worker.ask(question, [PLAIN], seconds=30)["input_shape"] == LAST_DIMENSIONS
        assert worker.is_alive
    assert not worker.is_alive


def test_onnx_is_given_bytes_never_a_path():
    """A path would let a file name other files beside it."""
    for module in ("tasks", "guard", "measuring", "exporting"):
        text = (REPOSITORY / "micronet_resources" / "entries" / f"{module}.py").read_text(encoding="utf-8")
        assert "onnx.load" not in text
    assert onnx.load_model_from_string(PLAIN).graph.name == "entry"
