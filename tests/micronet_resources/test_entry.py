"""Entries of the challenge: written, measured like the network they come from, and evaluated."""

import copy
import logging
import random
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from factorkit.data import load
from factorkit.layers import DepthwiseSeparableConv2d
from factorkit.models import resnet18_cifar, small_convnet
from factorkit.quantization import ActivationQuantizer, quantize_weights
from factorkit.torchvision_import import import_torchvision
from micronet_resources.entries import exporting
from micronet_resources.entries.measuring import run
from micronet_resources.entries.records import pack, unpack
from micronet_resources.entry import EntryError, Evaluation, Limits, evaluate, export, measure
from micronet_resources.profile import profile_model
from micronet_resources.references import PATTERNS_CORRECT, reference_path
from micronet_resources.rules import rule_set
from micronet_resources.scoring import score

TASK = rule_set("course2025").task("patterns")


@pytest.fixture(scope="module")
def data():
    return load("patterns", progress=False)


class Own(nn.Module):
    """A network whose forward is a function of itself and the images."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.conv = nn.Conv2d(3, 10, 3, padding=1)
        for name, part in parts.items():
            setattr(self, name, part)
        self._forward = forward

    def forward(self, images):
        return self._forward(self, images)


def mean_scores(model, images):
    return model.conv(images).mean((2, 3))


# --- The same figures as the profile of the model ---------------------------------------------------------------------


def masked():
    model = small_convnet((4, 8))
    prune.l1_unstructured(model[0], "weight", 0.5)
    return model


def tied():
    model = Own(
        lambda self, images: F.relu(self.twin(F.relu(self.conv(images)))).mean((2, 3)), twin=nn.Conv2d(10, 10, 1)
    )
    model.again = nn.Conv2d(10, 10, 1)
    model.again.weight = model.twin.weight
    model._forward = lambda self, images: self.again(F.relu(self.twin(self.conv(images)))).mean((2, 3))
    return model


NETWORKS = {
    "small_convnet": lambda: small_convnet((4, 8)),
    "resnet18_cifar": resnet18_cifar,
    "depthwise separable": lambda: small_convnet((4, 8), conv=DepthwiseSeparableConv2d),
    "masked": masked,
    "tied": tied,
    "attention": lambda: Own(
        lambda self, images: self.attention(*[self.conv(images)[:, :, ::4, ::4].flatten(2).mT] * 3)[0].mean(1),
        attention=nn.MultiheadAttention(10, 2, batch_first=True),
    ),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Models of NETWORKS with their entries, each exported once."""
    folder, made = tmp_path_factory.mktemp("entries"), {}

    def export_once(name):
        if name not in made:
            torch.manual_seed(0)
            model = NETWORKS[name]()
            made[name] = model, export(model, folder / f"{name}.onnx")
        return made[name]

    return export_once


@pytest.mark.parametrize("name", NETWORKS)
def test_the_entry_has_the_figures_of_the_model(name, exported):
    model, path = exported(name)
    profile, entry = profile_model(model, (3, 32, 32)), measure(path)
    assert (entry.params, entry.macs) == (profile.params_used, profile.macs)
    assert entry.products == profile.products
    kinds = [kind for kind in profile.kinds if kind in ("convolution", "linear", "bias", "normalization", "residual")]
    assert {kind: entry.kinds.get(kind) for kind in kinds} == {kind: profile.kinds[kind] for kind in kinds}


@pytest.mark.parametrize("name", ["squeezenet1_0", pytest.param("mobilenet_v2", marks=pytest.mark.slow)])
def test_torchvisions_networks_have_the_same_figures_as_entries(name, tmp_path):
    model = import_torchvision().models.get_model(name)
    profile = profile_model(model, (3, 224, 224))
    path = export(model, tmp_path / "entry.onnx", "imagenet", rules="neurips2019", limits=Limits.generous())
    entry = measure(path, limits=Limits.generous())
    assert (entry.params, entry.macs) == (profile.params_used, profile.macs)
    assert entry.input_shape == (3, 224, 224)


def test_weight_normalization_is_stored_as_the_weight_that_it_makes(tmp_path):
    normalized = parametrizations.weight_norm(nn.Conv2d(3, 10, 3))
    entry = measure(export(nn.Sequential(normalized, nn.AdaptiveAvgPool2d(1), nn.Flatten()), tmp_path / "entry.onnx"))
    assert entry.params == 10 * 27 + 10


def test_layers_have_the_names_of_the_modules(exported):
    model, path = exported("resnet18_cifar")
    entry = measure(path)
    layers = {layer.name: layer for layer in entry.layers}
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.BatchNorm2d)):
            assert layers[name].params == sum(p.numel() for p in module.parameters())
    assert layers["3.conv1"].input_shape == (64, 32, 32)
    assert "3.conv1" in repr(entry)
    assert "<table>" in entry._repr_html_()
    assert set(entry.to_frame().name) == set(layers)
    assert entry.to_dict()["params"] == entry.params


def test_profile_and_entry_have_the_same_score(tmp_path):
    torch.manual_seed(0)
    model = small_convnet((4, 8))
    quantize_weights(model, 4)
    entry, profile = measure(export(model, tmp_path / "entry.onnx")), profile_model(model, (3, 32, 32))
    for rules in ("course2025", "course2023"):
        assert float(score(entry, rules, "patterns")) == pytest.approx(float(score(profile, rules, "patterns")))
    # Which normalization can be folded into the layer in front of it is seen in the graph only.
    folded = [tensor.name for tensor in entry.inventory.tensors if tensor.folded]
    assert folded == ["1.weight", "4.weight", "8.weight", "11.weight"]
    assert float(score(entry, "neurips2019", "patterns")) <= float(score(profile, "neurips2019", "patterns"))


def test_the_reference_scores_four():
    entry = measure(reference_path("patterns"))
    assert (entry.params, entry.macs, entry.task, entry.rules) == (72_954, 9_880_192, "patterns", "course2025")
    assert float(score(entry, "course2025", "patterns")) == 4.0
    assert "Score 4.0000" in repr(entry)


# --- Values -----------------------------------------------------------------------------------------------------------


def test_activation_bits_are_read_from_the_file(tmp_path):
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 8, 3),
        nn.ReLU(),
        ActivationQuantizer(3),
        nn.Conv2d(8, 8, 3),
        nn.ReLU(),
        ActivationQuantizer(8),
    ]
    model = nn.Sequential(*layers, nn.Conv2d(8, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    quantize_weights(model, 2)
    entry = measure(export(model, tmp_path / "entry.onnx"))
    products = [measured for measured in entry.inventory.operations if measured.operation.kind == "convolution"]
    assert [measured.input_bits for measured in products] == [32, 3, 8]
    assert max(measured.weight_bits for measured in products) == 2


def test_a_pruned_filter_takes_the_next_layers_inputs_with_it(tmp_path):
    torch.manual_seed(0)
    model = small_convnet((8, 16))
    with torch.no_grad():
        for parameter in (model[0].weight, model[1].weight, model[1].bias):
            parameter[:3] = 0
    slim = small_convnet((8, 16))
    slim[0], slim[1], slim[3] = (
        nn.Conv2d(3, 5, 3, padding=1, bias=False),
        nn.BatchNorm2d(5),
        nn.Conv2d(5, 8, 3, padding=1, bias=False),
    )
    entry, twin = measure(export(model, tmp_path / "a.onnx")), measure(export(slim, tmp_path / "b.onnx"))
    assert sum(tensor.live for tensor in entry.inventory.tensors) == twin.params
    assert sum(measured.live_macs for measured in entry.inventory.operations) == twin.macs
    assert float(score(entry, "course2025", "patterns")) == pytest.approx(float(score(twin, "course2025", "patterns")))


def test_a_half_model_counts_sixteen_bits(exported, tmp_path):
    model, path = exported("small_convnet")
    entry = measure(export(copy.deepcopy(model).half(), tmp_path / "half.onnx"))
    assert {measured.input_bits for measured in entry.inventory.operations} == {16}
    weights = [tensor for tensor in entry.inventory.tensors if tensor.role == "weight"]
    assert {min(encoding.operand_bits for encoding in tensor.encodings) for tensor in weights} == {16}
    whole = score(measure(path), "course2025", "patterns")
    half = score(entry, "course2025", "patterns")
    assert half.operation_term == pytest.approx(whole.operation_term / 2)
    assert half.parameter_term == pytest.approx(whole.parameter_term / 2, rel=0.01)


# --- Evaluation -------------------------------------------------------------------------------------------------------


def test_the_reference_classifies_what_its_record_says(data):
    images, told = data.normalize(data.test_images), []
    result = evaluate(reference_path(), images, data.test_labels, progress=lambda *counts: told.append(counts))
    assert result.total == len(data.test_labels) == 2_000
    assert abs(result.correct - PATTERNS_CORRECT) <= 5
    assert result.correct >= TASK.needed(2_000)
    assert all(total == 2_000 and 0 < done <= 2_000 for done, total in told)
    assert repr(Evaluation(1_900, 2_000)) == "Evaluation: 1900 of 2000 correct (95.00 %)"
    assert Evaluation(1_900, 2_000).accuracy == 0.95


def test_onnx_and_torch_answer_alike(data, exported):
    model, path = exported("small_convnet")
    images = data.normalize(data.test_images[:200])
    with torch.no_grad():
        scores = copy.deepcopy(model).eval()(images)
    np.testing.assert_allclose(run(path, images), scores.numpy(), rtol=1e-4, atol=1e-5)
    answers = scores.argmax(1)
    assert evaluate(path, images, answers) == evaluate(path.read_bytes(), images.numpy(), answers.numpy())
    assert evaluate(path, images, answers).correct == 200
    assert evaluate(path, images, (answers + 1) % 10).correct == 0


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), [0, 1], "type uint8.*data.normalize"),
        (torch.zeros(3, 32, 32), [0, 1, 2], "N x C x H x W"),
        (torch.zeros(0, 3, 32, 32), [], "N x C x H x W"),
        (torch.full((1, 3, 32, 32), float("nan")), [0], "infinity or NaN"),
        (torch.zeros(2, 3, 32, 32), [0], "for 2 images"),
        (torch.zeros(2, 3, 32, 32), [0.0, 1.0], "class number"),
        (torch.zeros(2, 3, 32, 32), [0, -1], "0 or more"),
    ],
)
def test_images_and_labels_that_do_not_fit(images, labels, words):
    with pytest.raises(ValueError, match=words):
        evaluate(reference_path(), images, labels)


def test_names_of_rules_and_tasks_are_checked():
    for names, words in [
        ({"rules": "course2024"}, "course2024"),
        ({"rules": "course2025", "task": "digits"}, "no task on 'digits'"),
        ({"task": "patterns"}, "needs rules"),
    ]:
        with pytest.raises(ValueError, match=words):
            measure(reference_path(), **names)
    other = measure(reference_path(), rules="neurips2019", task="patterns")
    assert (other.rules, other.task) == ("neurips2019", "patterns")


def test_the_command_that_makes_the_reference_again(tmp_path, monkeypatch, capsys):
    """With an untrained network in place of minutes of training."""
    from micronet_resources.references import __main__ as command

    monkeypatch.setattr(command, "train_patterns", lambda: small_convnet((4,)))
    monkeypatch.setattr("sys.argv", ["references", str(tmp_path / "patterns.onnx")])
    threads = torch.get_num_threads()
    try:
        command.main()
    finally:
        torch.set_num_threads(threads)
    assert "of 2000 correct" in capsys.readouterr().out
    assert measure(tmp_path / "patterns.onnx").task == "patterns"
    with pytest.raises(ValueError, match="'cifar10': there is one for patterns"):
        reference_path("cifar10")


# --- Export -----------------------------------------------------------------------------------------------------------


def test_the_file_holds_a_graph_and_little_else(exported):
    model, path = exported("small_convnet")
    assert not list(path.parent.glob(".*"))
    proto = onnx.load_model_from_string(path.read_bytes())
    assert {entry.key: entry.value for entry in proto.metadata_props}["micronet.task"] == "patterns"
    assert proto.opset_import[0].version == 21
    assert {tensor.name for tensor in proto.graph.initializer} <= set(model.state_dict())
    for secret in (str(Path(torch.__file__).parent), str(Path(__file__).parent), "File "):
        assert secret.encode() not in path.read_bytes()


def test_exporting_twice_gives_the_same_bytes(exported, tmp_path):
    model, path = exported("small_convnet")
    assert export(model, tmp_path / "again.onnx").read_bytes() == path.read_bytes()


def state_of(model):
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modules = {name: (module.training, sorted(vars(module))) for name, module in model.named_modules()}
    return tensors, modules, [id(parameter) for parameter in model.parameters()]


@pytest.mark.parametrize("build", [lambda: small_convnet((4,)), masked], ids=["plain", "masked"])
def test_the_model_is_left_as_it_was(build, tmp_path, capfd):
    model = build().train()
    model[1].eval()
    model[0].weight.sum().backward()
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    weight = model[0].weight
    before, states = state_of(model), (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        export(model, tmp_path / "entry.onnx")
    after = state_of(model)
    torch.testing.assert_close(after[0], before[0], rtol=0, atol=0)
    assert after[1:] == before[1:]
    assert model[0].weight is weight
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(parameter.grad, gradient)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert random.getstate() == states[2]
    assert not shown
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == 0
    model(torch.zeros(2, 3, 32, 32)).sum().backward()


def test_dropout_is_off_in_an_entry(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 10, 3), nn.Dropout(0.9), nn.AdaptiveAvgPool2d(1), nn.Flatten()).train()
    images = torch.randn(3, 3, 32, 32)
    scores = run(export(model, tmp_path / "entry.onnx"), images)
    with torch.no_grad():
        np.testing.assert_allclose(scores, model.eval()(images).numpy(), rtol=1e-4, atol=1e-5)


def counted_up(model, images):
    model.calls = getattr(model, "calls", 0) + 1
    return mean_scores(model, images) * model.calls


REFUSED = {
    "decides by values": (lambda m, x: mean_scores(m, x) if x.sum() > 0 else mean_scores(m, -x), "torch.where"),
    "one number of images": (
        lambda m, x: mean_scores(m, x[:4].reshape(4, 3, 32, 32)),
        r"does not run on images of shape \(1, 3",
    ),
    "loops over images": (lambda m, x: torch.cat([mean_scores(m, y[None]) for y in x]), "one number of images only"),
    "mixes the batch": (lambda m, x: mean_scores(m, x) - mean_scores(m, x).mean(0), "mix the images of a batch"),
    "random": (lambda m, x: mean_scores(m, x) + torch.rand(10), "RandomUniform"),
    "remembers": (counted_up, "from one call to the next"),
    "no ONNX form": (
        lambda m, x: mean_scores(m, x) + torch.linalg.svd(x.mean((1, 2)).view(-1, 4, 8))[1].sum(),
        "_linalg_svd",
    ),
    "fake quantization": (
        lambda m, x: torch.fake_quantize_per_tensor_affine(mean_scores(m, x), 0.1, 0, 0, 255),
        "factorkit.quantization",
    ),
    "sizes by values": (lambda m, x: mean_scores(m, x) + x.nonzero().shape[0], "NonZero"),
    "does not run": (lambda m, x: m.conv(x.flatten(1)), r"\(4, 3, 32, 32\).*Expected"),
    "several outputs": (lambda m, x: (mean_scores(m, x), x), r"returned tuple.*\(4, 10\)"),
    "classes": (lambda m, x: mean_scores(m, x)[:, :7], r"\(4, 7\).*\(4, 10\)"),
    "not finite": (lambda m, x: mean_scores(m, x) / 0, "NaN or infinite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_an_entry_is_refused_with_a_reason(name, tmp_path):
    torch.manual_seed(0)
    forward, words = REFUSED[name]
    (tmp_path / "entry.onnx").write_bytes(b"the one before")
    with pytest.raises(EntryError, match=words):
        export(Own(forward), tmp_path / "entry.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["entry.onnx"]
    assert (tmp_path / "entry.onnx").read_bytes() == b"the one before"
    assert logging.root.manager.disable == 0


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
def test_types_that_onnx_does_not_run_are_refused(tmp_path):
    for model, words in [
        (small_convnet((4,)).bfloat16(), "bfloat16.*model.float"),
        (small_convnet((4,)).double(), "float64.*model.float"),
        (nn.Sequential(nn.LazyConv2d(10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "lazy|no weights yet"),
        (torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))), "TorchScript"),
        (lambda images: images, "is a function: give an nn.Module"),
    ]:
        with pytest.raises(EntryError, match=words):
            export(model, tmp_path / "entry.onnx")


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(EntryError, match="cannot be written: there is no folder"):
        export(small_convnet((4,)), tmp_path / "missing" / "entry.onnx")
    with pytest.raises(ValueError, match="no task on 'digits'"):
        export(small_convnet((4,)), tmp_path / "entry.onnx", "digits")


def test_an_export_that_is_wrong_is_noticed(tmp_path, monkeypatch):
    """Whatever goes wrong in the exporter, the scores tell."""
    tidy = exporting._tidy

    def spoil(proto):
        tidy(proto)
        weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "0.weight")
        weight.raw_data = bytes(np.frombuffer(weight.raw_data, np.float32) * np.float32(1.5))

    monkeypatch.setattr(exporting, "_tidy", spoil)
    model = nn.Sequential(nn.Conv2d(3, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(EntryError, match="other scores than the model"):
        export(model, tmp_path / "entry.onnx")


# --- Plain data -------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(st.lists(st.text(max_size=200), min_size=1, max_size=5))
def test_names_from_the_file_are_shown_harmlessly(names):
    """Terminals obey control characters and pages obey tags: neither gets any."""
    proto = onnx.ModelProto.FromString(reference_path().read_bytes())
    for node, name in zip(proto.graph.node, names * 99, strict=False):
        del node.metadata_props[:]
        node.name = name.encode("utf-8", "ignore").decode()
    entry = measure_here(proto.SerializeToString())
    shown = repr(entry) + str(entry.tree())
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert "<script" not in entry._repr_html_()
    assert entry.params == 72_954


def measure_here(data):
    """Without a process of its own, for speed."""
    from dataclasses import asdict

    from micronet_resources.entries import tasks
    from micronet_resources.entry import EntryProfile

    record = tasks.measure(data, rules=None, task=None, limits=asdict(Limits()), report=None)
    layers, inventory = unpack(record)
    assert pack(layers, inventory) == {name: record[name] for name in ("layers", "tensors", "operations")}
    return EntryProfile("entry", tuple(record["input_shape"]), layers, inventory, record["rules"], record["task"])


@pytest.mark.parametrize("record", [{}, [], {"layers": [{}], "tensors": [], "operations": []}, {"layers": 3}])
def test_records_that_are_none_are_refused(record):
    with pytest.raises(EntryError, match="nonsense"):
        unpack(record)


@pytest.mark.parametrize("rules", ["course2023", "neurips2019"])
def test_rules_alone_keep_the_task_of_the_file(rules):
    data = Path(reference_path("patterns")).read_bytes()
    profile = measure(data, rules=rules)
    assert (profile.rules, profile.task) == (rules, "patterns")
    assert score(measure(data), rules).task.data == "patterns"
