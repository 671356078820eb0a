package trust

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"platen/updater"
)

func TestThresholds(t *testing.T) {
	l := newLab(t)
	l.release(1)
	c := l.client()
	mustRefresh(t, c, 1)
	for name, change := range map[string]func(r *metadata.RootType){
		"targets 0":   func(r *metadata.RootType) { r.Roles["targets"].Threshold = 0 },
		"targets -1":  func(r *metadata.RootType) { r.Roles["targets"].Threshold = -1 },
		"timestamp 0": func(r *metadata.RootType) { r.Roles["timestamp"].Threshold = 0 },
		"root 0":      func(r *metadata.RootType) { r.Roles["root"].Threshold = 0 },
		"root -1":     func(r *metadata.RootType) { r.Roles["root"].Threshold = -1 },
		"doubled key ids": func(r *metadata.RootType) {
			ids := r.Roles["timestamp"].KeyIDs
			r.Roles["timestamp"].KeyIDs, r.Roles["timestamp"].Threshold = append(ids, ids[0]), 2
		},
		"doubled key under another id": func(r *metadata.RootType) {
			id := r.Roles["timestamp"].KeyIDs[0]
			r.Keys["00"+id[2:]] = r.Keys[id]
			r.Roles["timestamp"].KeyIDs, r.Roles["timestamp"].Threshold = []string{id, "00" + id[2:]}, 2
		},
		"no keys": func(r *metadata.RootType) { r.Roles["timestamp"].KeyIDs = nil },
	} {
		root := parse(l, "1.root.json", metadata.Root())
		root.Signed.Version = 2
		change(&root.Signed)
		l.serve("2.root.json", sign(t, root, l.signers("root")...)) // by the real root keys
		fresh := l.client()
		if err := fresh.Refresh(context.Background()); !errors.Is(err, updater.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
		l.heal()
	}
	md := parse(l, "2.targets.json", metadata.Targets())
	md.Signed.Version = 3
	k := l.signers("targets")[0]
	l.forge(sign(t, md, k, k), 3)
	refused(t, c, updater.ErrSignature) // one key signs twice
}

// TestStolenKeys: k-1 release keys, or all the online keys, or k-1 root keys.
func TestStolenKeys(t *testing.T) {
	l := newLab(t)
	l.release(1)
	c := l.client()
	mustRefresh(t, c, 1)
	md := evil(t, l, "sim/agent/2/platen", 3)
	_, own, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := l.signers("targets")
	online := append(l.signers("snapshot"), l.signers("timestamp")...)
	for name, by := range map[string][]ed25519.PrivateKey{
		"one release key":                 keys[:1],
		"one release key and an own one":  {keys[0], own},
		"all online keys":                 online,
		"one release key and online keys": append([]ed25519.PrivateKey{keys[0]}, online...),
		"nobody":                          nil,
	} {
		l.forge(sign(t, md, by...), 3)
		t.Run(name, func(t *testing.T) { refused(t, c, updater.ErrSignature) })
		l.heal()
	}
	root := parse(l, "1.root.json", metadata.Root())
	root.Signed.Version = 2
	id, pub := keyID(t, own)
	root.Signed.Keys[id] = pub
	root.Signed.Roles["targets"].KeyIDs, root.Signed.Roles["targets"].Threshold = []string{id}, 1
	l.serve("2.root.json", sign(t, root, l.signers("root")[0], own))
	refused(t, c, updater.ErrSignature)
	l.heal()
	l.forge(sign(t, md, keys[:2]...), 3) // control: enough release keys
	mustRefresh(t, c, 2)
}

// evil is targets metadata with release 2 at path.
func evil(t *testing.T, l *lab, path string, version int64) *metadata.Metadata[metadata.TargetsType] {
	t.Helper()
	md := parse(l, "2.targets.json", metadata.Targets())
	md.Signed.Version = version
	sum := bytes.Repeat([]byte{7}, 32)
	text, err := json.Marshal(custom{Release: 2, Board: board, Kind: "agent", SHA256: fmt.Sprintf("%x", sum)})
	if err != nil {
		t.Fatal(err)
	}
	file := metadata.TargetFile()
	file.Length, file.Custom, file.Hashes["sha256"] = 100, (*json.RawMessage)(&text), sum
	md.Signed.Targets[path] = file
	return md
}
