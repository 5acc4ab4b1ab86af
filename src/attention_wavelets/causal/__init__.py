"""What happens to a model's loss when attention is changed: heads knocked out, bands removed."""
