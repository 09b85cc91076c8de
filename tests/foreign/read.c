/* read.c: what is on a flash, and in an image file. */
#include <stdio.h>
#include <stdlib.h>
#include "jobs.h"

static const char *hex(const uint8_t digest[16])
{
    static char text[33];
    for (int i = 0; i < 16; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return text;
}

/* Field by field: padding and the order of bytes in memory must not count. */
static uint64_t fold_nodes(const jx_fs *fs)
{
    uint64_t hash = FOLD_START;
    for (uint32_t i = 0; i < jx_fs_node_count(fs); i++) {
        const struct jx_node *n = &jx_fs_nodes(fs)[i];
        char text[160];
        int len = snprintf(text, sizeof text, "%u %u %x %u %u %u %u %u %u %u %u", n->offset, n->totlen, n->nodetype, n->verdict, n->ino,
                           n->version, n->child, n->dsize, n->csize, n->needed, n->type);
        hash = fold(hash, text, (size_t)len);
        if (n->nodetype == JX_NODE_DIRENT)
            hash = fold(hash, jx_fs_names(fs) + n->name, n->nsize);
    }
    return hash;
}

static void say_tree(const char *name, const char *when, jx_fs *fs, uint8_t digest[16])
{
    struct jx_status status;
    struct jx_space space;
    must("jx_fs_digest", jx_fs_digest(fs, digest));
    jx_fs_status(fs, &status);
    jx_fs_space(fs, &space);
    say(name, "%s tree %s nodes %u %016llx state %u txid %u free %u dirty %u needed %llu", when, hex(digest), jx_fs_node_count(fs),
        (unsigned long long)fold_nodes(fs), status.state, status.txid, space.free, space.dirty, (unsigned long long)space.needed_bytes);
}

void report(const char *name, const char *when, jx_flash *flash, const struct jx_reader *reader, uint8_t digest[16])
{
    jx_fs *fs;
    uint8_t hash[16];
    must("jx_flash_hash", jx_flash_hash(flash, hash));
    say(name, "%s medium %s", when, hex(hash));
    must("jx_fs_open", jx_fs_open(flash, reader, &fs));
    say_tree(name, when, fs, digest);
    jx_fs_close(fs);
}

/* Data, then the free OOB of all pages. */
void save(const char *directory, const char *name, jx_flash *flash)
{
    struct jx_geometry g;
    char path[512];
    jx_flash_geometry(flash, &g);
    uint8_t *bytes = malloc(g.size_bytes), oob[64];
    snprintf(path, sizeof path, "%s/%s.jffs2", directory, name);
    FILE *file = fopen(path, "wb");
    must(path, file && bytes ? jx_flash_raw_read(flash, 0, bytes, g.size_bytes) : JX_EIO);
    fwrite(bytes, 1, g.size_bytes, file);
    for (uint32_t at = 0; g.oob_avail_bytes && at < g.size_bytes; at += g.write_size_bytes) {
        must(path, jx_flash_raw_oob_read(flash, at, oob, g.oob_avail_bytes));
        fwrite(oob, 1, g.oob_avail_bytes, file);
    }
    must(path, fclose(file) ? JX_EIO : JX_OK);
    free(bytes);
}

static uint8_t *load(const char *path, uint32_t *len)
{
    FILE *file = fopen(path, "rb");
    must(path, file && !fseek(file, 0, SEEK_END) ? JX_OK : JX_EIO);
    *len = (uint32_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*len + 1);
    must(path, bytes && fread(bytes, 1, *len, file) == *len ? JX_OK : JX_EIO);
    fclose(file);
    return bytes;
}

static void say_found(const char *name, const uint8_t *bytes, uint32_t len, struct jx_probe *probe)
{
    struct jx_found found[4];
    must("jx_probe_image", jx_probe_image(bytes, len, 0, 0, probe));
    say(name, "probe little %u big %u cleanmarkers %u erase %u evidence %u summaries %u end %u", probe->little, probe->big,
        probe->cleanmarkers, probe->erase_size_bytes, probe->evidence, probe->summaries, probe->end);
    int n = must("jx_locate", jx_locate(bytes, len, 0, 0, found, 4));
    for (int i = 0; i < n && i < 4; i++)
        say(name, "located %u %u big %u nodes %u", found[i].start, found[i].end, found[i].big, found[i].nodes);
}

/* Both with and without faith in summaries. What cannot be mounted is an answer too. */
static void say_mounts(const char *name, jx_flash *flash)
{
    for (uint32_t summary = 0; summary < 2; summary++) {
        struct jx_reader reader = {.endian = -1, .summary = summary, .empty_scan_bytes = 256};
        uint8_t digest[16];
        jx_fs *fs;
        int err = jx_fs_open(flash, &reader, &fs);
        if (err) {
            say(name, "summary %u: %s", summary, jx_strerror(err));
        } else {
            say_tree(name, summary ? "summary" : "scan", fs, digest);
            jx_fs_close(fs);
        }
    }
}

void read_image(const char *path)
{
    struct jx_geometry geo = {.kind = JX_NOR, .write_size_bytes = 1, .subpage_size_bytes = 1};
    struct jx_probe probe;
    uint32_t len;
    uint8_t *bytes = load(path, &len);
    const char *name = path;
    for (const char *p = path; *p; p++)
        if (*p == '/')
            name = p + 1;
    say_found(name, bytes, len, &probe);
    geo.erase_size_bytes = probe.erase_size_bytes ? probe.erase_size_bytes : 64 * KIB;
    geo.size_bytes = (len + geo.erase_size_bytes - 1) / geo.erase_size_bytes * geo.erase_size_bytes;
    jx_flash *flash;
    must(path, jx_flash_open_file(path, &geo, NULL, 0, &flash));
    say_mounts(name, flash);
    jx_flash_close(flash);
    free(bytes);
}
