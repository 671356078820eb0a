// Package bootscript prints what a firmware engineer gives a bootloader so that it starts one
// of two root file systems as packages updater/boot/{grub,uboot,rpi} tell it: a part of
// grub.cfg, variables or a script of U-Boot, an autoboot.txt. Start at [Print].
//
// The texts are the other end of those packages' environments, and their tests run them: by
// GRUB itself, and by a shell that has U-Boot's commands, on environments that the agent
// writes. What U-Boot's own counter does (bootcount) is U-Boot's.
//
// They are for boards with a bootloader of their own. The image that this project builds has
// its own, see cross/image.
package bootscript

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"platen/updater/boot/rpi"
	"platen/updater/slot"
)

var (
	//go:embed grub.cfg
	grubText string
	//go:embed uboot.env
	countText string
	//go:embed uboot-order.cmd
	orderText string
)

// Styles are the bootloaders, by the names that the agent's configuration has for them
// (update.rootfs.bootloader).
var Styles = []string{"uboot", "uboot-order", "grub", "rpi"}

// Board is what the bootloader has to know of a board. Of each pair the first is of root file
// system a.
type Board struct {
	Parts  [2]string // as the bootloader names the partitions: 5, 6 (uboot); hd0,gpt2 (grub); 2, 3 (rpi)
	Roots  [2]string // as the kernel does, in root=: /dev/mmcblk0p5, PARTUUID=…; not for rpi
	Device string    // uboot: interface and number, as in "mmc 0"
	Env    string    // grub: folder of the environment blocks, as GRUB names it: (hd0,gpt4)/platen
	Kernel string    // path of the kernel in each of the partitions
	FDT    string    // uboot: path of the device tree; "" for none
	Initrd string    // grub: path of the initial RAM disk; "" for none
	Boot   string    // uboot: command that starts the kernel, booti or bootz
	Args   string    // more for the kernel's command line
}

// plain is what may stand in a script without ending anything there.
var plain = regexp.MustCompile(`^[A-Za-z0-9 ._/:=,()@+-]*$`)

func (b Board) check(style string) error {
	for _, text := range []string{b.Parts[0], b.Parts[1], b.Roots[0], b.Roots[1], b.Device, b.Env, b.Kernel, b.FDT, b.Initrd, b.Boot, b.Args} {
		if !plain.MatchString(text) {
			return errors.New("names are made of letters, digits, spaces and ._/:=,()@+-")
		}
	}
	need := []string{b.Parts[0], b.Parts[1]}
	switch style {
	case "uboot", "uboot-order":
		need = append(need, b.Roots[0], b.Roots[1], b.Device, b.Kernel, b.Boot)
	case "grub":
		need = append(need, b.Roots[0], b.Roots[1], b.Env, b.Kernel)
	}
	if slices.Contains(need, "") || b.Parts[0] == b.Parts[1] {
		return fmt.Errorf("%s needs to know more of the board, and two different partitions", style)
	}
	return nil
}

// Print is the text for a bootloader, one of [Styles]: for grub a part of grub.cfg, for uboot
// lines for fw_setenv -s or mkenvimage, for uboot-order the text of a boot.scr, for rpi an
// autoboot.txt of 512 bytes that starts a.
func Print(style string, b Board) (string, error) {
	if err := b.check(style); err != nil {
		return "", err
	}
	switch style {
	case "grub":
		initrd := ""
		if b.Initrd != "" {
			initrd = "initrd " + b.Initrd
		}
		return b.fill(grubText, "@ENV@", b.Env, "@KERNEL@", b.Kernel, "@ARGS@", b.Args, "@INITRD@", initrd), nil
	case "uboot":
		return b.fill(countText, "@LOAD@", b.load("; ")), nil
	case "uboot-order":
		return b.fill(orderText, "@LOAD@", b.load("\n")), nil
	case "rpi":
		return b.autoboot()
	}
	return "", fmt.Errorf("there is no bootloader %q: use %s", style, strings.Join(Styles, ", "))
}

func (b Board) fill(text string, more ...string) string {
	pairs := append(more, "@A@", b.Parts[0], "@B@", b.Parts[1], "@ROOTA@", b.Roots[0], "@ROOTB@", b.Roots[1])
	var kept strings.Builder
	for line := range strings.Lines(strings.NewReplacer(pairs...).Replace(text)) {
		if trimmed := strings.TrimRight(line, " \t\n"); trimmed != "" || line == "\n" {
			kept.WriteString(trimmed + "\n")
		}
	}
	return kept.String()
}

// load is U-Boot's commands that start a kernel.
func (b Board) load(and string) string {
	args := strings.TrimSpace("root=${platen_root} panic=10 " + b.Args)
	lines := []string{`setenv bootargs "` + args + `"`}
	from := "load " + b.Device + ":${platen_part} "
	fdt := "${fdtcontroladdr}"
	start := "if " + from + "${kernel_addr_r} " + b.Kernel + "; then "
	end := "; fi"
	if b.FDT != "" {
		fdt = "${fdt_addr_r}"
		start, end = start+"if "+from+fdt+" "+b.FDT+"; then ", end+"; fi"
	}
	return strings.Join(append(lines, start+b.Boot+" ${kernel_addr_r} - "+fdt+end), and)
}

func (b Board) autoboot() (string, error) {
	var parts [2]int
	for i, text := range b.Parts {
		n, err := strconv.Atoi(text)
		if err != nil {
			return "", fmt.Errorf("rpi names boot partitions by numbers, not %q", text)
		}
		parts[i] = n
	}
	e, err := rpi.Open(rpi.Config{Open: func(slot.Mode) (slot.File, error) { return nil, errors.ErrUnsupported }, Partitions: parts})
	if err != nil {
		return "", err
	}
	return string(e.File(slot.A)), nil
}
