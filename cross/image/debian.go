package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrFetch reports that Debian's packages cannot be had: most likely there is no network.
var ErrFetch = errors.New("a package of Debian cannot be fetched")

// debian fetches packages of another architecture by an apt root of its own.
type debian struct {
	dir   string // cache
	arch  string
	suite string
}

const (
	mirror  = "http://deb.debian.org/debian"
	suite   = "bookworm"
	fixes   = "http://deb.debian.org/debian-security" // of the suite's -security
	keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// apt runs a program of apt on the private root.
func (d debian) apt(ctx context.Context, dir, program string, args ...string) (string, error) {
	root, err := filepath.Abs(filepath.Join(d.dir, "apt"))
	if err != nil {
		return "", err
	}
	opts := []string{"-qq", "-o", "Dir::State=" + root, "-o", "Dir::State::status=" + root + "/status", "-o", "Dir::Cache=" + root + "/cache",
		"-o", "Dir::Etc::sourcelist=" + root + "/sources.list", "-o", "Dir::Etc::sourceparts=-", "-o", "APT::Architecture=" + d.arch,
		"-o", "APT::Architectures=" + d.arch, "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=3", "-o", "Debug::NoLocking=1"}
	cmd := exec.CommandContext(ctx, program, append(opts, args...)...)
	var errs bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &errs
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, args[0], err, strings.TrimSpace(errs.String()))
	}
	return string(out), nil
}

// fetch returns the file of a package, following a meta package to the one it stands for.
// What the cache has is used again.
func (d debian) fetch(ctx context.Context, name string) (string, error) {
	note := filepath.Join(d.dir, name+"."+d.arch)
	if file, err := os.ReadFile(note); err == nil {
		if _, err := os.Stat(filepath.Join(d.dir, string(file))); err == nil {
			return filepath.Join(d.dir, string(file)), nil
		}
	}
	if err := d.update(ctx); err != nil {
		return "", fmt.Errorf("%w: %w", ErrFetch, err)
	}
	real := name
	if strings.HasPrefix(name, "linux-image-") {
		text, err := d.apt(ctx, d.dir, "apt-cache", "depends", name)
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(text) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok && strings.HasPrefix(v, "linux-image-") {
				real = v
			}
		}
	}
	if _, err := d.apt(ctx, d.dir, "apt-get", "download", real); err != nil {
		return "", fmt.Errorf("%w: %w", ErrFetch, err)
	}
	found, err := filepath.Glob(filepath.Join(d.dir, real+"_*.deb"))
	if err != nil || len(found) == 0 {
		return "", errors.Join(err, fmt.Errorf("apt-get has not brought %s", real))
	}
	last := found[len(found)-1]
	return last, os.WriteFile(note, []byte(filepath.Base(last)), 0o644)
}

// update makes the private root and reads the lists: with security updates, or, if those
// cannot be read, which is said, without.
func (d debian) update(ctx context.Context) error {
	root := filepath.Join(d.dir, "apt")
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(root, "status"), nil, 0o644); err != nil {
		return err
	}
	plain := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, mirror, d.suite)
	fixed := fmt.Sprintf("deb [signed-by=%s] %s %s-security main\n", keyring, fixes, d.suite)
	var errs []error
	for _, sources := range []string{plain + fixed, plain} {
		if err := os.WriteFile(filepath.Join(root, "sources.list"), []byte(sources), 0o644); err != nil {
			return err
		}
		_, err := d.apt(ctx, d.dir, "apt-get", "update", "--error-on=any")
		if err == nil {
			return nil
		}
		fmt.Fprintln(os.Stderr, "image: package lists:", err)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// unpack reads the plain files of a package that want names.
func unpack(ctx context.Context, deb string, want func(name string) bool) (files map[string][]byte, err error) {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
	}
	files = map[string][]byte{}
	for r := tar.NewReader(out); err == nil; {
		var h *tar.Header
		if h, err = r.Next(); err != nil {
			break
		}
		if name := strings.TrimPrefix(h.Name, "./"); h.Typeflag == tar.TypeReg && want(name) {
			files[name], err = io.ReadAll(r)
		}
	}
	if errors.Is(err, io.EOF) {
		_, err = io.Copy(io.Discard, out)
	}
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("unpack %s: %w: %s", filepath.Base(deb), err, strings.TrimSpace(errs.String()))
	}
	return files, nil
}
