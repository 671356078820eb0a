package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"platen/cross/rig"
)

// firmware is what QEMU starts the machine with, once an image was made.
func (m *maker) firmware() ([]string, error) {
	if m.boot == "efi" {
		return m.edk2()
	}
	bios, err := installed("usr/lib/u-boot/qemu_arm64/u-boot.bin", "u-boot-qemu")
	return []string{"-bios", bios, "-dtb", m.control}, err
}

// edk2 is EDK2 in one flash, and in another one its variables, which outlive power cuts.
func (m *maker) edk2() ([]string, error) {
	code, err := installed("usr/share/AAVMF/AAVMF_CODE.fd", "qemu-efi-aarch64")
	if err != nil {
		return nil, err
	}
	variables := filepath.Join(m.dir, "efi-variables.fd")
	if _, err := os.Stat(variables); errors.Is(err, fs.ErrNotExist) {
		empty, err := installed("usr/share/AAVMF/AAVMF_VARS.fd", "qemu-efi-aarch64")
		if err != nil {
			return nil, err
		}
		b, err := os.ReadFile(empty)
		if err == nil {
			err = os.WriteFile(variables, b, 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("make the firmware's variables: %w", err)
		}
	}
	return []string{"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + code, "-drive", "if=pflash,unit=1,format=raw,file=" + variables}, nil
}

// installed is where a file of a Debian package is, on this machine or among the project's own tools.
func installed(path, pkg string) (string, error) {
	for _, root := range []string{rig.ToolsDir(), "/"} {
		at := filepath.Join(root, path)
		if _, err := os.Stat(at); err == nil {
			return at, nil
		}
	}
	return "", fmt.Errorf("/%s is not there: install %s (make rig-deps)", path, pkg)
}
