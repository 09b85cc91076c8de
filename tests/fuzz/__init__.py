"""Hostile input: coverage-guided fuzzing, every field of every node, what the worst media cost. See docs/FUZZING.md."""
