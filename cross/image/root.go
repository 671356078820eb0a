package image

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"platen/agent/pid1/newc"
)

// root is what the root in memory is made of.
type root struct {
	init, platen []byte
	modules      map[string][]byte
	order        []string
	state        []byte            // template
	files        map[string][]byte // of /etc/platen
	approver     *ecdsa.PublicKey  // nil: none
	release      uint64
	built        time.Time
}

// entries are the archive's, folders first.
func (r root) entries() ([]newc.Entry, error) {
	list := []newc.Entry{{Name: "dev/console", Mode: newc.Char | 0o600, Major: 5, Minor: 1}}
	file := func(name string, mode uint32, b []byte) {
		list = append(list, newc.Entry{Name: name, Mode: newc.Regular | mode, Data: b})
	}
	file("init", 0o555, r.init)
	file("platen", 0o555, r.platen)
	file("lib/state", 0o444, r.state)
	file("lib/modules/order", 0o444, []byte(strings.Join(r.order, "\n")+"\n"))
	for _, name := range slices.Sorted(maps.Keys(r.modules)) {
		file("lib/modules/"+name+".ko", 0o444, r.modules[name])
	}
	file("etc/release", 0o444, fmt.Appendf(nil, "%d %d\n", r.release, r.built.Unix()))
	if r.approver != nil {
		der, err := x509.MarshalPKIXPublicKey(r.approver)
		if err != nil {
			return nil, fmt.Errorf("the approver's key: %w", err)
		}
		file("etc/approver.pub", 0o444, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	for _, name := range slices.Sorted(maps.Keys(r.files)) {
		file("etc/platen/"+name, 0o444, r.files[name])
	}
	return append(folders(list, mountPoints...), list...), nil
}

// mountPoints are folders of the root that are empty in the archive.
var mountPoints = []string{"proc", "sys", "dev", "run", "tmp", "state", "slots"}

// folders are those that the entries lie in, and more.
func folders(list []newc.Entry, more ...string) []newc.Entry {
	names := map[string]bool{}
	for _, n := range more {
		names[n] = true
	}
	for _, e := range list {
		for d := path.Dir(e.Name); d != "."; d = path.Dir(d) {
			names[d] = true
		}
	}
	var out []newc.Entry
	for _, n := range slices.Sorted(maps.Keys(names)) {
		out = append(out, newc.Entry{Name: n, Mode: newc.Dir | 0o755})
	}
	return out
}

// pack is the root as the kernel takes it: compressed.
func (r root) pack() ([]byte, error) {
	list, err := r.entries()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if err := newc.Write(z, list); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("compress the root: %w", err)
	}
	return b.Bytes(), nil
}
