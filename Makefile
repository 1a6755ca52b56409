# whalebox's build.  `make help` lists what it can do.
#
# Everything generated lies in build/, but for ./whalebox, ./rootfs and ./lab.

SRC   := whalebox.c
BUILD := build

# The switches stand in the source, in the order of the chapters.
SWITCHES := $(shell tests/switches.sh | cut -d' ' -f2)
LAST     := $(words $(SWITCHES))
STAGES   := $(shell seq 0 $(LAST))

# What a chapter cannot do without: off goes the one, off goes the other.
# Without private mounts, a private root would be mounted over the host's own.
NEEDS_ROOT    := MOUNT
NEEDS_LAYERS  := ROOT MOUNT
NEEDS_VOLUMES := ROOT MOUNT
NEEDS_TTY     := ROOT MOUNT
NEEDS_DETACH  := LAYERS ROOT MOUNT
NEEDS_EXEC    := DETACH VOLUMES TTY LAYERS ROOT MOUNT
NEEDS_IMAGES  := DETACH VOLUMES LAYERS ROOT MOUNT
NEEDS_BRIDGE  := NET DETACH VOLUMES LAYERS ROOT MOUNT

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
# Small: no function that nobody calls, no tables for C++'s exceptions; a fixed
# address, so nothing to relocate; no symbols (-s); one segment less, no padding
# before the last, and small variables side by side: without the latter two, a
# program of chapters 0 to 9 would have over 64 KiB.
CFLAGS  += -ffunction-sections -fdata-sections \
           -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-pie
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

.PHONY: image
image: whalebox                 ## make the image busybox of ./rootfs
	@./busybox-rootfs.sh
	@tar -C rootfs --owner=0 --group=0 -c . | ./whalebox image load - busybox

.PHONY: vm
vm:                             ## boot a throw-away VM: a shell, or CMD='...' (./vm.sh: with its status)
	@./install.sh vm
	@$(MAKE) -s whalebox
	@./busybox-rootfs.sh
	@./vm.sh $${CMD:+"$$CMD"}

# The program of tutorial/first, step by step, as it stands on that page.
FIRST := $(addprefix $(BUILD)/step-,1 2 3 4 5 6)
.SECONDARY: $(FIRST:%=%.c)
$(FIRST:%=%.c): $(BUILD)/step-%.c: tutorial/first/README.md tests/first.awk | $(BUILD)
	@awk -v step=$* -f tests/first.awk $< >$@

$(FIRST): %: %.c
	$(CC) -static -Wall -Wextra -Werror -o $@ $<

.PHONY: first
first: $(FIRST)                 ## build the six steps of the first hour

.PHONY: test
test:                           ## run all the tests, here and in the VM
	@./install.sh test
	@./test.sh

ifneq ($(filter chapter lab,$(MAKECMDGOALS)),)
N := $(call known,$(N),$(STAGES),N)
endif

.PHONY: chapter
chapter:                        ## print the source as of chapter N=n
	@tests/chapter.sh $(N)

# The exercise of chapter N: the program without the bodies of its functions.
LABS := $(STAGES:%=$(BUILD)/lab-%.c)
$(LABS): $(BUILD)/lab-%.c: $(SRC) tests/lab.awk Makefile | $(BUILD)
	@awk -v chapter=$* -v switch=$(call switch,$*) -f tests/lab.awk $(SRC) >$@

# The same of one part of a long one, PART, with no others: tests/parts has them.
LAB_TEXT := $(BUILD)/lab-$(N)$(PART:%=-part-%).c
part_names = $(shell sed -n 's/^$(N) $(known_part) [0-9]* //p' tests/parts)
all_parts  = $(shell sed -n 's/^$(N) \([0-9]*\) .*/\1/p' tests/parts)
known_part = $(call known,$(PART),$(or $(all_parts),$(error The lab of chapter $(N) has no parts)),PART)
$(BUILD)/lab-$(N)-part-$(PART).c: $(SRC) tests/lab.awk tests/parts Makefile | $(BUILD)
	@awk -v chapter=$(N) -v switch=$(call switch,$(N)) -v only=" $(part_names) " \
	    -f tests/lab.awk $(SRC) >$@

# lab/.pristine is what was handed out: a file that differs is a student's work.
.PHONY: lab
lab: $(LAB_TEXT)                        ## write lab/whalebox.c, chapter N=n's functions empty (PART=k: a part of them)
	@mkdir -p lab
	@if [ -e lab/whalebox.c ] && [ -z "$(FORCE)" ] && \
	    ! cmp -s lab/whalebox.c lab/.pristine; then \
		echo "lab/whalebox.c holds work of yours: move it away, or add FORCE=1" >&2; \
		exit 1; \
	fi
	@cp $< lab/whalebox.c
	@cp $< lab/.pristine
	@echo "In lab/whalebox.c $(PART:%=part % of )chapter $(N) does nothing: look for TODO."
	@echo "Build it and see how far you are: ./test.sh lab $(N)"

.PHONY: clean
clean:                          ## remove what was built (not lab/)
	rm -rf $(BUILD) whalebox rootfs

# What those use who work on whalebox, and not with it.
MAINTAINER := tests/maintainer.mk
include $(MAINTAINER)

.PHONY: help
help:                           ## this list
	@$(call print_help,Makefile)
	@echo
	@echo "For those who work on whalebox:"
	@$(call print_help,$(MAINTAINER))
print_help = sed -n 's/^\([a-z-]*\):.*\#\# /\1	/p' $1 | expand -t 12
