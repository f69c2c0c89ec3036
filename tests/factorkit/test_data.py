"""The data sets that need no download, and what an ImageData does."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from factorkit.data import ImageData, load, names
from factorkit.data.statistics import channel_statistics


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def tiny(seed=0, train=23, test=7, channels=3):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (train + test, channels, 5, 4), generator=generator, dtype=torch.uint8)
    labels = torch.arange(train + test) % 4
    mean, std = channel_statistics(images[:train])
    classes = ("a", "b", "c", "d")
    return ImageData("tiny", images[:train], labels[:train], images[train:], labels[train:], classes, mean, std)


# What load gives


def test_patterns(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FACTORKIT_CACHE", str(tmp_path))
    data = load()
    assert "drawing patterns" in capsys.readouterr().err
    assert repr(data).startswith(
        "ImageData 'patterns': 12,000 train and 2,000 test images of 3 x 32 x 32, 10 classes: disc-striped, "
    )
    assert data.train_images.dtype == torch.uint8
    assert data.train_labels.bincount().tolist() == [1200] * 10
    assert data.test_labels.bincount().tolist() == [200] * 10
    again = load("patterns")
    assert capsys.readouterr().err == ""  # read, not drawn
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(data, name), getattr(again, name))
    other = load("patterns", seed=1, progress=False)
    assert not torch.equal(data.test_images, other.test_images)
    assert other.mean == pytest.approx(data.mean, abs=0.01)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["patterns-v1-seed0.npz", "patterns-v1-seed1.npz"]


def test_digits_are_those_of_scikit_learn(digits):
    bunch = load_digits()
    assert (len(digits.train_images), len(digits.test_images)) == (1437, 360)
    assert digits.input_shape == (1, 8, 8)
    assert digits.classes == tuple("0123456789")
    images = torch.cat([digits.train_images, digits.test_images])
    values = (images.long() * 16 + 127) // 255  # back to 0 ... 16
    labels = torch.cat([digits.train_labels, digits.test_labels])
    ours = sorted((image.flatten().tolist(), label) for image, label in zip(values, labels.tolist(), strict=True))
    theirs = sorted(zip(bunch.data.astype(int).tolist(), bunch.target.tolist(), strict=True))
    assert ours == theirs
    assert (images.min(), images.max()) == (0, 255)


def test_digits_split_is_stratified_and_fixed(digits):
    share = digits.test_labels.bincount() / (digits.test_labels.bincount() + digits.train_labels.bincount())
    assert abs(share - 0.2).max() < 0.005
    again = load("digits")
    assert torch.equal(again.train_images, digits.train_images)
    assert again.test_labels[:12].tolist() == digits.test_labels[:12].tolist()


def test_names_are_those_that_load_knows():
    assert names() == ("patterns", "digits", "cifar10", "cifar100", "svhn", "mnist")


# What load refuses


@pytest.mark.parametrize(
    ("name", "hint"),
    [("cifar", "did you mean 'cifar10'"), ("Digits", "did you mean 'digits'"), ("pattern", "did you mean 'patterns'")],
)
def test_unknown_name_gets_the_known_ones_and_the_nearest(name, hint):
    with pytest.raises(ValueError, match=hint) as caught:
        load(name)
    message = str(caught.value)
    assert repr(name) in message
    assert all(known in message for known in names())


@pytest.mark.parametrize("name", ["imagenet", "", None, 3])
def test_name_far_from_all_gets_no_suggestion(name):
    with pytest.raises(ValueError, match="unknown data set .* known are patterns") as caught:
        load(name)
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("seed", [-1, 2**64, 0.0, 1.5, "1", None, True, False, np.float32(2), [1]])
def test_seed_must_be_a_whole_number_in_range(seed):
    with pytest.raises(ValueError, match=r"seed=.*whole number from 0 to 2\*\*64 - 1"):
        load("patterns", seed=seed)


@pytest.mark.parametrize("name", ["digits", "cifar10", "mnist"])
def test_seed_is_for_patterns_only(name):
    with pytest.raises(ValueError, match=f"seed=3 for '{name}': only 'patterns'"):
        load(name, seed=3)


@pytest.mark.parametrize("name", ["patterns", "digits"])
def test_root_is_for_sets_with_files_only(name, tmp_path):
    with pytest.raises(ValueError, match=f"for '{name}': this set reads no files"):
        load(name, root=tmp_path)


# ImageData


@settings(deadline=None)
@given(seed=st.integers(0, 1000), channels=st.integers(1, 4), train=st.integers(1, 40))
def test_normalized_train_images_have_zero_mean_and_unit_variance(seed, channels, train):
    data = tiny(seed, train, 2, channels)
    inputs = data.normalize(data.train_images)
    assert inputs.dtype == torch.float32
    assert inputs.shape == data.train_images.shape
    assert inputs.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0] * channels, abs=1e-5)
    assert inputs.std(dim=(0, 2, 3), correction=0).tolist() == pytest.approx([1] * channels, abs=1e-5)
    by_hand = (data.train_images[0, 0, 1, 2].item() / 255 - data.mean[0]) / data.std[0]
    assert inputs[0, 0, 1, 2].item() == pytest.approx(by_hand, abs=1e-5)
    assert torch.equal(data.normalize(data.train_images[0]), inputs[0])


def test_normalize_leaves_its_input_and_takes_any_size():
    data = tiny()
    before = data.test_images.clone()
    data.normalize(data.test_images)
    assert torch.equal(before, data.test_images)
    assert data.normalize(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("shape", [(2, 1, 5, 4), (2, 4, 5, 4), (5, 4), (2, 5, 4, 3), (1, 2, 3, 5, 4)])
def test_normalize_refuses_other_channels_and_says_both_shapes(shape):
    with pytest.raises(ValueError, match="cannot normalize") as caught:
        tiny().normalize(torch.zeros(shape, dtype=torch.uint8))
    assert str(shape) in str(caught.value)
    assert "(3, 5, 4)" in str(caught.value)


def test_normalize_refuses_to_normalize_twice():
    data = tiny()
    with pytest.raises(ValueError, match="type torch.float32: must be uint8"):
        data.normalize(data.normalize(data.test_images))


@given(st.integers(1, 23), st.integers(1, 7))
def test_subset_takes_the_first_and_keeps_the_statistics(train, test):
    data = tiny()
    small = data.subset(train, test)
    assert torch.equal(small.train_images, data.train_images[:train])
    assert torch.equal(small.test_labels, data.test_labels[:test])
    assert (small.mean, small.std, small.classes) == (data.mean, data.std, data.classes)
    assert len(data.subset(train=train).test_images) == 7
    assert len(data.subset(test=test).train_images) == 23


@pytest.mark.parametrize("counts", [{"train": 24}, {"train": 0}, {"test": 8}, {"test": -1}])
def test_subset_refuses_what_is_not_there(counts):
    ((split, count),) = counts.items()
    with pytest.raises(ValueError, match=f"cannot take {count} {split} images: 'tiny' has"):
        tiny().subset(**counts)


@given(batch_size=st.integers(1, 30), seed=st.integers(0, 100))
def test_loader_gives_every_image_once_with_its_label(batch_size, seed):
    data = tiny()
    expected = sorted(zip((i.tolist() for i in data.train_images), data.train_labels.tolist(), strict=True))
    for shuffle in (False, True):
        generator = torch.Generator().manual_seed(seed) if shuffle else None
        batches = data.loader("train", batch_size, shuffle=shuffle, generator=generator)
        got = list(batches)
        assert len(got) == len(batches) == -(-23 // batch_size)
        assert {len(labels) for _, labels in got[:-1]} <= {batch_size}
        images, labels = torch.cat([b[0] for b in got]), torch.cat([b[1] for b in got])
        assert images.dtype == torch.uint8
        assert sorted(zip((i.tolist() for i in images), labels.tolist(), strict=True)) == expected
        assert torch.equal(labels, data.train_labels) or shuffle


def test_loader_shuffles_anew_each_pass_from_its_own_generator():
    data = tiny()
    state = torch.get_rng_state()
    batches = data.loader("train", 23, shuffle=True)
    first, second = (next(iter(batches))[1].tolist() for _ in range(2))
    assert first != second
    assert next(iter(data.loader("train", 23, shuffle=True)))[1].tolist() == first
    other = data.loader("train", 23, shuffle=True, generator=torch.Generator().manual_seed(5))
    assert next(iter(other))[1].tolist() != first
    assert torch.equal(state, torch.get_rng_state())


def test_loader_refuses_nonsense():
    with pytest.raises(ValueError, match="unknown split 'valid': must be 'train' or 'test'"):
        tiny().loader("valid")
    with pytest.raises(ValueError, match="batch_size=0: must be at least 1"):
        tiny().loader("test", 0)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 2500))
def test_statistics_agree_with_numpy(seed, count):
    values = np.random.default_rng(seed).integers(0, 256, (count, 2, 2, 3), dtype=np.uint8)
    mean, std = channel_statistics(torch.from_numpy(values))
    assert mean == pytest.approx((values / 255).mean(axis=(0, 2, 3)), abs=1e-12)
    assert std == pytest.approx((values / 255).std(axis=(0, 2, 3)), abs=1e-12)


def test_image_data_checks_what_it_is_given():
    data = tiny()
    for change, message in [
        ({"train_images": data.train_images.float()}, "train images .* uint8"),
        ({"test_images": data.test_images[:, :, :3]}, "must agree"),
        ({"test_images": data.test_images[:0], "test_labels": data.test_labels[:0]}, "at least one"),
        ({"train_labels": data.train_labels[:-1]}, "one for each"),
        ({"train_labels": data.train_labels.int()}, "must be int64"),
        ({"test_labels": data.test_labels + 1}, r"test labels from 1 to 4: must lie in 0 \.\.\. 3"),
        ({"mean": data.mean[:2]}, "one value for each of 3 channels"),
        ({"std": (0.1, 0.0, 0.1)}, "must be positive"),
    ]:
        with pytest.raises(ValueError, match=message):
            replace(data, **change)


def test_image_data_survives_pickling_and_shows_few_of_many_classes(digits):
    copy = pickle.loads(pickle.dumps(digits))
    assert torch.equal(copy.test_images, digits.test_images)
    many = ImageData(
        "many", *(getattr(digits, n) for n in ("train_images", "train_labels", "test_images", "test_labels")),
        classes=tuple(f"c{i}" for i in range(100)), mean=digits.mean, std=digits.std,
    )  # fmt: skip
    assert repr(many).endswith("100 classes: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, ...")


def test_import_is_light():
    script = (
        "import sys, factorkit.data\n"
        "print([m for m in ('torchvision', 'sklearn', 'factorkit.costs', 'factorkit.layers') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
