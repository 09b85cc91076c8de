"""The semantic corpus: small images in fixtures/images, each with the tree that a stock kernel makes of it.

`nodes` builds nodes in either byte order, the modules beside it craft the images that nobody's mkfs writes, `made`
those that mkfs.jffs2 and the kernel write, `expectation` keeps what is expected as text, `trees` says what we and the
kernel see. `python -m tests.corpus` makes it all anew (fixtures/README.md).
"""


def crafted_images():
    """All crafted images by name (nodes.Image)."""
    from . import attributes, content, names, scan, special, summary  # noqa: F401 - they register them
    from .nodes import CRAFTED

    return CRAFTED
