// Package gcodefile turns a pre-sliced file into a motion.Program. It is strict:
// what it does not know, it refuses, with the number of the line and a reason.
// Nothing of the file is ever passed on to a machine; a machine gets operations,
// and writes its own commands for them.
//
// Start at [Program], which reads, slows down to what the machine can do
// (envelope.Fit) and guards (envelope.Check), and at [Check], which does the same
// without a machine. [New] gives the bare parser, for whoever guards a larger
// program of which the file is a part.
//
// # What it knows
//
// The files that PrusaSlicer, OrcaSlicer, Cura and platen-slice write for Marlin
// and its relatives:
//
//	G0 G1 G2 G3      moves; arcs and helices by I and J or R, as chords within 5 µm
//	G4 M400          pauses; waiting for the last move
//	G10 G11 M207     retraction by the firmware, done here
//	G17 G20 G21      plane, inches, millimetres
//	G28              homing
//	G29 G32 G80      levelling, by the means the board has; M420 S1: as probed before
//	G90 G91 M82 M83  absolute and relative; where firmwares differ, filament is refused
//	G92              the filament's position; that of an axis only to what it is
//	T M104 M109 M140 M190 M141 M191 M106 M107   tools, heaters, fans
//	M204 M220 M221 M900 M572    acceleration, shares of feed and filament, pressure advance
//	M0 M1 M600 M601  wait for someone
//	M17 M18 M84      motors
//	M862.1 to .3     refused unless it is this nozzle and this printer
//
// Left out, because no move depends on it: M73 to M77, M105, M114, M115, M117, M118,
// M150, M240, M300, M486, M555, M862.4 to .6, M907 E, and the limits that M201, M203, M205,
// M209 and M566 set, because those of the board hold. Layers and kinds of lines
// come from comments (;LAYER_CHANGE, ;LAYER:, ;Z:, ;TYPE:).
//
// # Numbers
//
// A number has nine decimals, exactly; lengths are rounded once, to 1/65536 mm.
// What rounding leaves of the filament is kept for the next move. Exponents, hex,
// NaN and numbers of 10^9 are refused, and so is an E right behind a digit, which
// one firmware reads as an exponent and the next as the filament.
//
// # Memory
//
// One line of at most 256 bytes, without comments, and a buffer of 16 KiB,
// however long the file; no allocation for a line.
package gcodefile
