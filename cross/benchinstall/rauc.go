package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// rauc is RAUC's service on a message bus of its own, with a signed bundle and two slots that
// are files.
type rauc struct {
	dir          string
	bus, service *exec.Cmd
	env          []string
}

const (
	raucSystem = `[system]
compatible=bench
bootloader=noop
mountprefix=%[1]s/mount
statusfile=%[1]s/status

[keyring]
path=%[1]s/cert.pem

[slot.rootfs.0]
device=%[1]s/slot-0
type=raw
bootname=A

[slot.rootfs.1]
device=%[1]s/slot-1
type=raw
bootname=B
`
	raucManifest = "[update]\ncompatible=bench\nversion=2\n\n[bundle]\nformat=plain\n\n[image.rootfs]\nfilename=rootfs.img\n"
)

// newRAUC says why there is none, if so.
func newRAUC(ctx context.Context, dir, image string) (*rauc, error) {
	for _, tool := range []string{"rauc", "dbus-daemon", "mksquashfs"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("not measured: needs rauc, dbus-daemon and squashfs-tools: %w", err)
		}
	}
	if os.Getuid() != 0 {
		return nil, errors.New("not measured: it mounts its bundle, which needs root")
	}
	r := &rauc{dir: filepath.Join(dir, "rauc")}
	if err := r.bundle(ctx, image); err != nil {
		return nil, fmt.Errorf("not measured: %w", err)
	}
	if err := r.start(ctx); err != nil {
		r.close()
		return nil, fmt.Errorf("not measured: %w", err)
	}
	return r, nil
}

// bundle makes keys, the bundle and the configuration.
func (r *rauc) bundle(ctx context.Context, image string) error {
	content := filepath.Join(r.dir, "content")
	err := errors.Join(os.MkdirAll(content, 0o755), os.MkdirAll(filepath.Join(r.dir, "mount"), 0o755), r.keys(),
		os.WriteFile(filepath.Join(content, "manifest.raucm"), []byte(raucManifest), 0o644),
		os.WriteFile(filepath.Join(r.dir, "system.conf"), fmt.Appendf(nil, raucSystem, r.dir), 0o644),
		os.Link(image, filepath.Join(content, "rootfs.img")))
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "rauc", "--cert="+filepath.Join(r.dir, "cert.pem"), "--key="+filepath.Join(r.dir, "key.pem"),
		"bundle", content, filepath.Join(r.dir, "update.raucb")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("rauc bundle: %w: %s", err, out)
	}
	return nil
}

// keys makes a key and its certificate.
func (r *rauc) keys() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	write := func(name, kind string, p []byte) error {
		return os.WriteFile(filepath.Join(r.dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: p}), 0o600)
	}
	return errors.Join(os.MkdirAll(r.dir, 0o755), write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", der))
}

// start starts the bus and the service.
func (r *rauc) start(ctx context.Context) error {
	socket := filepath.Join(r.dir, "bus")
	r.env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS=unix:path="+socket)
	r.bus = exec.CommandContext(ctx, "dbus-daemon", "--session", "--nofork", "--address=unix:path="+socket)
	r.service = exec.CommandContext(ctx, "rauc", "--conf="+filepath.Join(r.dir, "system.conf"), "--override-boot-slot=A", "service")
	r.service.Env = r.env
	if err := r.bus.Start(); err != nil {
		return err
	}
	if err := waitFor(func() bool { _, err := os.Stat(socket); return err == nil }); err != nil {
		return err
	}
	if err := r.service.Start(); err != nil {
		return err
	}
	return waitFor(func() bool {
		c := exec.CommandContext(ctx, "rauc", "status")
		c.Env = r.env
		return c.Run() == nil
	})
}

// waitFor waits for a peer that starts.
func waitFor(ready func() bool) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ready() {
			return nil
		}
	}
	return errors.New("rauc's service does not start")
}

// install installs the bundle into empty slots: what its service took, for the command only
// waits.
func (r *rauc) install(ctx context.Context) (cost, error) {
	for _, name := range []string{"slot-0", "slot-1"} {
		if err := os.WriteFile(filepath.Join(r.dir, name), nil, 0o600); err != nil {
			return cost{}, err
		}
	}
	before, err := r.used()
	if err != nil {
		return cost{}, err
	}
	c := exec.CommandContext(ctx, "rauc", "install", filepath.Join(r.dir, "update.raucb"))
	c.Env = r.env
	took, err := measured(c)
	if err != nil {
		return cost{}, err
	}
	after, err := r.used()
	return cost{wall: took.wall, cpu: took.cpu + after.cpu - before.cpu, kib: after.kib}, err
}

// used is what the service has used so far (proc_pid_stat(5), proc_pid_status(5)).
func (r *rauc) used() (cost, error) {
	proc := fmt.Sprintf("/proc/%d/", r.service.Process.Pid)
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		return cost{}, err
	}
	var c cost
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	for _, i := range []int{11, 12} { // utime and stime, in hundredths of a second
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return cost{}, err
		}
		c.cpu += time.Duration(n) * 10 * time.Millisecond
	}
	status, err := os.ReadFile(proc + "status")
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "VmHWM: %d kB", &c.kib)
	}
	return c, err
}

// close ends the service and the bus.
func (r *rauc) close() {
	for _, c := range []*exec.Cmd{r.service, r.bus} {
		if c != nil && c.Process != nil {
			c.Process.Signal(syscall.SIGTERM)
			c.Wait()
		}
	}
}
