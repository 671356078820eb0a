package pid1

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	readyTime = 5 * time.Minute
	readyPoll = 20 * time.Millisecond
	hertz     = 100 // USER_HZ on every architecture of ours
)

// awaitReady waits until the agent answers at its socket and says what that took.
func (b *board) awaitReady() {
	for end := time.Now().Add(readyTime); time.Now().Before(end); time.Sleep(readyPoll) {
		if c, err := net.Dial("unixpacket", runDir+"/agent.sock"); err == nil {
			_ = c.Close()
			b.say("agent ready %s", usage("/proc"))
			return
		}
	}
}

// usage is the board's uptime, the processors' work since the kernel started, and the memory
// that is in use, as the kernel counts them.
func usage(proc string) string {
	up, _ := os.ReadFile(proc + "/uptime")
	stat, _ := os.ReadFile(proc + "/stat")
	mem, _ := os.ReadFile(proc + "/meminfo")
	uptime, _, _ := strings.Cut(string(up), " ")
	return fmt.Sprintf("uptime_s=%s cpu_s=%.2f memory_kib=%d", uptime, busy(string(stat)), inUse(string(mem)))
}

// busy is the seconds of all processors in which they did anything (proc(5), /proc/stat).
func busy(stat string) float64 {
	line, _, _ := strings.Cut(stat, "\n")
	f := strings.Fields(line)
	var sum uint64
	for i, v := range f {
		if n, err := strconv.ParseUint(v, 10, 64); err == nil && i != 4 && i != 5 && i < 9 { // without idle and iowait
			sum += n
		}
	}
	return float64(sum) / hertz
}

// inUse is the memory in KiB that could not be had by whoever asked (/proc/meminfo).
func inUse(meminfo string) (kib int64) {
	for line := range strings.Lines(meminfo) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "MemTotal:":
			kib += n
		case "MemAvailable:":
			kib -= n
		}
	}
	return kib
}
