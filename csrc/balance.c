/* balance.c: what speaks for and against a border at each place between two nodes. An inode's versions number its nodes, so a
 * key (type, inode, version) whose nodes differ is of two file systems; numbers that follow each other are of one. Everything
 * here is a sort and a pass, so n log n. */
#include <stdlib.h>
#include <string.h>
#include "survey.h"

#define CLOSEST_MAX 64u /* pairs that are looked at for the closest two */
#define DIRECTORY (S_IFDIR >> 12)

/* ---- orders --------------------------------------------------------------------------- */

static int order(uint32_t a, uint32_t b) { return a < b ? -1 : a > b; }

static int by_stream(const void *ctx, uint32_t a, uint32_t b)
{
    const struct sighting *x = (const struct sighting *)ctx + a, *y = (const struct sighting *)ctx + b;
    int c = order(x->type, y->type);
    return c ? c : order(x->ino, y->ino);
}

static int by_key(const void *ctx, uint32_t a, uint32_t b)
{
    const struct sighting *x = (const struct sighting *)ctx + a, *y = (const struct sighting *)ctx + b;
    int c = by_stream(ctx, a, b);
    return c ? c : order(x->version, y->version);
}

static int by_name(const void *ctx, uint32_t a, uint32_t b)
{
    const struct sighting *x = (const struct sighting *)ctx + a, *y = (const struct sighting *)ctx + b;
    int c = order(x->ino, y->ino);
    return c ? c : order(x->name, y->name);
}

static int by_name_and_version(const void *ctx, uint32_t a, uint32_t b)
{
    const struct sighting *x = (const struct sighting *)ctx + a, *y = (const struct sighting *)ctx + b;
    int c = by_name(ctx, a, b);
    return c ? c : order(x->version, y->version);
}

static int by_piece(const void *ctx, uint32_t a, uint32_t b)
{
    const struct sighting *x = (const struct sighting *)ctx + a, *y = (const struct sighting *)ctx + b;
    int c = order(x->ino, y->ino);
    return c ? c : order(x->offset, y->offset);
}

static int by_value(const void *ctx, uint32_t a, uint32_t b) { return (void)ctx, order(a, b); }

/* ---- numbering -------------------------------------------------------------------------- */

struct weighing {
    const struct run *run;
    struct balance *out;
    struct numbers numbers;
    uint32_t *sorted; /* working memory, 2 * count */
    uint32_t *inodes; /* their numbers, ascending */
    uint32_t *aparts; /* distances at which keys stand again */
    uint32_t apart_count;
};

/* Those of one type in weighing->sorted, in order. */
static int sort_type(struct weighing *w, uint16_t type, jx_less less, uint32_t *n)
{
    *n = 0;
    for (uint32_t i = 0; i < w->run->count; i++)
        if (w->run->seen[i].ino && (!type || w->run->seen[i].type == type))
            w->sorted[(*n)++] = i;
    return jx_sort(w->sorted, *n, less, w->run->seen);
}

/* Equal ones get one number. */
static int number(struct weighing *w, uint16_t type, jx_less less, uint32_t *ids, uint32_t *count)
{
    uint32_t n;
    int err = sort_type(w, type, less, &n);
    *count = 0;
    for (uint32_t i = 0; i < n && !err; i++) {
        *count += i == 0 || less(w->run->seen, w->sorted[i - 1], w->sorted[i]) != 0;
        ids[w->sorted[i]] = *count - 1;
    }
    return err;
}

static uint32_t inode_id(const struct weighing *w, uint32_t ino)
{
    uint32_t low = 0, high = w->numbers.inodes;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        *(w->inodes[middle] <= ino ? &low : &high) = middle;
    }
    return low;
}

static int number_inodes(struct weighing *w)
{
    uint32_t n = 0, kept = 0;
    for (uint32_t i = 0; i < w->run->count; i++) {
        const struct sighting *one = &w->run->seen[i];
        if (one->ino)
            w->inodes[n++] = one->ino;
        if (one->ino && one->child)
            w->inodes[n++] = one->child;
    }
    int err = jx_sort(w->inodes, n, by_value, NULL);
    for (uint32_t i = 0; i < n; i++)
        if (!kept || w->inodes[i] != w->inodes[kept - 1])
            w->inodes[kept++] = w->inodes[i];
    w->numbers.inodes = kept;
    for (uint32_t i = 0; i < w->run->count && !err; i++) {
        const struct sighting *one = &w->run->seen[i];
        w->numbers.own[i] = one->ino ? inode_id(w, one->ino) : JX_NONE;
        w->numbers.child[i] = one->ino && one->child ? inode_id(w, one->child) : JX_NONE;
    }
    return err;
}

/* The newest dirent of each name; and the directories that no such dirent names. */
static int find_living(struct weighing *w)
{
    const struct sighting *seen = w->run->seen;
    struct numbers *numbers = &w->numbers;
    uint32_t n;
    int err = sort_type(w, JX_NODE_DIRENT, by_name_and_version, &n);
    for (uint32_t i = 0; i < n && !err; i++) {
        uint32_t newest = w->sorted[i];
        if (seen[newest].obsolete)
            continue;
        uint32_t next = i + 1;
        while (next < n && seen[w->sorted[next]].obsolete && by_name(seen, newest, w->sorted[next]) == 0)
            next++;
        numbers->live[newest] = next == n || by_name(seen, newest, w->sorted[next]) != 0;
        numbers->dead[numbers->own[newest]] = seen[newest].ino != JX_ROOT_INO;
        i = next - 1;
    }
    for (uint32_t i = 0; i < w->run->count && !err; i++)
        if (seen[i].type == JX_NODE_DIRENT && seen[i].ino && seen[i].obsolete && seen[i].ino != JX_ROOT_INO)
            numbers->dead[numbers->own[i]] = 1;
    for (uint32_t i = 0; i < w->run->count && !err; i++)
        if (numbers->live[i] && numbers->child[i] != JX_NONE)
            numbers->dead[numbers->child[i]] = 0;
    return err;
}

static int number_all(struct weighing *w)
{
    struct numbers *numbers = &w->numbers;
    int err = number_inodes(w);
    if (!err)
        err = number(w, JX_NODE_DIRENT, by_name, numbers->name, &numbers->names);
    if (!err)
        err = number(w, JX_NODE_INODE, by_piece, numbers->piece, &numbers->pieces);
    if (!err)
        err = number(w, 0, by_stream, numbers->stream, &numbers->streams);
    return err ? err : find_living(w);
}

/* ---- groups that have members on both sides --------------------------------------------------- */

/* Counts in one field of all places; a sum makes them of differences. */
static void span(uint32_t *field_of_0, uint32_t first, uint32_t last, uint32_t weight)
{
    const uint32_t stride = sizeof(struct balance) / sizeof(uint32_t);
    if (last <= first)
        return;
    field_of_0[(size_t)(first + 1) * stride] += weight;
    field_of_0[(size_t)(last + 1) * stride] -= weight;
}

static void add_up(uint32_t *field_of_0, uint32_t count)
{
    const uint32_t stride = sizeof(struct balance) / sizeof(uint32_t);
    for (size_t i = 1; i <= count; i++)
        field_of_0[i * stride] += field_of_0[(i - 1) * stride];
}

/* A contradiction lies wholly in front of a place that stands behind `early`, and wholly behind one that stands at or before
 * `late`. */
static void add_residue(struct balance *out, uint32_t early, uint32_t late)
{
    out[early + 1].residue++; /* added up to the right */
    out[0].residue++;
    out[late + 1].residue--;
}

/* The members of one key, in the order of the file. */
static void weigh_key(struct weighing *w, const uint32_t *group, uint32_t n)
{
    const struct sighting *seen = w->run->seen;
    uint32_t first = JX_NONE, last = 0, valid = 0, early = JX_NONE, late = JX_NONE, differ = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct sighting *one = &seen[group[i]];
        differ |= one->identity != seen[group[0]].identity;
        if (one->obsolete)
            continue;
        if (first == JX_NONE)
            first = group[i];
        else if (one->identity != seen[first].identity && early == JX_NONE)
            early = group[i];
        if (valid && one->identity != seen[last].identity)
            late = last;
        last = group[i];
        valid++;
    }
    if (valid > 1)
        w->aparts[w->apart_count++] = seen[last].at - seen[first].at;
    if (early != JX_NONE) {
        span(&w->out->contradictions, first, last, 1);
        add_residue(w->out, early, late);
    } else if (valid > 1) {
        span(&w->out->twins, first, last, 1);
        span(&w->out->twin_bytes, first, last, seen[first].end - seen[first].at);
    }
    if (n > valid && differ)
        span(&w->out->weak, group[0], group[n - 1], 1);
}

/* The closest two of versions that follow each other. */
static void tie(struct weighing *w, const uint32_t *group, uint32_t n, const uint32_t *next, uint32_t m)
{
    uint32_t a = group[0], b = next[0];
    for (uint32_t i = 0; i < n && (uint64_t)n * m < CLOSEST_MAX; i++)
        for (uint32_t j = 0; j < m; j++) {
            uint32_t apart = group[i] < next[j] ? next[j] - group[i] : group[i] - next[j];
            if (apart < (a < b ? b - a : a - b)) {
                a = group[i];
                b = next[j];
            }
        }
    span(&w->out->successions, a < b ? a : b, a < b ? b : a, 1);
}

static int weigh_keys(struct weighing *w)
{
    const struct sighting *seen = w->run->seen;
    uint32_t n, before = 0, group = 0;
    int err = sort_type(w, 0, by_key, &n);
    for (uint32_t i = 0; i < n && !err; i++) {
        if (i + 1 < n && by_key(seen, w->sorted[i], w->sorted[i + 1]) == 0)
            continue;
        weigh_key(w, w->sorted + group, i + 1 - group);
        const struct sighting *now = &seen[w->sorted[group]], *last = &seen[w->sorted[before]];
        if (group > before && by_stream(seen, w->sorted[before], w->sorted[group]) == 0 && now->version - last->version == 1)
            tie(w, w->sorted + before, group - before, w->sorted + group, i + 1 - group);
        before = group;
        group = i + 1;
    }
    return err;
}

/* The distance that most have; of equal numbers the smallest distance. */
static int most_apart(struct weighing *w, uint32_t *apart)
{
    uint32_t most = 0;
    int err = jx_sort(w->aparts, w->apart_count, by_value, NULL);
    *apart = 0;
    for (uint32_t i = 0, end; i < w->apart_count; i = end) {
        for (end = i; end < w->apart_count && w->aparts[end] == w->aparts[i];)
            end++;
        if (end - i > most) {
            most = end - i;
            *apart = w->aparts[i];
        }
    }
    return err;
}

/* ---- inodes ------------------------------------------------------------------------------------ */

/* What the nodes of an inode, and the names of it, say that it is. */
struct roles {
    uint32_t first, last;         /* sightings that count */
    uint32_t any_first, any_last; /* obsolete ones too */
    uint32_t early, late;         /* see add_residue */
    uint32_t name_first, name_last, names; /* live ones */
    uint32_t node_first, node_last, nodes; /* nodes of its own */
    uint32_t oldest;              /* the first node of its own, obsolete or not */
    uint8_t first_role, last_role, any_role, differ, any_differ;
};

static void take_role(struct roles *r, uint32_t i, uint8_t role, int obsolete)
{
    r->any_differ |= r->any_role && role != r->any_role;
    r->any_role = role;
    r->any_first = r->any_first == JX_NONE ? i : r->any_first;
    r->any_last = i;
    if (obsolete)
        return;
    if (!r->first_role) {
        r->first_role = role;
        r->first = i;
    } else if (role != r->first_role && r->early == JX_NONE) {
        r->early = i;
    }
    if (r->last_role && role != r->last_role) {
        r->late = r->last;
        r->differ = 1;
    }
    r->last_role = role;
    r->last = i;
}

static void take_roles(struct weighing *w, struct roles *all, uint32_t i)
{
    const struct sighting *one = &w->run->seen[i];
    struct roles *own = &all[w->numbers.own[i]];
    uint32_t child = w->numbers.child[i];
    if (one->type == JX_NODE_DIRENT) {
        take_role(own, i, DIRECTORY, one->obsolete);
        if (child != JX_NONE && one->kind)
            take_role(&all[child], i, one->kind, one->obsolete);
        if (child != JX_NONE && w->numbers.live[i] && one->kind != DIRECTORY) {
            all[child].name_first = all[child].names++ ? all[child].name_first : i;
            all[child].name_last = i;
        }
        return;
    }
    if (one->kind)
        take_role(own, i, one->kind, one->obsolete);
    own->oldest = own->oldest == JX_NONE ? i : own->oldest;
    if (one->obsolete)
        return;
    own->node_first = own->nodes++ ? own->node_first : i;
    own->node_last = i;
}

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }
static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

static void weigh_roles(struct weighing *w, const struct roles *r)
{
    if (r->differ) {
        span(&w->out->contradictions, r->first, r->last, 1);
        add_residue(w->out, r->early, r->late);
    } else if (r->any_differ) {
        span(&w->out->weak, r->any_first, r->any_last, 1);
    }
    if (r->names >= 2 && r->nodes >= 2)
        span(&w->out->doubles, larger(r->name_first, r->node_first), smaller(r->name_last, r->node_last), 1);
}

static int weigh_inodes(struct weighing *w)
{
    uint32_t count = w->numbers.inodes;
    struct roles *all = malloc(((size_t)count + 1) * sizeof(*all));
    if (!all)
        return JX_ENOMEM;
    memset(all, 0, ((size_t)count + 1) * sizeof(*all));
    for (uint32_t i = 0; i < count; i++)
        all[i].any_first = all[i].early = all[i].oldest = JX_NONE;
    for (uint32_t i = 0; i < w->run->count; i++)
        if (w->run->seen[i].ino)
            take_roles(w, all, i);
    for (uint32_t i = 0; i < count; i++) {
        weigh_roles(w, &all[i]);
        if (i + 1 < count && w->inodes[i] > JX_ROOT_INO && w->inodes[i + 1] - w->inodes[i] == 1 &&
            all[i].oldest != JX_NONE && all[i + 1].oldest != JX_NONE)
            span(&w->out->successions, smaller(all[i].oldest, all[i + 1].oldest), larger(all[i].oldest, all[i + 1].oldest), 1);
    }
    free(all);
    return JX_OK;
}

/* ---- passes ------------------------------------------------------------------------------------- */

/* Versions that fall in the order of the log, within what stands on each side. */
static int count_falls(struct weighing *w)
{
    uint32_t *top = calloc((size_t)w->numbers.streams + 1, sizeof(*top)), falls = 0;
    if (!top)
        return JX_ENOMEM;
    for (uint32_t i = 0; i < w->run->count; i++) {
        const struct sighting *one = &w->run->seen[i];
        w->out[i].falls += falls;
        if (!one->ino || one->obsolete)
            continue;
        falls += one->version < top[w->numbers.stream[i]];
        top[w->numbers.stream[i]] = larger(one->version, top[w->numbers.stream[i]]);
    }
    w->out[w->run->count].falls += falls;
    memset(top, 0xff, (size_t)w->numbers.streams * sizeof(*top));
    falls = 0;
    for (uint32_t i = w->run->count; i-- > 0;) {
        const struct sighting *one = &w->run->seen[i];
        if (one->ino && !one->obsolete) {
            falls += one->version > top[w->numbers.stream[i]];
            top[w->numbers.stream[i]] = smaller(one->version, top[w->numbers.stream[i]]);
        }
        w->out[i].falls += falls;
    }
    free(top);
    return JX_OK;
}

static int is_in_root(const struct sighting *one) { return one->type == JX_NODE_DIRENT && one->ino == JX_ROOT_INO; }

static void count_left(struct weighing *w)
{
    struct balance *out = w->out;
    out->root_low_left = JX_NONE;
    for (uint32_t i = 0; i < w->run->count; i++) {
        const struct sighting *one = &w->run->seen[i];
        int named = is_in_root(one);
        out[i + 1].keyed = out[i].keyed + (one->ino != 0);
        out[i + 1].valid = out[i].valid + (one->ino && !one->obsolete);
        out[i + 1].root_names = out[i].root_names + (named && one->child && !one->obsolete);
        out[i + 1].root_low_left = named ? smaller(out[i].root_low_left, one->version) : out[i].root_low_left;
        out[i + 1].root_high_left = named ? larger(out[i].root_high_left, one->version) : out[i].root_high_left;
    }
}

static void count_right(struct weighing *w)
{
    struct balance *out = w->out;
    out[w->run->count].root_low_right = JX_NONE;
    for (uint32_t i = w->run->count; i-- > 0;) {
        const struct sighting *one = &w->run->seen[i];
        int named = is_in_root(one);
        out[i].root_low_right = named ? smaller(out[i + 1].root_low_right, one->version) : out[i + 1].root_low_right;
        out[i].root_high_right = named ? larger(out[i + 1].root_high_right, one->version) : out[i + 1].root_high_right;
    }
}

static void add_up_all(struct balance *out, uint32_t count)
{
    add_up(&out->contradictions, count);
    add_up(&out->doubles, count);
    add_up(&out->twins, count);
    add_up(&out->twin_bytes, count);
    add_up(&out->weak, count);
    add_up(&out->successions, count);
    add_up(&out->residue, count);
}

static int weigh(struct weighing *w)
{
    int err = number_all(w);
    if (!err)
        err = weigh_keys(w);
    if (!err)
        err = weigh_inodes(w);
    if (!err)
        err = jx_closure(w->run, &w->numbers, w->out);
    if (err)
        return err;
    add_up_all(w->out, w->run->count);
    count_left(w);
    count_right(w);
    return count_falls(w);
}

int jx_balance(const struct run *run, struct balance *out, uint32_t *apart)
{
    struct weighing w = {.run = run, .out = out};
    size_t n = (size_t)run->count + 1;
    uint32_t *ids = malloc(5 * n * sizeof(*ids));
    uint8_t *flags = calloc(3 * n, 1);
    w.sorted = malloc(n * sizeof(*w.sorted));
    w.inodes = malloc(2 * n * sizeof(*w.inodes));
    w.aparts = malloc(n * sizeof(*w.aparts));
    memset(out, 0, n * sizeof(*out));
    int err = JX_ENOMEM;
    if (ids && flags && w.sorted && w.inodes && w.aparts) {
        memset(ids, 0xff, 5 * n * sizeof(*ids));
        w.numbers = (struct numbers){.own = ids, .child = ids + n, .name = ids + 2 * n, .piece = ids + 3 * n,
                                     .stream = ids + 4 * n, .live = flags, .dead = flags + n};
        err = weigh(&w);
        err = err ? err : most_apart(&w, apart);
    }
    free(ids);
    free(flags);
    free(w.sorted);
    free(w.inodes);
    free(w.aparts);
    return err;
}
