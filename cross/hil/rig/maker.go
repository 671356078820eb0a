package main

import (
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"platen/cross/hil"
	"platen/cross/image"
	"platen/cross/targets"
	"platen/updater/approval"
)

// maker makes images for QEMU's arm64 machine.
type maker struct {
	source, dir, cache string
	board              string // that images are made for
	boot               string // by what they start: "uboot" or "efi"
	signer             *rsa.PrivateKey
	control            string // U-Boot's device tree, with the key
}

func newMaker(source, dir, cache, board, boot string) (*maker, error) {
	if boot != "uboot" && boot != "efi" {
		return nil, fmt.Errorf("firmware %q is neither \"uboot\" nor \"efi\"", boot)
	}
	if _, err := image.LoadBoard(board); err != nil {
		return nil, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return &maker{source: source, dir: dir, cache: cache, board: board, boot: boot, signer: key}, err
}

// virtualBoard is the virtual printer's.
const virtualBoard = "qemu-arm64"

// Image makes the image of a release.
func (m *maker) Image(ctx context.Context, s hil.Spec) (hil.Image, error) {
	dir := filepath.Join(m.dir, fmt.Sprintf("release-%d", s.Release))
	approver, err := approval.LoadKey(s.Approver)
	if err != nil {
		return hil.Image{}, err
	}
	cfg := image.Config{Board: m.board, Source: m.source, Dir: dir, Cache: m.cache, Built: time.Now().Add(-time.Hour), Console: true,
		Version: targets.Version{Version: "0.1.0", Release: s.Release}, Approver: approver, Signer: m.signer}
	agent := filepath.Join(dir, "platen")
	if s.Broken || s.Leaky {
		if cfg.Platen, err = m.other(ctx, s, dir, cfg.Version); err != nil {
			return hil.Image{}, err
		}
	}
	if s.Leaky {
		cfg.Without = "init_on_free=1"
	}
	res, err := image.Build(ctx, cfg)
	if err != nil {
		return hil.Image{}, err
	}
	m.control = res.Control
	for _, i := range res.Images {
		if i.Boot == m.boot {
			n, err := compressed(i.Disk)
			return hil.Image{Disk: i.Disk, Boot: i.Boot, Rootfs: i.Slot, Agent: agent, Compressed: n, PCRs: i.PCRs}, err
		}
	}
	return hil.Image{}, fmt.Errorf("the board has no image for %s", m.boot)
}

// other makes the program that runs in the place of platen, and the agent that a release has beside it.
func (m *maker) other(ctx context.Context, s hil.Spec, dir string, v targets.Version) (string, error) {
	t, err := targets.Find("arm64")
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return "", err
	}
	if s.Leaky {
		return filepath.Join(dir, "platen"), leaky(ctx, m.source, dir, filepath.Join(dir, "platen"), s.Release)
	}
	program := filepath.Join(dir, "broken")
	return program, errors.Join(t.Build(ctx, m.source, "./cross/hil/broken", program, v), t.Build(ctx, m.source, targets.Device, filepath.Join(dir, "platen"), v))
}

// Configure writes what is one printer's own.
func (m *maker) Configure(disk string, files map[string][]byte) error {
	return image.WriteSettings(disk, files)
}

// compressed is how many bytes a file has compressed.
func compressed(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var n counter
	z, err := gzip.NewWriterLevel(&n, gzip.BestSpeed)
	if err == nil {
		_, err = io.Copy(z, f)
	}
	if err == nil {
		err = z.Close()
	}
	return int64(n), err
}

// counter counts what is written to it.
type counter int64

// Write counts.
func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
