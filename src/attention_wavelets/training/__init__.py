"""Small models trained from nothing: architectures of transformers, tokens, batches, the loop."""
