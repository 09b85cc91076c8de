# jffs2tx: `make help` lists the targets. Everything is set up on demand: Debian packages where we may install them, and
# a virtual environment in .venv.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BUILD_PACKAGES := gcc libc6-dev python3-dev python3-venv pkg-config libdeflate-dev liblzo2-dev liblzma-dev
TEST_PACKAGES := mtd-utils qemu-system-x86 busybox-static cpio kmod linux-source-6.1 gcc-12 make binutils xz-utils bc \
	libelf1 lzma-alone
# Other processors: cross compilers, what runs their programs, and what unpacks the sources of the libraries.
FOREIGN_PACKAGES := gcc-mips-linux-gnu gcc-powerpc-linux-gnu gcc-arm-linux-gnueabi libc6-dev-mips-cross \
	libc6-dev-powerpc-cross libc6-dev-armel-cross qemu-user-static dpkg-dev

VENV := .venv
PYTHON := $(VENV)/bin/python
JOBS ?= 2
PYTEST_ARGS ?=

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: setup
setup: $(VENV)/.installed ## packages, virtual environment and C core, as needed

$(VENV)/.packages: Makefile .ci/packages
	@.ci/packages $(BUILD_PACKAGES)
	@[ -x $(PYTHON) ] || { echo "Making the virtual environment $(VENV)"; python3 -m venv $(VENV); }
	@touch $@

$(VENV)/.installed: $(VENV)/.packages pyproject.toml setup_cffi.py $(sort $(wildcard csrc/*.[ch]))
	@echo "Installing jffs2tx and what it needs into $(VENV)"
	@$(PYTHON) -m pip install --quiet --upgrade 'setuptools>=77' 'cffi>=1.15'
	@$(PYTHON) -m pip install --quiet --no-build-isolation --editable '.[test]'
	@touch $@

.PHONY: setup-test
setup-test: setup
	@.ci/packages $(TEST_PACKAGES) $(FOREIGN_PACKAGES)

.PHONY: demo
demo: setup ## upgrades an image of some thousand files, then again with the power cut at many instants
	@$(PYTHON) -m jffs2tx.demo

.PHONY: test
test: setup-test lint mutants ## every test, the kernel lab's included
	$(PYTHON) -m pytest -m "not lab" -n $(JOBS) $(PYTEST_ARGS)
	$(PYTHON) -m pytest -m lab -n $(JOBS) --dist loadfile $(PYTEST_ARGS) || [ $$? = 5 ]

.PHONY: evidence
evidence: setup-test ## thousands of random media: what is told apart, left in doubt, merged and written to
	nice $(PYTHON) -m tests.evidence 4000

.PHONY: foreign
foreign: setup-test ## the engine on MIPS and PowerPC (big-endian) and ARM under QEMU: the same images, byte for byte
	$(PYTHON) -m pytest tests/test_foreign.py -n $(JOBS) $(PYTEST_ARGS)

.PHONY: cut
cut: setup ## the power cut at every instant of every canonical transaction: old, new, third states
	$(PYTHON) -m tests.cut --all -j $(JOBS)

.PHONY: cut-deep
cut-deep: setup ## the same with a second cut in every way inside every recovery, and thousands of names (35 minutes)
	nice $(PYTHON) -m tests.cut --all --deep -j $(JOBS)

.PHONY: kernel-deep
kernel-deep: setup-test ## every cut between two operations of every canonical transaction, seen by the kernel
	JFFS2TX_KERNEL_DEEP=1 $(PYTHON) -m pytest -s tests/test_kernel_cuts.py $(PYTEST_ARGS)

.PHONY: kernel-gc
kernel-gc: setup-test ## upgrades of file systems that the kernel has aged: ten histories of each medium and use
	JFFS2TX_GC_SEEDS=10 $(PYTHON) -m pytest -s tests/test_kernel_gc.py $(PYTEST_ARGS)

.PHONY: kernel-after-cut
kernel-after-cut: setup-test ## after some hundred power cuts the kernel works on; then recover, or the upgrade once more
	JFFS2TX_AFTER_CUT=1 $(PYTHON) -m pytest -s tests/test_kernel_after_cut.py $(PYTEST_ARGS)

.PHONY: kernel-revival
kernel-revival: setup-test ## 300 rounds of upgrade, kernel work and collection on four kernels and flashes: nothing old returns
	JFFS2TX_REVIVAL=$${JFFS2TX_REVIVAL:-300} $(PYTHON) -m pytest -s tests/test_kernel_revival.py $(PYTEST_ARGS)

.PHONY: kernel-histories
kernel-histories: setup-test ## 300 random histories that the kernel writes: our tree is the kernel's, also after a cut
	JFFS2TX_HISTORIES=$${JFFS2TX_HISTORIES:-0-299} $(PYTHON) -m pytest -s tests/test_kernel_histories.py $(PYTEST_ARGS)

# The sanitized build lives beside the ordinary one, in build/asan, and is found first through PYTHONPATH; pytest must not
# put the tree in front of it.
.PHONY: asan
asan: setup-test ## the tests without the lab under AddressSanitizer and UndefinedBehaviorSanitizer
	rm -rf build/asan
	JFFS2TX_SANITIZE=1 $(PYTHON) -m pip install --quiet --no-build-isolation --no-deps --target build/asan .
	PYTHONPATH=build/asan PYTHONSAFEPATH=1 LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0 $(VENV)/bin/pytest --import-mode=append -m "not lab" -n $(JOBS) $(PYTEST_ARGS)

# The test build lives in build/testing, and is found as the sanitized one is.
build/testing/.installed: $(VENV)/.installed setup_cffi.py $(sort $(wildcard csrc/*.[ch])) $(shell find jffs2tx -name '*.py')
	@rm -rf build/testing
	@JFFS2TX_TESTING=1 $(PYTHON) -m pip install --quiet --no-build-isolation --no-deps --target build/testing .
	@touch $@

.PHONY: testing
testing: build/testing/.installed ## the tests that need a build of their own (-DJX_TESTING)
	PYTHONPATH=build/testing PYTHONSAFEPATH=1 $(VENV)/bin/pytest --import-mode=append -m testing -n $(JOBS) $(PYTEST_ARGS)

.PHONY: mutants
mutants: build/testing/.installed ## mistakes seeded in the engine, each caught by a test
	PYTHONPATH=build/testing:. $(PYTHON) -P -m tests.mutants -j $(JOBS)

.PHONY: bench
bench: setup-test ## time, memory and bytes beside the peers, as ratios
	@$(PYTHON) -m pip install --quiet --no-build-isolation --editable '.[test,bench]'
	@$(PYTHON) -m tests.bench

FUZZ_SECONDS ?= 60
FUZZ_ARGS ?=
.PHONY: fuzz
fuzz: setup ## every field of every node, then FUZZ_SECONDS of fuzzing for each target: docs/FUZZING.md
	@.ci/packages clang libclang-rt-14-dev
	@$(PYTHON) -m pip install --quiet 'atheris>=2.3'
	$(PYTHON) -m tests.fuzz --seconds $(FUZZ_SECONDS) --jobs $(JOBS) $(FUZZ_ARGS)

# What exercises the engine: the tests of its parts and of its errors, and the cuts of some canonical transactions.
COVERAGE_TESTS := $(addprefix tests/test_,engine_errors.py engine_media.py written.py unfinished.py settle.py \
	reading_rules.py unreadable.py codec.py collect.py unstable.py wear.py memory_runs_out.py retire.py tag.py guard.py \
	come_back.py)
COVERAGE_CUTS := nor:flip:xattr nor:swap:rename nand512:seal:rename nand2k:lift:replace
.PHONY: coverage
coverage: setup-test ## branches of the engine that the tests take; docs/COVERAGE.md says why the others are not
	@rm -rf build/coverage build/coverage-objects
	@JFFS2TX_TESTING=1 JFFS2TX_COVERAGE=1 \
		$(PYTHON) -m pip install --quiet --no-build-isolation --no-deps --target build/coverage .
	PYTHONPATH=build/coverage PYTHONSAFEPATH=1 $(VENV)/bin/pytest --import-mode=append -q \
		-k "not (cut_anywhere or content_moves or cut_leaves)" $(PYTEST_ARGS) $(COVERAGE_TESTS) \
		$(COVERAGE_CUTS:%='tests/test_cut.py::test_every_state_is_old_or_new[%]') \
		'tests/test_live.py::test_only_empty_blocks_are_touched[nor:flip:replace]' \
		tests/test_live.py::test_dead_blocks_are_no_room tests/test_live.py::test_what_a_cut_left_waits
	@$(PYTHON) -m tests.branches

.PHONY: lint
lint: setup ## ruff, check and format
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --check --quiet . || { echo "run: $(VENV)/bin/ruff format ." >&2; exit 1; }

.PHONY: format
format: setup ## formats the Python sources
	@$(VENV)/bin/ruff format --quiet .

.PHONY: clean
clean: ## removes what was built, the virtual environment included
	rm -rf $(VENV) build dist .demo *.egg-info jffs2tx/_native.*
