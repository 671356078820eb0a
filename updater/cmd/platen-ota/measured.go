package main

import (
	"crypto/sha256"
	"os"

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
		b, err := os.ReadFile(text)
		if err != nil {
			return nil, cli.Usage("--measured %s: neither a SHA-256 digest nor a file that can be read", text)
		}
		digests = append(digests, sha256.Sum256(b))
	}
	return digests, nil
}
