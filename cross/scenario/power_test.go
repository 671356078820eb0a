package scenario

import (
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"platen/cross/rig"
)

// cmdPower cuts the power of everything at once, or gives it back: power off, and
// power on [flags of the simulated printer]. Off, agent and session are stopped where they
// are, then the printer's axes stop where they are, and then nothing of all that is left
// but disks, the TPM's memory and the place of the axes.
func cmdPower(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 || args[0] != "on" && args[0] != "off" {
		ts.Fatalf("power on [FLAG ...] or power off")
	}
	w := worldOf(ts)
	if args[0] == "on" {
		cmdSim(ts, false, args[1:])
		cmdAgent(ts, false, nil)
		return
	}
	agent := w.agent.cmd.Process.Pid
	session, err := child(agent)
	ts.Check(err)
	for _, pid := range []int{agent, session} {
		ts.Check(rig.Freeze(pid))
	}
	w.stop(w.sim)
	w.sim = nil
	for _, pid := range []int{session, agent} {
		ts.Check(syscall.Kill(pid, syscall.SIGKILL))
	}
	<-w.agent.done
	w.agent.pipe.Close()
	w.agent = nil
	ts.Check(w.swtpm.Reset(w.ctx()))
}
