# whalebox's build.  `make help` lists what it can do.
#
# Everything generated lies in build/, but for ./whalebox, ./rootfs and ./lab.

SRC   := whalebox.c
BUILD := build

# The switches, in chapter order, and the last chapter stand in the source.
SWITCHES := $(shell sed -n 's/^.define WITH_\([A-Z]*\) *.STAGE.*/\1/p' $(SRC))
LAST     := $(shell sed -n 's/^.define STAGE \([0-9]*\).*/\1/p' $(SRC))
STAGES   := $(shell seq 0 $(LAST))

# What a chapter cannot do without: off goes the one, off goes the other.
# Without private mounts, a private root would be mounted over the host's own.
NEEDS_ROOT    := MOUNT
NEEDS_LAYERS  := ROOT MOUNT
NEEDS_VOLUMES := ROOT MOUNT
NEEDS_TTY     := ROOT MOUNT
NEEDS_DETACH  := LAYERS ROOT MOUNT
NEEDS_EXEC    := DETACH VOLUMES TTY LAYERS ROOT MOUNT
NEEDS_IMAGES  := LAYERS ROOT MOUNT
NEEDS_BRIDGE  := NET

# $(call needing,X): the chapters that need X.
needing = $(strip $(foreach s,$(SWITCHES),$(if $(filter $1,$(NEEDS_$s)),$s)))
# $(call set,0 or 1,X Y ...): the compiler's flags that set these switches.
set = $(patsubst %,-DWITH_%=$1,$2)
# $(call switch,N): the switch of chapter N; chapter 0 has none.
switch = $(patsubst $1:%,%,$(filter $1:%,$(join $(STAGES:%=%:),none $(SWITCHES))))
# $(call known,WORD,CHOICES,VARIABLE): WORD, if it is one of the choices.
known = $(or $(filter $1,$2),$(error $3=$1? One of: $2))

# musl's libc makes a small static binary.  Where its wrapper is missing, the
# machine's own libc has to do.
ifeq ($(origin CC),default)
CC := $(if $(shell command -v musl-gcc),musl-gcc,cc)
endif

# musl-gcc does not look where Debian keeps the kernel's headers.  -idirafter
# lets it look there last, so that no header of the other libc gets in first.
HEADERS := -idirafter /usr/include \
           -idirafter /usr/include/$(shell $(CC) -print-multiarch)

# -Wundef: a mistyped WITH_X in an #if must not silently count as 0.
CFLAGS := -std=c11 -Os -Wall -Wextra -Wpedantic -Wundef -Wshadow -Werror \
          $(HEADERS)
# Small: unused functions dropped, one segment less and no padding before the
# last, no tables for C++'s exceptions, a fixed address, so nothing to relocate,
# small variables side by side and not between arrays, no symbols (-s).
CFLAGS  += -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables \
           -fno-pie
LDFLAGS := -static -no-pie -s -Wl,--gc-sections -Wl,-z,noseparate-code \
           -Wl,-z,norelro -Wl,-z,common-page-size=64 \
           -Wl,--sort-section=alignment

compile = $(CC) $(CFLAGS) $1 $(LDFLAGS) -o $@ $<

# Which binary `make`, `make STAGE=3`, `make WITHOUT=PID`, `make ONLY=PID` mean.
ifdef STAGE
TARGET := $(BUILD)/whalebox-$(call known,$(STAGE),$(STAGES),STAGE)
else ifdef WITHOUT
TARGET := $(BUILD)/whalebox-no-$(call known,$(WITHOUT),$(SWITCHES),WITHOUT)
else ifdef ONLY
TARGET := $(BUILD)/whalebox-only-$(call known,$(ONLY),$(SWITCHES),ONLY)
else
TARGET := whalebox
endif

# A file half made by a rule that failed must not count as made.
.DELETE_ON_ERROR:

.PHONY: all
all: $(TARGET)                  ## build ./whalebox (or STAGE=n, WITHOUT=X, ONLY=X)

whalebox: $(SRC) Makefile
	$(call compile,)

STAGE_BUILDS := $(STAGES:%=$(BUILD)/whalebox-%)
NO_BUILDS    := $(SWITCHES:%=$(BUILD)/whalebox-no-%)
ONLY_BUILDS  := $(SWITCHES:%=$(BUILD)/whalebox-only-%)

$(STAGE_BUILDS): $(BUILD)/whalebox-%: $(SRC) Makefile | $(BUILD)
	$(call compile,-DSTAGE=$*)

$(NO_BUILDS): $(BUILD)/whalebox-no-%: $(SRC) Makefile | $(BUILD)
	$(call compile,$(call set,0,$* $(call needing,$*)))
	$(if $(call needing,$*),@echo "$*: off with it go: $(call needing,$*)")

$(ONLY_BUILDS): $(BUILD)/whalebox-only-%: $(SRC) Makefile | $(BUILD)
	$(call compile,-DSTAGE=0 $(call set,1,$* $(NEEDS_$*)))

$(BUILD):
	mkdir -p $@

.PHONY: stages
stages: $(STAGE_BUILDS) $(NO_BUILDS) $(ONLY_BUILDS)     ## build every stage, every WITHOUT, every ONLY

# The tools are installed first, and only then is make started anew to build
# with them.  A shell that ends with its last command's status is no failure.
.PHONY: run
run:                            ## run /bin/sh in a box, or CMD='...'
	@./install.sh run
	@$(MAKE) -s $(TARGET)
	@./busybox-rootfs.sh
	@./$(TARGET) $(or $(CMD),/bin/sh)$(if $(CMD),, || [ $$? -ne 125 ])

.PHONY: rootfs
rootfs:                         ## make ./rootfs from the machine's busybox
	@./busybox-rootfs.sh

.PHONY: vm
vm:                             ## boot a throw-away VM: a shell, or CMD='...' (./vm.sh: with its status)
	@./install.sh test
	@$(MAKE) -s whalebox
	@./busybox-rootfs.sh
	@./vm.sh $${CMD:+"$$CMD"}

.PHONY: test
test:                           ## run all the tests, here and in the VM
	@./install.sh test
	@./test.sh

ifneq ($(filter chapter lab,$(MAKECMDGOALS)),)
N := $(call known,$(N),$(STAGES),N)
endif

# The text of $(SRC) as of chapter N: $(BUILD)/chapter-N.c.  awk takes out what
# lies outside of later chapters' sections and is theirs: the names of their
# options, which the whole program knows to refuse, and lines marked as
# "/* 13: for that chapter".
CHAPTERS := $(STAGES:%=$(BUILD)/chapter-%.c)
$(CHAPTERS): $(BUILD)/chapter-%.c: $(SRC) Makefile | $(BUILD)
	@unifdef -x2 -DSTAGE=$* \
	    $(call set,1,$(wordlist 1,$*,$(SWITCHES))) \
	    $(call set,0,$(filter-out $(wordlist 1,$*,$(SWITCHES)),$(SWITCHES))) \
	    -o $@.full $(SRC)
	@awk -v n=$* '/^    \[[0-9]+\] = "/ && substr($$0, 6) + 0 > n { next } \
	    match($$0, /\/\* [0-9]+: /) && substr($$0, RSTART + 3) + 0 > n { next } \
	    { print }' $@.full | cat -s >$@
	@rm $@.full

# Each of them is a program.
$(CHAPTERS:.c=): %: %.c
	$(call compile,)

.PHONY: chapters
chapters: $(CHAPTERS:.c=)       ## build the source as of each chapter

.PHONY: chapter
chapter: $(BUILD)/chapter-$(N).c        ## print the source as of chapter N=n
	@cat $<

# The exercise of chapter N: the program with that chapter's code taken out.
LABS := $(STAGES:%=$(BUILD)/lab-%.c)
$(LABS): $(BUILD)/lab-%.c: $(SRC) tests/lab.awk Makefile | $(BUILD)
	@awk -v chapter=$* -v switch=$(call switch,$*) -f tests/lab.awk $(SRC) >$@

# lab/.pristine is what was handed out: a file that differs is a student's work.
.PHONY: lab
lab: $(BUILD)/lab-$(N).c                ## write lab/whalebox.c, chapter N=n taken out
	@mkdir -p lab
	@if [ -e lab/whalebox.c ] && [ -z "$(FORCE)" ] && \
	    ! cmp -s lab/whalebox.c lab/.pristine; then \
		echo "lab/whalebox.c holds work of yours: move it away, or add FORCE=1" >&2; \
		exit 1; \
	fi
	@cp $< lab/whalebox.c
	@cp $< lab/.pristine
	@echo "lab/whalebox.c is whalebox without chapter $(N): look for TODO."
	@echo "Build it and see how far you are: ./test.sh lab $(N)"

# What chapter N's check is run with: the lab as handed out, which must not
# pass; the whole program in its place, which must; and LAB, a student's work.
# Chapters that need chapter N are off in all three.
LAB    := lab/whalebox.c
lab    := $(STAGES:%=$(BUILD)/whalebox-lab-%)
solved := $(STAGES:%=$(BUILD)/whalebox-solved-%)
work   := $(STAGES:%=$(BUILD)/whalebox-work-%)
compile_lab = $(call compile,$(call set,0,$(call needing,$(call switch,$*))))

$(lab): $(BUILD)/whalebox-lab-%: $(BUILD)/lab-%.c
	$(compile_lab)

$(solved): $(BUILD)/whalebox-solved-%: $(SRC) Makefile | $(BUILD)
	$(compile_lab)

.PHONY: $(work)
$(work): $(BUILD)/whalebox-work-%: $(LAB) | $(BUILD)
	$(compile_lab)

.PHONY: labs
labs: $(lab) $(solved)          ## build every lab, as handed out and as solved

# What the tests take into a box: static, as a box has no libraries.
vpath %.c tests/attacks tests/faults
PROBES := $(notdir $(basename $(wildcard tests/attacks/*.c tests/faults/*.c)))
PROBES := $(PROBES:%=$(BUILD)/tests/%)
$(PROBES): $(BUILD)/tests/%: %.c Makefile
	@mkdir -p $(@D)
	$(call compile,)

.PHONY: probes
probes: $(PROBES)               ## build the tests' small programs

.PHONY: test-faults
test-faults:                    ## every fault at every step (an hour)
	@./install.sh test
	@$(MAKE) -s whalebox probes
	@./busybox-rootfs.sh
	@sh tests/faults.sh full

.PHONY: bench
bench:                          ## measure against other runtimes
	@./install.sh bench
	@$(MAKE) -s whalebox $(BUILD)/whalebox-9
	@./busybox-rootfs.sh
	@bench/run.sh

# What we do not take of clang-tidy's advice, and why.
TIDY := -*,clang-analyzer-*,bugprone-*
# Feature test macros are reserved names, and meant to be defined.
TIDY := $(TIDY),-bugprone-reserved-identifier
# Two numbers side by side are what system calls take, too.
TIDY := $(TIDY),-bugprone-easily-swappable-parameters
# As a condition, strcmp(a, b) is C's "a is not b".
TIDY := $(TIDY),-bugprone-suspicious-string-compare
# vfork(2) is what makes starting a program cheap; its child only calls exec.
TIDY := $(TIDY),-clang-analyzer-unix.Vfork,-clang-analyzer-security.insecureAPI.vfork
# C11's Annex K, memcpy_s and the like, is in no libc of Linux's.
TIDY := $(TIDY),-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling
# What lasts to the program's end needs no free(3), nor the code behind that.
TIDY := $(TIDY),-clang-analyzer-unix.Malloc
# strcpy(3) is right where the buffers are of one size; gcc warns where not.
TIDY := $(TIDY),-clang-analyzer-security.insecureAPI.strcpy
# gcc's analyser does not see that calls through chapters[] set what is NULL at
# first; clang's looks for the same.
ANALYZER := -fanalyzer -Wno-analyzer-null-dereference

# The fuzzer's harness has the whole program in it: for gcc, once is enough.
C_FILES := $(SRC) $(wildcard bench/*.c tests/*/*.c)
SCRIPTS := $(wildcard *.sh tests/*.sh tests/*/*.sh tutorial/*/*.sh bench/*.sh)
.PHONY: lint
lint: | $(BUILD)                ## static analysis; says nothing when all is well
	@./install.sh lint
	@for file in $(filter-out tests/fuzz/%,$(C_FILES)); do \
		$(CC) $(CFLAGS) $(ANALYZER) -c -o /dev/null $$file || exit 1; \
	done
	@cppcheck --quiet --std=c11 --enable=warning,performance,portability \
	    --error-exitcode=1 $(C_FILES)
	@clang-tidy --quiet --warnings-as-errors='*' --checks='$(TIDY)' \
	    $(C_FILES) -- -std=c11 2>$(BUILD)/lint.log || \
	    { cat $(BUILD)/lint.log; exit 1; }
	@shellcheck $(SCRIPTS) .ci/run

# Every stage with the address and undefined behaviour sanitizers: they end a
# program at the first fault.  They come with gcc, and need a dynamic libc.
ASAN := $(BUILD)/asan
ASAN_BUILDS := $(STAGES:%=$(ASAN)/build/whalebox-%)
$(ASAN_BUILDS): $(ASAN)/build/whalebox-%: $(SRC) tests/fuzz/sanitize.c Makefile
	@mkdir -p $(@D)
	gcc -std=c11 -O1 -g -fno-omit-frame-pointer -Wall -Wextra -Werror \
	    -fsanitize=address,undefined -fno-sanitize-recover=all \
	    -DSTAGE=$* -o $@ $< tests/fuzz/sanitize.c

$(BUILD)/whalebox-asan: $(ASAN)/build/whalebox-$(LAST)
	cp $< $@

# The host's half of the tests in a copy of this folder, with these in place of
# the static ones, and their libraries in the rootfs for tests that take them
# into a box.  tests/faults.sh is left out: it has the sanitizers' calls fail;
# and the one test with no /proc of its own, which they need as well.
.PHONY: sanitize
sanitize: $(BUILD)/whalebox-asan $(ASAN_BUILDS) $(NO_BUILDS) labs probes        ## run the host's tests under sanitizers
	@./install.sh test
	@./busybox-rootfs.sh
	@rm -rf $(ASAN)/tests $(ASAN)/tutorial $(ASAN)/rootfs $(ASAN)/build/tests
	@cp -R test.sh tests tutorial rootfs $(SRC) $(ASAN)
	@rm $(ASAN)/tests/faults.sh
	@sed -i "/it 'wants a .proc of its own/,/^	'/d" $(ASAN)/tests/doctor.sh
	@ldd $< | sed -n 's/[^/]*\(\/[^ ]*\) (.*/\1/p' | \
	    xargs cp -L --parents -t $(ASAN)/rootfs
	@cp $< $(ASAN)/whalebox
	@cp -R $(NO_BUILDS) $(lab) $(solved) $(BUILD)/tests $(ASAN)/build
	@cd $(ASAN) && ./test.sh host 'host root' 'host user'

# The targets of tests/fuzz/fuzz.c share the time: SECONDS, of all of them.  What
# was found interesting is kept in $(BUILD)/fuzz, and is where the next run starts.
SECONDS := 600
TARGETS := $(patsubst tests/fuzz/%.txt,%,$(wildcard tests/fuzz/*.txt))
FUZZ    := $(BUILD)/fuzz
$(FUZZ)/fuzz: tests/fuzz/fuzz.c $(SRC) Makefile
	@mkdir -p $(@D)
	clang -std=c11 -O1 -g -Wall -Wextra -Werror \
	    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $<

.PHONY: fuzz
fuzz:                           ## fuzz the parsers for SECONDS=600 in all
	@./install.sh fuzz
	@$(MAKE) -s $(FUZZ)/fuzz
	@for target in $(TARGETS); do \
		mkdir -p $(FUZZ)/$$target; \
		ASAN_OPTIONS=detect_leaks=0 TARGET=$$target $(FUZZ)/fuzz \
		    -max_total_time=$$(($(SECONDS) / $(words $(TARGETS)))) \
		    -max_len=20000 -timeout=5 -close_fd_mask=1 -print_final_stats=1 \
		    -seed_inputs=tests/fuzz/$$target.txt \
		    -artifact_prefix=$(FUZZ)/$$target- \
		    $(FUZZ)/$$target 2>$(FUZZ)/$$target.log || \
		    { cat $(FUZZ)/$$target.log; exit 1; }; \
		awk -v target=$$target '/number_of_exec/ { runs = $$2 } \
		    /average_exec/ { print target ": " runs " runs, " $$2 "/s, 0 crashes" }' \
		    $(FUZZ)/$$target.log; \
	done

.PHONY: clean
clean:                          ## remove what was built (not lab/)
	rm -rf $(BUILD) whalebox rootfs

.PHONY: help
help:                           ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 12
