"""From YAML to checked settings and stage slices. Imports no torch, touches no network."""
