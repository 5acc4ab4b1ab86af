"""`python -m attention_wavelets`."""

from attention_wavelets.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
