"""How long it takes to find the exact encodings of a tensor: ``python benchmarks/encoding_speed.py``.

One thread, medians of five runs. Arbitrary numbers have to be rejected for every kind of encoding; quantized ones have
to be found, channel by channel.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from micronet_resources.encoding import cheapest, find_encodings

RUNS = 5


def _tensors():
    generator = np.random.default_rng(0)
    yield "1 million arbitrary weights", generator.standard_normal((1000, 1000), dtype=np.float32)
    yield "25 million arbitrary weights", generator.standard_normal((2500, 10_000), dtype=np.float32)
    weight = generator.standard_normal((512, 512, 3, 3), dtype=np.float32)
    yield "2.4 million weights in half precision", weight.astype(np.float16)
    yield "2.4 million weights, 90 % pruned", np.where(np.abs(weight) > 1.645, weight, 0)
    for bits in (1, 4, 8, 12):
        levels = generator.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), weight.shape) if bits > 1 else np.sign(weight)
        scales = generator.uniform(0.001, 0.1, (512, 1, 1, 1)).astype(np.float32)
        yield f"2.4 million weights of {bits} bits, one scale per channel", levels.astype(np.float32) * scales


def main() -> None:
    """Print the median time and what was found, tensor by tensor."""
    for name, values in _tensors():
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            found = find_encodings(values)
            times.append(time.perf_counter() - start)
        best = cheapest(found)
        print(f"{name:52} {statistics.median(times):7.3f} s  {best.values}, {best.bits} bits, {best.masked} masked")


if __name__ == "__main__":
    main()
