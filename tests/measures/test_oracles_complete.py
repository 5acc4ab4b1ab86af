"""Every number of `oracles.json` is computed again and compared; none can be left out."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from attention_wavelets.config.schema import PaperProtocol
from attention_wavelets.measures import paper, rigorous
from attention_wavelets.measures.dilation import (
    dilation_sensitivity,
    lag_sensitivity,
    resample,
    same_lags,
)
from attention_wavelets.measures.entropy import entropy, positional_entropy
from attention_wavelets.measures.sparsity import BASES, centred
from attention_wavelets.measures.spectrum import (
    conjugate_entropy,
    fft_length,
    has_power,
    power_spectrum,
    selectivity,
    window_values,
)
from attention_wavelets.measures.two_sided import octave_shares, power_entropy, two_sided_power
from attention_wavelets.measures.uncertainty import excess
from attention_wavelets.measures.wavelet import (
    decompose,
    depth,
    dyadic_entropies,
    haar,
    level_energies,
    zero_edges,
)
from attention_wavelets.nulls.bounds import excess_upper_bound
from helpers.shapes import row, unit

HANN = "hann_periodic"


def input_row(name):
    """`exp_recency_tau4_32` and such: a shape, and how many positions."""
    shape, length = name.replace("_N", "_").rsplit("_", 1)
    others = {"delta0": "delta_first", "exp_recency_tau4": "exp_tau4", "fix_exp4": "exp_tau4"}
    others["sink_half_exp4"] = "sink_half_exp_tau4"
    return row(others.get(shape, shape), int(length))


def spectral(a, protocol):
    """What protocol `paper` reads off the spectrum, and the spectrum's own numbers."""
    values = paper.measure_signals(a, protocol).values
    nfft = fft_length(protocol.spectrum.nfft, len(a))
    power = power_spectrum(a, HANN, nfft)
    sums = {"psd_total": power.sum(), "psd_dc": power[0]}
    named = ("band_low", "band_mid", "band_high", "spectral_entropy", "selectivity")
    return {name: value if has_power(power) else np.nan for name, value in sums.items()} | {
        name: values[name] for name in named
    }


def padded(a, protocol):
    nfft = fft_length(protocol.spectrum.nfft, len(a))
    bins = power_spectrum(a, HANN, nfft).shape[-1]
    return {"nfft": nfft, "bins": bins, **spectral(a, protocol)}


def of_paper(name, protocol, _):
    """The paper's measures; the spectrum of this part of the table has nfft = 2 N."""
    a = input_row(name)
    settings = protocol.model_dump()
    settings["spectrum"]["nfft"] = "twice_length"
    doubled = PaperProtocol(**settings)
    values = paper.measure_signals(a, doubled).values
    coefficients = decompose(a, "db2", "symmetric")
    energies = level_energies(coefficients)
    levels = len(energies) - 1
    names = [f"A{levels}", *(f"D{level}" for level in range(levels, 0, -1))]
    raw = [values[f"wavelet_entropy_raw_{scale}"] for scale in range(levels + 1)]
    found = {
        "positional_entropy": values["positional_entropy"],
        "dwt_level": depth(len(a), "db2"),
        "dwt_lengths": dict(zip(names, (len(level) for level in coefficients), strict=True)),
        "dwt_energy": dict(zip(names, energies, strict=True)),
        "dwt_energy_share": dict(zip(names, unit(energies), strict=True)),
        "wavelet_entropy_raw": dict(zip(names, raw, strict=True)),
        "wavelet_entropy_raw_sum": sum(raw),
        "windowed_mass": window_values(HANN, len(a)) @ a,
        **spectral(a, doubled),
    }
    for width in (width for width in (16, 32, 64) if width <= len(a)):
        found[f"window_entropy_{width}"] = values[f"window_entropy_{width}_nats"]
        # Chain rule: what is left of H(a) within the blocks.
        between = positional_entropy(a.reshape(-1, width).sum(axis=-1))
        found[f"window_entropy_{width}_mass_weighted"] = positional_entropy(a) - between
    return found


def of_conjugate(name, *_):
    a = input_row(name)
    return {
        "entropy_a": positional_entropy(a),
        "spectral_entropy_sqrt_two_sided": conjugate_entropy(a),
        "excess_sqrt": excess(a).sqrt,
        "excess_upper_bound_U": excess_upper_bound(len(a)),
    }


def of_rigorous(name, _, protocol):
    a = input_row(name)
    values = rigorous.measure_signals(a, protocol).values
    power, place = two_sided_power(a), np.arange(len(a))
    product = values["breitenberger_product"]
    # Overlap of neighbours, and the spread that the product holds where there is any.
    overlap = (np.sqrt(a[1:]) * np.sqrt(a[:-1])).sum()
    mean = a @ place
    spread = product * overlap**2 / (1 - overlap**2) if overlap else a @ (place - mean) ** 2
    slow = len(a).bit_length() - 2
    octaves = octave_shares(power, len(a), slow)
    names = [*(f"octave_{j}" for j in range(1, slow + 1)), "octave_rest"]
    varies = np.isfinite(octaves).all()
    energies = level_energies(haar(a))
    return of_conjugate(name) | {
        "participation_ratio": values["participation_ratio"],
        "dc_share_two_sided": values["dc_share"],
        "entropy_a": values["positional_entropy"],
        "entropy_escort2": entropy(np.square(a)),
        "spectral_entropy_amp_two_sided": power_entropy(power, len(a)),
        "excess_sqrt": values["excess_sqrt"],
        "excess_amp": values["excess_amp"],
        "excess_mixed": values["excess_mix"],
        "excess_sqrt_rel": values["excess_share"],
        "massar_spindel_slack": values["massar_spindel_slack"],
        "mean_position": mean,
        "var_position": spread,
        "lag1_overlap": overlap,
        "breitenberger_product": product,
        "octave_share_nondc_two_sided": (
            dict(zip(names, octaves, strict=True)) if varies else np.nan
        ),
        "haar_detail_energy_coarse_to_fine": energies[1:],
        "haar_approx_energy": energies[0],
        "db2_zero_mode_energy_A_then_D_coarse_to_fine": level_energies(zero_edges(a)),
        "dyadic_entropy_increments_fine_to_coarse": dyadic_entropies(a),
    }


def of_forty_digits(name, *_):
    a = input_row(name)
    found = excess(a)
    return {
        "entropy_a": positional_entropy(a),
        "H_a": positional_entropy(a),
        "spectral_entropy_sqrt": conjugate_entropy(a),
        "Hs_sqrt": conjugate_entropy(a),
        "H_esc": entropy(np.square(a)),
        "Hs_amp": power_entropy(two_sided_power(a), len(a)),
        "E_sqrt": found.sqrt,
        "E_amp": found.amp,
        "E_mix": found.mix,
    }


def of_pair(name, *_):
    shape, longer, shorter = name.rsplit("_", 2)
    a, b = (input_row(f"{shape}_{length}") for length in (longer, shorter))
    distance, lost = lag_sensitivity(a, b)
    found = {"lag_lost_mass": lost, "hellinger_lag": distance}
    found["hellinger_dilation"] = dilation_sensitivity(a, b)
    for rule, aligned in (("dilation", resample(a, len(b))), ("lag", same_lags(a, b)[0])):
        x, y = (centred(unit(signal)).deviations for signal in (aligned, b))
        for basis in ("haar", "db2"):
            # Without the mean: in an orthonormal basis only details are left, at any depth.
            u, v = BASES[basis](x), BASES[basis](y)
            found[f"S_{rule}_{basis}"] = 1 - u @ v / math.sqrt((u @ u) * (v @ v))
    return found


def limit(function, start):
    """The limit of values at start, 2 start, 4 start, ..., whose error is a series in 1 / start."""
    one, two, four = (function(start * factor) for factor in (1, 2, 4))
    return (one - 6 * two + 8 * four) / 3


def excess_of(weights):
    return excess(unit(weights))


def of_constants(*_):
    n = np.arange(2**19)
    gaussian = excess_of(np.exp(-0.5 * ((n[:4096] - 2048) / 64) ** 2))
    window = window_values(HANN, 64)

    def uniform(name, rule):
        return selectivity(power_spectrum(np.full(64, 1 / 64), name, fft_length(rule, 64)))

    return {
        "excess_gaussian_limit": gaussian.sqrt,
        "excess_mixed_gaussian_limit": gaussian.mix,
        "excess_two_adjacent_deltas_limit": excess_of(n[: 2**14] < 2).sqrt,
        "excess_block_limit": limit(lambda width: excess_of(n < width).sqrt, 64),
        "excess_exponential_limit": limit(
            lambda tau: excess_of(np.exp(-n[: 2**14] / tau)).sqrt, 64
        ),
        "excess_mixed_exponential_limit": limit(
            lambda tau: excess_of(np.exp(-n[: 2**14] / tau)).mix, 64
        ),
        "hann_periodic_enbw_bins": len(window) * (window @ window) / window.sum() ** 2,
        "uniform_selectivity_hann_pad1": uniform(HANN, "length"),
        "uniform_selectivity_hann_pad2": uniform(HANN, "twice_length"),
        "uniform_selectivity_hann_pad4": uniform(HANN, "four_times_length"),
        "uniform_selectivity_rect_pad2": uniform("none", "twice_length"),
    }


COMPUTED = {
    r"signals/(\w+)": lambda name, *_: {"a": input_row(name)},
    r"signals/(\w+)/paper": of_paper,
    r"signals/(\w+)/paper_nextpow2": lambda name, protocol, _: padded(input_row(name), protocol),
    r"signals/(\w+)/conjugate": of_conjugate,
    r"signals/(\w+)/rigorous": of_rigorous,
    r"extra_signals/(\w+)": lambda name, *_: {
        "N": len(input_row(name)),
        "a": input_row(name),
        "positional_entropy": positional_entropy(input_row(name)),
    },
    r"extra_signals/(\w+)/paper_nextpow2": lambda name, protocol, _: padded(
        input_row(name), protocol
    ),
    r"uncertainty_40_digits/(\w+)": of_forty_digits,
    r"scale_pairs/(\w+)": of_pair,
    r"constants": of_constants,
    r"(excess_upper_bound_U)": lambda *_: {
        str(n): excess_upper_bound(n) for n in (11, *(2**j for j in range(4, 12)))
    },
}
"""Place in the oracles, with the name of a signal -> the values to be found there."""


def leaves(tree, path=""):
    """(path, number or list of numbers) of each value that is one; None is NaN."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{path}/{key}" if path else key)
        return
    try:
        yield path, np.array(tree, dtype=np.float64)
    except ValueError:
        # A formula or a remark.
        return


def nodes(tree, path=""):
    """(path, dictionary) of every dictionary within."""
    for key, value in tree.items():
        if isinstance(value, dict):
            inner = f"{path}/{key}" if path else key
            yield inner, value
            yield from nodes(value, inner)


def inside(tree, place):
    """Paths of the dictionaries that a place of `COMPUTED` names, with the name of the signal."""
    found = ((path, re.fullmatch(place, path)) for path, _ in nodes(tree))
    return [(path, match[match.lastindex or 0]) for path, match in found if match]


@pytest.fixture(scope="module")
def computed(oracles, protocol, rigorous):
    """Place -> path -> value."""
    return {
        place: {
            key: value
            for path, name in inside(oracles, place)
            for key, value in leaves(function(name, protocol, rigorous), path)
        }
        for place, function in COMPUTED.items()
    }


def test_every_number_of_the_oracles_is_computed(oracles, computed):
    claimed = [path for values in computed.values() for path in values]
    assert len(claimed) == len(set(claimed))
    assert sorted(dict(leaves(oracles)).keys() - set(claimed)) == []


@pytest.mark.parametrize("place", COMPUTED)
def test_computed_values_match_the_oracles(place, oracles, computed):
    wanted = dict(leaves(oracles))
    shared = computed[place].keys() & wanted.keys()
    assert shared
    for path in sorted(shared):
        value, expected = computed[place][path], wanted[path]
        assert value.shape == expected.shape, path
        atol = 1e-12
        if "/hellinger_" in path and expected < 1e-6:
            # The root of 1 less a sum: what can be compared is the sum, to a few of its last bits.
            value, expected, atol = value**2, expected**2, 1e-15
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=atol, err_msg=path)


def test_a_number_without_a_comparison_is_found(oracles, computed):
    claimed = {path for values in computed.values() for path in values}
    more = {"signals": {"uniform_16": {"paper": {"a_new_number": 1.5, "a remark": "of words"}}}}
    more["later"] = {"x": {"y": None}, "z": "0.25", "list": [1, 2]}
    assert sorted(dict(leaves(more)).keys() - claimed) == [
        "later/list",
        "later/x/y",
        "later/z",
        "signals/uniform_16/paper/a_new_number",
    ]
