package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"platen/agent/cli"
	"platen/updater/boot/bootscript"
)

func bootloaderCmd() *cobra.Command {
	var b bootscript.Board
	c := &cobra.Command{
		Use:   "bootloader " + strings.Join(bootscript.Styles, "|") + " --a PART --b PART",
		Short: "Print what a board's bootloader needs for two root file systems",
		Long: `Bootloader prints, for a board with a bootloader of its own, what makes it start the root
file system that the printer's agent names, and go back from one that does not come up:

    uboot         variables, for mkenvimage or fw_setenv -s; U-Boot counts (CONFIG_BOOTCOUNT_ENV)
    uboot-order   a script, for mkimage -T script; it counts by itself (BOOT_ORDER)
    grub          a part of grub.cfg
    rpi           autoboot.txt

The same name is update.rootfs.bootloader in the printer's configuration.`,
		Example: `  platen-ota bootloader grub --a hd0,gpt2 --b hd0,gpt3 --root-a /dev/sda2 --root-b /dev/sda3 --env '(hd0,gpt4)/platen' --kernel /vmlinuz
  platen-ota bootloader uboot --a 5 --b 6 --root-a /dev/mmcblk0p5 --root-b /dev/mmcblk0p6 --device 'mmc 0' --kernel /boot/Image
  platen-ota bootloader rpi --a 2 --b 3 > autoboot.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := bootscript.Print(args[0], b)
			if err != nil {
				return cli.Usage("%v; see platen-ota bootloader --help", err)
			}
			_, err = io.WriteString(c.OutOrStdout(), text)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&b.Parts[0], "a", "", "partition of root file system a, as the bootloader names it")
	f.StringVar(&b.Parts[1], "b", "", "that of b")
	f.StringVar(&b.Roots[0], "root-a", "", "the same as the kernel names it, for root=")
	f.StringVar(&b.Roots[1], "root-b", "", "that of b")
	f.StringVar(&b.Device, "device", "mmc 0", "uboot: interface and device")
	f.StringVar(&b.Env, "env", "", "grub: folder of the environment blocks")
	f.StringVar(&b.Kernel, "kernel", "", "path of the kernel, in each of the two")
	f.StringVar(&b.FDT, "fdt", "", "uboot: path of the device tree (default: U-Boot's own)")
	f.StringVar(&b.Initrd, "initrd", "", "grub: path of the initial RAM disk")
	f.StringVar(&b.Boot, "boot", "booti", "uboot: command that starts the kernel: booti, bootz")
	f.StringVar(&b.Args, "args", "", "more for the kernel's command line")
	return c
}
