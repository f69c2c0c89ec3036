"""The cache: written once, never trusted blindly, and never in the way."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from factorkit.data.cache import cache_folder, cached, checksum

ARRAYS = {"images": np.arange(600, dtype=np.uint8).reshape(6, 100), "labels": np.arange(6)}
FILE = "things-v1.npz"


class Maker:
    """Gives the arrays and counts how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {name: array.copy() for name, array in ARRAYS.items()}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FACTORKIT_CACHE", str(tmp_path / "not" / "there" / "yet"))
    return cache_folder()


def same(arrays):
    return list(arrays) == list(ARRAYS) and all(
        np.array_equal(arrays[n], ARRAYS[n]) and arrays[n].dtype == ARRAYS[n].dtype for n in ARRAYS
    )


def test_made_once_then_read(folder):
    make = Maker()
    assert same(cached(FILE, make))
    assert same(cached(FILE, make))
    assert same(cached(FILE, make, sha256=checksum(ARRAYS)))
    assert make.calls == 1
    assert [path.name for path in folder.iterdir()] == [FILE]


def damaged_copies(content: bytes):
    middle = len(content) // 2
    yield "empty", b""
    yield "cut", content[:middle]
    yield "cut at the end", content[:-1]
    yield "no archive", b"<html>not found</html>"
    yield "a pickle", b"\x80\x04K\x01."
    yield "cut at the start", content[100:]
    at = content.index(bytes(range(50, 100)))
    yield "one bit", content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_damaged_file_is_made_again_with_a_warning(folder):
    make = Maker()
    cached(FILE, make)
    path = folder / FILE
    whole = path.read_bytes()
    for made, (kind, content) in enumerate(damaged_copies(whole), start=1):
        path.write_bytes(content)
        with pytest.warns(RuntimeWarning, match="is damaged .* making the data set again"):
            assert same(cached(FILE, make)), kind
        assert make.calls == made + 1, kind
        assert same(cached(FILE, make)), kind
        assert make.calls == made + 1, kind


def test_every_damaged_byte_is_noticed_or_harmless(folder):
    cached(FILE, Maker())
    path = folder / FILE
    whole = path.read_bytes()
    noticed = 0
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        make = Maker()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert same(cached(FILE, make)), position
        noticed += make.calls
    assert noticed > len(whole) / 7 / 2


def test_file_with_other_content_is_found_out(folder):
    other = {"images": ARRAYS["images"] + 1, "labels": ARRAYS["labels"]}
    cached(FILE, lambda: other)
    with pytest.warns(RuntimeWarning, match="is damaged .checksum"):
        assert same(cached(FILE, Maker(), sha256=checksum(ARRAYS)))


def test_result_that_is_not_the_expected_one_is_said(folder):
    with pytest.warns(RuntimeWarning, match=f"{FILE} comes out differently on this machine .* expected 0123"):
        assert same(cached(FILE, Maker(), sha256="0123"))


def test_folder_that_cannot_be_written_is_said_and_does_not_stop(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FACTORKIT_CACHE", str(tmp_path / "file"))
    make = Maker()
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="cannot write .*set FACTORKIT_CACHE to a folder"):
            assert same(cached(FILE, make))
    assert make.calls == 2


def test_failed_write_leaves_nothing_behind(folder, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        assert same(cached(FILE, Maker()))
    assert list(folder.iterdir()) == []


def test_failure_to_make_passes_and_leaves_nothing_behind(folder):
    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(FILE, fail)
    assert not folder.exists()


def test_several_processes_at_once(folder):
    script = (
        "import sys, warnings, numpy as np\n"
        "from factorkit.data import cache\n"
        "warnings.simplefilter('error')\n"
        "make = lambda: {'images': np.arange(300_000) // 7}\n"
        "for i in range(30):\n"
        "    arrays = cache.cached('shared.npz', make)\n"
        "    assert np.array_equal(arrays['images'], make()['images'])\n"
        "    cache._write(cache.cache_folder() / 'shared.npz', make(), cache.checksum(make()))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE) for _ in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    assert [path.name for path in folder.iterdir()] == ["shared.npz"]


def test_checksum_sees_content_type_shape_and_name_but_not_layout():
    array = np.arange(12, dtype=np.int64).reshape(3, 4)
    base = checksum({"x": array})
    assert checksum({"x": np.asfortranarray(array)}) == base
    assert checksum({"x": array.astype(">i8")}) == base
    others = [{"y": array}, {"x": array.reshape(4, 3)}, {"x": array.astype(np.uint64)}, {"x": array + 1}]
    assert base not in {checksum(other) for other in others}


def test_folder_is_the_users_unless_the_variable_names_one(monkeypatch):
    monkeypatch.delenv("FACTORKIT_CACHE", raising=False)
    usual = cache_folder()
    assert "factorkit" in str(usual)
    monkeypatch.setenv("FACTORKIT_CACHE", "")
    assert cache_folder() == usual
    monkeypatch.setenv("FACTORKIT_CACHE", "~/elsewhere")
    assert cache_folder().name == "elsewhere"
    assert "~" not in str(cache_folder())
