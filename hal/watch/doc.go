// Package watch supervises a machine from the host: it looks at what the controller
// reports and at what the sensors of the box say, and stops the machine when they do
// not go together.
//
// Start at [Over]: it puts a supervisor over any hal.Machine and is one itself, so
// that whoever has a machine cannot go around it. It notes the temperatures and fans
// that programs ask for, looks at the state a few times a second, and on a trip calls
// Halt, after which Run returns a hal.FaultError with the fault of the [Reason].
//
// Firmware has protection of its own, which acts first where it is built in. This is
// for builds that lack it, for tables that are wrong, for sensors that lie, and for a
// controller that heats what nobody asked it to.
//
// # What can be seen from here
//
// A report has for each heater a temperature, a target and, from most firmware, the
// share of power. From these follows:
//
//   - a dead heater, once the reading has not risen for a while though it should, or
//     has been below its target for long enough ([HeatingFailed], [Runaway]);
//   - a heater that cannot be switched off, once the reading rises far above a target,
//     or rises with none ([StuckOn]);
//   - a reading beyond what the machine can have, or one that jumps faster than
//     anything warms or cools ([SensorRange], [SensorJump]);
//   - a reading that stands still although the power changes or is full, or that does
//     not fall once heat is off ([SensorStuck]);
//   - a target that takes more and more power to hold ([SensorDrift]);
//   - a reading that is off by tens of degrees, while everything is cold and a second
//     reading tells ([SensorDisagrees]): heating is refused then;
//   - a target that nobody asked for, or that is not kept ([ForeignTarget]);
//   - reports that no longer come ([Stale]).
//
// A thermistor that sticks exactly at its target looks like a healthy one until the
// target, the power or a fan changes, and one that drifts until the power has risen by
// Tuning.Swing: no rule here can see it before that. What bounds the heat until then is
// the heater's own full power.
package watch
