#!/bin/sh
# calls.sh COMPILER...: prints what the kernel's headers say for the processor that
# it compiles for: each system call and each ABI there is, as NAME NUMBER.
#
# The compiler lists what the headers define, and is then given those names, to put
# the numbers in their place.

set -e
headers='#include <asm/unistd.h>
#include <linux/audit.h>'
names=$(echo "$headers" | "$@" -E -dM - | sed -n '
	/__NR_syscalls /d
	/__NR_arch_specific_syscall /d
	s/^#define __NR_\([a-z0-9_]*\) .*/"\1" __NR_\1/p
	s/^#define \(AUDIT_ARCH_[A-Z0-9_]*\) .*/"\1" \1/p' | sort)
printf '%s\n' "$headers" "$names" | "$@" -E -P - |
    sed -n 's/^"\([^"]*\)"/\1/p' | while read -r name value; do
	# shellcheck disable=SC2004  # the value is an expression, not a number
	echo "$name $(($value))"
done
