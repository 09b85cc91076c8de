"""Every kind of finding: what it is, what the kernel makes of it, and what to do. docs/CHECK.md says the same.

`error`: the tree that the kernel shows is not the one that was written, or the kernel cannot show some of it.
`warning`: the tree is whole, but the medium is not as a sound writer leaves it. `note`: nothing is wrong.
"""

from __future__ import annotations

from jffs2tx.ops.check.finding import Kind

_OLD_COPY = "restore the file from a copy; writing it again heals it"
_READ_AGAIN = "read the medium once more, as it may be the copy that is bad; the kernel's collector clears it in time"

# ---- eraseblocks -----------------------------------------------------------------------------------------------------

BAD_BLOCK = Kind(
    "bad-block",
    "note",
    "eraseblock is marked bad",
    "leaves it alone (jffs2_scan_eraseblock); its space is lost",
    "nothing: chips are delivered with some, and get more as they wear",
)
UNREADABLE_PAGE = Kind(
    "unreadable-page",
    "warning",
    "pages that ECC cannot correct",
    "takes what was read, and the nodes whose CRCs hold (jffs2_flash_read, on NAND); on plain NOR the mount fails",
    "read again; if it stays, upgrade or copy the tree, so that its nodes move to sound pages",
)
NOISE = Kind(
    "noise",
    "warning",
    "bytes that are no node",
    'skips them word by word and logs "Magic bitmask 0x1985 not found" (jffs2_scan_eraseblock)',
    "check that the image starts where the file system does, has the right eraseblock and is no dump with OOB in it",
)
UNKNOWN_NODE = Kind(
    "unknown-node",
    "note",
    "node of a type that neither Linux nor jffs2tx knows, and that readers may pass over",
    "skips it; its collector keeps it (class RWCOMPAT_COPY) or drops it (RWCOMPAT_DELETE)",
    "nothing, unless some other system needs what it says",
)
HIDDEN_NODE = Kind(
    "hidden-node",
    "warning",
    "nodes in an eraseblock whose start is erased",
    "takes the block for empty by its first 256 bytes and erases it (jffs2_scan_eraseblock, EMPTY_SCAN_SIZE)",
    "nothing, if an erase was interrupted; if the nodes matter, copy the medium before it is mounted",
)
NO_MOUNT = Kind(
    "no-mount",
    "error",
    "something because of which Linux does not mount the medium",
    "refuses the mount (jffs2_scan_eraseblock, jffs2_sum_process_sum_data, jffs2_do_fill_super); a length that wraps "
    "round it does not survive",
    "the image was made to harm or is damaged: `jffs2tx dump` shows what is there",
)
READ_ONLY = Kind(
    "read-only",
    "warning",
    "node of an unknown type that allows reading only",
    "mounts read-only, and refuses with EROFS otherwise (jffs2_scan_eraseblock, class ROCOMPAT)",
    "upgrade on a system that knows the type; jffs2tx writes nothing here",
)
UNFINISHED = Kind(
    "unfinished",
    "warning",
    "transaction of jffs2tx that a cut left unfinished",
    "shows wholly the old tree while it was only staged, and wholly the new one once it was committed",
    "run `jffs2tx recover`, which clears or finishes it",
)

# ---- nodes -----------------------------------------------------------------------------------------------------------

BAD_HEADER = Kind(
    "bad-header",
    "warning",
    "header fails its CRC or reaches beyond its eraseblock",
    "does not see the node and looks for the next one 4 bytes on (jffs2_scan_eraseblock)",
    "nothing, if the power failed while it was written; see whether an error names what is missing",
)
BAD_NODE = Kind(
    "bad-node",
    "warning",
    "node fails its CRC",
    "counts it as dirty space (jffs2_scan_inode_node and its like)",
    "nothing, if the power failed while it was written; see whether an error names what is missing",
)
BAD_LENGTH = Kind(
    "bad-length",
    "warning",
    "node whose length does not suit what it holds",
    "drops it, at the mount or when its inode is first read (read_dnode, read_direntry, jffs2_scan_xattr_node)",
    "no sound writer makes one: distrust the image's builder",
)
BAD_NAME = Kind(
    "bad-name",
    "warning",
    "name fails its CRC",
    "counts the dirent as dirty space (jffs2_scan_dirent_node): the name is not there, or an older one is",
    "see whether an inode is unreachable: that may be what the name stood for",
)
BAD_DATA = Kind(
    "bad-data",
    "error",
    "data that a file should show fail their CRC",
    "drops the node; what is older shows in its place, zeros where nothing is (check_tn_node, jffs2_read_inode_range)",
    _OLD_COPY,
)
STALE_BAD_DATA = Kind(
    "stale-bad-data",
    "warning",
    "data that nothing shows fail their CRC",
    "drops the node (check_tn_node), which changes nothing",
    _READ_AGAIN,
)
CROSSES_PAGE = Kind(
    "crosses-page",
    "warning",
    "node with more data than a page of 4,096 bytes holds, or across two",
    "reads it, and writes none unless its own pages are larger (jffs2_write_inode_range); boot loaders may not read it",
    "build the image for pages of 4,096 bytes (mkfs.jffs2 --pagesize), unless only such a kernel reads it",
)

# ---- versions --------------------------------------------------------------------------------------------------------

SAME_VERSION = Kind(
    "same-version",
    "error",
    "two nodes of one version that differ",
    "takes the data node that it reads first, the name that it reads last (jffs2_add_tn_to_tree, jffs2_add_fd_to_list)",
    "two systems wrote here that did not know of each other; compare the file with a copy",
)
VERSION_ORDER = Kind(
    "version-order",
    "warning",
    "older node after the newer one that replaces it, in one eraseblock",
    "goes by version alone and reads it right; a log that is written in order has none",
    "distrust the image's builder: smaller readers may go by the place",
)
HIGH_NUMBER = Kind(
    "high-number",
    "warning",
    "inode number or version of 2^31 or more",
    "counts on from it, and at 2^32 starts again at 0 (highest_ino, highest_version): what is new then counts as old",
    "build the file system again; jffs2tx refuses to upgrade it",
)

# ---- names -----------------------------------------------------------------------------------------------------------

LOST_NAME = Kind(
    "lost-name",
    "error",
    "name for an inode of which nothing is there",
    "drops the name at the mount (jffs2_build_inode_pass1)",
    _OLD_COPY,
)
IMPOSSIBLE_NAME = Kind(
    "impossible-name",
    "error",
    "name that no file can have: '.', '..', with a slash, or of 255 bytes",
    "fails to list the directory where there is a slash (verify_dirent_name); nothing opens such a name (jffs2_lookup)",
    "the image was made to harm or is damaged: do not mount it where it matters",
)
NUL_NAME = Kind(
    "nul-name",
    "warning",
    "name with a NUL in it",
    'cuts it off there, logs "zeroes in name" (jffs2_scan_dirent_node), and then does not list it (read_direntry)',
    "the image was made to harm or is damaged: look at what the rest of the name was",
)
DIRECTORY_LOOP = Kind(
    "directory-loop",
    "error",
    "directory that holds itself, or a directory above it",
    'logs "is also hard linked" and shows it (jffs2_build_filesystem); who walks the tree may not come to an end',
    "remove the name of which this tells, or build the file system again",
)
HARD_LINKED_DIRECTORY = Kind(
    "hard-linked-directory",
    "error",
    "directory with two names",
    'logs "is also hard linked" and shows the one that is opened last (jffs2_build_filesystem, d_splice_alias)',
    "move its files into a new directory, then remove both names",
)
WRONG_TYPE = Kind(
    "wrong-type",
    "warning",
    "name that says another type than its inode",
    "shows the name's type in listings and the inode's once it is opened; links are counted wrong (jffs2_readdir)",
    "rename the file and back: that writes the name again",
)
STRAY_NAME = Kind(
    "stray-name",
    "warning",
    "name in an inode that is no directory",
    "never shows it, and keeps what it stands for on the medium (jffs2_build_inode_pass1)",
    "remove the file that has the names, which frees both",
)
UNREACHABLE_INODE = Kind(
    "unreachable-inode",
    "note",
    "inode that no name reaches",
    "deletes it at the mount (jffs2_build_remove_unlinked_inode)",
    "nothing: deleted files stay on flash whose bits cannot be cleared until their block is collected",
)
STALE_NAME = Kind(
    "stale-name",
    "note",
    "older dirent of a name on NOR that is not marked obsolete",
    "goes by version; without summary support it marks only the newest one when it removes the name, and shows the "
    "older one after the next mount (jffs2_do_unlink)",
    "nothing, where the kernel has summary support; else remove the name once more when it comes back",
)
FORGOTTEN_NAME = Kind(
    "forgotten-name",
    "warning",
    "name right before a node that is marked obsolete, on NOR, where a kernel with summary support may write",
    "joins the two when the name is deleted, drops the deletion, and shows the name again "
    "(jffs2_scan_dirty_space, jffs2_garbage_collect_deletion_dirent)",
    "run `jffs2tx recover` where an earlier version of jffs2tx left it, or `apply`, which move such names",
)
KEPT_ORPHAN = Kind(
    "kept-orphan",
    "warning",
    "inode that no path reaches but a name holds: directories that hold each other, or a name in a file",
    "keeps it, since it has a link (jffs2_build_filesystem, pass 2): its space is lost",
    "build the file system again",
)

# ---- inodes ----------------------------------------------------------------------------------------------------------

NO_INODE = Kind(
    "no-inode",
    "error",
    "named inode without one good node",
    "fails to open it with EIO (jffs2_do_read_inode_internal)",
    _OLD_COPY,
)
FAKED_DIRECTORY = Kind(
    "faked-directory",
    "error",
    "directory with names but without one good node of its own",
    'makes up mode 0755, owner root and time 0 ("we fake some modes for it", jffs2_do_read_inode_internal)',
    "set its mode, owner and time: that writes the node again",
)
SHORT_FILE = Kind(
    "short-file",
    "error",
    "file with less data than its size says",
    'shows it shorter and logs "Truncating ino" (jffs2_do_read_inode_internal)',
    _OLD_COPY,
)
MISSING_DATA = Kind(
    "missing-data",
    "error",
    "part of a file that no node covers",
    "reads zeros there without an error (jffs2_read_inode_range); a hole that was meant has a node of its own",
    _OLD_COPY,
)
UNDECODABLE = Kind(
    "undecodable",
    "error",
    "data that do not decompress",
    "fails to read that part of the file with EIO (jffs2_read_dnode)",
    _OLD_COPY,
)
VENDOR_COMPRESSION = Kind(
    "vendor-compression",
    "error",
    "data compressed by a method that no stock kernel has",
    "fails to read that part of the file with EIO (jffs2_decompress); kernels with the vendor's patch read it",
    "nothing, if only such kernels read the medium; else write the files again: an upgrade uses methods that all have",
)
OPTIONAL_COMPRESSION = Kind(
    "optional-compression",
    "note",
    "data compressed by a method that not every reader has",
    "reads them if it was built with that method (CONFIG_JFFS2_LZO, CONFIG_JFFS2_RUBIN), and fails with EIO otherwise "
    "(jffs2_decompress)",
    "nothing, if what reads the medium has the method",
)
BAD_SYMLINK = Kind(
    "bad-symlink",
    "error",
    "symbolic link whose nodes are not as they must be",
    "fails to open it with EIO or ENAMETOOLONG, or shows another target (jffs2_do_read_inode_internal)",
    "make the link again",
)
BAD_DEVICE = Kind(
    "bad-device",
    "error",
    "device whose node does not hold a number of 2 or 4 bytes, once",
    'fails to open it with EIO, logging "strange size" or "Special inode" (jffs2_iget, jffs2_do_read_inode_internal)',
    "make the device again",
)
BAD_MODE = Kind(
    "bad-mode",
    "error",
    "inode of no type that there is",
    'logs "Bogus i_mode" and shows something that cannot be used (jffs2_iget)',
    "remove it",
)
UNREADABLE = Kind(
    "unreadable",
    "error",
    "cannot be read",
    "fails as well",
    _OLD_COPY,
)

# ---- extended attributes ---------------------------------------------------------------------------------------------

BAD_ATTRIBUTE = Kind(
    "bad-attribute",
    "error",
    "extended attribute that cannot be shown",
    "drops it when the inode's attributes are first asked for (check_xattr_ref_inode), an ACL with EIO or EINVAL",
    "set the attribute again",
)
LOST_ATTRIBUTE = Kind(
    "lost-attribute",
    "error",
    "reference to an extended attribute that is not there",
    "drops the reference at the mount (jffs2_build_xattr_subsystem)",
    "set the attribute again; which one it was the medium does not say",
)
ORPHAN_ATTRIBUTE = Kind(
    "orphan-attribute",
    "note",
    "extended attribute of an inode that is gone, or that nothing refers to",
    "drops it at the mount (jffs2_build_xattr_subsystem)",
    "nothing: what a deleted file had stays until its block is collected",
)

# ---- summaries -------------------------------------------------------------------------------------------------------

NO_SUMMARY = Kind(
    "no-summary",
    "note",
    "full eraseblock without a summary, on a medium that has them",
    "scans the whole block (jffs2_scan_eraseblock): the mount takes longer",
    "nothing: a block that was not full at the last mount gets none (jffs2_do_reserve_space)",
)
BAD_SUMMARY = Kind(
    "bad-summary",
    "warning",
    "summary that fails a CRC or that cannot be used",
    'logs "Summary node crc error" and scans the block (jffs2_sum_scan_sumnode)',
    "nothing, if the power failed while it was written",
)
SUMMARY_ENTRY = Kind(
    "summary-entry",
    "error",
    "summary that lists another node than the one that is there",
    "believes the summary at the mount and finds out when it reads the node, which it drops then; a kernel without "
    "summary support sees another tree (jffs2_sum_process_sum_data, jffs2_get_inode_nodes)",
    "build the summaries again (sumtool), or rewrite the file",
)
UNLISTED_NODE = Kind(
    "unlisted-node",
    "error",
    "good node that its eraseblock's summary leaves out",
    "does not see it; a kernel without summary support does, and may show another tree (jffs2_sum_scan_sumnode)",
    "build the summaries again (sumtool)",
)

KINDS: tuple[Kind, ...] = tuple(value for value in globals().values() if isinstance(value, Kind))
