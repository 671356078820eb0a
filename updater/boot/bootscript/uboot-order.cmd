# Of two root file systems, the first of BOOT_ORDER that has a start left. Platen puts the
# one on trial first. Make boot.scr of it: mkimage -A arm -T script -d FILE boot.scr

if test -n "${BOOT_ORDER}"; then true; else setenv BOOT_ORDER "a b"; fi
if test -n "${BOOT_a_LEFT}"; then true; else setenv BOOT_a_LEFT 3; fi
if test -n "${BOOT_b_LEFT}"; then true; else setenv BOOT_b_LEFT 3; fi

setenv platen_boot none
for platen_next in ${BOOT_ORDER}; do
	if test "${platen_boot}${platen_next}" = nonea; then
		if test ${BOOT_a_LEFT} -gt 0; then
			setexpr BOOT_a_LEFT ${BOOT_a_LEFT} - 1
			setenv platen_boot a
		fi
	fi
	if test "${platen_boot}${platen_next}" = noneb; then
		if test ${BOOT_b_LEFT} -gt 0; then
			setexpr BOOT_b_LEFT ${BOOT_b_LEFT} - 1
			setenv platen_boot b
		fi
	fi
done

# Neither has: both get theirs again, and the board starts over.
if test "${platen_boot}" = none; then
	setenv BOOT_a_LEFT 3
	setenv BOOT_b_LEFT 3
	saveenv
	reset
fi

# What cannot be counted is not tried.
if saveenv; then true; else
	if test "${platen_boot}${platen_trial}" = aa; then setenv platen_boot b; fi
	if test "${platen_boot}${platen_trial}" = bb; then setenv platen_boot a; fi
fi

if test "${platen_boot}" = b; then setenv platen_part @B@; setenv platen_root @ROOTB@; else setenv platen_part @A@; setenv platen_root @ROOTA@; fi
@LOAD@
reset
