"""What every candidate gives on every target, and what can be seen of it without labels."""
