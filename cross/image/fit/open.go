package fit

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"platen/cross/image/fdt"
)

// Open reads the FIT that b begins with, if U-Boot would start it with this key in its
// device tree. The parts are pieces of b. What U-Boot would refuse is an ErrImage.
func Open(b []byte, key *rsa.PublicKey) (Parts, error) {
	p, conf, err := read(b)
	if err == nil {
		err = authentic(b, conf, key)
	}
	if err != nil {
		return Parts{}, err
	}
	return p, nil
}

// Read is [Open] by a U-Boot that wants no signature: for tools that have no key.
func Read(b []byte) (Parts, error) {
	p, _, err := read(b)
	return p, err
}

func read(b []byte) (p Parts, conf *fdt.Node, err error) {
	root, err := fdt.Parse(b)
	if err != nil {
		return p, nil, fmt.Errorf("%w: %w", ErrImage, err)
	}
	if conf = root.At("configurations/" + Conf); conf == nil {
		return p, nil, fmt.Errorf("%w: it has no configuration %s", ErrImage, Conf)
	}
	p.Cmdline = text(conf, "bootargs")
	if digest := sha256.Sum256([]byte(p.Cmdline)); !bytes.Equal(conf.Prop("platen,bootargs"), digest[:]) {
		return p, nil, fmt.Errorf("%w: the command line is not what its digest says", ErrImage)
	}
	for _, name := range names() {
		n := root.At("images/" + name)
		if n == nil || text(conf, name) != name {
			return p, nil, fmt.Errorf("%w: it has no %s", ErrImage, name)
		}
		hash := n.At("hash-1")
		data := n.Prop("data")
		digest := sha256.Sum256(data)
		if hash == nil || text(hash, "algo") != "sha256" || !bytes.Equal(hash.Prop("value"), digest[:]) {
			return p, nil, fmt.Errorf("%w: the %s is not what was signed", ErrImage, name)
		}
		switch name {
		case kernelName:
			p.Kernel, p.Arch, p.Memory.Kernel = data, text(n, "arch"), cell(n, "load")
		case ramdiskName:
			p.Ramdisk = data
		case fdtName:
			p.FDT, p.Memory.FDT = data, cell(n, "load")
		}
	}
	return p, conf, nil
}

// authentic checks the signature, and that it covers what it has to.
func authentic(b []byte, conf *fdt.Node, key *rsa.PublicKey) error {
	sig := conf.At("signature-1")
	if sig == nil {
		return fmt.Errorf("%w: it is not signed", ErrImage)
	}
	if want := hashedNodes(); !slices.Equal(strings.Split(text(sig, "hashed-nodes"), "\x00"), want) {
		return fmt.Errorf("%w: its signature covers something else", ErrImage)
	}
	named := sig.Prop("hashed-strings")
	if len(named) != 8 {
		return fmt.Errorf("%w: its signature does not cover names", ErrImage)
	}
	digest, err := signedDigest(b, int(binary.BigEndian.Uint32(named[4:])&0x7fffffff))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrImage, err)
	}
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], sig.Prop("value")) != nil {
		return fmt.Errorf("%w: it is not signed with this key", ErrImage)
	}
	return nil
}

func text(n *fdt.Node, name string) string { return strings.TrimSuffix(string(n.Prop(name)), "\x00") }

func cell(n *fdt.Node, name string) uint32 {
	if v := n.Prop(name); len(v) == 4 {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}
