"""`make demo`: an upgrade of a real tree, what power cuts leave of it, and of the usual ways beside it."""
