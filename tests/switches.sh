#!/bin/sh
# switches.sh: prints the chapters' switches, a line each: "3 PID" is WITH_PID,
# which STAGE=3 turns on.  They stand in whalebox.c, in the order of the chapters.
exec sed -n 's/^#define WITH_\([A-Z]*\) *(STAGE >= \([0-9]*\).*/\2 \1/p' \
    "$(dirname "$0")/../whalebox.c"
