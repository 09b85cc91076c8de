"""Filesystem-level transactions for JFFS2.

import jffs2tx

with jffs2tx.open("rootfs.jffs2", writable=True) as fs:
    print(fs.list("/etc"))
    with fs.transaction() as tx:
        tx.put("/etc/issue", b"hello\\n")
        tx.remove("/etc/motd")
        tx.commit()  # without it, nothing has happened
"""

__version__ = "0.1.0"


def open(target, **options):
    """Opens an image as a jffs2tx.target.Target. The options are those of jffs2tx.image.open_image."""
    from jffs2tx.image import open_image
    from jffs2tx.target import Target

    return Target(open_image(target, **options))
