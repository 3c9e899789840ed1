"""The store of recorded bits: write, follow, check, condition, lease."""
