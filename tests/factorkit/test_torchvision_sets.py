"""The data sets that torchvision reads, from tiny files in their real formats, on disk and over HTTP.

torchvision checks the MD5 of the official files, so each test tells it the MD5 of the tiny ones; all else is its own
code.
"""

import contextlib
import gzip
import hashlib
import http.server
import pickle
import socket
import struct
import tarfile
import threading
import time
import warnings

import numpy as np
import pytest
import scipy.io
import torch

from factorkit.data import load, torchvision_sets
from factorkit.torchvision_import import import_torchvision

datasets = import_torchvision().datasets
rng = np.random.default_rng(0)


# Writing the formats


class Python2Pickler(pickle._Pickler):
    """Pickles as Python 2 and the numpy of 2009 did: byte strings, 0 and 1 for truth values, old module names."""

    dispatch = dict(pickle._Pickler.dispatch)

    def __init__(self, file):
        super().__init__(file, protocol=2)

    def save_string(self, value):
        content = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(value)

    def save_truth(self, value):
        self.save_long(int(value))

    def save_global(self, value, name=None):
        modules = {"_reconstruct": "numpy.core.multiarray", "ndarray": "numpy", "dtype": "numpy"}
        self.write(pickle.GLOBAL + f"{modules[value.__name__]}\n{value.__name__}\n".encode())
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string
    dispatch[bool] = save_truth
    dispatch[type] = save_global


def write_pickle(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        Python2Pickler(file).dump(content)


def md5(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def pixels(count, *shape):
    return rng.integers(0, 256, (count, *shape), dtype=np.uint8)


def cifar10_files(folder, monkeypatch):
    """Five train batches of unequal size and a test batch; returns what loading must give."""
    base, kind = folder / "cifar-10-batches-py", datasets.CIFAR10
    batches = {}
    for name, count in [*((f"data_batch_{i}", i + 2) for i in range(1, 6)), ("test_batch", 4)]:
        data, labels = pixels(count, 3072), rng.integers(0, 10, count).tolist()
        batches[name] = data.reshape(-1, 3, 32, 32), labels
        filenames = [f"{i}.png" for i in range(count)]
        write_pickle(base / name, {"batch_label": name, "labels": labels, "data": data, "filenames": filenames})
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    write_pickle(base / "batches.meta", {"num_cases_per_batch": 10, "label_names": classes, "num_vis": 3072})
    monkeypatch.setattr(kind, "train_list", [[f"data_batch_{i}", md5(base / f"data_batch_{i}")] for i in range(1, 6)])
    monkeypatch.setattr(kind, "test_list", [["test_batch", md5(base / "test_batch")]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(base / "batches.meta")})
    train = [batches[f"data_batch_{i}"] for i in range(1, 6)]
    images, labels = np.concatenate([b[0] for b in train]), sum((b[1] for b in train), [])
    return images, labels, *batches["test_batch"], tuple(classes)


def cifar100_files(folder, monkeypatch):
    base, kind = folder / "cifar-100-python", datasets.CIFAR100
    parts = {}
    for name, count in (("train", 12), ("test", 5)):
        data, labels = pixels(count, 3072), [int(label) for label in rng.integers(0, 100, count)]
        parts[name] = data.reshape(-1, 3, 32, 32), labels
        coarse = [label // 5 for label in labels]
        write_pickle(base / name, {"fine_labels": labels, "coarse_labels": coarse, "data": data, "batch_label": name})
    classes = [f"kind {i}" for i in range(100)]
    write_pickle(base / "meta", {"fine_label_names": classes, "coarse_label_names": [f"group {i}" for i in range(20)]})
    monkeypatch.setattr(kind, "train_list", [["train", md5(base / "train")]])
    monkeypatch.setattr(kind, "test_list", [["test", md5(base / "test")]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(base / "meta")})
    return *parts["train"], *parts["test"], tuple(classes)


def svhn_files(folder, monkeypatch):
    """MATLAB files: H x W x C x N, and the label 10 for the digit 0."""
    parts, split_list = [], {}
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", 13), ("test", 6)):
        data, labels = pixels(count, 3, 32, 32), rng.permutation(np.arange(count) % 10).tolist()
        path = folder / f"{split}_32x32.mat"
        stored = np.array([[label or 10] for label in labels], dtype=np.uint8)
        scipy.io.savemat(path, {"X": data.transpose(2, 3, 1, 0), "y": stored})
        split_list[split] = [datasets.SVHN.split_list[split][0], path.name, md5(path)]
        parts += [data, labels]
    monkeypatch.setattr(datasets.SVHN, "split_list", split_list)
    return *parts, tuple("0123456789")


def mnist_files(folder, monkeypatch, packed=False):
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    parts, resources = [], []
    for split, count in (("train", 9), ("t10k", 3)):
        data, labels = pixels(count, 28, 28), rng.integers(0, 10, count).astype(np.uint8)
        files = {
            f"{split}-images-idx3-ubyte": struct.pack(">iiii", 0x803, count, 28, 28) + data.tobytes(),
            f"{split}-labels-idx1-ubyte": struct.pack(">ii", 0x801, count) + labels.tobytes(),
        }
        for name, content in files.items():
            archive = raw / f"{name}.gz"
            archive.write_bytes(gzip.compress(content))
            resources.append((archive.name, md5(archive)))
            if not packed:
                archive.unlink()
                (raw / name).write_bytes(content)
        parts += [data[:, None], labels.tolist()]
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    return *parts, tuple("0123456789")


WRITERS = {"cifar10": cifar10_files, "cifar100": cifar100_files, "svhn": svhn_files, "mnist": mnist_files}


def pack(folder, base, archive):
    """Replace a folder by the tar archive that it comes in."""
    with tarfile.open(folder / archive, "w:gz") as tar:
        for path in sorted((folder / base).iterdir()):
            tar.add(path, f"{base}/{path.name}")
            path.unlink()
    (folder / base).rmdir()
    return md5(folder / archive)


def assert_is(data, expected):
    train_images, train_labels, test_images, test_labels, classes = expected
    assert torch.equal(data.train_images, torch.from_numpy(train_images))
    assert torch.equal(data.test_images, torch.from_numpy(test_images))
    assert data.train_labels.tolist() == train_labels
    assert data.test_labels.tolist() == test_labels
    assert data.train_labels.dtype == data.test_labels.dtype == torch.int64
    assert data.classes == classes
    assert data.train_images.is_contiguous()
    assert data.mean == pytest.approx((train_images / 255).mean(axis=(0, 2, 3)))
    assert data.std == pytest.approx((train_images / 255).std(axis=(0, 2, 3)))


@pytest.fixture
def no_network(monkeypatch):
    """Let every address be that of a port at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        point_to(monkeypatch, nowhere)
        yield nowhere


def point_to(monkeypatch, address):
    monkeypatch.setenv("no_proxy", "*")
    for kind in (datasets.CIFAR10, datasets.CIFAR100):
        monkeypatch.setattr(kind, "url", address + kind.filename)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [address])
    here = {split: [address + name, name, checksum] for split, (_, name, checksum) in datasets.SVHN.split_list.items()}
    monkeypatch.setattr(datasets.SVHN, "split_list", here)


@contextlib.contextmanager
def server(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=folder)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_address[1]}/"
        finally:
            running.shutdown()
            thread.join()


# Files that are there


@pytest.mark.parametrize("name", WRITERS)
def test_files_that_are_there_are_read_without_a_network(name, tmp_path, monkeypatch, no_network):
    expected = WRITERS[name](tmp_path, monkeypatch)
    data = load(name, root=tmp_path)
    assert data.name == name
    assert_is(data, expected)
    assert data.normalize(data.test_images).dtype == torch.float32


def test_default_root_is_in_the_cache_folder(tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("FACTORKIT_CACHE", str(tmp_path))
    expected = svhn_files(tmp_path / "torchvision", monkeypatch)
    assert_is(load("svhn"), expected)


def test_tiny_cifar_files_are_as_old_as_the_real_ones(tmp_path):
    """Their pickles make some versions of numpy warn, which load keeps from the reader."""
    write_pickle(tmp_path / "batch", {"data": pixels(2, 3072), "labels": [1, 2]})
    content = (tmp_path / "batch").read_bytes()
    assert b"cnumpy.core.multiarray\n_reconstruct" in content
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pickle.loads(content, encoding="latin1")
    assert all("align should be passed" in str(warning.message) for warning in caught)  # numpy 2.4.0 warns


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_archive_that_is_there_is_unpacked_without_a_network(name, tmp_path, monkeypatch, no_network):
    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    expected = WRITERS[name](tmp_path, monkeypatch)
    monkeypatch.setattr(kind, "tgz_md5", pack(tmp_path, kind.base_folder, kind.filename))
    assert_is(load(name, root=tmp_path), expected)


def test_packed_mnist_files_are_unpacked_without_a_network(tmp_path, monkeypatch, no_network):
    expected = mnist_files(tmp_path, monkeypatch, packed=True)
    assert_is(load("mnist", root=tmp_path), expected)


# Downloading


@pytest.mark.parametrize("progress", [True, False])
def test_download(progress, tmp_path, monkeypatch, capsys):
    there, here = tmp_path / "there", tmp_path / "here"
    expected = cifar10_files(there, monkeypatch)
    kind = datasets.CIFAR10
    monkeypatch.setattr(kind, "tgz_md5", pack(there, kind.base_folder, kind.filename))
    timeout = socket.getdefaulttimeout()
    with server(there) as address:
        point_to(monkeypatch, address)
        data = load("cifar10", root=here, progress=progress)
    assert_is(data, expected)
    assert socket.getdefaulttimeout() == timeout
    assert ("100%" in capsys.readouterr().err) == progress


@pytest.mark.parametrize("name", ["svhn", "mnist"])
def test_download_of_single_files(name, tmp_path, monkeypatch):
    there, here = tmp_path / "there", tmp_path / "here"
    if name == "svhn":
        expected, folder = svhn_files(there, monkeypatch), there
    else:
        expected, folder = mnist_files(there, monkeypatch, packed=True), there / "MNIST" / "raw"
    with server(folder) as address:
        point_to(monkeypatch, address)
        assert_is(load(name, root=here, progress=False), expected)


def test_damaged_file_is_downloaded_again(tmp_path, monkeypatch):
    there, here = tmp_path / "there", tmp_path / "here"
    expected = svhn_files(there, monkeypatch)
    here.mkdir()
    (here / "train_32x32.mat").write_bytes(b"half a file")
    with server(there) as address:
        point_to(monkeypatch, address)
        assert_is(load("svhn", root=here, progress=False), expected)


# Failing


@pytest.mark.parametrize(
    ("name", "files", "page"),
    [
        (
            "cifar10",
            ["cifar-10-batches-py/data_batch_5", "cifar-10-python.tar.gz"],
            "https://www.cs.toronto.edu/~kriz/",
        ),
        ("cifar100", ["cifar-100-python/train", "cifar-100-python.tar.gz"], "https://www.cs.toronto.edu/~kriz/"),
        ("svhn", ["train_32x32.mat", "test_32x32.mat"], "http://ufldl.stanford.edu/housenumbers/"),
        (
            "mnist",
            ["MNIST/raw/t10k-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"],
            "http://yann.lecun.com/exdb/mnist",
        ),
    ],
)
def test_without_files_and_network_the_error_says_what_to_do(name, files, page, tmp_path, no_network):
    began = time.monotonic()
    with pytest.raises(FileNotFoundError) as caught:
        load(name, root=tmp_path)
    assert time.monotonic() - began < 5
    message = str(caught.value)
    for part in (*files, page, str(tmp_path), "refused", "load('patterns')", f"data set {name!r} is not there"):
        assert part in message
    assert socket.getdefaulttimeout() is None


def test_only_what_is_missing_is_listed(tmp_path, monkeypatch, no_network):
    svhn_files(tmp_path, monkeypatch)
    (tmp_path / "test_32x32.mat").write_bytes(b"half a file")
    with pytest.raises(FileNotFoundError) as caught:
        load("svhn", root=tmp_path)
    assert "test_32x32.mat" in str(caught.value)
    assert "train_32x32.mat" not in str(caught.value)


def test_server_that_never_answers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision_sets, "DOWNLOAD_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        point_to(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}/")
        with pytest.raises(FileNotFoundError, match="timed out"):
            load("svhn", root=tmp_path)
    assert socket.getdefaulttimeout() is None


def test_server_that_sends_something_else_is_not_believed(tmp_path, monkeypatch):
    there = tmp_path / "there"
    there.mkdir()
    (there / "train_32x32.mat").write_bytes(b"<html>please log in</html>")
    with server(there) as address:
        point_to(monkeypatch, address)
        with pytest.raises(FileNotFoundError, match="corrupted"):
            load("svhn", root=tmp_path / "here", progress=False)


def test_root_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileNotFoundError, match="NotADirectoryError|FileExistsError"):
        load("svhn", root=tmp_path / "file")


def test_files_of_another_kind_are_an_error_that_names_the_folder(tmp_path, monkeypatch, no_network):
    mnist_files(tmp_path, monkeypatch)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cannot read the 'mnist' files in .*delete them and load again") as caught:
        load("mnist", root=tmp_path)
    assert str(tmp_path) in str(caught.value)
