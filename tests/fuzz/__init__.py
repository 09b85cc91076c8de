"""Hostile input: coverage-guided fuzzing, every field of every node, and what the worst images cost. See docs/FUZZING.md."""
