// Package pid1 is the init of an image: the first process, which makes of a kernel and a
// root in memory a board that runs platen, and nothing else. Start at [Run].
//
// # Order
//
// File systems of the kernel; modules, by the list in the root; what is hardened by sysctl;
// the partitions of the board's disk, by their names, on the one disk that has all of them; the
// config partition, which is copied into /etc/platen; the watchdog, if that names one; the
// clock; the encrypted state, formatted if it is new; modules and kexec are closed for good and
// the root becomes read-only; the network, which is tried again for as long as it fails; the
// first release, if no slot was ever filled; the console and the launcher ("platen boot", or
// "platen run" without slots), started again when they end. Orphans are reaped. What cannot be
// done is said on the console, and the board restarts: its bootloader then counts a failed
// start. A panic of the init makes the kernel restart (panic=-1).
//
// # What the root holds
//
//	/init                       this program
//	/platen                     the agent, which runs if neither slot can
//	/lib/modules/order          names of modules, one a line, as they are loaded; "-" before
//	                            one that may fail
//	/lib/modules/NAME.ko
//	/lib/state                  an empty file system, see package volume
//	/etc/platen/                configuration built into the image
//	/etc/release                number of the release, and the time it was built (Unix seconds)
//	/etc/approver.pub           who approves boots, if anybody: see package volume
//
// # What it makes
//
//	/dev/platen/{env,config,a,b,state}   partitions
//	/run/slot                            "a" or "b": which slot the bootloader started
//	/etc/platen/                         with what the config partition adds or replaces
//	/state, /slots                       the encrypted state; slots alone may be executed
//
// The same program as another process is "init reboot [ARG]", "init poweroff", which ask the
// first one, and "init console TTY", which serves the console (package console) if the
// kernel's command line has platen.console=TTY; "usage" there is what the board has used so far.
package pid1
