"""Weights and feature maps on grids of few bits, in torch and in the exported file."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from factorkit.quantization import ActivationQuantizer, calibrate, quantize_weights


def write(model: nn.Module, shape: tuple[int, ...], path: Path) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about torch
        torch.onnx.export(
            model.eval(),
            (torch.zeros(2, *shape),),
            path,
            dynamo=True,
            opset_version=21,
            optimize=False,
            external_data=False,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    return onnx.load(path)


def run(path: Path, images: torch.Tensor) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # else it quantizes weights between quantizers
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images.numpy()})[0]


WIDTHS = [(bits, signed) for bits in range(1, 9) for signed in (False, True) if bits > signed]


def test_every_width_is_exported_exactly_and_keeps_its_levels(tmp_path):
    """Fifteen quantizers beside each other, so that the exporter is called once."""

    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.quantizers = nn.ModuleList(ActivationQuantizer(b, signed=s, limit=1.7) for b, s in WIDTHS)

        def forward(self, maps):
            return torch.stack([quantizer(maps) for quantizer in self.quantizers], 1)

    model = Beside()
    written = write(model, (50, 20), tmp_path / "beside.onnx")
    assert {node.domain for node in written.graph.node} == {""}
    maps = torch.randn(5, 50, 20, generator=torch.Generator().manual_seed(0)) * 2
    got = run(tmp_path / "beside.onnx", maps)
    np.testing.assert_allclose(got, model(maps).detach().numpy(), atol=1e-6, rtol=0)
    for i, (bits, signed) in enumerate(WIDTHS):
        levels = np.unique(got[:, i])
        assert len(levels) <= 2**bits
        assert (levels.min() < 0) == signed
        assert len(levels) == 2**bits or bits == 8  # 256 levels need more than these examples


def test_an_exported_quantizer_stores_its_scale_and_nothing_else(tmp_path):
    written = write(ActivationQuantizer(3), (7,), tmp_path / "one.onnx")
    assert [tensor.name for tensor in written.graph.initializer] == ["scale"]
    assert not {"Sub", "Round"} & {node.op_type for node in written.graph.node}


def test_a_quantized_network_gives_the_same_in_onnxruntime(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), ActivationQuantizer(4), nn.Conv2d(8, 6, 3), ActivationQuantizer(5, signed=True)
    )
    images = torch.randn(4, 3, 9, 9)
    calibrate(model, [images])
    write(model, (3, 9, 9), tmp_path / "net.onnx")
    np.testing.assert_allclose(run(tmp_path / "net.onnx", images), model(images).detach().numpy(), atol=1e-5, rtol=0)


def test_training_and_inference_round_alike():
    quantizer = ActivationQuantizer(3, signed=True, limit=1.1)
    maps = torch.randn(4, 30, generator=torch.Generator().manual_seed(1))
    assert torch.equal(quantizer.train()(maps), quantizer.eval()(maps))


def test_the_gradient_passes_inside_the_range_and_stops_outside():
    quantizer = ActivationQuantizer(2, limit=3.0)
    maps = torch.tensor([[-1.0, 0.4, 1.6, 9.0]], requires_grad=True)
    quantizer(maps).sum().backward()
    assert maps.grad.tolist() == [[0.0, 1.0, 1.0, 0.0]]
    # (round(v) - v) inside, the level itself outside: 0 - 0.4 + 0.4 + 3, over the root of 4 elements times level 3
    assert quantizer.scale.grad.item() == pytest.approx(3.0 / 12**0.5, rel=1e-5)


def test_learning_the_scale_lowers_the_error():
    torch.manual_seed(0)
    maps = torch.randn(16, 64).relu()
    quantizer = ActivationQuantizer(2, limit=40.0)
    before = (quantizer(maps) - maps).square().mean().item()
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        (quantizer(maps) - maps).square().sum().backward()
        optimizer.step()
    assert (quantizer(maps) - maps).square().mean().item() < before / 4


def test_calibration_covers_both_ends_and_leaves_the_model_as_found():
    model = nn.Sequential(nn.Identity(), ActivationQuantizer(4, signed=True), nn.BatchNorm1d(3))
    model[0].eval()
    calibrate(model, [torch.tensor([[-16.0, 1.0, 2.0]]), torch.tensor([[3.0, 0.0, 7.0]])])
    assert model[1].scale.item() == 2.0  # -16 is level -8
    assert model[2].num_batches_tracked == 0
    assert [module.training for module in model] == [False, True, True]
    assert not model[1]._forward_hooks


def test_calibration_says_what_it_cannot_do():
    with pytest.raises(ValueError, match="has no ActivationQuantizer"):
        calibrate(nn.ReLU(), [])
    with pytest.raises(ValueError, match="0 met no example"):
        calibrate(nn.Sequential(ActivationQuantizer(4)), [])
    with pytest.raises(ValueError, match="not finite"):
        calibrate(ActivationQuantizer(4), [torch.tensor([[float("nan")]])])


def test_calibration_wants_a_list_of_batches_of_normalized_images():
    images = torch.rand(4, 3, 8, 8)
    model = nn.Sequential(ActivationQuantizer(8), nn.Conv2d(3, 2, 3))
    with pytest.raises(ValueError, match=r"shape \(4, 3, 8, 8\): give a list of batches of normalized images"):
        calibrate(model, images)
    with pytest.raises(ValueError, match="uint8.*: give a list of batches of normalized images"):
        calibrate(model, [(255 * images).to(torch.uint8)])
    calibrate(model, [images])
    assert model[0].scale.item() == pytest.approx(images.max().item() / 255)


def test_a_quantizer_without_a_sign_that_meets_negative_values_is_warned_about():
    values = torch.cat([torch.ones(100), -torch.ones(100)])
    with pytest.warns(UserWarning, match=r"^0 clips every negative value: use signed=True \(50%") as caught:
        calibrate(nn.Sequential(ActivationQuantizer(8)), [values])
    assert Path(caught[0].filename).name == Path(__file__).name
    calibrate(nn.Sequential(ActivationQuantizer(8, signed=True)), [values])  # a warning is an error in these tests
    calibrate(nn.Sequential(ActivationQuantizer(8)), [values[:101]])  # one in a hundred


@pytest.mark.parametrize("bits, signed", [(0, False), (1, True), (9, False), (True, False), (2.0, False)])
def test_widths_without_levels_are_refused(bits, signed):
    with pytest.raises(ValueError, match="give a whole number"):
        ActivationQuantizer(bits, signed=signed)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("inf"), float("nan")])
def test_a_range_must_be_positive(limit):
    with pytest.raises(ValueError, match="positive and finite"):
        ActivationQuantizer(4, limit=limit)


def test_a_quantizer_runs_on_the_meta_device_with_operators_of_torch_alone():
    from torch.utils._python_dispatch import TorchDispatchMode

    seen = set()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.add(func.namespace)
            return func(*args, **(kwargs or {}))

    with Watch(), torch.no_grad():
        maps = ActivationQuantizer(4).to("meta").eval()(torch.zeros(1, 3, 8, 8, device="meta"))
    assert maps.shape == (1, 3, 8, 8)
    assert seen == {"aten"}


@settings(deadline=None, max_examples=60)
@given(
    bits=st.integers(1, 8),
    per_channel=st.booleans(),
    half=st.booleans(),
    size=st.floats(1e-6, 100),
    seed=st.integers(0, 2**31),
)
def test_snapped_weights_are_exactly_a_scale_times_whole_numbers(bits, per_channel, half, size, seed):
    layer = nn.Conv2d(3, 5, 3, bias=False)
    generator = torch.Generator().manual_seed(seed)
    layer.weight.data = torch.randn(5, 3, 3, 3, generator=generator) * size
    layer = layer.half() if half else layer
    original = layer.weight.detach().double()
    error = quantize_weights(layer, bits, per_channel=per_channel)["weight"]
    weight = layer.weight.detach().double()
    highest = max(2 ** (bits - 1) - 1, 1)
    for row in weight if per_channel else [weight]:
        steps = row.unique().abs().unique()
        steps = steps[steps > 0]
        if not len(steps):
            assert half  # too small for the format
            continue
        # The greatest common step, found exactly: float64 holds every weight and every difference.
        step = steps[0].item()
        for value in steps[1:].tolist():
            while value:
                step, value = value, step % value
        assert (row / step).abs().max() <= 2 * highest
        assert torch.equal((row / step).round() * step, row)
    assert error == pytest.approx((weight - original).norm().item() / original.norm().item(), rel=1e-3, abs=1e-9)


def test_more_bits_are_closer_and_a_scale_for_each_channel_closer_still():
    def error(bits, per_channel):
        layer = nn.Conv2d(16, 8, 3)
        generator = torch.Generator().manual_seed(0)
        sizes = torch.linspace(0.2, 1.0, 8)[:, None, None, None]
        layer.weight.data = torch.randn(8, 16, 3, 3, generator=generator) * sizes
        return quantize_weights(layer, bits, per_channel=per_channel)["weight"]

    each, whole = [error(bits, True) for bits in range(1, 9)], [error(bits, False) for bits in range(1, 9)]
    assert all(more < less for less, more in zip(each, each[1:], strict=False))
    assert all(channel < layer for channel, layer in zip(each, whole, strict=True))
    assert each[7] < 0.01


def test_zeros_stay_zero_and_dead_filters_stay_dead():
    layer = nn.Conv2d(4, 4, 3)
    layer.weight.data[1] = 0
    layer.weight.data[2, 0] = 0
    for bits in (8, 3, 1):
        quantize_weights(layer, bits)
        assert not layer.weight[1].any()
        assert not layer.weight[2, 0].any()
        assert layer.weight[0].any()


def test_one_bit_is_the_sign_times_the_mean_magnitude():
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, -2.0, 3.0, -6.0]])
    quantize_weights(layer, 1)
    assert layer.weight.tolist() == [[3.0, -3.0, 3.0, -3.0]]


def test_a_transposed_convolution_has_one_scale_for_each_output_channel():
    layer = nn.ConvTranspose2d(6, 2, 2)
    layer.weight.data[:, 1] *= 100
    assert quantize_weights(layer, 4)["weight"] < 0.1
    assert all(len(layer.weight[:, channel].unique()) <= 15 for channel in range(2))


def test_tied_weights_are_moved_once():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    assert list(quantize_weights(nn.Sequential(first, second), 4)) == ["0.weight"]
    assert second.weight is first.weight


def test_a_weight_that_is_computed_is_refused():
    layer = nn.Linear(3, 3)
    prune.l1_unstructured(layer, "weight", 0.5)
    with pytest.raises(ValueError, match=r"^weight is computed at each call .*prune\.remove"):
        quantize_weights(layer, 4)


def test_weights_that_are_not_finite_are_refused():
    layer = nn.Linear(2, 2)
    layer.weight.data[0, 0] = float("inf")
    with pytest.raises(ValueError, match="not finite"):
        quantize_weights(layer, 4)
