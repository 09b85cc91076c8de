/* error.c: enum jx_error in words. */
#include "jffs2tx.h"

const char *jx_strerror(int error)
{
    switch (error) {
    case JX_OK: return "no error";
    case JX_ENOMEM: return "out of memory";
    case JX_EIO: return "the medium could not be read, programmed or erased";
    case JX_EFLASH: return "a rule of the flash was broken";
    case JX_EGEOMETRY: return "the geometry is impossible or does not suit the medium";
    case JX_EFORMAT: return "this is no JFFS2 that a stock kernel would mount";
    case JX_ECORRUPT: return "the data fail their checksum or do not decompress";
    case JX_ENOENT: return "no such file";
    case JX_EEXIST: return "the name is taken";
    case JX_ENOTDIR: return "is no directory";
    case JX_EISDIR: return "is a directory";
    case JX_ENOTEMPTY: return "the directory is not empty";
    case JX_EINVAL: return "a value that JFFS2 cannot hold";
    case JX_ENOSPC: return "not enough erased blocks";
    case JX_ETOOBIG: return "the commit set does not fit one block";
    case JX_EVERIFY: return "the medium reads back something other than was programmed";
    case JX_ESTATE: return "called out of order";
    case JX_ELIMIT: return "the names on the medium take more than 2 GiB: choose the part that is one file system with --offset and --length";
    case JX_ELIMIT_INO: return "no inode number below 2^31 is left: copy the tree to a new image (extract, then mkfs)";
    case JX_ELIMIT_VERSION: return "its versions have reached the limit of 2^31: copy the tree to a new image (extract, then mkfs)";
    case JX_ELIMIT_XATTR: return "the numbers of attributes have reached the limit of 2^31: copy the tree to a new image (extract, then mkfs), or leave attributes out";
    case JX_ELIMIT_TXID: return "the numbers of transactions have reached the limit of 2^31: copy the tree to a new image (extract, then mkfs)";
    case JX_EUNKNOWN_COMPR: return "compressed by a method that this build cannot read";
    case JX_ECUT: return "the power is gone";
    case JX_ESTRATEGY: return "the strategy does not suit this medium";
    case JX_EECC: return "the medium has an error that its ECC cannot correct";
    case JX_EBUSY: return "it is mounted, and what is on it has to stay as it is";
    case JX_EUNFINISHED: return "the commit of an earlier upgrade waits, or reads otherwise each time: run recover, then again";
    case JX_EHOST: return "the host cannot read or write the image file (input/output error): its disk is at fault, not the flash";
    case JX_EHOST_FULL: return "the host has no room left for the image file: free some, then try again";
    case JX_ESHORT: return "the image file became shorter while it was in use: let nobody else write to it, then try again";
    default: return "unknown error";
    }
}
