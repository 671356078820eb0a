package fleet

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// makers reads the authorities of TPM makers; without files none is trusted.
func makers(paths []string) (*x509.CertPool, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	return pool, addFiles(pool, paths)
}

// addFiles adds the certificates of PEM files, or of folders of them.
func addFiles(pool *x509.CertPool, paths []string) error {
	for _, p := range paths {
		files, err := pemFiles(p)
		if err != nil {
			return fmt.Errorf("read an authority: %w", err)
		}
		for _, f := range files {
			if err := addFile(pool, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// pemFiles is the file itself, or those of a folder that are called .pem, .crt or .cer.
func pemFiles(path string) ([]string, error) {
	fi, err := os.Stat(path)
	if err != nil || !fi.IsDir() {
		return []string{path}, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if slices.Contains([]string{".pem", ".crt", ".cer"}, strings.ToLower(filepath.Ext(e.Name()))) {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if files == nil {
		return nil, fmt.Errorf("%s holds no file that is called .pem, .crt or .cer", path)
	}
	return files, nil
}

func addFile(pool *x509.CertPool, file string) error {
	rest, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read an authority: %w", err)
	}
	n := 0
	for block, more := pem.Decode(rest); block != nil; block, more = pem.Decode(more) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		pool.AddCert(cert)
		n++
	}
	if n == 0 {
		return fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return nil
}
