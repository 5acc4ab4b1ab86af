"""One module per stage: read, compute with a room's functions, write. Called by `cli`."""
