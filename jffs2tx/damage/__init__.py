"""Damage: where the tree that a kernel shows is not the one that was written, as far as the medium shows it.

The kernel reports little of it: where a node fails its CRC or is gone, older data or zeros show and the read succeeds.
"""

from jffs2tx.damage.content import content_damage, undecodable
from jffs2tx.damage.log import Log
from jffs2tx.damage.names import lost_names
from jffs2tx.damage.record import Damage, Reading
from jffs2tx.damage.remains import remains
from jffs2tx.damage.tree import inode_damage, lost_below, reason_of, tree_damage

__all__ = [
    "Damage",
    "Log",
    "Reading",
    "content_damage",
    "inode_damage",
    "lost_below",
    "lost_names",
    "reason_of",
    "remains",
    "tree_damage",
    "undecodable",
]
