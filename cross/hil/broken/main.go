// Command broken is what a deliberately bad release has in the place of platen: it says so on the
// console and restarts the board where that is to start an agent, so that its root file system starts
// and gets nowhere. Whatever else it is asked it does not do.
package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "boot" {
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "broken on purpose")
	time.Sleep(time.Second) // until a slow console has said it
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
