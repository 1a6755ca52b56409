# times.awk: how long a page takes, by a rule of thumb: prints "READ TRY", in minutes.
#
# A student reads 90 words of such prose in a minute, and 5 lines of its C; and types
# and thinks about a command for 25 seconds.

/^## References/ { exit }
/<details>/      { folded = 1 }
/<\/details>/    { folded = 0 }
folded           { next }
/^ *```/         { fenced = !fenced; language = $0; sub(/^ *```/, "", language); next }
/^<!--|^!\[/     { next }
!fenced          { words += NF; next }
language == "c" && NF                            { lines++ }
language == "console" && /^(\$|#|\/[^ ]* [#$]) / { commands++ }

END { printf "%d %d\n", words / 90 + lines / 5 + 0.5, commands * 25 / 60 + 0.5 }
