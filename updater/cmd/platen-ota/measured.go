package main

import (
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"platen/agent/cli"
	"platen/updater/approval"
)

// measuredParts reads the values of --measured.
func measuredParts(list []string) (digests []approval.Digest, err error) {
	for _, text := range list {
		var d approval.Digest
		if d.UnmarshalText([]byte(text)) == nil {
			digests = append(digests, d)
			continue
		}
		files := []string{text}
		if st, err := os.Stat(text); err == nil && st.IsDir() {
			if files, err = filepath.Glob(filepath.Join(text, "*.toml")); err != nil || len(files) == 0 {
				return nil, cli.Usage("--measured %s: a folder without board files", text)
			}
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				return nil, cli.Usage("--measured %s: neither a SHA-256 digest nor a file or folder that can be read", text)
			}
			digests = append(digests, sha256.Sum256(b))
		}
	}
	return digests, nil
}

// registers reads values of --pcr: INDEX=SHA256, which any register but that of the agents may
// be, or FILE:BOOTLOADER.
func registers(flags []string) (list []approval.PCR, err error) {
	for _, text := range flags {
		index, value, ok := strings.Cut(text, "=")
		n, err := strconv.ParseUint(index, 10, 8)
		more := []approval.PCR{{Index: uint8(n)}}
		switch {
		case ok && err == nil && more[0].Value.UnmarshalText([]byte(value)) == nil:
		case ok:
			return nil, wrongRegister(text)
		default:
			if more, err = foretold(text); err != nil {
				return nil, err
			}
		}
		for _, p := range more {
			if p.Index > 23 || p.Index == approval.AgentPCR || slices.ContainsFunc(list, func(q approval.PCR) bool { return q.Index == p.Index }) {
				return nil, wrongRegister(text)
			}
			list = append(list, p)
		}
	}
	return list, nil
}

func wrongRegister(text string) error {
	return cli.Usage("--pcr %s: write a register other than %d once, from 0 to 23, and its value in hexadecimal", text, approval.AgentPCR)
}

// foretold reads the registers of an image as they are after a start by one of its
// bootloaders, from the file pcrs.json that the image's build leaves.
func foretold(text string) ([]approval.PCR, error) {
	file, boot := text, ""
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		file, boot = text[:i], text[i+1:]
	}
	b, err := os.ReadFile(file)
	var all map[string][]approval.PCR
	if err != nil || json.Unmarshal(b, &all) != nil || len(all[boot]) == 0 {
		return nil, cli.Usage("--pcr %s: neither INDEX=SHA256 nor FILE:BOOTLOADER, with the pcrs.json of an image and uboot or efi", text)
	}
	return all[boot], nil
}
