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
    case JX_ELIMIT: return "a limit of the engine is reached";
    case JX_EUNKNOWN_COMPR: return "compressed by a method that this build cannot read";
    case JX_ECUT: return "the power is gone";
    case JX_ESTRATEGY: return "the strategy does not suit this medium";
    case JX_EECC: return "the medium has an error that its ECC cannot correct";
    case JX_EBUSY: return "it is mounted, and what is on it has to stay as it is";
    case JX_EUNFINISHED: return "the commit of an earlier upgrade waits, or reads otherwise each time: run recover, then again";
    case JX_EHELD: return "the eraseblock is not known to belong to the file system; --length or --partitions would say so";
    default: return "unknown error";
    }
}
