"""A study's tables as figures, pages and terminal text."""
