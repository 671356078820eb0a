package main

import (
	"errors"
	"testing"

	"platen/updater/boot/boottest"
)

func TestCuts(t *testing.T) {
	for name, fw := range boottest.Boards {
		t.Run(name, func(t *testing.T) {
			n, err := cuts(fw, sane, plan{100, 100, 100, 1})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d states", n)
		})
	}
}

func TestCutsNotice(t *testing.T) {
	for name, b := range map[string]bug{"armed early": armedEarly, "not read back": unread, "syncs swapped": syncsSwapped} {
		n, err := cuts(boottest.Boards["uboot-count"], b, plan{10, 1000, 1, 1})
		var is broken
		if !errors.As(err, &is) {
			t.Errorf("%s: %v after %d states", name, err, n)
		}
		t.Log(name, err)
	}
}
