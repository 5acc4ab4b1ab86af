"""Models: their files, manifest and architecture facts, and loading them; torch only inside."""
