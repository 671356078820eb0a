package main

import (
	"bufio"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"platen/cross/rig"
	"platen/cross/rig/stage"
)

// TestKillAgent: only what the launcher has started is killed.
func TestKillAgent(t *testing.T) {
	other := exec.Command("sleep", "3600")
	if err := other.Start(); err != nil {
		t.Skipf("needs sleep: %v", err)
	}
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	launcher := exec.Command("sh", "-c", "sleep 3600 & echo started; wait; echo ended")
	out, err := launcher.StdoutPipe()
	if err == nil {
		err = launcher.Start()
	}
	if err != nil {
		t.Skipf("needs sh: %v", err)
	}
	said := bufio.NewScanner(out)
	if !said.Scan() {
		t.Fatal("the launcher does not start")
	}
	p := &printer{}
	p.boot = &stage.Process{Cmd: launcher}
	agent := p.agentPID()
	if err := p.killAgent(other.Process.Pid); err != nil {
		t.Fatal(err)
	}
	var ws syscall.WaitStatus
	if got, err := syscall.Wait4(other.Process.Pid, &ws, syscall.WNOHANG, nil); got != 0 || err != nil {
		t.Errorf("a process of somebody else was killed: %v", err)
	}
	if !slices.Contains(rig.Children(launcher.Process.Pid), agent) {
		t.Error("the agent has ended")
	}
	if err := p.killAgent(agent); err != nil {
		t.Fatal(err)
	}
	if !said.Scan() || strings.TrimSpace(said.Text()) != "ended" { // and the launcher goes on
		t.Error("the launcher did not see the end of its agent")
	}
	if err := launcher.Wait(); err != nil {
		t.Error(err)
	}
}
