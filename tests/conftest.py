import pytest

from jffs2tx._ffi import lib
from jffs2tx.image import open_image

from .images import FLAVOURS, make_image, make_tree
from .lab.fixture import lab  # noqa: F401


def pytest_collection_modifyitems(items):
    """Tests that need the test build are skipped without it; `make testing` and `make mutants` have it."""
    if hasattr(lib, "jx_testing_fail_alloc"):
        return
    for item in items:
        if item.get_closest_marker("testing"):
            item.add_marker(pytest.mark.skip(reason="needs the test build (make testing)"))


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """A directory with one of everything."""
    return make_tree(tmp_path_factory.mktemp("tree") / "root")


@pytest.fixture(scope="session")
def made(tree, tmp_path_factory):
    """Images of the tree by flavour, each made once. Not to be written to."""
    folder = tmp_path_factory.mktemp("images")
    images = {}

    def make(flavour):
        if flavour not in images:
            images[flavour] = make_image(tree, folder / f"{flavour}.jffs2", flavour)
        return images[flavour]

    return make


@pytest.fixture(params=FLAVOURS)
def image(request, made):
    """The tree's image, opened, in each flavour."""
    with open_image(made(request.param), **FLAVOURS[request.param][2]) as image:
        yield image
