package boards

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Host is the computer that Platen runs on.
type Host struct {
	SoC        string
	Cores      int
	RAM        int64    // bytes, of the smallest that is sold
	Compatible []string // what its device tree calls itself; empty if it has none
}

// TPMChip is how the TPM is wired; all of it is for people and platen doctor.
type TPMChip struct {
	Part    string // "SLB9670"; "" if the board has none
	Bus     string // "spi0"
	Select  int    // its chip select
	Overlay string // of the device tree, that makes the kernel see it
}

// Watchdog is the board's hardware watchdog.
type Watchdog struct {
	Device string        // "/dev/watchdog"; "" is none
	Driver string        // of the kernel
	Max    time.Duration // the longest it can be told to wait; 0 if it does not matter
}

type fileHost struct {
	SoC        string   `toml:"soc" doc:"the processor"`
	Cores      int      `toml:"cores" doc:"how many it has"`
	RAM        memory   `toml:"ram" doc:"of the smallest that is sold"`
	Compatible []string `toml:"compatible" need:"optional" doc:"names in /proc/device-tree/compatible, any of which it has"`
}

type fileTPM struct {
	Device  string `toml:"device" doc:"the TPM's resource manager; \"\" if the board has none"`
	Part    string `toml:"part" need:"optional" doc:"the chip that is fitted or recommended"`
	Bus     string `toml:"bus" need:"optional" doc:"where it is wired"`
	Select  int    `toml:"chip_select" need:"optional" doc:"its chip select on that bus"`
	Overlay string `toml:"overlay" need:"optional" doc:"overlay or node of the device tree that makes the kernel see it"`
}

type fileWatchdog struct {
	Device string   `toml:"device" doc:"what the agent is to open"`
	Driver string   `toml:"driver" doc:"of the kernel"`
	Max    duration `toml:"max" doc:"the longest it can be told to wait"`
}

// memory is a number of bytes.
type memory int64

// UnmarshalText reads "1024MiB".
func (m *memory) UnmarshalText(text []byte) error {
	digits, ok := strings.CutSuffix(string(text), "MiB")
	v, err := strconv.ParseInt(digits, 10, 32)
	if !ok || err != nil || v < 1 {
		return fmt.Errorf("%q is not an amount of memory: write it as \"1024MiB\"", text)
	}
	*m = memory(v << 20)
	return nil
}

// host fills in what a file says of the computer and checks it.
func (f *file) host(b *Board) error {
	b.Host = Host{f.Host.SoC, f.Host.Cores, int64(f.Host.RAM), f.Host.Compatible}
	b.TPM, b.Chip = f.TPM.Device, TPMChip{f.TPM.Part, f.TPM.Bus, f.TPM.Select, f.TPM.Overlay}
	b.Dog = Watchdog{f.Watchdog.Device, f.Watchdog.Driver, time.Duration(f.Watchdog.Max)}
	switch {
	case b.Host.SoC != "" && (b.Host.Cores < 1 || b.Host.Cores > 64):
		return errors.New("host.cores is 1 to 64")
	case b.Dog.Device != "" && b.Dog.Max < time.Second:
		return errors.New("watchdog.max is 1s or more")
	case b.Chip.Select < 0 || b.Chip.Select > 15:
		return errors.New("tpm.chip_select is 0 to 15")
	}
	return nil
}
