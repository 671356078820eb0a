// Command platen-init is the first process of an image, /init. See package pid1.
package main

import (
	"fmt"
	"os"

	"platen/agent/pid1"
)

func main() {
	if err := pid1.Main(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "platen-init:", err)
		os.Exit(1)
	}
}
