"""Speed and memory, each beside its alternative in the same run. Nothing here asserts a time."""
