"""The drawn data set: the same bytes everywhere, balanced, and with nothing but shape and texture to learn from."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from factorkit.data.cache import checksum
from factorkit.data.drawing import OUTLINES, mix, pixel_grid, sine, smooth_field, smooth_step
from factorkit.data.patterns import CLASSES, SHA256_SEED_0, TEST_COUNT, TRAIN_COUNT, _gaussian, draw_patterns

FIRST_200_OF_SEED_1 = "b83e120c4dd98011fd7526ad2078c2a7ef111859fd5b0fe9d0682870e1717d99"


@pytest.fixture(scope="module")
def whole_set():
    return draw_patterns(TRAIN_COUNT + TEST_COUNT)


def test_bytes_of_the_whole_set_are_those_written_down(whole_set):
    images, labels = whole_set
    assert images.shape == (14_000, 3, 32, 32)
    assert checksum({"images": images, "labels": labels}) == SHA256_SEED_0
    assert SHA256_SEED_0 == "ee494108ff47c359c2c49cfec86fe8b3e417ab9ed8838759d5d04a2410e6bfdf"


def test_bytes_of_another_seed_are_those_written_down():
    images, labels = draw_patterns(200, seed=1)
    assert checksum({"images": images, "labels": labels}) == FIRST_200_OF_SEED_1


def test_bytes_do_not_depend_on_the_processor():
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    if not found:
        pytest.skip("this numpy uses no optional vector instructions here, so there are none to switch off")
    script = (
        "from factorkit.data.cache import checksum\n"
        "from factorkit.data.patterns import draw_patterns\n"
        "import numpy as np\n"
        "images, labels = draw_patterns(200, seed=1)\n"
        "print(checksum({'images': images, 'labels': labels}))\n"
    )
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(found), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == FIRST_200_OF_SEED_1


def philox(counter: int, key: int) -> list[int]:
    """Four words of the Philox 4x64-10 generator, from its publication (Salmon et al., 2011)."""
    word = 2**64 - 1
    c = [counter >> (64 * i) & word for i in range(4)]
    k = [key & word, key >> 64]
    for _ in range(10):
        first, second = c[0] * 0xD2E7470EE14C6C93, c[2] * 0xCA5A826395121157
        c = [second >> 64 ^ c[1] ^ k[0], second & word, first >> 64 ^ c[3] ^ k[1], first & word]
        k = [(k[0] + 0x9E3779B97F4A7C15) & word, (k[1] + 0xBB67AE8584CAA73B) & word]
    return c


def test_random_words_are_those_of_the_published_generator():
    published = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox(0, 0) == published
    for key in (0, 5, 2**64 - 1):
        stream = np.random.Philox(key=key).random_raw(12).tolist()
        assert stream == [word for counter in (1, 2, 3) for word in philox(counter, key)]


@settings(max_examples=20, deadline=None)
@given(fewer=st.integers(1, 130), seed=st.sampled_from([0, 3, 2**64 - 1]))
def test_first_images_do_not_depend_on_how_many_are_drawn(fewer, seed):
    images, labels = draw_patterns(130, seed)
    first_images, first_labels = draw_patterns(fewer, seed)
    np.testing.assert_array_equal(first_images, images[:fewer])
    np.testing.assert_array_equal(first_labels, labels[:fewer])


def test_every_ten_images_have_one_of_each_class_in_a_changing_order(whole_set):
    _, labels = whole_set
    tens = labels.reshape(-1, 10)
    assert (np.sort(tens, axis=1) == np.arange(10)).all()
    shares = np.stack([(tens == label).mean(axis=0) for label in range(10)])  # of each class at each place
    assert abs(shares - 0.1).max() < 0.04


def test_no_image_comes_twice(whole_set):
    images, _ = whole_set
    others, _ = draw_patterns(1000, seed=1)
    assert len({image.tobytes() for image in images} | {image.tobytes() for image in others}) == 15_000


def test_colors_and_brightness_do_not_give_the_class_away(whole_set):
    images, labels = whole_set
    features = images.reshape(len(images), 3, -1).mean(axis=2) / 255
    model = LogisticRegression().fit(features[:TRAIN_COUNT], labels[:TRAIN_COUNT])
    accuracy = model.score(features[TRAIN_COUNT:], labels[TRAIN_COUNT:])
    assert accuracy < 0.15, f"colors alone tell {accuracy:.1%} of the classes, chance is 10%"


def test_classes_are_outlines_times_textures():
    assert len(CLASSES) == len(set(CLASSES)) == 10
    assert CLASSES[7] == "star-spotted"


def test_pixels_use_the_whole_range(whole_set):
    images, _ = whole_set
    assert images.min() == 0
    assert images.max() == 255
    assert 90 < images.mean() < 165


def test_progress_bar_is_shown_only_on_demand(capsys):
    draw_patterns(10, progress=True)
    assert "drawing patterns" in capsys.readouterr().err
    draw_patterns(10, progress=False)
    assert capsys.readouterr().err == ""


def test_noise_is_nearly_gaussian():
    noise = _gaussian(np.random.Philox(key=0).random_raw(200_000))
    assert noise.dtype == np.float32
    noise = noise.astype(np.float64)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    assert abs((noise**4).mean() - 2.7) < 0.05  # four uniform numbers; 3 for a Gaussian
    assert abs(noise).max() <= 12**0.5


# The brushes


def test_sine_is_near_the_real_one_and_exact_at_the_quarters():
    turns = np.linspace(-3, 3, 10_001).astype(np.float32)
    assert abs(sine(turns) - np.sin(2 * np.pi * turns.astype(np.float64))).max() < 0.0012
    assert sine(turns).dtype == np.float32
    assert sine(np.array([-0.25, 2.5, 5.25], dtype=np.float32)).tolist() == [-1, 0, 1]


@given(st.floats(-5, 5, width=32))
def test_smooth_step_rises_and_is_symmetric(x):
    here, there = smooth_step(np.array([x, 1 - x], dtype=np.float32))
    assert 0 <= here <= 1
    assert here + there == pytest.approx(1, abs=1e-6)
    assert smooth_step(np.float32([x]))[0] <= smooth_step(np.float32([x + 0.1]))[0]


def test_mix_lays_the_second_picture_over_the_first():
    below, above = np.float32([1, 1, 1]), np.float32([5, 5, 5])
    assert mix(below, above, np.float32([0, 0.5, 1])).tolist() == [1, 3, 5]


@settings(deadline=None)
@given(count=st.integers(2, 6), size=st.integers(1, 40), seed=st.integers(0, 1000))
def test_smooth_field_stays_within_its_knots(count, size, seed):
    knots = np.random.default_rng(seed).random((2, 3, count, count), dtype=np.float32)
    field = smooth_field(knots, size)
    assert field.shape == (2, 3, size, size)
    assert field.dtype == np.float32
    assert (field <= knots.max(axis=(2, 3), keepdims=True) + 1e-5).all()
    assert (field >= knots.min(axis=(2, 3), keepdims=True) - 1e-5).all()
    np.testing.assert_allclose(smooth_field(np.full_like(knots, 0.25), size), 0.25, rtol=1e-5)
    turned = smooth_field(knots.transpose(0, 1, 3, 2), size)
    np.testing.assert_allclose(turned, field.transpose(0, 1, 3, 2), atol=1e-6)


@pytest.mark.parametrize(("name", "fold"), [("disc", 360), ("triangle", 3), ("square", 4), ("star", 5), ("ring", 360)])
def test_outlines_have_their_symmetry(name, fold):
    x, y = (np.broadcast_to(axis, (1, 1, 64, 64)) * np.float32(1.5) for axis in pixel_grid(64))
    turned = (x + 1j * y) * np.exp(2j * np.pi / fold)
    distance = OUTLINES[name](x, y)
    assert distance.dtype == np.float32
    there = OUTLINES[name](turned.real.astype(np.float32), turned.imag.astype(np.float32))
    np.testing.assert_allclose(there, distance, atol=1e-5)
    inside = (distance < 0).mean() * 9  # area in units of the disc's radius
    expected = {
        "disc": np.pi,
        "triangle": 3 * 3**0.5 * 0.64**2,
        "square": 1.6**2,
        "star": np.pi * (1 + 0.33**2 / 2),
        "ring": np.pi * (1 - 0.5**2),
    }
    assert inside == pytest.approx(expected[name], rel=0.03)


def test_outlines_are_finite_at_the_center_and_only_the_ring_is_hollow():
    zero = np.zeros((1, 1, 1, 1), dtype=np.float32)
    at_center = {name: float(outline(zero, zero)[0, 0, 0, 0]) for name, outline in OUTLINES.items()}
    assert {name for name, distance in at_center.items() if distance > 0} == {"ring"}
