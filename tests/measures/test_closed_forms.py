"""Excess of rows whose value is known: a printed table, closed forms, a difference set."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from attention_wavelets.measures.entropy import entropy
from attention_wavelets.measures.rigorous import measure_signals
from attention_wavelets.measures.spectrum import conjugate_entropy
from attention_wavelets.measures.two_sided import mirrored, two_sided_power
from attention_wavelets.measures.uncertainty import excess
from attention_wavelets.nulls.bounds import excess_upper_bound
from helpers.shapes import row, unit

TABLE = Path(__file__).parent / "uncertainty_shapes.csv"


def shapes():
    with TABLE.open(newline="") as file:
        return [
            pytest.param(line, id=f"{line['shape']}-{line['positions']}")
            for line in csv.DictReader(file)
        ]


@pytest.mark.parametrize("printed", shapes())
def test_entropies_of_a_shape_are_the_printed_ones(printed, rigorous):
    # Computed once by independent code, up to 64 positions with 40 digits, and cut to 10.
    length = int(printed["positions"])
    a = row(printed["shape"], length)
    values = measure_signals(a, rigorous).values
    found = {name: values[name] for name in ("excess_sqrt", "excess_amp", "excess_mix")}
    found["entropy"] = values["positional_entropy"]
    found["spectral_entropy_sqrt"] = conjugate_entropy(a)
    # With bins k and N - k taken for one, no theorem holds: some are negative.
    folded = entropy(two_sided_power(a) * mirrored(length))
    found["mix_one_sided"] = found["entropy"] + folded - math.log(length)
    for name, value in found.items():
        digits = len(printed[name].split(".")[1])
        # Half a unit of the last digit, and the rounding of the sums.
        atol = 0.501 * 10.0**-digits
        np.testing.assert_allclose(value, float(printed[name]), rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("decay", [0.5, 2.0, 7.0, 40.0])
def test_excess_of_an_exponential_kernel_is_that_of_a_poisson_kernel(decay):
    # sqrt a is geometric, so its power is a Poisson kernel exactly. With x = 1 / decay and
    # infinitely many positions E_sqrt = x / (e^x - 1), and a itself has the ratio e^-x for e^-x/2.
    x = 1 / decay
    found = excess(unit(np.exp(-x * np.arange(4096))))
    sqrt, amp = x / math.expm1(x), 2 * x / math.expm1(2 * x)
    np.testing.assert_allclose(found.sqrt, sqrt, rtol=1e-9)
    np.testing.assert_allclose(found.amp, amp, rtol=1e-9)
    np.testing.assert_allclose(found.mix, sqrt + math.log1p(math.exp(-x)), rtol=1e-9)


@pytest.mark.parametrize("width", [2, 3, 8, 50])
def test_excess_of_a_block_is_that_of_a_fejer_kernel(width):
    # Of infinitely many positions: 2 (1 + ln m - (1 + 1/2 + ... + 1/m)), as
    # ln |2 sin(w / 2)| = - sum cos(k w) / k; the error falls as (m / N)^3.
    found = excess(unit(np.arange(2**18) < width))
    expected = 2 * (1 + math.log(width) - sum(1 / k for k in range(1, width + 1)))
    for value in found:
        np.testing.assert_allclose(value, expected, rtol=1e-9)


def test_a_difference_set_comes_near_to_the_most_excess_there_is():
    # Squares modulo 11: each difference occurs twice, so all power beside DC is alike.
    found = excess(unit(np.isin(np.arange(11), (1, 3, 4, 5, 9))))
    dc = 5 / 11
    spectral = -dc * math.log(dc) - (1 - dc) * math.log((1 - dc) / 10)
    np.testing.assert_allclose(found.sqrt, math.log(5) + spectral - math.log(11), rtol=1e-9)
    for value in found:
        assert 0.9996 < value / excess_upper_bound(11) < 1
