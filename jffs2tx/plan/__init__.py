"""The planner: from the tree on the medium and the tree that is wanted to what must be written, and how it commits.

Pure: it looks at two trees and a few numbers and decides; nothing here reads or writes a medium. docs/DESIGN.md tells
why a change is *staged* (nothing reaches it before the commit) or joins the *commit set* (it must appear at once).
"""

from jffs2tx.plan.build import make_plan
from jffs2tx.plan.model import (
    TYPE_BITS,
    Link,
    Medium,
    New,
    Old,
    OldTree,
    Plan,
    SetAttr,
    Unlink,
    Wanted,
    name_of,
    parent_of,
)

__all__ = [
    "TYPE_BITS",
    "Link",
    "Medium",
    "New",
    "Old",
    "OldTree",
    "Plan",
    "SetAttr",
    "Unlink",
    "Wanted",
    "make_plan",
    "name_of",
    "parent_of",
]
