// Package scenario runs the scripts of testdata/script against the real binaries:
// the commands as they are shipped, stock age, a software TPM, and a simulated
// printer on a pseudo terminal.
//
// The package is its test. A script is a testscript (see go doc
// github.com/rogpeppe/go-internal/testscript) with a folder of its own, in which
// these commands act besides the usual ones:
//
//	printer [SIM-FLAGS]   a TPM, a simulated printer at ./tty and an agent, ready for a job
//	sim [FLAGS]           a simulated printer alone, in place of the one before; ! sim: none
//	agent                 an agent of ./platen.toml; waits until it can take a job; "! agent" ends it
//	platen ARGS           platen with --config platen.toml
//	exits CODE COMMAND    a command that ends with this exit code
//	await REGEXP ARGS     platen ARGS again and again until its output matches
//	said REGEXP           waits until the simulated printer says it; ! said: it has not
//	logged REGEXP         waits until the agent or a session logs it; ! logged: it has not
//	fleet [CUT]           the operator's side in ./fleet, $FLEET; downloads break once after CUT bytes
//	told REGEXP           waits until the fleet says it
//	mark                  said and logged look at what comes from here on
//	pids                  sets $AGENT and $SESSION to the ids of the two processes
//	signal KILL|TERM PID  sends a signal and waits until the process is gone
//	signal STOP PID       stops a process where it is
//	sockets PID           prints the listening network sockets of a process
//	alone                 from here on agents have a network namespace of their own (needs root)
//	scan PID              tries all ports of the namespace that a process is alone in; prints what answers or listens
//	stick NAME FS TABLE [FILE[=PATH]...]  plugs in a USB stick with files; ! stick NAME: pulls it out
//	hostile ROOM...       files of testdata/hostile, each refused by a session of its own
//	large OUT BYTES       writes a sound model of so many bytes
//	descriptors PID       prints what a process has open, one kind a line
//
// Every script that shows that something does not happen also shows that it would
// have been noticed. Add a script for each bug that is fixed.
package scenario
