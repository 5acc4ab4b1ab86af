"""The measures of protocol `rigorous`, as records."""

from __future__ import annotations

import math

from attention_wavelets.config.schema import RigorousProtocol
from attention_wavelets.measures.names import BASIS_NAMES, LAW_NAMES, MODES, PACKET, QUANTILES
from attention_wavelets.measures.registry import Level, Measure, by_name
from attention_wavelets.measures.registry_layers import band_measures, signed_measures

__all__ = ["rigorous_measures"]

_INF = math.inf
_NEVER = "never, for a signal with mass"
_CONSTANT = "the signal does not vary (constant)"
_DYADIC = "the length is no power of two (dyadic), no mass in the part that is read (mass)"
_LAG = "the signal is not by lag (axis)"
_ROTARY = (
    "fewer than four pairs turn between once per signal and Nyquist, fewer than two heads, no "
    "power or usage, or the facts `rotary_usage` and `logit_lags` are not there (rotary)"
)


def _spectrum(protocol: RigorousProtocol) -> list[Measure]:
    dropped = protocol.sink == "drop"
    rows = [
        Measure(
            "lost_mass",
            "share",
            (0, 1),
            "more of the attention is in none of the other numbers",
            "1 - the signal's sum before division; by lag: what lies at key 0 or beyond the lags"
            + ("; by position: a_0, which is cut off" if dropped else ""),
            "rows of attention sum to 1; less than 5e-7 is rounding of float32 and counts as 0",
            "the sum is not known, as of signals by lag from a file (unknown)",
            "What the other numbers leave out.",
        ),
        Measure(
            "cut_mass",
            "share",
            (0, 1),
            "more of the signal is not seen by Haar and dyadic measures"
            + (", and by sparsities" if dropped else ""),
            "mass outside what Haar and dyadic measures are taken on: "
            + ("the last N / 2 positions; " if dropped else "")
            + "distances below N / 2 of signed lags; otherwise the whole signal (0)",
            "ours: "
            + ("N - 1 positions, and " if dropped else "")
            + "N / 2 + 1 distances do not halve, and nothing is padded",
            _NEVER,
            "What measures that halve the signal leave out.",
        ),
        Measure(
            "participation_ratio",
            "positions",
            (1, _INF),
            "attention is spread over more positions",
            "PR = 1 / sum a_t^2",
            "standard (inverse Simpson index)",
            _NEVER,
            "An effective number of positions that large shares decide.",
        ),
        Measure(
            "dc_share",
            "share",
            (0, 1),
            "attention is more even",
            "P_0 / sum P = PR / N, P = |DFT_N a|^2, two-sided, no window, no padding",
            "Parseval's theorem; the paper's selectivity is PR / (N - PR) under these conventions",
            _NEVER,
            "The part of the spectrum that says how concentrated a head is, on its own.",
        ),
        Measure(
            "positional_entropy",
            "nats",
            (0, _INF),
            "attention is spread over more positions",
            "H(a) = -sum_t a_t ln a_t",
            "Shannon 1948",
            _NEVER,
            "How many positions a head attends to; exp of it is an effective number.",
            over_heads="spread",
        ),
        Measure(
            "positional_entropy_share",
            "1",
            (0, 1),
            "attention is closer to uniform",
            f"H(a) / ln {'(N - 1)' if dropped else 'N'}",
            "comparable between lengths",
            "there is one position only (length)",
            "Positional entropy as a share of its maximum.",
            over_heads="spread",
        ),
        Measure(
            "spectral_entropy_share",
            "1",
            (0, 1),
            "power beside DC is spread over more frequencies",
            f"H(P_k / sum P, k != 0) / ln(N - {2 if dropped else 1}), two-sided",
            "ours: without DC it no longer repeats the participation ratio",
            f"{_CONSTANT}, or fewer than three positions (length)",
            "How many frequencies a head varies at, whatever its concentration.",
            over_heads="spread",
        ),
        Measure(
            "spectral_flatness",
            "1",
            (0, 1),
            "the frequencies beside DC have more similar powers",
            "exp(mean ln P_k) / mean P_k, k != 0",
            "Gray and Markel 1974",
            _CONSTANT,
            "About exp(-0.577) = 0.56 for random numbers, 1 for one token alone; small where some "
            "frequencies stand out.",
        ),
        Measure(
            "half_power_width",
            "cycles/token",
            (0, 0.5),
            "the head resolves finer detail",
            "lowest frequency with P <= P_0 / 2, interpolated; 1/2 (Nyquist) if there is none",
            "standard (3 dB bandwidth)",
            "there is one position only (width)",
            "How wide a band a head lets through.",
        ),
    ]
    for number in range(1, protocol.octaves + 1):
        rows.append(
            Measure(
                f"octave_share_{number}",
                "share",
                (0, 1),
                "more of the power beside DC lies in this octave",
                f"P in (2^-{number}, 2^-{number - 1}] of Nyquist over all P beside DC",
                f"bands of a dyadic transform; white noise has about {2.0**-number:g}",
                f"{_CONSTANT}, or too short for the octave (length)",
                f"Variation over about {2**number} to {2 ** (number + 1)} tokens.",
            )
        )
    rows.append(
        Measure(
            "octave_share_rest",
            "share",
            (0, 1),
            "more of the power beside DC is slower than all octaves",
            f"P at or below 2^-{protocol.octaves} of Nyquist over all P beside DC",
            "as above",
            _CONSTANT,
            "What is slower than the slowest octave.",
        )
    )
    return rows


def _uncertainty(protocol: RigorousProtocol) -> list[Measure]:
    theorem = "Maassen and Uffink 1988; Dembo, Cover and Thomas 1991, theorem 23"
    count = protocol.permutations.count
    nats = [
        (
            "excess_sqrt",
            "H(a) + H(|F sqrt a|^2) - ln N",
            "the attention and its transform",
            theorem,
        ),
        (
            "excess_amp",
            "H(a^2 / sum a^2) + H(|F a|^2 / sum a^2) - ln N",
            "the head as a filter",
            theorem,
        ),
        (
            "excess_mix",
            "H(a) + H(|F a|^2 / sum a^2) - ln N",
            "the pair that the paper adds up",
            "ours: at least `excess_amp`, as H(a) >= H(a^2 / sum a^2)",
        ),
    ]
    return [
        *(
            Measure(
                name,
                "nats",
                (0, _INF),
                "farther from the uncertainty bound",
                formula,
                source,
                _NEVER,
                f"Distance from the bound for {what}; 0 for a point, a comb, a uniform signal.",
            )
            for name, formula, what, source in nats
        ),
        Measure(
            "excess_share",
            "1",
            (0, 1),
            "farther from the uncertainty bound",
            "excess_sqrt / U(N), U(N) the most that N positions allow",
            "U(N): ours, nulls/bounds.py",
            "there is one position only (length)",
            "The distance as a share of the largest possible one.",
        ),
        Measure(
            "arrangement_gain",
            "1",
            (-_INF, 1),
            "the order of positions brings the head nearer to the bound than chance",
            f"(mean excess of {count} rearrangements - excess_sqrt) / that mean",
            "ours: rearranging keeps H(a) and the DC share",
            "every order has the bound (constant)",
            "What the ORDER of a head's attention adds, which no entropy of positions sees.",
        ),
        Measure(
            "arrangement_p",
            "1",
            (0, 1),
            "the order is more like chance",
            f"(1 + rearrangements at least as near to the bound) / {count + 1}",
            "permutation test (Phipson and Smyth 2010)",
            _NEVER,
            "Small for nearly every head, as neighbours get similar attention: read the gain.",
        ),
        Measure(
            "massar_spindel_slack",
            "1",
            (0, _INF),
            "farther from the bound",
            "(1 + 2A) dU dV + A^2 (dU + dV) - A^2, A = tan(pi / N)",
            "Massar and Spindel 2008",
            "fewer than three positions (length)",
            "A product of spreads that holds on N points whatever the shift.",
        ),
        Measure(
            "breitenberger_product",
            "tokens^2",
            (0.25, _INF),
            "farther from the bound 1/4",
            "Var(n) (1 - tau^2) / tau^2, tau = sum sqrt(a_n a_(n+1))",
            "after Breitenberger 1985",
            "no two neighbouring positions have mass, up to overflow (neighbours)",
            "A product of spreads for rows that do not wrap around; a far sink makes it huge.",
            over_heads="median",
        ),
    ]


def _windows(protocol: RigorousProtocol) -> list[Measure]:
    return [
        Measure(
            f"window_entropy_{width}",
            "1",
            (0, 1),
            f"attention is more even within {width} tokens",
            f"sum over blocks of mass x H(block) / ln {width}, over all mass; = (H(a) - H(block "
            f"masses)) / ln {width}",
            "chain rule of entropy; blocks are counted from the query and a partial one left out",
            f"fewer than {width} positions (length), or no whole block has mass (mass)",
            "Evenness within blocks, each counted by the attention it holds; the paper's counts "
            "empty ones alike.",
        )
        for width in protocol.window_entropy
    ]


def _wavelets(protocol: RigorousProtocol) -> list[Measure]:
    rows = [
        Measure(
            "haar_energy_entropy",
            "1",
            (0, 1),
            "energy is spread over more scales",
            "H(e_j / sum e) / ln J, e_j the energy of Haar detail level j",
            "relative wavelet energy (Rosso et al. 2001); Haar has no edge effects; of signed lags "
            "by distance |lag|, both sides added",
            f"{_DYADIC}, or fewer than two levels (length), or {_CONSTANT}",
            "Whether a head works at one scale or at all of them.",
        ),
        Measure(
            "db2_energy_entropy",
            "1",
            (0, 1),
            "energy is spread over more scales",
            "the same for db2, continued by zeros",
            "the paper's wavelet with a boundary rule that keeps the energy",
            f"fewer than two levels (length), or {_CONSTANT}",
            "The same with the paper's wavelet.",
        ),
    ]
    for level in range(1, protocol.levels + 1):
        undefined = f"{_DYADIC}, or too short for the level (length)"
        width = 2**level
        rows += [
            Measure(
                f"haar_share_{level}",
                "share",
                (0, 1),
                "more of the variation is at this scale",
                f"e_{level} / sum e, level 1 the finest",
                "as above; of signed lags by distance |lag|, both sides added",
                f"{undefined}, or {_CONSTANT}",
                f"Variation between neighbouring blocks of {width // 2} tokens.",
            ),
            Measure(
                f"haar_entropy_{level}",
                "1",
                (0, 1),
                "variation of this scale is found everywhere",
                f"H(W^2 / e_{level}) / ln(number of coefficients)",
                "normalised, unlike the paper's printed formula",
                f"{undefined}, or the level has no energy (power)",
                f"Whether variation over {width} tokens sits at one place or everywhere.",
            ),
            Measure(
                f"dyadic_entropy_{level}",
                "1",
                (0, 1),
                f"halves of blocks of {width} tokens get equal attention",
                "sum over blocks of mass x h(left half / block), over ln 2",
                "chain rule of entropy: times ln 2 they sum to H(a); of signed lags by distance",
                undefined,
                "An entropy by scale, exact and without any wavelet.",
            ),
        ]
    for mode in MODES:
        rows.append(
            Measure(
                f"db2_energy_{mode}",
                "ratio",
                (0, _INF),
                "edges are counted more than once",
                f"energy of db2 coefficients, mode {mode}, over sum a^2",
                "1 where the transform is an isometry: `zero` always, `periodization` at lengths "
                "that halve evenly",
                "the signal is too short (length)",
                "How much a boundary rule adds where attention lives: at the edges.",
            )
        )
    return rows


def _sparsity(_: RigorousProtocol) -> list[Measure]:
    bases = {**{name: f"coefficients in {name}" for name in BASIS_NAMES}}
    bases["identity"] = "the signal itself"
    rows = [
        Measure(
            f"sparsity_{name}",
            "nats",
            (0, _INF),
            "more coefficients are needed",
            f"-sum p ln p, p = c^2 / sum c^2, c = {what}, mean removed",
            "entropy cost of Coifman and Wickerhauser 1992",
            f"{_CONSTANT}" + ("" if name in ("identity", "fourier", "dct") else ", or (length)"),
            f"exp of it: how many coefficients describe the head in basis {name}.",
        )
        for name, what in bases.items()
    ]
    rows.append(
        Measure(
            "sparsity_packets",
            "nats",
            (0, _INF),
            "more coefficients are needed",
            f"the smallest such entropy over all {PACKET} packet bases",
            "Coifman and Wickerhauser 1992",
            f"{_CONSTANT}, or too short (length)",
            "The best a wavelet basis can do when it is chosen for each head.",
        )
    )
    return rows


def _kernels(protocol: RigorousProtocol) -> list[Measure]:
    count = protocol.permutations.count
    laws = {
        "exponential": "exp(-r |lag|)",
        "power": "(1 + |lag|)^-r",
        "uniform": "the same at every lag",
    }
    return [
        Measure(
            "kernel_width",
            "tokens",
            (0, _INF),
            "the head reaches farther",
            "s = exp(H(k)) / e, k the attention by distance |lag|, both sides added",
            "the decay time of an exponential kernel with this entropy",
            _LAG,
            "How far from the query a head reaches.",
            over_heads="median",
        ),
        Measure(
            "lag_octave_slope",
            "1",
            (-_INF, _INF),
            "far octaves of lags get more than near ones",
            "slope of log2 of the mass in [2^j, 2^(j+1)) over j",
            "after the conditions of Anson et al. 2025; lag 0 is left out: ours",
            f"{_LAG}; fewer than three octaves, or one has no mass (octaves)",
            "0 where every octave of distances gets the same attention, 1 where every token does.",
        ),
        *(
            Measure(
                f"kernel_kl_{law}",
                "nats",
                (0, _INF),
                "the kernel is less like this law",
                f"min over r >= 0 of KL(a, {laws[law]}), by distance: both sides taken together",
                "maximum likelihood in an exponential family",
                _LAG,
                f"How far a head's attention by lag is from the law {laws[law]}.",
            )
            for law in (*LAW_NAMES, "uniform")
        ),
        *(
            measure
            for name, what in (
                ("rotary_excess", "attention by lag"),
                ("rotary_excess_logits", "logits by lag (the fact `logit_lags`)"),
            )
            for measure in (
                Measure(
                    name,
                    "nats",
                    (-_INF, _INF),
                    "the head varies at the frequencies its strong rotary pairs turn with",
                    f"log-power of {what} at the rotary frequencies, less its trend over "
                    "log-frequency, weighted by |q_c| |k_c|, less the mean under the weights of "
                    "the layer's other heads",
                    "ours; usage as in Barbero et al. 2024",
                    _ROTARY,
                    "Whether the rotary frequencies a head uses show in what it does.",
                ),
                Measure(
                    f"{name}_p",
                    "1",
                    (0, 1),
                    "more like chance",
                    "rank of the head's own weights among those of all heads, over their number",
                    "exchangeable heads, however smooth their weights; at least 1 / heads",
                    _ROTARY,
                    "How many heads' weights do as well; for a test read that of the layer.",
                ),
                Measure(
                    f"{name.replace('excess', 'match')}_p",
                    "1",
                    (0, 1),
                    "more like chance",
                    "(1 + permutations of the heads' weights whose mean is at least as high) / "
                    f"(1 + {count})",
                    "permutation test (Phipson and Smyth 2010)",
                    f"{_ROTARY}, in any head",
                    f"Whether the layer's heads vary at their own rotary frequencies: {what}.",
                    "layer",
                ),
            )
        ),
    ]


def _pairs(protocol: RigorousProtocol) -> list[Measure]:
    level: Level = "pair_of_conditions"
    return [
        Measure(
            "scale_dilation",
            "1",
            (0, 1),
            "the head does not keep its shape in relative position",
            "S_dil: Hellinger distance after mass-preserving resampling to one length",
            "ours: exact for any ratio; no wavelet is needed (Parseval)",
            _NEVER,
            "0 where attention stretches with the text.",
            level,
        ),
        Measure(
            "scale_lag",
            "1",
            (0, 1),
            "the head does not keep its width in tokens",
            "S_lag: Hellinger distance over the lags both have, renormalised",
            "ours",
            "no mass at those lags (mass)",
            "0 where attention looks back the same number of tokens.",
            level,
        ),
        Measure(
            "scale_lost_mass",
            "share",
            (0, 1),
            "more of the longer signal lies beyond the shorter one",
            "mass of the longer signal that S_lag leaves out",
            "ours",
            _NEVER,
            "How much S_lag does not see.",
            level,
        ),
        Measure(
            "scale_kappa",
            "1",
            (-1, 1),
            "the head dilates; below 0 it keeps its width",
            "(S_lag - S_dil) / (S_lag + S_dil)",
            "ours",
            f"both are below {protocol.smallest_change:g} (scale)",
            "+1 dilates, -1 fixed width in tokens.",
            level,
        ),
        Measure(
            "scale_level_shift",
            "1",
            (0, 2),
            "the head does not keep its shape in relative position",
            "1 - cosine of Haar details, the longer signal's finest levels dropped",
            "dilation by 2 moves level j to j + 1 (Mallat 2009); of signed lags by distance",
            f"{_DYADIC}, or a vector is zero (constant)",
            "The wavelet form of S_dil, exact for Haar.",
            level,
        ),
    ]


def _layers(protocol: RigorousProtocol) -> list[Measure]:
    count = protocol.permutations.correlation
    ranges = {"correlation_adjusted": (-2, 2), "correlation_z": (-_INF, _INF)}
    varies = "the values do not vary over the heads (variance), or fewer than three heads (heads)"
    pair = "H(a) and H(|F sqrt a|^2)"
    rows = [
        ("correlation", "", f"Pearson's r over heads of {pair}", "as the paper, two-sided"),
        (
            "correlation_chance",
            "",
            f"mean of the same over {count} rearrangements of positions",
            "what any rows give, by the theorem",
        ),
        (
            "correlation_adjusted",
            "",
            "correlation - correlation_chance",
            "what the arrangement of attention adds; about 0 without structure, and near -1 there "
            "is no room for it: read correlation_z",
        ),
        (
            "correlation_z",
            "",
            "artanh(correlation) - mean artanh of the same over rearranged positions",
            "the same on Fisher's scale, which has no end",
        ),
        (
            "correlation_partial",
            "",
            "partial correlation given ln PR",
            "what concentration alone does not explain",
        ),
        ("correlation_ranks", "", "Spearman's rho", "the same for ranks"),
    ]
    return [
        Measure(
            name,
            "1",
            ranges.get(name, (-1, 1)),
            "spread heads also use more frequencies",
            formula,
            "ours" if name != "correlation_z" else "ours; Fisher 1921",
            varies + (", or r is -1 or 1 (power)" if name == "correlation_z" else ""),
            f"Position against spectrum: {summary}.",
            "layer",
        )
        for name, _, formula, summary in rows
    ]


def _bank(protocol: RigorousProtocol, prefix: str, level: Level) -> list[Measure]:
    of = "layer" if level == "layer" else "model"
    bad = f"{_LAG}; no power at a frequency, or too few heads (bank)"
    frame = "Mallat 2009, theorem 5.11; a single copying head has ratio 1"
    described: list[tuple[str, str, tuple[float, float], str, str, str, str]] = []
    for kind, unit in (("frame", ""), ("unit_frame", " of kernels at unit L2 norm")):
        power = f"sum over heads of |K_h|^2{unit}"
        described += [
            (
                f"{kind}_lower",
                "1",
                (0, _INF),
                "the least covered frequency is covered better",
                f"A = min over frequency of {power}",
                frame,
                f"How well the {of}'s heads cover the frequency they cover least.",
            ),
            (
                f"{kind}_upper",
                "1",
                (0, _INF),
                "the best covered frequency is covered more",
                f"B = max over frequency of {power}",
                frame,
                f"How much the {of}'s heads pile up.",
            ),
            (
                f"{kind}_ratio",
                "ratio",
                (1, _INF),
                "coverage is less even",
                f"B / A of {power}",
                frame,
                "1 for a bank that covers all frequencies alike; its mean is that of the worst.",
            ),
            (
                f"{kind}_octaves",
                "octaves",
                (0, _INF),
                "coverage is less even",
                f"log2(B / A) of {power}",
                frame,
                "0 for a bank that covers all frequencies alike.",
            ),
        ]
    for name, share in QUANTILES.items():
        described.append(
            (
                f"scale_{name}",
                "octaves",
                (-_INF, _INF),
                "heads reach farther",
                f"{share:.0%} quantile over heads of log2(kernel width in tokens), by distance",
                "ours",
                f"The {name} reach of the {of}'s heads, in doublings of a token.",
            )
        )
    described += [
        (
            "scale_octaves",
            "octaves",
            (0, _INF),
            "heads differ more in reach",
            "95 % less 5 % quantile",
            "ours",
            "Diversity of scales: 0 where all heads reach equally far; grows with their number.",
        ),
        (
            "scale_difference",
            "octaves",
            (0, _INF),
            "heads differ more in reach",
            "mean over pairs of the difference of log2(kernel width in tokens), by distance",
            "Gini 1912, of widths ours",
            "Diversity of scales, of layers with different numbers of heads too.",
        ),
        (
            "octave_coverage",
            "1",
            (0, 1),
            "the octaves get more even shares",
            f"exp(H(mean octave shares)) / {protocol.octaves + 1}",
            "ours",
            "How evenly the heads' variation fills the octaves.",
        ),
        (
            "collapse",
            "1",
            (0, 1),
            "heads differ in shape",
            "mean over pairs of the Kolmogorov-Smirnov distance of kernels rescaled by width",
            "ours; wavelet atoms are one shape, and have 0",
            "Whether all heads are one shape at different scales; read beside scale_octaves.",
        ),
        (
            "rank",
            "heads",
            (1, _INF),
            "heads are more different",
            "exp(H(eigenvalues of the Gram matrix))",
            "Roy and Vetterli 2007",
            "How many different kernels there are.",
        ),
        (
            "overlap",
            "1",
            (0, 1),
            "heads are more alike",
            "mean cosine of two heads' kernels",
            "standard",
            "Redundancy of heads.",
        ),
        (
            "cross_correlation",
            "1",
            (0, 1),
            "heads are more alike up to a shift",
            "mean of the largest cosine over shifts",
            "standard",
            "Redundancy of heads, whatever their lag.",
        ),
        (
            "complementarity",
            "1",
            (0, 1),
            "heads share fewer octaves",
            "1 - mean over pairs of sum_j min(p_j, q_j) of octave shares",
            "ours",
            "A division of labour by frequency: 1 where no two heads share an octave.",
        ),
    ]
    return [
        Measure(f"{prefix}_{name}", unit, bounds, direction, formula, source, bad, summary, level)
        for name, unit, bounds, direction, formula, source, summary in described
        if level == "layer" or name != "cross_correlation"
    ]


def rigorous_measures(protocol: RigorousProtocol) -> tuple[Measure, ...]:
    """The measures of protocol `rigorous`, in the order of the columns."""
    families = (_spectrum, _uncertainty, _windows, _wavelets, _sparsity, _kernels, _pairs, _layers)
    rows = [row for family in families for row in family(protocol)]
    rows += _bank(protocol, "bank", "layer") + signed_measures() + band_measures()
    rows += _bank(protocol, "model_bank", "model")
    return tuple(by_name(rows).values())
