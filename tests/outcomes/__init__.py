"""Every way in which an upgrade can end: what the command says, its exit status, and the tree that is there."""
