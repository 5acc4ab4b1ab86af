"""Compare a models.csv with a reference: `python compare_models.py FOUND REFERENCE`.

Text must be equal, numbers agree to a relative 1e-3 (other processors round float32 differently).
A difference means that the numbers in README.md and docs/ have to be made again.
"""

import sys
from pathlib import Path

import numpy as np

from attention_wavelets.store.tables import read_csv


def main(found: Path, reference: Path) -> int:
    """0 if the tables agree, else 1 with a line per differing column."""
    ours, theirs = read_csv(found), read_csv(reference)
    different = sorted(set(ours.columns) ^ set(theirs.columns))
    for name in ours.columns.intersection(theirs.columns):
        left, right = ours[name], theirs[name]
        if left.dtype.kind == "f" and right.dtype.kind == "f":
            same = len(left) == len(right) and np.allclose(
                left, right, rtol=1e-3, atol=1e-5, equal_nan=True
            )
            # Rounding error itself differs from processor to processor.
            same |= name.startswith("reconstruction_error") and bool((left < 1e-6).all())
        else:
            same = left.astype(str).tolist() == right.astype(str).tolist()
        if not same:
            different.append(name)
    for name in different:
        print(f"differs from {reference}: {name}")  # noqa: T201
    return int(bool(different))


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2])))
