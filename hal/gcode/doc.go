// Package gcode is the line engine between motion operations and a controller: it
// encodes operations ([Encoder]), numbers, checks and repeats lines as the Marlin
// protocol has it ([Link]) or counts the characters of lines without numbers as GRBL
// has it ([Counter]), and reads replies ([Splitter], [Parse]).
//
// It has no goroutine, no clock and no port: a driver feeds it what was read and
// the time, and writes what it hands out. Everything works in fixed memory; in
// steady state nothing is allocated.
//
// # Requirements
//
//   - Every line is executed exactly once and in order, or the link fails. No lost,
//     doubled, damaged or invented reply and no lost or damaged byte of a line may
//     lead to a line left out or executed twice.
//   - The receive buffer of the firmware (96 to 128 bytes) and its command queue
//     (4 lines) are never overrun, and one slot of the queue stays free, so that a
//     bare M112 is read at once even by firmware without EMERGENCY_PARSER (such
//     firmware acts on M112 when it moves a line from the buffer to the queue).
//   - The link goes on by itself after any number of such faults; it gives up, with an
//     error, only if nothing gets through any more.
//
// # What the firmware does
//
// Learned from recordings of Marlin 2.0.9, Prusa 3.14, Repetier 1.0 and Ultimaker's
// Marlin 1: every line that is executed is answered by one ok, in order, once its
// command is done or in the planner. A line with a wrong checksum or number is answered
// by Error, Resend: N and one ok, at once, and what is then in the receive buffer is
// thrown away; lines still on their way are refused one by one in the same manner.
// Lines before N that wait in the queue are executed, and their oks come later.
// M110 is taken whatever its number. Beyond that they differ:
//
//   - Marlin 2 executes a line without a number whatever its checksum, so that the end of
//     a line whose beginning was thrown away is a command if it begins with one. Its line
//     buffer takes characters back for backspaces (queue.cpp, process_stream_char).
//   - Marlin 1 and Prusa refuse a checksum without a number, Marlin 1 without asking for
//     anything and without an ok. They take a line up to its first asterisk and swallow
//     what is behind it: a lost line feed glues two lines into one good one.
//   - Repetier says "skip" to lines behind a bad one until the line that it wants comes.
//
// # How it works
//
//   - A sent line stays in a ring of 128 until long after its ok, because an ok may
//     have been meant for something else. The number of an ok'd line is a guess that
//     paces the sending; it never decides what is sent.
//   - Proof comes from sync lines: a numbered M105 is answered by "ok T:", which
//     nothing else sends. It proves that every line up to it was executed. A plain ok
//     never counts for a sync line, so that false oks can run ahead by no more than
//     the lines between two syncs: 32 of them, and 4 after any fault. There is one sync
//     line at a time, so that a doubled answer proves nothing. Firmware with ADVANCED_OK
//     names the line in its ok; out of turn it takes two such oks, because a digit may
//     be damaged.
//   - After a Resend the link is quiet until everything on the wire has surely
//     arrived and been refused, then repeats from the line asked for, and takes one
//     line at a time until an ok shows that the firmware follows.
//   - If nothing moves for [Config].Stall although the firmware does not say that it is
//     busy, the link sends a sync line; if that stays without answer as well, a line
//     with a number that cannot be right. It is not executed; the Resend that
//     answers it names the line the firmware waits for.
//   - Numbering starts with M110 N0 and a sync line, and starts again after 999 lines
//     once everything before is proven, so that lines stay short.
//
// # How far lines go ahead
//
// What may be on the wire behind a line that is not known to be good is decided by what
// the firmware would make of its end, if the line before is refused and the receive
// buffer thrown away in the middle of it ([Config].Window):
//
//   - [WindowOpen], where it makes nothing of it (it refuses a checksum without a number)
//     or where no byte is ever damaged (native USB): lines follow each other at once. A
//     Loose link keeps them apart by an empty line, and frames none that one flipped bit
//     turns into another good one: a point becomes an asterisk, and the digits behind it
//     happen to be the checksum of what is before it. That guards against one damaged
//     byte. Noise over three lines in a row has made one move of two on a simulated
//     Ultimaker, so that on a UART such firmware gets one line at a time all the same.
//   - [WindowSpaced], for Marlin 2: a line follows one without an ok only after 30 ms,
//     when a bad one would have been refused. While the planner is full the window fills
//     all the same. When it is not, one line is in flight, and the wire stands still for
//     the time of an answer: about 0.4 ms of 1.6 ms a line at 250000 baud.
//   - [WindowTail], for Marlin 2 with its backspaces: as before, but all bytes of the next
//     line except for the line feed go ahead. Nothing is executed before its line feed,
//     so that the wire is busy all the time: 800 lines a second at 250000 baud. If the
//     line before is refused, or if anything has come that may have been a Resend once,
//     backspaces empty the line buffer whatever is left in it, before anything else. Any
//     fault suspends this for 64 lines.
//
// With one in a thousand lines damaged, a link goes at 98 % of its rate on a sound line.
//
// # Failures
//
// No single lost, damaged, doubled or invented byte, line or reply leads to a wrong move;
// the tests try them all, with controls that show that each measure is needed. Two at
// once can, and so rarely that the checksum itself is the weaker part: it lets two
// flipped bits in one column of a line pass, once in 16 million lines if one in 1,000 is
// damaged. With WindowTail, the damage of a line and, within the 1 ms until it is taken
// back, that of a backspace into a line feed (of 20 backspaces, in one bit of eight), if
// the buffer was cut exactly between number and command (one place in 28): once in 300
// million such lines. A burst, as an overrun buffer makes, may do anything; the window
// rules overruns out. Extrusion is sent as absolute positions (M82), so that even such a
// line moves the filament to where it would have gone anyway.
//
// # Lines without numbers
//
// A [Counter] trusts the link: GRBL offers nothing that protects a line. See package
// grbl for where that is good enough.
package gcode
