package boards

import (
	"fmt"
	"strings"
	"testing"
)

const pagesHead = `# Boards

This page is made from the files in this folder: ` + "`go test ./boards -update`" + `. Every figure in them says where it comes from;
"unsourced" has no source that was checked, "chosen" is ours. **A board that was "never on hardware" is a description,
not a promise**: its limits are those of the firmware's own configuration, its G-code ran on a simulated machine of its size, and nothing
of it has moved a motor yet. Start it with a hand at the switch, and measure what is unsourced first.

A board of your own: ` + "`platen boards show ID --file > mine.toml`, `platen boards check mine.toml`, and `board = \"mine.toml\"`" + ` in the
configuration. [board.schema.json](board.schema.json) tells editors what may stand in it. See the package's documentation for macros.

## What is common

**The TPM.** An SLB9670 module goes onto SPI0 of a Raspberry Pi (pins 17 to 26), at chip select 1; ` + "`dtparam=spi=on` and `dtoverlay=tpm-slb9670`" + `
in ` + "`config.txt`" + ` make it ` + "`/dev/tpmrm0`" + `. On other boards it is a node "infineon,slb9670" below the SPI controller that the file names,
in the device tree that you boot with. Without a TPM the agent does not start.

**The host.** The Debian package (` + "`make deb`" + `) brings binary, unit, udev rules and manual page; ` + "`platen doctor`" + ` says what is still missing, and
compares the machine with the board file.

**Firmware of the controller**, by what the file says:

| by_hand | how |
| --- | --- |
| sd-card | build Marlin for the board, copy firmware.bin to a FAT32 card, put it into the controller and switch it on; the file is renamed to FIRMWARE.CUR when it was taken. Creality's boards want another name each time |
| dfu | jumper BOOT0, press reset, ` + "`dfu-util -a 0 -s ADDRESS:leave -D firmware.bin`" + ` with the address of the application |
| uf2 | hold BOOTSEL while plugging in, copy firmware.uf2 to the drive that appears |
| avrdude | ` + "`avrdude -p atmega2560 -c wiring -P DEVICE -b 115200 -D -U flash:w:firmware.hex:i`" + `, or platen controller flash where the file has a table for it |
| bossa | jumper erase, ` + "`bossac -e -w -v -b firmware.bin -R`" + ` |
| vendor | only by the maker's own means |

With a table [flash], ` + "`platen controller flash`" + ` does it with the agent stopped, goes on after a power cut, and reads back; releases bring it along.

`

// page is what people read of a board.
func page(b *Board) string {
	var s strings.Builder
	fmt.Fprintf(&s, "## %s\n\n%s. ", b.ID, b.Name)
	if b.Tried == "" {
		s.WriteString("Never on hardware.\n\n")
	} else {
		fmt.Fprintf(&s, "Tried: %s.\n\n", b.Tried)
	}
	if b.Host.SoC != "" {
		fmt.Fprintf(&s, "- Host: %s, %d cores, from %d MiB; `%s`. Root file systems: %s.\n", b.Host.SoC, b.Host.Cores, b.Host.RAM>>20, strings.Join(b.Targets, "`, `"), b.Slots.Root)
	}
	fmt.Fprintf(&s, "- Controller: %s %s, `%s` at %d baud.", b.Controller.MCU, b.Controller.Dialect, b.Controller.Device, b.Controller.Baud)
	if b.Controller.ByHand != "" {
		fmt.Fprintf(&s, " By hand: %s.", b.Controller.ByHand)
	}
	if b.Flash.Method != "" {
		fmt.Fprintf(&s, " platen controller flash: %s.", b.Flash.Method)
	}
	s.WriteString("\n")
	if b.TPM == "" {
		s.WriteString("- TPM: none.\n")
	} else {
		fmt.Fprintf(&s, "- TPM: %s on %s, chip select %d, `%s`.\n", b.Chip.Part, b.Chip.Bus, b.Chip.Select, b.Chip.Overlay)
	}
	if b.Dog.Device != "" {
		fmt.Fprintf(&s, "- Watchdog: `watchdog = %q`, %s, `watchdog_time` up to %v.\n", b.Dog.Device, b.Dog.Driver, b.Dog.Max)
	}
	fmt.Fprintf(&s, "- Volume: %v by %v by %v.\n", b.Limits.Max[0]-b.Limits.Min[0], b.Limits.Max[1]-b.Limits.Min[1], b.Limits.Max[2]-b.Limits.Min[2])
	for _, n := range b.Notes {
		fmt.Fprintf(&s, "- %s\n", n)
	}
	s.WriteString("\n")
	return s.String()
}

// TestPages holds README.md against the files: what is not said there of a board is said
// nowhere.
func TestPages(t *testing.T) {
	var s strings.Builder
	s.WriteString(pagesHead)
	hosts := map[string]bool{}
	for _, id := range List() {
		if strings.HasPrefix(id, "sim") {
			continue
		}
		b, err := Load(id)
		if err != nil {
			t.Fatal(err)
		}
		if b.Host.SoC == "" || b.Controller.MCU == "" || b.Controller.ByHand == "" || len(b.Notes) == 0 {
			t.Errorf("%s does not say its host, its controller, how that is flashed, or how it is wired", id)
		}
		if b.TPM != "" && (b.Chip.Part == "" || b.Chip.Bus == "" || b.Chip.Overlay == "") || b.Driven() && b.Dog.Device == "" {
			t.Errorf("%s does not say how its TPM is wired, or which watchdog it has", id)
		}
		hosts[b.Host.SoC] = true
		s.WriteString(page(b))
	}
	if len(hosts) < 10 {
		t.Errorf("%d kinds of hosts are described", len(hosts))
	}
	golden(t, "README.md", []byte(strings.TrimSpace(s.String())+"\n"))
}
