"""Names out of which columns of protocol `rigorous` are made; no numpy, so that plans stay fast."""

from __future__ import annotations

__all__ = ["ARRANGED", "BASIS_NAMES", "LAW_NAMES", "MODES", "PACKET", "QUANTILES", "WAVELETS"]

# Boundary rules under which the energy of db2 coefficients is compared with the signal's.
MODES = ("symmetric", "zero", "periodization")
# Quantiles of the widths of a bank's heads.
QUANTILES = {"low": 0.05, "median": 0.5, "high": 0.95}
PACKET = "haar"
# Measures that need rearranged signals.
ARRANGED = ("arrangement_gain", "arrangement_p")
# Families of kernels that decay; kernel.py has them.
LAW_NAMES = ("exponential", "power")
WAVELETS = ("haar", "db2", "db4", "sym4", "coif1")
# Orthonormal bases; sparsity.py has them.
BASIS_NAMES = ("identity", "fourier", "dct", *WAVELETS)
