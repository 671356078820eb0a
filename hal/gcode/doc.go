// Package gcode is the line engine between motion operations and a controller that
// speaks the Marlin protocol: it encodes operations ([Encoder]), numbers, checks
// and repeats lines ([Link]), and reads replies ([Splitter], [Parse]).
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
// Learned from recordings of Marlin 2.0.9, Prusa 3.14 and Ultimaker's Marlin 1:
// every line that is executed is answered by one ok, in order, once its command is
// done or in the planner. A line with a wrong checksum or number is answered by
// Error, Resend: N and one ok, at once, and what is then in the receive buffer is
// thrown away; lines still on their way are refused one by one in the same manner.
// Lines before N that wait in the queue are executed, and their oks come later.
// M110 is taken whatever its number. A line without a number is executed whatever
// its checksum.
//
// # How it works
//
//   - A sent line stays in a ring of 64 until long after its ok, because an ok may
//     have been meant for something else. The number of an ok'd line is a guess that
//     paces the sending; it never decides what is sent.
//   - Proof comes from sync lines: a numbered M105 is answered by "ok T:", which
//     nothing else sends. It proves that every line up to it was executed. A plain ok
//     never counts for a sync line, so that false oks can run ahead by no more than
//     the lines between two syncs: 32 of them, and 4 after any fault. Firmware with
//     ADVANCED_OK names the line in its ok and proves each one.
//   - A line follows another that has no ok yet only after 30 ms, when a bad one would
//     have been refused. Behind a refused line nothing may be on the wire: Marlin
//     throws away what has arrived, and if that cuts the next line right behind its
//     number, the rest is a command without a number, which it executes unchecked.
//     While the planner is full the window fills all the same; else oks come at once.
//   - After a Resend the link is quiet until everything on the wire has surely
//     arrived and been refused, then repeats from the line asked for, and takes one
//     line at a time until an ok shows that the firmware follows.
//   - If nothing moves for [Config].Stall although the firmware does not say that it is
//     busy, the link sends a sync line; if that stays without answer as well, a line
//     with a number that cannot be right. It is not executed; the Resend that
//     answers it names the line the firmware waits for.
//   - Numbering starts with M110 N0 and a sync line, and starts again after 99,999
//     lines once everything before is proven, so that lines stay short.
//
// # Failures
//
// A burst that eats exactly the number of a line ("N12 ") and nothing else leaves a
// command that Marlin executes unchecked. A single lost or damaged byte cannot do
// that; a burst can come from an overrun buffer, which the window rules out.
// Extrusion is sent as absolute positions (M82), so that even such a line moves the
// filament to where it would have gone anyway.
package gcode
