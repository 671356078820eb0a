package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// ErrFetch reports that Debian's mirror cannot be reached: there is no network. What else keeps a
// package from being fetched is no ErrFetch.
var ErrFetch = errors.New("the mirror of Debian cannot be reached")

// debian fetches packages of another architecture by an apt root of its own.
type debian struct {
	dir   string // cache
	arch  string
	suite string
	fixed bool // fetch anew, and only with security updates
}

// unreached is what apt says of a host that it cannot reach (apt, methods/connect.cc).
var unreached = []string{"Could not resolve ", "Temporary failure resolving ", "Could not connect to ", "Cannot initiate the connection to ", "Unable to connect to "}

// summaries is what apt says besides, once each file was spoken of.
var summaries = []string{"E: Some index files failed to download.", "E: Unable to fetch some archives,"}

// failed is the error of a program of apt that has said text: an [ErrFetch] if all that it complains of are
// hosts that it cannot reach.
func failed(err error, text string) error {
	has := func(line string, list []string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.Contains(line, s) })
	}
	hosts, others := 0, 0
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "E: Failed to fetch ") && has(line, unreached):
			hosts++
		case strings.HasPrefix(line, "E: ") && !has(line, summaries):
			others++
		}
	}
	if hosts > 0 && others == 0 {
		return fmt.Errorf("%w: %w", ErrFetch, err)
	}
	return err
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
		return "", failed(fmt.Errorf("%s %s: %w: %s", program, args[0], err, strings.TrimSpace(errs.String())), errs.String())
	}
	return string(out), nil
}

// fetch returns the file of a package, following a meta package to the one it stands for.
// What the cache has is used again, unless it has to be fixed.
func (d debian) fetch(ctx context.Context, name string) (string, error) {
	note := filepath.Join(d.dir, name+"."+d.arch)
	if file, err := os.ReadFile(note); err == nil && !d.fixed {
		if _, err := os.Stat(filepath.Join(d.dir, string(file))); err == nil {
			return filepath.Join(d.dir, string(file)), nil
		}
	}
	if err := d.update(ctx); err != nil {
		return "", fmt.Errorf("read Debian's lists: %w", err)
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
	deb, err := d.download(ctx, real)
	if err != nil {
		return "", fmt.Errorf("download %s: %w", real, err)
	}
	return deb, os.WriteFile(note, []byte(filepath.Base(deb)), 0o644)
}

// download brings the newest file of a package into the cache, which may have older ones.
func (d debian) download(ctx context.Context, name string) (deb string, err error) {
	dir, err := os.MkdirTemp(d.dir, "new-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if _, err := d.apt(ctx, dir, "apt-get", "download", name); err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
	if err != nil || len(found) != 1 {
		return "", errors.Join(err, fmt.Errorf("apt-get has brought %d files", len(found)))
	}
	deb = filepath.Join(d.dir, filepath.Base(found[0]))
	return deb, os.Rename(found[0], deb)
}

// noted is a line for each package that says its name, version and architecture, as its file does, and its
// digest, as sha256sum does.
func noted(debs []string) (string, error) {
	var text strings.Builder
	for _, deb := range debs {
		b, err := os.ReadFile(deb)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "%x  %s\n", sha256.Sum256(b), filepath.Base(deb))
	}
	return text.String(), nil
}

// update makes the private root and reads the lists: with security updates, or, if those
// cannot be read, which is said, without; not without if it has to be fixed.
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
	lists := []string{plain + fixed, plain}
	if d.fixed {
		lists = lists[:1]
	}
	for _, sources := range lists {
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
	for _, err := range errs {
		if !errors.Is(err, ErrFetch) {
			return err
		}
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
