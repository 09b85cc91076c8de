/* closure.c: how much each place between two nodes would tear apart: live names whose inode has no node on their side, and
 * live files with a hole in their content. What is superseded, obsolete or below a dead directory is no open end, since a log
 * may have lost any part of it. */
#include <stdlib.h>
#include <string.h>
#include "survey.h"

struct inode_state {
    uint64_t covered; /* bytes of content that stand here */
    uint32_t refs;    /* live names */
    uint32_t top_version, size;
    uint8_t seen, open, hole;
};

struct name_state {
    uint32_t version, child; /* child: JX_NONE, it names nothing */
    uint8_t seen;
};

struct closure {
    const struct run *run;
    const struct numbers *numbers;
    struct inode_state *inodes;
    struct name_state *names;
    uint32_t *pieces; /* the longest seen of each */
    uint32_t open, objects;
};

static void weigh_inode(struct closure *c, uint32_t inode)
{
    struct inode_state *s = &c->inodes[inode];
    uint8_t live = s->refs > 0, open = live && !s->seen, hole = live && s->seen && s->covered < s->size;
    c->open = c->open - s->open - s->hole + open + hole;
    s->open = open;
    s->hole = hole;
}

static void take_name(struct closure *c, const struct sighting *one, uint32_t i)
{
    struct name_state *s = &c->names[c->numbers->name[i]];
    uint32_t child = one->child && !c->numbers->dead[c->numbers->own[i]] ? c->numbers->child[i] : JX_NONE;
    if (s->seen && s->version > one->version)
        return;
    c->objects += !s->seen;
    if (s->seen && s->child != JX_NONE) {
        c->inodes[s->child].refs--;
        weigh_inode(c, s->child);
    }
    *s = (struct name_state){one->version, child, 1};
    if (child != JX_NONE) {
        c->inodes[child].refs++;
        weigh_inode(c, child);
    }
}

static void take_inode(struct closure *c, const struct sighting *one, uint32_t i)
{
    uint32_t inode = c->numbers->own[i], *piece = &c->pieces[c->numbers->piece[i]];
    struct inode_state *s = &c->inodes[inode];
    c->objects += !s->seen;
    if (!s->seen || s->top_version < one->version) {
        s->top_version = one->version;
        s->size = one->kind == S_IFREG >> 12 ? one->isize : 0;
    }
    s->seen = 1;
    if (one->dsize > *piece) {
        s->covered += one->dsize - *piece;
        *piece = one->dsize;
    }
    weigh_inode(c, inode);
}

static void take(struct closure *c, uint32_t i)
{
    const struct sighting *one = &c->run->seen[i];
    if (!one->ino || one->obsolete)
        return;
    if (one->type == JX_NODE_DIRENT)
        take_name(c, one, i);
    else
        take_inode(c, one, i);
}

static void forget(struct closure *c)
{
    memset(c->inodes, 0, ((size_t)c->numbers->inodes + 1) * sizeof(*c->inodes));
    memset(c->names, 0, ((size_t)c->numbers->names + 1) * sizeof(*c->names));
    memset(c->pieces, 0, ((size_t)c->numbers->pieces + 1) * sizeof(*c->pieces));
    c->open = c->objects = 0;
}

static void from_left(struct closure *c, struct balance *out)
{
    forget(c);
    for (uint32_t i = 0; i <= c->run->count; i++) {
        out[i].open_left = c->open;
        out[i].objects_left = c->objects;
        if (i < c->run->count)
            take(c, i);
    }
}

static void from_right(struct closure *c, struct balance *out)
{
    forget(c);
    for (uint32_t i = c->run->count + 1; i-- > 0;) {
        out[i].open_right = c->open;
        out[i].objects_right = c->objects;
        if (i)
            take(c, i - 1);
    }
}

int jx_closure(const struct run *run, const struct numbers *numbers, struct balance *out)
{
    struct closure c = {.run = run, .numbers = numbers};
    c.inodes = malloc(((size_t)numbers->inodes + 1) * sizeof(*c.inodes));
    c.names = malloc(((size_t)numbers->names + 1) * sizeof(*c.names));
    c.pieces = malloc(((size_t)numbers->pieces + 1) * sizeof(*c.pieces));
    int err = c.inodes && c.names && c.pieces ? JX_OK : JX_ENOMEM;
    if (!err) {
        from_left(&c, out);
        from_right(&c, out);
    }
    free(c.inodes);
    free(c.names);
    free(c.pieces);
    return err;
}
