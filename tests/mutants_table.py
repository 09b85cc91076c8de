"""For each seeded mistake (csrc/mutants.h, tests/mutants_python.py) the tests of which one must fail."""

_LEDGER = "tests/test_ledger.py::test_"
_CUT = "tests/test_cut.py::test_every_state_is_old_or_new"
_WRITTEN = "tests/test_written.py::test_"
_UNFINISHED = "tests/test_unfinished.py::test_"
_TRANSACTION = "tests/test_transaction.py::test_"
_PLAN = "tests/test_plan.py::test_"

CAUGHT_BY = {
    # writer.c
    "program_unverified": (_WRITTEN + "what_a_chip_says_is_checked",),
    "erase_unverified": (_WRITTEN + "an_erase_that_did_nothing_is_noticed", _WRITTEN + "what_a_chip_says_is_checked"),
    "cleanmarker_trusted": (_CUT + "[nor:flip:replace]",),
    "cleanmarker_kept": (_WRITTEN + "a_cleanmarker_goes_before_the_block_is_erased",),
    "live_takes_dirty": ("tests/test_live.py::test_dead_blocks_are_no_room[nor-flip]",),
    "reclaim_armed": (_WRITTEN + "an_interrupted_erase_of_a_dead_set_does_not_bring_it_out",),
    "summary_short": (_CUT + "[nand512:swap:large-file]",),
    "failed_block_left": (
        "tests/test_wear.py::test_a_failing_block_is_marked_bad",
        _WRITTEN + "an_error_means_the_old_tree",
    ),
    "round_forgotten": ("tests/test_wear.py::test_erases_go_round_the_chip[nand2k-seal]",),
    # space.c, twins.c, scan_records.c, index.c
    "reserve_small": (_WRITTEN + "the_reserve_is_the_kernels",),
    "unmarked_trusted": ("tests/test_come_back.py::test_an_erase_may_not_have_come_to_its_end",),
    "deletion_dropped": (_WRITTEN + "a_deletion_stays_while_an_older_name_is_there_though_obsolete",),
    "marker_dropped": (_CUT + "[nor:flip:xattr]",),
    "time_dropped": (
        "tests/test_reading_rules.py::test_a_directory_keeps_its_time_when_the_block_with_its_newest_deletion_could_go",
    ),
    "half_copy_needed": ("tests/test_cut.py::test_another_transaction_after_a_cut[nand2k:seal:tight-2]",),
    "foreign_dropped": (_WRITTEN + "unknown_nodes_that_must_be_kept_are_kept",),
    "number_of_hidden_reused": (_WRITTEN + "inode_numbers_follow_the_highest_on_the_medium",),
    "version_of_hidden_reused": (_WRITTEN + "versions_follow_the_highest_on_the_medium_without_a_leap",),
    # txn.c, txn_stage.c
    "version_reused": (_WRITTEN + "versions_follow_the_highest_on_the_medium_without_a_leap",),
    "version_leaps": (_WRITTEN + "versions_follow_the_highest_on_the_medium_without_a_leap",),
    "commit_before_stage_ends": (_CUT + "[nand512:seal:replace]",),
    "stale_commit_ignored": (_UNFINISHED + "a_transaction_begins_only_where_no_other_commit_waits[staged]",),
    "abort_ascending": (_WRITTEN + "an_abort_erases_the_set_before_what_it_names",),
    "abort_goes_on": (_WRITTEN + "an_abort_that_cannot_erase_the_set_leaves_what_it_names",),
    "set_left": (_WRITTEN + "an_error_means_the_old_tree",),
    "chip_believed": (_WRITTEN + "an_error_means_the_old_tree",),
    "pair_missing": (_WRITTEN + "a_kernel_that_removes_a_replaced_name_brings_back_none",),
    "size_zero": (_WRITTEN + "a_file_that_stays_keeps_its_size",),
    "target_left_out": (_WRITTEN + "a_link_or_device_that_stays_repeats_its_data",),
    "reference_apart": (_WRITTEN + "a_reference_stands_with_its_inode",),
    "room_unchecked": (_WRITTEN + "nothing_is_written_where_the_reserve_would_be_touched",),
    # the strategies
    "flip_uncovered": (_CUT + "[nor:flip:replace]",),
    "flip_set_first": (_CUT + "[nor:flip:replace]",),
    "flip_one_container": (_WRITTEN + "no_single_bit_brings_out_a_hidden_set",),
    "flip_whole_word": ("tests/test_boot_readers.py::test_a_torn_commit_of_a_flip_is_one_tree_to_all_readers",),
    "flip_again_at_once": (
        "tests/test_boot_readers.py::test_recover_clears_the_magic_of_a_flip_alone_before_the_rest",
    ),
    "seal_uncovered": (_CUT + "[nand512:seal:replace]",),
    "seal_marker_early": (_CUT + "[nand512:seal:replace]",),
    "seal_page_shared": (
        _CUT + "[nand512:seal:rename]",
        _CUT + "[nand512:seal:delete]",
        _CUT + "[nand512:seal:devices]",
    ),
    "seal_summary_short": (_CUT + "[nand512:seal:replace]",),
    "seal_stays": (_WRITTEN + "a_commit_that_has_returned_depends_on_no_summary",),
    "lift_low": (_CUT + "[nand2k:lift:replace]",),
    # settle.c, glance.c, adopt.c
    "deletion_marked": ("tests/test_retire.py::test_deletions_keep_their_bit",),
    "run_left": ("tests/test_retire.py::test_no_instant_shows_a_mark_right_after_a_dirent",),
    "guard_left_out": ("tests/test_guard.py",),
    "marked_set_forgotten": ("tests/test_retire.py::test_a_set_that_a_kernel_has_marked_since_is_not_forgotten",),
    "superseded_kept": (_WRITTEN + "settled_says_only_what_is",),
    "summary_marker_kept": ("tests/test_settle.py::test_superseded_names_lose_their_summary_too",),
    "settled_early": (_WRITTEN + "settled_says_only_what_is",),
    "live_settles": ("tests/test_live.py::test_only_empty_blocks_are_touched[nor:flip:replace]",),
    "moved_unflushed": (_CUT + "[nand512:seal:replace]",),
    "other_commit_erased": (_UNFINISHED + "what_a_kernel_wrote_behind_either_of_two_sets_stays",),
    "commits_last": (_UNFINISHED + "a_stale_commit_block_is_erased_before_anything_else",),
    "one_round": (_CUT + "[nand512:seal:replace]", _CUT + "[nor:flip:recreated]"),
    "tag_trusted": ("tests/test_recover.py::test_a_block_that_starts_otherwise_is_read_whole[nor-a commit tag]",),
    "end_unseen": (
        "tests/test_recover.py::test_a_block_that_starts_otherwise_is_read_whole[nor-the end of what was erased]",
    ),
    "tag_anywhere": ("tests/test_recover.py::test_a_tag_out_of_place_is_none",),
    "gap_unseen": ("tests/test_engine_errors.py::test_a_stray_inode_number_leaves_others",),
    "last_adopted": (_UNFINISHED + "what_each_cut_staged_last_is_not_taken_over",),
    "attributed_adopted": (_WRITTEN + "an_attribute_does_not_come_to_life_with_what_is_taken_over",),
    # ledger.c
    "unknown_written": (_LEDGER + "what_nothing_identifies_is_held",),
    "format_written": (_LEDGER + "a_known_format_is_held_as_far_as_it_says",),
    "any_erased_taken": (_LEDGER + "erased_flash_beside_something_else_is_held",),
    "dead_erased": (_LEDGER + "recover_with_nothing_of_ours_pending_writes_nothing",),
    "wreck_forgotten": (_LEDGER + "a_wreck_between_our_blocks_is_erased_while_a_transaction_waits",),
    # collect.c
    "attribute_moved": (
        "tests/test_collect.py::test_a_cut_loses_no_attribute[nor]",
        _UNFINISHED + "an_attribute_that_a_kernel_put_behind_the_set_is_not_moved",
    ),
    "twin_name_left": ("tests/test_collect.py::test_a_cut_leaves_one_name_twice_at_most",),
    "collect_unflushed": ("tests/test_collect.py::test_a_cut_while_content_moves_loses_nothing[nand512]",),
    "collect_to_the_last": (
        "tests/test_collect.py::test_it_does_what_was_planned_and_the_shortfall_is_exact[1-nand512]",
    ),
    # Python
    "link_shared": (_PLAN + "a_rebuilt_directory_shares_no_symlink",),
    "renamed_link_kept": (_PLAN + "a_renamed_symlink_gets_a_new_inode",),
    "directory_shared": (_PLAN + "swap_rebuilds_the_way_to_a_deeper_change_and_shares_the_rest",),
    "pair_uncounted": (_PLAN + "a_replaced_name_counts_twice_in_a_flip",),
    "rebuilt_name_uncounted": ("tests/test_fit.py::test_the_set_fits_or_is_refused_by_its_smallest_size",),
    "moved_by_size": (_PLAN + "a_file_of_the_same_size_is_another_file",),
    "orphan_by_size": ("tests/test_resume.py::test_what_is_not_wanted_any_more_is_not_taken[nand2k]",),
    "directory_metadata_left": (_CUT + "[nor:flip:dir-metadata]",),
    "reader_unasked": (_PLAN + "seal_needs_readers_that_know_summaries",),
    "removal_unasked": (_PLAN + "a_reader_that_ignores_deletions_takes_a_flip_only_where_no_name_is_removed",),
    "first_attribute_unasked": (_PLAN + "the_first_attribute_needs_a_reader_that_copes",),
    "not_aborted": (_TRANSACTION + "a_source_that_fails_while_it_is_staged_leaves_nothing_behind[nand2k]",),
    "settle_left": (_TRANSACTION + "blocks_that_an_upgrade_leaves_dead_are_erased[nand512]",),
    "cut_commit_left": (_UNFINISHED + "a_stale_commit_block_does_not_stand_in_the_way_of_an_upgrade",),
}
