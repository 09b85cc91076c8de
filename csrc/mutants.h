/* mutants.h: mistakes that a good engineer might make, seeded on purpose: does a test notice? Each is one line where it would
 * be made. In a shipped build JX_MUTANT is the constant 0 and nothing of them is left; the test build (-DJX_TESTING) asks
 * which one is on. tests/mutants.py names the tests that catch each. Internal. */
#ifndef JFFS2TX_MUTANTS_H
#define JFFS2TX_MUTANTS_H

#define JX_MUTANTS(X) \
    /* writer.c: programs, erases, blocks taken and given back */ \
    X(program_unverified, "what was programmed is not compared with what is read back") \
    X(erase_unverified, "an erased block is not looked at") \
    X(cleanmarker_trusted, "a block that says it is free is not erased before use") \
    X(cleanmarker_kept, "a free block is erased with its cleanmarker still on it") \
    X(live_takes_dirty, "of a live device blocks are taken that hold dead nodes") \
    X(reclaim_armed, "a dead container is erased while its nodes are still accurate") \
    X(summary_short, "the summary of a staging block misses its last node") \
    X(guard_left_out, "a dirent comes last in a page that is padded") \
    X(failed_block_left, "the block that failed is passed over, and what it held is not written again") \
    X(round_forgotten, "each transaction takes blocks from the start of the chip") \
    /* space.c, twins.c, scan_records.c, index.c: what is needed, which numbers are taken */ \
    X(reserve_small, "the kernel's reserve is the two blocks for deletions alone") \
    X(unmarked_trusted, "nothing comes back from a block that reads as erased and has no cleanmarker") \
    X(deletion_dropped, "a deletion dirent counts for nothing once the older ones are obsolete") \
    X(marker_dropped, "the mark that deletes an attribute counts for nothing") \
    X(time_dropped, "the deletion that dates a directory counts for nothing") \
    X(foreign_dropped, "unknown nodes that must be kept count for nothing") \
    X(half_copy_needed, "half a copy of a node that is needed counts as needed too") \
    X(number_of_hidden_reused, "inode numbers of hidden nodes are given again") \
    X(tag_anywhere, "a commit tag counts wherever in a block it stands") \
    X(gap_unseen, "a stray inode number near 2^31 leaves no number for new inodes") \
    X(version_of_hidden_reused, "versions of hidden and obsolete nodes are given again") \
    /* txn.c, txn_stage.c */ \
    X(version_reused, "a new node gets the inode's highest version, not the next one") \
    X(version_leaps, "versions leave room, 1,000 each time") \
    X(commit_before_stage_ends, "the last page of staging is written after the commit") \
    X(stale_commit_ignored, "a transaction begins beside the commit block that a cut left") \
    X(abort_ascending, "an abort erases what was staged before the set that names it") \
    X(abort_goes_on, "an abort that cannot erase the set erases what it names all the same") \
    X(set_left, "a commit block that failed is left as it is") \
    X(chip_believed, "what the chip says of the commit program decides, not the medium") \
    X(pair_missing, "a replaced name takes no deletion dirent") \
    X(size_zero, "new metadata of a file say that it is empty") \
    X(target_left_out, "new metadata of a symlink or device carry no data") \
    X(reference_apart, "an attribute's reference may stand in another block than its inode") \
    X(room_unchecked, "a transaction begins to write with too few blocks") \
    /* the strategies */ \
    X(flip_uncovered, "flip: the set is written without a container around it") \
    X(flip_set_first, "flip: the set is written before the containers") \
    X(flip_one_container, "flip: one container only") \
    X(flip_whole_word, "flip: the commit clears the nodetype together with the magic") \
    X(flip_again_at_once, "flip: recover programs magic, nodetype and the rest in one operation") \
    X(seal_uncovered, "seal: page 0 holds no container") \
    X(seal_marker_early, "seal: the last page is programmed with the others, before the commit") \
    X(seal_page_shared, "seal: the end of the set and the summary share a page") \
    X(seal_summary_short, "seal: the summary misses the last node of the set") \
    X(seal_stays, "seal: the set stays where one bad bit hides it") \
    X(lift_low, "lift: the set begins at byte 512, where old kernels look") \
    /* settle.c, glance.c, adopt.c */ \
    X(deletion_marked, "superseded deletion dirents lose their ACCURATE bit too") \
    X(run_left, "a dirent that stands right before one that is marked keeps its place") \
    X(marked_set_forgotten, "of a commit set that a kernel has marked since nothing is known") \
    X(superseded_kept, "superseded dirents keep their ACCURATE bit") \
    X(summary_marker_kept, "a summary stays valid over dirents that lose their ACCURATE bit") \
    X(settled_early, "the SETTLED tag is written before the superseded bits are cleared") \
    X(live_settles, "of a live device what the commit superseded is cleared at once") \
    X(moved_unflushed, "a commit block is erased before the copy of its set is on the medium") \
    X(other_commit_erased, "of two blocks that hold the set one is erased, whatever stands behind it") \
    X(commits_last, "commit blocks are erased after what they name") \
    X(one_round, "recover erases once, though that makes other blocks dead") \
    X(tag_trusted, "recover takes a commit block for settled without looking behind its tag") \
    X(end_unseen, "recover does not look at the end of a block whose start is erased") \
    X(last_adopted, "a file from the block that the cut may have met is taken over") \
    X(attributed_adopted, "a staged file is taken over with attributes that would come to life") \
    /* ledger.c */ \
    X(unknown_written, "a block that nothing identifies counts as room") \
    X(format_written, "a block with the superblock of another format is not held") \
    X(any_erased_taken, "erased flash beside something else counts as room") \
    X(dead_erased, "recover erases dead blocks though nothing of ours waits") \
    X(wreck_forgotten, "what a cut left of a block is not erased by recover") \
    /* collect.c */ \
    X(attribute_moved, "garbage collection moves the datum of an attribute") \
    X(twin_name_left, "a name that garbage collection has copied stands twice until its block is erased") \
    X(collect_unflushed, "a block is erased before the copies of its nodes are on the medium") \
    X(collect_to_the_last, "garbage collection leaves no block free while it runs")

#ifdef JX_TESTING
#define JX_MUTANT_NUMBER(name, sentence) JX_MUTANT_##name,
enum jx_mutant { JX_MUTANTS(JX_MUTANT_NUMBER) JX_MUTANT_NONE };
int jx_mutant_is(enum jx_mutant mutant);
#endif

#if defined(JX_TESTING) && !defined(JX_COVERAGE) /* counted branches are those that ship */
#define JX_MUTANT(name) jx_mutant_is(JX_MUTANT_##name)
#else
#define JX_MUTANT(name) 0
#endif

#endif
