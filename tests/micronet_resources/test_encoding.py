"""Encodings are exact, complete among their kinds, and cannot be fooled into seeing few bits where there are many."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from micronet_resources.encoding import Encoding, cheapest, find_encodings, has_only_signs, operand_bits
from micronet_resources.encodings.grids import find_grid

FLOATS = (np.float16, np.float32, np.float64)


def find(values, **options):
    return {(x.values, bool(x.masked)): x for x in find_encodings(np.asarray(values), **options)}


def random_weights(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# --- Bits: an encoding is written as a string of its very bits, and the tensor is read back from them ----------------


class Writer:
    """Writes a tensor as an encoding says; what it does not write as bits are a few flags of the whole tensor."""

    def __init__(self, values: np.ndarray, encoding: Encoding, axis: int = 0) -> None:
        self.encoding, self.shape, self.axis, self.dtype = encoding, values.shape, axis, values.dtype
        rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
        self.table_type = next(kind for kind in self.number_types(values.dtype) if self.holds(kind, values))
        self.bits = ""
        stored = np.ones(rows.shape, bool)
        if encoding.masked:
            stored = rows != 0
            self.bits += whole_to_bits(stored, 1)
        getattr(self, f"write_{encoding.values}")(rows, stored)

    @staticmethod
    def number_types(dtype):
        return ("f2", "bf", "f4", "f8") if dtype.kind == "f" else (dtype.str,)

    @staticmethod
    def holds(kind, values):
        with np.errstate(over="ignore", under="ignore"):
            return bool((from_bits(to_bits(values.ravel(), kind), kind) == values.ravel()).all())

    def write_zero(self, rows, stored):
        assert not rows.any()
        self.bits = ""

    def write_dense(self, rows, stored):
        self.bits += to_bits(rows[stored], self.table_type)

    def write_codebook(self, rows, stored):
        table, index = np.unique(rows[stored], return_inverse=True)
        self.bits += whole_to_bits(index, self.encoding.bits) + to_bits(table, self.table_type)

    def write_grid(self, rows, stored):
        width = self.encoding.bits
        kind = {"f2": np.float16, "f8": np.float64}.get(self.table_type, np.float32)
        per_tensor = rows.reshape(1, -1)
        self.grid = find_grid(per_tensor.astype(kind))
        scale_bits = 64 if kind == np.float64 else 32
        if self.grid is None or self.overhead_of(self.grid) != self.encoding.overhead or not self.fits(self.grid):
            self.grid = find_grid(rows.astype(kind))
            per_tensor = rows
        levels = self.grid.levels(per_tensor)
        self.levels_shape, self.kind = levels.shape, kind
        self.code, self.zero_points, self.scales = None, None, self.grid.scales.copy()
        low, high = self.grid.lowest[:, None], self.grid.highest[:, None]
        turn = np.where(high > -low, 1, -1)
        if self.grid.is_signs and (self.encoding.masked or (levels != 0).all()):
            self.code, codes = "signs", (levels > 0).astype(int)
            assert width == 1
        elif (np.minimum(-low, high) == 0).all() and (np.maximum(-low, high) < 2**width).all():
            self.code, codes = "unsigned", levels * turn
            self.scales *= turn[:, 0]
        elif (np.maximum(-low, high) <= 2 ** (width - 1)).all() and (np.minimum(-low, high) < 2 ** (width - 1)).all():
            self.code, codes = "signed", (-levels * turn) % 2**width
            self.scales *= -turn[:, 0]
        else:
            self.code, codes = "affine", levels - low
            self.zero_points = -low
        self.bits += whole_to_bits(codes[stored.reshape(codes.shape)], width)
        kept = self.scales if self.code == "affine" else self.scales[self.scales != 0]
        self.bits += "".join(whole_to_bits(kept.view(f"u{scale_bits // 8}"), scale_bits))
        if self.code == "affine":
            self.bits += whole_to_bits(self.zero_points, width)

    def overhead_of(self, grid):
        scale_bits = 8 * grid.scales.itemsize
        plain = scale_bits * np.count_nonzero(grid.scales)
        affine = len(grid.scales) * (scale_bits + grid.codes[-1].zero_point_bits)
        return self.encoding.overhead if self.encoding.overhead in (plain, affine) else None

    def fits(self, grid):
        return any(self.encoding.bits in (code.bits, 1) for code in grid.codes)

    def read(self) -> np.ndarray:
        """From the bits, and the flags, alone."""
        bits, encoding = self.bits, self.encoding
        count = math.prod(self.shape)
        if encoding.values == "zero":
            return np.zeros(self.shape, self.dtype)
        stored = np.ones(count, bool)
        if encoding.masked:
            stored, bits = np.array([bit == "1" for bit in bits[:count]]), bits[count:]
        flat = np.zeros(count, self.dtype)
        payload, rest = bits[: encoding.bits * encoding.stored], bits[encoding.bits * encoding.stored :]
        if encoding.values == "dense":
            flat[stored] = from_bits(payload, self.table_type)
        else:
            codes = bits_to_whole(payload, encoding.bits)
            if encoding.values == "codebook":
                flat[stored] = from_bits(rest, self.table_type)[codes]
            else:
                flat = self.read_grid(codes, stored, rest).astype(self.dtype)
        moved = (self.shape[self.axis], *(n for place, n in enumerate(self.shape) if place != self.axis))
        return np.moveaxis(flat.reshape(moved), 0, self.axis)

    def read_grid(self, codes, stored, rest):
        width, rows = self.encoding.bits, self.levels_shape[0]
        scale_bits = 64 if self.kind == np.float64 else 32
        levels = np.zeros(math.prod(self.levels_shape), np.int64)
        if self.code == "signs":
            codes = 2 * codes - 1
        elif self.code == "signed":
            codes = np.where(codes >= 2 ** (width - 1), codes - 2**width, codes)
        levels[stored] = codes
        levels = levels.reshape(self.levels_shape)
        used = np.ones(rows, bool) if self.code == "affine" else levels.any(axis=1)
        number = int(used.sum())
        scales = np.zeros(rows, self.scales.dtype)
        scales[used] = (
            bits_to_whole(rest[: number * scale_bits], scale_bits).astype(f"u{scale_bits // 8}").view(self.scales.dtype)
        )
        if self.code == "affine":
            shifted = levels - bits_to_whole(rest[number * scale_bits :], width)[:, None]
            levels = np.where(stored.reshape(levels.shape), shifted, 0)
        with np.errstate(all="ignore"):
            numbers, factors = levels.astype(self.scales.dtype), scales[:, None]
            values = numbers / factors if self.grid.divides else numbers * factors
        return np.where(levels == 0, 0, values.astype(self.kind)).ravel()


def whole_to_bits(numbers, width):
    return "".join(f"{int(number):0{width}b}" for number in np.ravel(numbers))


def bits_to_whole(bits, width):
    return (
        np.array([int(bits[i : i + width], 2) for i in range(0, len(bits), width)], dtype=object)
        .astype(np.uint64)
        .astype(np.int64)
    )


def to_bits(values, kind):
    if kind == "bf":
        return whole_to_bits(values.astype("f4").view("u4") >> 16, 16)
    numbers = np.ascontiguousarray(values.astype(kind))
    return whole_to_bits(numbers.view(f"u{numbers.itemsize}"), 8 * numbers.itemsize)


def from_bits(bits, kind):
    if kind == "bf":
        return (bits_to_whole(bits, 16).astype("u4") << 16).view("f4")
    size = np.dtype(kind).itemsize
    return bits_to_whole(bits, 8 * size).astype(f"u{size}").view(kind)


def assert_exact(values, axis=0):
    values = np.asarray(values)
    for encoding in find_encodings(values, axis=axis):
        written = Writer(values, encoding, axis)
        assert len(written.bits) == encoding.total_bits(), encoding
        np.testing.assert_array_equal(written.read(), values, str((encoding, values)))


shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=6)


@st.composite
def grid_tensors(draw):
    """Whole numbers times scales, rounded to a type as a network's weights would be."""
    shape, dtype = draw(shapes), draw(st.sampled_from(FLOATS))
    low, high = sorted(draw(st.tuples(st.integers(-300, 300), st.integers(-300, 300))))
    levels = draw(hnp.arrays(np.int64, shape, elements=st.integers(low, high)))
    scale = st.floats(2.0**-6, 4, width=32)
    count = shape[0] if draw(st.booleans()) else 1
    scales = np.array(draw(st.lists(scale, min_size=count, max_size=count)), np.float32)
    scales = scales.reshape(-1, *[1] * (len(shape) - 1))
    kind = np.float64 if dtype == np.float64 else np.float32
    numbers = levels.astype(kind)
    return (numbers / scales if draw(st.booleans()) else numbers * scales).astype(dtype)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(FLOATS).flatmap(
        lambda kind: hnp.arrays(
            kind, shapes, elements=st.floats(allow_nan=False, allow_infinity=False, width=8 * np.dtype(kind).itemsize)
        )
    )
)
def test_any_finite_tensor_is_read_back_from_the_bits_of_each_encoding(values):
    assert_exact(values)


@settings(deadline=None, max_examples=300)
@given(grid_tensors())
def test_a_tensor_on_a_grid_is_read_back_from_the_bits_of_each_encoding(values):
    assert_exact(values)


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from((np.float32, np.float16)).flatmap(
        lambda kind: hnp.arrays(kind, (4, 9), elements=st.sampled_from([0, 1e-7, 6e-8, 0.5, -0.5, 0.1, -3.25, 60000]))
    )
)
def test_few_different_values_are_read_back_from_the_bits_of_each_encoding(values):
    assert_exact(values)
    assert_exact(values, axis=1)


# --- Completeness: the cheapest of its kind is found ------------------------------------------------------------------


@np.errstate(all="ignore")
def coarsest_grid(values, most_steps):
    """By trying everything: fewest steps of the largest magnitude that give all values with a float32 scale."""
    top = np.abs(values).max()
    for steps in range(1, most_steps + 1):
        for divides in (False, True):
            scale = np.float32(steps / float(top)) if divides else np.float32(float(top) / steps)
            for near in (np.nextafter(scale, np.float32(0)), scale, np.nextafter(scale, np.float32(np.inf))):
                wide = values.astype(np.float64)
                levels = np.rint(wide * near if divides else wide / near).astype(np.float32)
                if ((levels / near if divides else levels * near) == values).all():
                    return steps
    return None


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.float32, 6, elements=st.integers(-40, 40)),
    st.floats(2.0**-10, 8, width=32),
    st.sampled_from(["times", "over", "off"]),
)
def test_the_coarsest_grid_of_a_tensor_is_found(levels, scale, way):
    values = levels / np.float32(scale) if way == "over" else levels * np.float32(scale)
    if way == "off":
        values[0] = np.nextafter(values[0], np.float32(9e9))
    if not values.any():
        assert find_grid(values[None]) is None
        return
    grid = find_grid(values[None])
    found = None if grid is None else int(max(-grid.lowest[0], grid.highest[0]))
    expected = coarsest_grid(values, 200)
    assert found == expected if expected else (found is None or found > 200)


def brute_force_codebook(values, bits):
    table = len(set(values.ravel().tolist()))
    return max(math.ceil(math.log2(table)), 1) * values.size + table * bits


@settings(deadline=None, max_examples=100)
@given(hnp.arrays(np.float32, 40, elements=st.sampled_from([0.0, 0.3, -0.7, 1.5, 2.1, 1e-3, -4.4, 5.9, 7.7])))
def test_no_way_to_store_few_values_is_cheaper_than_the_one_found(values):
    bits = 16 if (values.astype(np.float16) == values).all() else 32
    nonzero = values[values != 0]
    ways = [0] if not nonzero.size else [bits * 40, bits * nonzero.size + 40, brute_force_codebook(values, bits)]
    if nonzero.size:
        ways.append(brute_force_codebook(nonzero, bits) + 40)
        steps = coarsest_grid(nonzero, 127) if len(set(np.abs(nonzero))) > 1 else 1
        if steps == 1:
            ways += [nonzero.size + 32 + 40, (2 if 0 < nonzero.size < 40 else 1) * 40 + 32]
        elif steps and nonzero.size * (12 - 1 - steps.bit_length()) >= 48:
            ways += [(1 + steps.bit_length()) * count + 32 for count in (40,)]
    found = find_encodings(values)
    assert cheapest(found).total_bits() <= min(ways)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(FLOATS),
    st.integers(2, 8),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_quantized_weights_are_found_at_their_width(dtype, bits, per_channel, unsigned, seed):
    generator = np.random.default_rng(seed)
    low, high = (0, 2**bits) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    levels = generator.integers(low, high, (6, 8, 3, 3))
    kind = np.float64 if dtype == np.float64 else np.float32
    scales = generator.uniform(0.001, 0.1, (6 if per_channel else 1, 1, 1, 1)).astype(kind)
    assert operand_bits(find_encodings((levels.astype(kind) * scales).astype(dtype))) <= bits


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
def test_wider_grids_than_eight_bits_are_found(bits):
    levels = np.random.default_rng(bits).integers(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1), (8, 200))
    scales = np.random.default_rng(0).uniform(0.001, 0.002, (8, 1)).astype(np.float32)
    assert operand_bits(find_encodings(levels.astype(np.float32) * scales)) == bits


def test_rounding_to_127ths_is_eight_bits():
    values = np.rint(random_weights(50, 50).clip(-1, 1) * 127) / np.float32(127)
    assert find(values)["grid", False].total_bits() == 8 * 2500 + 32


def test_a_zero_point_stands_for_a_range_that_is_not_centered():
    levels = np.random.default_rng(0).integers(-30, 226, 1000)
    levels[:2] = -30, 225
    grid = find(levels.astype(np.float32) * np.float32(0.0123))["grid", False]
    assert (grid.bits, grid.overhead, grid.operand_bits) == (8, 32 + 8, 8)


def test_one_scale_for_each_channel_costs_32_bits():
    levels = np.random.default_rng(0).integers(-127, 128, (16, 1, 3, 3))
    scales = np.random.default_rng(1).uniform(0.01, 0.1, (16, 1, 1, 1)).astype(np.float32)
    grid = find(levels.astype(np.float32) * scales)["grid", False]
    assert (grid.bits, grid.overhead) == (8, 16 * 32)
    assert ("grid", False) not in find((levels.astype(np.float32) * scales).swapaxes(0, 2))


def test_channels_are_those_of_the_given_axis():
    levels = np.random.default_rng(0).integers(-127, 128, (24, 16))
    values = levels.astype(np.float32) * np.random.default_rng(1).uniform(0.01, 0.1, 16).astype(np.float32)
    assert ("grid", False) not in find(values)
    assert ("grid", False) not in find(values, axis=None)
    assert find(values, axis=1)["grid", False].overhead == find(values, axis=-1)["grid", False].overhead == 16 * 32


@pytest.mark.parametrize(
    "values, bits",
    [
        (random_weights(100), 32),
        (random_weights(100, dtype=np.float16), 16),
        (random_weights(100, dtype=np.float16).astype(np.float32), 16),
        (random_weights(100, dtype=np.float16).astype(np.float64), 16),
        (random_weights(100).astype(np.float64), 32),
        (random_weights(100, dtype=np.float64), 64),
        ((random_weights(100).view(np.uint32) & 0xFFFF0000).view(np.float32) * np.float32(1e-30), 32),
        ((random_weights(100).view(np.uint32) & 0xFFFF0000).view(np.float32), 16),
        (np.full(100, 65520, np.float32) + random_weights(100), 32),
    ],
)
def test_plain_numbers_count_at_the_width_that_they_really_have(values, bits):
    dense = find(values)["dense", False]
    assert (dense.bits, dense.operand_bits, dense.stored) == (bits, bits, 100)


def test_zeros_alone_cost_nothing():
    for values in (np.zeros((3, 4)), np.array([-0.0]), np.zeros(0, np.float32), np.zeros((0, 5)), np.array(0)):
        assert [x.total_bits() for x in find_encodings(values)] == [0]


def test_a_masked_weight_may_be_minus_zero():
    weight = random_weights(30, 30)
    assert find(weight * (weight > 0))["dense", True].stored == (weight > 0).sum()


def test_one_number_is_stored_as_it_is():
    assert find_encodings(np.float32(0.1)) == (Encoding("dense", 32, 1, 0, 0, 32),)
    assert find_encodings(np.array([[0.5]])) == (Encoding("dense", 16, 1, 0, 0, 16),)


def test_constants_cost_one_bit_each_and_one_number():
    assert cheapest(find_encodings(np.full(1000, 0.1, np.float32))).total_bits() == 1000 + 32
    # Under rules that do not count masks, a mask alone must not hold a tensor.
    holes = np.where(np.arange(1000) % 3, np.float32(0.1), 0)
    assert cheapest(find_encodings(holes), mask_bits=0).total_bits(0) == 666 + 32


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16, 32])
def test_the_mask_pays_if_more_than_one_of_as_many_elements_as_a_value_has_bits_is_zero(bits):
    count = 3200
    values = {
        1: lambda: np.where(random_weights(count) > 0, 1, -1).astype(np.float32) * np.float32(0.1),
        16: lambda: random_weights(count, dtype=np.float16),
        32: lambda: random_weights(count),
    }.get(bits, lambda: np.random.default_rng(0).integers(1, 2 ** (bits - 1), count).astype(np.int64))()
    if bits in (2, 4, 8):
        values = np.where(random_weights(count, seed=1) > 0, values, -values)  # both signs
        values[0] = -(2 ** (bits - 1))
    for zeros, pays in ((count // bits, False), (count // bits + 1, True)):
        if bits == 1:
            continue
        some = values.copy()
        some[count - zeros :] = 0
        kind = "grid" if bits < 16 else "dense"
        found = find(some)
        assert found[kind, False].bits == found[kind, True].bits == bits
        assert (found[kind, True].total_bits() < found[kind, False].total_bits()) == pays
    if bits == 1:
        values[5:] = 0
        found = find(values)
        assert (found["grid", False].bits, found["grid", True].bits) == (2, 1)  # zero is a third level


def test_signs_multiply_at_one_bit_and_ternary_weights_at_two():
    signs = np.where(random_weights(64, 9) > 0, np.float32(0.1), np.float32(-0.1))
    ternary = np.where(random_weights(64, 9, seed=1) > 1, 0, signs)
    assert operand_bits(find_encodings(signs)) == 1
    assert operand_bits(find_encodings(ternary)) == 2
    assert has_only_signs(find_encodings(signs)) and has_only_signs(find_encodings(ternary))
    scales = np.random.default_rng(0).uniform(0.1, 0.2, (64, 1)).astype(np.float32)
    assert has_only_signs(find_encodings(np.sign(signs) * scales))
    assert not has_only_signs(find_encodings(signs + np.float32(0.3)))


@pytest.mark.parametrize(
    "values, bits",
    [
        (np.array([-128, 127, 5, 3], np.int8), 8),
        (np.array([-8, 7, 5, 3], np.int8), 4),
        (np.array([255, 7, 5, 3], np.uint8), 8),
        (np.array([0, 1, 2, 3], np.int64), 2),
        (np.array([1, -1, 1, 1], np.int8), 1),
        (np.array([1, -1, 0, 1], np.int8), 2),
        (np.array([True, False, True, True]), 1),
        (np.array([2**63 - 1, -(2**63), 0, 1]), 64),
        (np.array([2**64 - 1, 1, 0, 1], np.uint64), 64),
    ],
)
def test_integers_take_the_bits_of_their_range(values, bits):
    encodings = find_encodings(values)
    assert operand_bits(encodings) == bits
    assert min(x.total_bits() for x in encodings if not x.masked and x.values != "codebook") == 4 * bits


# --- Hostile tensors --------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from([(1, 3), (200, 1), (200, 2), (200, 3), (4,), (5,), (3, 1, 3, 3), (64, 1, 3, 3), (300,)]),
    st.sampled_from([np.float16, np.float32]),
    st.integers(0, 2**32 - 1),
)
def test_arbitrary_numbers_are_never_taken_for_a_grid(shape, dtype, seed):
    width = 8 * np.dtype(dtype).itemsize
    assert operand_bits(find_encodings(random_weights(*shape, seed=seed, dtype=dtype))) == width


def test_pairs_that_were_made_multiples_of_a_scale_are_not_a_grid():
    levels = np.random.default_rng(0).integers(1, 128, (500, 2))
    scales = np.random.default_rng(1).uniform(0.1, 1, (500, 1)).astype(np.float32)
    pairs = levels.astype(np.float32) * scales
    assert operand_bits(find_encodings(pairs)) == 32
    # Zeros beside them change nothing.
    assert operand_bits(find_encodings(np.concatenate([pairs, np.zeros((500, 7), np.float32)], axis=1))) == 32


def test_one_value_off_by_one_ulp_is_no_grid():
    for scale, axis in ((np.float32(0.0123), None), (np.linspace(0.01, 0.02, 20, dtype=np.float32)[:, None], 0)):
        values = np.random.default_rng(0).integers(-127, 128, (20, 50)).astype(np.float32) * scale
        assert operand_bits(find_encodings(values, axis=axis)) == 8
        values[7, 7] = np.nextafter(values[7, 7], np.float32(1))
        assert operand_bits(find_encodings(values, axis=axis)) == 32


def test_a_few_arbitrary_values_among_signs_make_a_tensor_dense():
    values = np.where(random_weights(100, 100) > 0, np.float32(0.1), np.float32(-0.1))
    values[50, :6] = random_weights(6)
    found = find_encodings(values)
    assert operand_bits(found) == 32 and not has_only_signs(found)
    assert cheapest(found).total_bits() == 3 * 10_000 + 8 * 32  # a table of eight


def test_a_codebook_stores_few_bits_and_multiplies_with_all():
    centers = random_weights(16)
    clustered = centers[np.random.default_rng(0).integers(0, 16, (64, 64))]
    codebook = find(clustered)["codebook", False]
    assert (codebook.bits, codebook.overhead, codebook.operand_bits) == (4, 16 * 32, 32)
    assert operand_bits(find_encodings(clustered)) == 32


def test_a_table_as_long_as_the_tensor_is_no_codebook():
    assert all(x.values == "dense" for x in find_encodings(random_weights(5000)))


def test_a_large_tensor_in_half_precision_is_not_quantized():
    values = random_weights(1000, 600, dtype=np.float16)
    assert len(np.unique(values)) * 16 + 15 * values.size < 16 * values.size  # a table would save something
    assert all(x.values == "dense" for x in find_encodings(values))


def test_an_encoding_is_never_larger_than_the_plain_numbers():
    for shape in ((2, 2), (5,), (9, 9), (100, 4)):
        values = np.random.default_rng(0).integers(-3, 4, shape).astype(np.float32) * np.float32(0.3)
        found = find(values)
        for (_, masked), encoding in found.items():
            assert encoding.total_bits() <= found["dense", masked].total_bits()


def test_many_candidates_that_all_fail_late_are_given_up_quickly():
    # Every sampled value is the same, so that all steps pass; the others fit no scale.
    values = np.full((2, 300_000), 0.7, np.float32)
    values[:, 1:40_000] = random_weights(39_999)
    assert operand_bits(find_encodings(values)) == 32
    # Many rows that nearly are on a coarse grid, and so nearly on every multiple of it; one really is.
    scales = np.random.default_rng(0).uniform(0.01, 0.1, (1000, 1)).astype(np.float32)
    many = np.sign(random_weights(1000, 500)) * scales
    many[1:, ::3] = np.nextafter(many[1:, ::3], np.float32(1))
    assert operand_bits(find_encodings(many)) == 32
    near = np.full((2, 300_000), 0.75, np.float32)
    near[:, 5::7] = np.nextafter(np.float32(0.75), np.float32(1))
    assert cheapest(find_encodings(near)).bits <= 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_stored_as_they_are(value):
    values = np.zeros(100, np.float32)
    values[3] = value
    assert {x.values for x in find_encodings(values)} == {"dense"}


def test_extreme_magnitudes_are_found_without_a_warning():
    for top in (np.finfo(np.float32).max, np.finfo(np.float32).tiny, np.finfo(np.float32).smallest_subnormal):
        values = np.array([top, -top, 0, top] * 10, np.float32)
        assert find(values)["grid", True].bits == 1
    assert find(np.array([65504, -65504] * 10, np.float16))["grid", False].bits == 1
    assert find(np.array([1.7e308, -1.7e308] * 10))["grid", False].overhead == 64


# --- Pruned elements --------------------------------------------------------------------------------------------------


def test_only_live_elements_are_stored():
    values = random_weights(10, 8)
    live = np.zeros((10, 8), bool)
    live[:4, :6] = True
    assert find(values, live=live)["dense", False] == Encoding("dense", 32, 24, 0, 0, 32)
    assert find_encodings(values, live=np.zeros((10, 8), bool)) == (Encoding("zero", 0, 0, 0, 0, 0),)
    assert find_encodings(values, live=np.ones((10, 8), bool)) == find_encodings(values)


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(bool, 12), hnp.arrays(bool, 16), st.integers(0, 2**32 - 1))
def test_pruned_rows_and_columns_cost_what_the_smaller_tensor_costs(rows, columns, seed):
    generator = np.random.default_rng(seed)
    levels, scales = generator.integers(-7, 8, (12, 16)), generator.uniform(0.01, 0.1, (12, 1)).astype(np.float32)
    values = levels.astype(np.float32) * scales
    live = rows[:, None] & columns
    small = values[rows][:, columns]
    assert find_encodings(np.where(live, values, 99), live=live) == find_encodings(small)


def test_a_mask_or_values_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\).*shape \(4,\)"):
        find_encodings(np.ones(4), live=np.ones(3, bool))
    with pytest.raises(ValueError, match="as bool"):
        find_encodings(np.ones(4), live=np.ones(4))
    with pytest.raises(ValueError, match="complex64"):
        find_encodings(np.ones(4, np.complex64))
    with pytest.raises(ValueError, match="axis 2"):
        find_encodings(np.ones((4, 4)), axis=2)


def test_a_grid_gives_its_values_back():
    levels = np.array([np.arange(-127, 128), np.zeros(255, int)])
    values = levels.astype(np.float32) / np.float32(127)
    grid = find_grid(values)
    assert grid.divides and grid.scales.tolist() == [127, 0]
    np.testing.assert_array_equal(grid.levels(values), levels)
    np.testing.assert_array_equal(grid.values(levels, np.float32), values)
    assert find_grid(np.zeros((3, 3), np.float32)) is None


def test_pruned_rows_have_no_zero_point():
    scales = np.linspace(0.0123, 0.05, 6, dtype=np.float32)[:, None]
    values = np.array([[-1, 6, 3, 2, 5, -1, 0, 4]] * 6, np.float32) * scales
    live = np.ones((6, 8), bool)
    live[2] = False
    assert find(values, live=live)["grid", False].overhead == 5 * (32 + 3)
