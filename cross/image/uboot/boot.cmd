# What U-Boot runs, see the package comment. Lines that begin with # and blank ones are left
# out; @NAME@ is a place, see Script. Numbers are hexadecimal to most commands, but not to
# test, which is told by 0x.

pci enum
virtio scan
tpm2 init
tpm2 startup TPM2_SU_CLEAR

# A copy of the environment is a CRC of 4 bytes, a byte of flags, and the data. "env import -c"
# wants no flags: the CRC is moved up against the data.
setenv take 'if virtio read @BUF@ $at @ENVSECTORS@; then setexpr.b flags *@BUF+4@; cp.b @BUF@ @CRC@ 4; cp.b @CRC@ @BUF+1@ 4; env import -c @BUF+1@ @ENVDATA@ platen_slot upgrade_available bootcount bootlimit altbootcmd; else false; fi'

setenv best none
setenv at @ENV0@
if run take; then setenv best 0; setenv flags0 $flags; fi
setenv at @ENV1@
if run take; then
if test $best = none; then setenv best 1;
elif test 0x$flags = 0x0 -a 0x$flags0 = 0xff; then setenv best 1;
elif test 0x$flags = 0xff -a 0x$flags0 = 0x0; then setenv best 0;
elif test 0x$flags -gt 0x$flags0; then setenv best 1; fi
fi

# Again what counts, and where the next change goes: to the other copy.
if test $best = 0; then setenv at @ENV0@; run take; setenv next @ENV1@; fi
if test $best = 1; then setenv at @ENV1@; run take; setenv next @ENV0@; fi
setexpr flags $flags + 1
setexpr flags $flags '&' ff
setenv save 'env export -c -s @ENVDATA@ @BUF+1@ platen_slot upgrade_available bootcount bootlimit altbootcmd; cp.b @BUF+1@ @CRC@ 4; cp.b @CRC@ @BUF@ 4; mw.b @BUF+4@ $flags; virtio write @BUF@ $next @ENVSECTORS@'

if test $best = none; then
echo Platen: no environment is valid;
setenv platen_slot a; setenv upgrade_available 0;
fi
if test "$platen_slot" != b; then setenv platen_slot a; fi
if test $platen_slot = a; then setenv other b; else setenv other a; fi
setenv slot $platen_slot

# A trial: count this start before it happens. What cannot be counted is not tried.
if test "$upgrade_available" = 1; then
if test 0x$bootcount -ge 0x$bootlimit; then setenv slot $other;
else setexpr bootcount $bootcount + 1; if run save; then true; else setenv slot $other; fi; fi
fi

# start: the size first, then all of it. What is measured is what U-Boot checks after that,
# or it does not start.
setenv start 'echo Platen: slot $slot; if test $slot = a; then setenv at @FITA@; else setenv at @FITB@; fi; if virtio read @FIT@ $at 1; then if fdt addr @FIT@; then fdt header get size totalsize; setexpr size $size + 1ff; setexpr size $size / 200; if test 0x$size -le 0x@FITLIMIT@; then if virtio read @FIT@ $at $size; then run measure; bootm @FIT@#@CONF@; fi; fi; fi; fi'
setenv measure 'fdt addr @FIT@; fdt get addr d /images/kernel/hash-1 value; tpm2 pcr_extend 8 $d; fdt get addr d /images/ramdisk/hash-1 value; tpm2 pcr_extend 9 $d; fdt get addr d /images/fdt/hash-1 value; tpm2 pcr_extend 9 $d; fdt get addr d /configurations/@CONF@ platen,bootargs; tpm2 pcr_extend 9 $d; fdt get value bootargs /configurations/@CONF@ bootargs; setenv bootargs "$bootargs platen.slot=$slot"'
run start

# It was refused.
echo Platen: slot $slot does not start
if test $best = none; then setenv slot $other; run start; fi
if test $slot = $platen_slot; then setenv upgrade_available 1; setenv bootcount $bootlimit; else setenv bootcount 0; fi
if test "$upgrade_available" = 1; then run save; fi
sleep 1
reset
