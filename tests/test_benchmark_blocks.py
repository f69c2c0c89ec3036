"""The benchmark of blocks runs, and says what it could not measure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "blocks.py"
DEPTHWISE = "depthwise separable layer"


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def measured(*arguments, **environment):
    done = run(*arguments, "--json", **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_block_is_measured_beside_its_operation_ratio():
    found = measured("16@8x2", "--rounds", "1", "--variants", "eager", "channels_last")
    records = {(record["block"], record["variant"]): record for record in found["records"]}
    assert len(records) == 2 * 9 and found["notes"] == [] and found["machine"]["threads"] == 1
    for record in records.values():
        assert record["milliseconds"] > 0
        assert record["share"] * record["operation_ratio"] == pytest.approx(record["time_ratio"])
    dense = [record for (block, _), record in records.items() if block == "dense convolution"]
    assert max(record["time_ratio"] for record in dense) == 1
    ratios = {block: record["operation_ratio"] for (block, _), record in records.items()}
    assert ratios["dense convolution"] == 1
    assert ratios[DEPTHWISE] == ratios["MobileNet block"] == pytest.approx(1 / (1 / 16 + 1 / 9))
    assert ratios["inverted residual, t=6"] == pytest.approx(9 * 16 / (6 * (16 + 9 + 16)))
    assert ratios["grouped convolution, g=8"] == 8
    assert ratios["shift layer"] == 9
    assert ratios["ResNeXt block, g=8"] == ratios["the same, split"] == pytest.approx(9 * 256 / (2 * 128 + 8 * 9))


def test_the_table_names_the_case_and_the_variants():
    done = run("16@8x1", "--rounds", "1", "--variants", "eager", "--blocks", DEPTHWISE)
    assert done.returncode == 0, done.stderr
    header, columns, dense, block, _, legend = done.stdout.splitlines()
    assert header.startswith("16@8x1: 16 maps of 8 x 8 pixels, batch of 1; dense convolution eager")
    assert columns.split()[-2:] == ["operations", "eager"]
    assert dense.startswith("dense convolution") and "1.00 ( 100 %)" in dense
    assert block.startswith(DEPTHWISE) and legend.startswith("1 is the dense convolution")


def test_without_a_compiler_it_says_so_and_goes_on(tmp_path):
    found = measured(
        *("16@8x1", "--rounds", "1", "--variants", "eager", "compiled", "--blocks", "shift layer"),
        CXX=str(tmp_path / "no-compiler"),
        TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert {record["variant"] for record in found["records"] if record["block"] == "shift layer"} == {"eager"}
    assert found["notes"][-1].startswith("16@8x1: shift layer was not compiled")
    assert "compiler" in found["notes"][-1]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["64x32"], "'64x32' is no case: write CHANNELS@SIZExBATCH"),
        (["20@8x1"], "channels a multiple of 16"),
        (["--rounds", "0"], "--rounds must be at least 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2 and message in done.stderr
