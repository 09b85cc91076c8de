/* jobs.c: a fixed list of jobs for the engine. What it prints and the images it writes must not depend on the machine: its byte
 * order, word size, alignment rules and plain char.
 *
 *     jobs DIRECTORY [IMAGE...]    the images that were written go to DIRECTORY; each IMAGE is read
 *     jobs --large FILE            a dump that is longer than a 32-bit program can map
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "jobs.h"

int must(const char *step, int result)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", step, jx_strerror(result));
        exit(1);
    }
    return result;
}

void say(const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%s: ", name);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

uint64_t fold(uint64_t hash, const void *bytes, size_t len)
{
    for (const uint8_t *p = bytes; len; p++, len--)
        hash = (hash ^ *p) * 0x100000001b3u;
    return hash;
}

void fill(uint8_t *out, uint32_t len, uint32_t kind, uint32_t seed)
{
    static const char text[] = "the quick brown fox jumps over the lazy dog; ";
    uint32_t state = seed * 2654435761u + 1;
    for (uint32_t i = 0; i < len; i++) {
        state = state * 1664525u + 1013904223u;
        uint8_t noise = (uint8_t)(state >> 24), letter = (uint8_t)text[(i + seed) % (sizeof text - 1)];
        switch (kind) {
        case 0: out[i] = 0; break;
        case 1: out[i] = letter; break;
        case 2: out[i] = noise; break;
        default: out[i] = noise < 40 ? noise : letter;
        }
    }
}

static const struct medium { const char *name; struct jx_geometry geo; } media[] = {
    {"nor", {JX_NOR, 12 * 16 * KIB, 16 * KIB, 1, 1, 0}},
    {"nor-ecc", {JX_NOR_ECC, 12 * 16 * KIB, 16 * KIB, 64, 64, 0}},
    {"nand512", {JX_NAND, 12 * 16 * KIB, 16 * KIB, 512, 512, 8}},
    {"nand2k", {JX_NAND, 12 * 32 * KIB, 32 * KIB, 2048, 512, 16}},
};

static void run(struct job *job, const char *directory)
{
    write_first_tree(job);
    report(job->name, "first", job->flash, &job->reader, job->old_digest);
    write_upgrade(job);
    report(job->name, "upgraded", job->flash, &job->reader, job->new_digest);
    save(directory, job->name, job->flash);
    hash_crashes(job);
    judge_crashes(job);
    recover_crashes(job);
    write_until_full(job);
    jx_flash_close(job->flash);
}

static void run_medium(const struct medium *medium, uint32_t strategy, int endian, const char *directory)
{
    static const char *const orders[] = {"little", "big"}, *const strategies[] = {"swap", "flip", "seal", "lift"};
    char name[64];
    if (jx_strategy_suits(strategy, &medium->geo) != JX_OK)
        return;
    snprintf(name, sizeof name, "%s-%s-%s", medium->name, orders[endian], strategies[strategy]);
    struct job job = {.name = name, .geo = medium->geo, .strategy = strategy};
    job.reader = (struct jx_reader){.endian = endian, .summary = strategy == JX_SEAL, .empty_scan_bytes = 256};
    run(&job, directory);
}

/* The last page of a 4 GiB NAND with its OOB; it alone is not zeros. */
static void read_large(const char *path)
{
    const struct jx_geometry geo = {JX_NAND, 0u - 128 * KIB, 128 * KIB, 2048, 512, 8};
    const struct jx_oob oob = {64, 2, JX_NO_BAD_MARK, 0};
    uint8_t page[2048];
    jx_flash *flash;
    must("open the large dump", jx_flash_open_file(path, &geo, &oob, 0, &flash));
    must("read the large dump", jx_flash_raw_read(flash, geo.size_bytes - sizeof page, page, sizeof page));
    say("large", page[0] == 0xa5 && !memcmp(page, page + 1, sizeof page - 1) ? "read to its end" : "another page was read");
    jx_flash_close(flash);
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--large")) {
        read_large(argv[2]);
        return 0;
    }
    if (argc < 2) {
        fprintf(stderr, "usage: jobs DIRECTORY [IMAGE...] | jobs --large FILE\n");
        return 2;
    }
    pack_and_unpack();
    for (int i = 2; i < argc; i++)
        read_image(argv[i]);
    for (size_t m = 0; m < sizeof media / sizeof *media; m++)
        for (uint32_t strategy = JX_SWAP; strategy <= JX_LIFT; strategy++)
            for (int endian = JX_LITTLE; endian <= JX_BIG; endian++)
                run_medium(&media[m], strategy, endian, argv[1]);
    return fflush(stdout) ? 1 : 0;
}
