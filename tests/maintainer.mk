# What those use who work on whalebox: the tests' builds, analysis, measurement.
# The Makefile includes this file, so `make lint` finds it; `make help` lists it.

# The text of $(SRC) as of each chapter, and the program that it is.
CHAPTERS := $(STAGES:%=$(BUILD)/chapter-%.c)
$(CHAPTERS): $(BUILD)/chapter-%.c: $(SRC) tests/chapter.sh tests/switches.sh | $(BUILD)
	@tests/chapter.sh $* >$@

# Nobody runs it: it is to compile, and to be a program, in a third of the time.
$(CHAPTERS:.c=): %: %.c
	$(call compile,-O0)

.PHONY: chapters
chapters: $(CHAPTERS:.c=)       ## build the source as of each chapter

# What chapter N's check is run with: the lab as handed out, which must not
# pass; the whole program in its place, which must; and LAB, a student's work.
# Chapters that need chapter N are off in all three, and what would be a danger
# to the host before chapter N is written again.  None of them has to be small.
LAB    := lab/whalebox.c
lab    := $(STAGES:%=$(BUILD)/whalebox-lab-%)
solved := $(STAGES:%=$(BUILD)/whalebox-solved-%)
work   := $(STAGES:%=$(BUILD)/whalebox-work-%)
compile_lab = $(call compile,-O0 $(call set,0,$(lab_off)) $(lab_flags))
lab_off     = $(call needing,$(call switch,$*)) $(LAB_OFF_$*)
# Chapter 10 mounts over /proc, too, in what may be the host's mounts still.
LAB_OFF_4   := LOCKS
# And it covers with /dev/null, which a box does not have until the lab is done.
LAB_OFF_8   := LOCKS
# While a body is missing, what it would use is unused.
lab_flags   := -Wno-unused-parameter -Wno-unused-function -Wno-unused-variable

$(lab): $(BUILD)/whalebox-lab-%: $(BUILD)/lab-%.c
	$(compile_lab)

# With nothing off it is the whole program, which is there.
$(solved): $(BUILD)/whalebox-solved-%: $(SRC) Makefile whalebox | $(BUILD)
	$(if $(strip $(lab_off)),$(compile_lab),@cp whalebox $@)

.PHONY: $(work)
$(work): $(BUILD)/whalebox-work-%: $(LAB) | $(BUILD)
	$(compile_lab)

.PHONY: labs
labs: $(lab) $(solved)          ## build every lab, as handed out and as solved

# What the tests take into a box: static, as a box has no libraries.
vpath %.c tests/attacks tests/faults tests/images tests/wires
PROBES := $(notdir $(basename $(wildcard $(addsuffix /*.c,tests/attacks tests/faults tests/images tests/wires))))
PROBES := $(PROBES:%=$(BUILD)/tests/%)
$(PROBES): $(BUILD)/tests/%: %.c Makefile
	@mkdir -p $(@D)
	$(call compile,)

# One of them has the whole program in it, and reads what the kernel's headers say.
$(BUILD)/tests/filter: $(SRC)
CALLS := $(BUILD)/tests/calls.txt
$(CALLS): tests/attacks/calls.sh Makefile
	@mkdir -p $(@D)
	@tests/attacks/calls.sh $(CC) $(HEADERS) >$@

.PHONY: probes
probes: $(PROBES) $(CALLS)      ## build the tests' small programs

.PHONY: test-faults
test-faults:                    ## every fault at every step (an hour, and with images many)
	@./install.sh test
	@$(MAKE) -s whalebox probes $(addprefix $(BUILD)/whalebox-,0 4 7 9 no-PID)
	@./busybox-rootfs.sh
	@sh tests/faults.sh full

.PHONY: test-images
test-images:                    ## images of others, and others with ours (some minutes, root)
	@./install.sh test-images
	@$(MAKE) -s whalebox probes $(BUILD)/bench/timer
	@./busybox-rootfs.sh
	@{ sh tests/realimages.sh; echo '# end'; } 2>&1 | awk -f tests/tap.awk

.PHONY: test-wires
test-wires:                     ## the tests of networks that take minutes, and real servers (root)
	@./install.sh test-wires
	@$(MAKE) -s whalebox probes
	@./busybox-rootfs.sh
	@{ sh tests/wires.sh full; sh tests/realwires.sh; echo '# end'; } 2>&1 | \
	    awk -f tests/tap.awk

# A mutant is the program with one must() dropped, or two steps of child() in the
# other order: a test has to fail with each, but for those that are no fault.
MUTANTS := $(BUILD)/mutants
$(MUTANTS)/%/whalebox: $(MUTANTS)/%/whalebox.c
	@$(CC) $(CFLAGS) -O0 -w $< $(LDFLAGS) -o $@

.PHONY: mutants
mutants: stages probes          ## which faults in whalebox.c no test sees (hours; goes on where it was)
	@./install.sh test
	@$(MAKE) -s whalebox
	@./busybox-rootfs.sh
	@tests/mutants.sh

# What bench/ measures with, and against: made as the other programs are, so that
# it is a fair comparison.
BENCHES := $(BUILD)/bench/timer $(BUILD)/bench/minimal
$(BENCHES): $(BUILD)/bench/%: bench/%.c Makefile
	@mkdir -p $(@D)
	$(call compile,)

# The floor of chapter 10: with its filter as it stands in the source.
$(BUILD)/bench/filter.h: $(SRC)
	@mkdir -p $(@D)
	@awk '/^\/\* Refused: / { on = 1 } on { print } \
	    /^static void filter_system_calls/ { last = 1 } last && /^}/ { exit }' \
	    $< >$@

$(BUILD)/bench/minimal-10: bench/minimal.c $(BUILD)/bench/filter.h Makefile
	$(call compile,-DWITH_LOCKS -I$(BUILD)/bench)

.PHONY: bench
bench:                          ## measure against other runtimes
	@./install.sh bench
	@$(MAKE) -s whalebox $(STAGE_BUILDS)
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
# The fields of a struct stand in the order in which they are read and written.
TIDY := $(TIDY),-clang-analyzer-optin.performance.Padding
# gcc's analyser does not see that calls through chapters[] set what is NULL at
# first; clang's looks for the same.  And text() gives memory that is never freed.
ANALYZER := -fanalyzer -Wno-analyzer-null-dereference -Wno-analyzer-malloc-leak

# cppcheck does not know that a function declared as _Noreturn, and defined further
# down, does not return: what follows `if (!name) refuse_usage(...)` it calls NULL.
# And NULL is a pointer in every libc for C, as a last argument, too.
CPPCHECK := $(patsubst %,--suppress=%,nullPointerRedundantCheck ctunullpointer \
            nullPointerArithmeticRedundantCheck varFuncNullUB)

# Some of them have the whole program in them: once is enough.
C_FILES := $(SRC) $(wildcard bench/*.c tests/*/*.c)
.PHONY: lint
lint: | $(BUILD)                ## static analysis; says nothing when all is well
	@./install.sh lint
	@for file in $(filter-out tests/fuzz/% %/filter.c,$(C_FILES)); do \
		$(CC) $(CFLAGS) $(ANALYZER) -c -o /dev/null $$file || exit 1; \
	done
	@cppcheck --quiet --std=c11 --enable=warning,performance,portability \
	    $(CPPCHECK) --error-exitcode=1 $(C_FILES)
	@for file in $(filter-out tests/fuzz/%,$(C_FILES)); do \
		clang-tidy --quiet --warnings-as-errors='*' --checks='$(TIDY)' \
		    $$file -- -std=c11 2>$(BUILD)/lint.log || \
		    { cat $(BUILD)/lint.log; exit 1; }; \
	done
	@$(MAKE) -s shellcheck

SCRIPTS := $(wildcard *.sh tests/*.sh tests/*/*.sh tutorial/*/*.sh bench/*.sh \
           extra/completion.bash .ci/run)
.PHONY: shellcheck
shellcheck:                     ## static analysis of the scripts alone
	@shellcheck $(SCRIPTS)

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
# into a box.  tests/faults.sh is left out: it has the sanitizers' calls fail.  So
# are two tests: one has no /proc of its own, and one little memory, which they need.
.PHONY: sanitize
sanitize: $(BUILD)/whalebox-asan $(ASAN_BUILDS) $(NO_BUILDS) labs probes        ## run the host's tests under sanitizers
	@./install.sh test
	@./busybox-rootfs.sh
	@rm -rf $(ASAN)/tests $(ASAN)/tutorial $(ASAN)/rootfs $(ASAN)/build/tests
	@cp -R test.sh tests tutorial rootfs $(SRC) $(ASAN)
	@rm $(ASAN)/tests/faults.sh
	@sed -i "/it 'wants a .proc of its own/,/^	'/d" $(ASAN)/tests/doctor.sh
	@sed -i "/^try 'takes little memory/,/^'/d" $(ASAN)/tests/images.sh
	@ldd $< | sed -n 's/[^/]*\(\/[^ ]*\) (.*/\1/p' | \
	    xargs cp -L --parents -t $(ASAN)/rootfs
	@cp $< $(ASAN)/whalebox
	@cp -R $(NO_BUILDS) $(lab) $(solved) $(BUILD)/tests $(ASAN)/build
	@cd $(ASAN) && LIMIT=240 PATIENCE=60 ./test.sh host 'host root' 'host user'

# The targets of tests/fuzz/fuzz.c share the time: SECONDS, of all of them.  What
# was found interesting is kept in $(BUILD)/fuzz, and is where the next run starts.
SECONDS := 600
TARGETS := $(patsubst tests/fuzz/%.txt,%,$(wildcard tests/fuzz/*.txt))
FUZZ    := $(BUILD)/fuzz
$(FUZZ)/fuzz: tests/fuzz/fuzz.c $(SRC) Makefile
	@mkdir -p $(@D)
	clang -std=c11 -O1 -g -Wall -Wextra -Werror \
	    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $<

# The same inputs, what it begins with and what it has found (tests/fuzz/found),
# without the fuzzer: with gcc's sanitizers, which any machine has.
$(FUZZ)/replay: tests/fuzz/replay.c tests/fuzz/fuzz.c $(SRC) Makefile
	@mkdir -p $(@D)
	gcc -std=c11 -O1 -g -w -fsanitize=address,undefined \
	    -fno-sanitize-recover=all -o $@ tests/fuzz/replay.c tests/fuzz/fuzz.c

.PHONY: replay
replay: $(FUZZ)/replay          ## the fuzzer's inputs, without the fuzzer
	@for target in $(TARGETS); do \
		ASAN_OPTIONS=detect_leaks=0 TARGET=$$target $(FUZZ)/replay \
		    $$(ls tests/fuzz/$$target.txt tests/fuzz/found/$$target-* \
		    2>/dev/null) || exit 1; \
	done

.PHONY: fuzz
fuzz:                           ## fuzz the parsers for SECONDS=600 in all
	@./install.sh fuzz
	@$(MAKE) -s $(FUZZ)/fuzz
	@for target in $(TARGETS); do \
		mkdir -p $(FUZZ)/$$target; \
		ASAN_OPTIONS=detect_leaks=0 TARGET=$$target $(FUZZ)/fuzz \
		    -max_total_time=$$(($(SECONDS) / $(words $(TARGETS)))) \
		    -max_len=20000 -timeout=5 -close_fd_mask=1 -print_final_stats=1 \
		    -seed_inputs=$$(ls tests/fuzz/$$target.txt \
		    tests/fuzz/found/$$target-* 2>/dev/null | paste -sd,) \
		    -artifact_prefix=$(FUZZ)/$$target- \
		    $(FUZZ)/$$target 2>$(FUZZ)/$$target.log || \
		    { cat $(FUZZ)/$$target.log; exit 1; }; \
		awk -v target=$$target '/number_of_exec/ { runs = $$2 } \
		    /average_exec/ { print target ": " runs " runs, " $$2 "/s, 0 crashes" }' \
		    $(FUZZ)/$$target.log; \
	done
