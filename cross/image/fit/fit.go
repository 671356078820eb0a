// Package fit makes and checks signed FIT images: one file with a kernel, its initial root
// file system, the board's device tree and the kernel's command line, as U-Boot starts them
// (U-Boot doc/uImage.FIT: source_file_format.txt, signature.txt). Start at [Build]; what
// U-Boot would start of a file is [Open]'s to say.
//
// # Layout
//
// A FIT is a flattened device tree. Each of images/kernel, images/ramdisk and images/fdt
// has its bytes in "data" and their SHA-256 digest in hash-1. configurations/conf names the
// three and holds the command line; its signature is over the whole structure but the data,
// so over the digests: RSA with PKCS #1 v1.5 and SHA-256, which is the same each time.
//
// Two more properties are for U-Boot's script, which measures what it starts and cannot
// hash: "bootargs" is the command line and "platen,bootargs" its digest. Both are signed.
//
// # Failures
//
// One changed byte of what starts is refused by U-Boot, and by [Open]: in data by its
// digest, elsewhere by the signature. What is not covered starts nothing: the tree's list of
// reserved memory, the version fields of its header, and what lies behind its end.
package fit

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"

	"platen/cross/image/fdt"
)

// ErrImage reports a file that U-Boot would not start.
var ErrImage = errors.New("not an image that U-Boot starts")

// Conf is the name of the one configuration.
const Conf = "conf"

// The names of the images, in the order in which the signature covers them.
const (
	kernelName  = "kernel"
	ramdiskName = "ramdisk"
	fdtName     = "fdt"
)

func names() [3]string { return [3]string{kernelName, ramdiskName, fdtName} }

// Memory is where things lie in a board's memory, as physical addresses.
type Memory struct {
	Kernel uint32 // where the kernel is unpacked: 2 MiB aligned
	FDT    uint32 // where its device tree is put: 8 bytes aligned
}

// Parts are what starts.
type Parts struct {
	Arch    string // as U-Boot names it: "arm64", "arm"
	Kernel  []byte // an Image, compressed with gzip
	Ramdisk []byte // the initial root file system: a cpio archive, compressed or not
	FDT     []byte // the board's device tree
	Cmdline string // the kernel's command line
	Memory  Memory
}

// Digests are the SHA-256 digests of what a FIT starts: what U-Boot's script measures.
type Digests struct {
	Kernel, Ramdisk, FDT, Cmdline [32]byte
}

// Digests are those of the parts.
func (p Parts) Digests() Digests {
	return Digests{sha256.Sum256(p.Kernel), sha256.Sum256(p.Ramdisk), sha256.Sum256(p.FDT), sha256.Sum256([]byte(p.Cmdline))}
}

// Build makes a FIT and signs it with an RSA key of 2048, 3072 or 4096 bits. The same parts
// and key give the same bytes.
func Build(p Parts, key crypto.Signer) ([]byte, error) {
	public, ok := key.Public().(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("sign a FIT: U-Boot wants an RSA key")
	}
	algo, err := algorithm(public)
	if err != nil {
		return nil, err
	}
	root := p.tree()
	sig := root.Child("configurations").Child(Conf).Child("signature-1")
	sig.Text("algo", algo)
	sig.Text("key-name-hint", KeyName)
	sig.Text("sign-images", kernelName, ramdiskName, fdtName)
	sig.Text("hashed-nodes", hashedNodes()...)
	sig.Cells("hashed-strings", 0, 0)
	sig.Set("value", make([]byte, public.Size()))
	l, err := fdt.Locate(root.Encode())
	if err != nil {
		return nil, err
	}
	sig.Cells("hashed-strings", 0, uint32(l.Strings[1]-l.Strings[0]))
	digest, err := signedDigest(root.Encode(), l.Strings[1]-l.Strings[0])
	if err != nil {
		return nil, err
	}
	value, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign a FIT: %w", err)
	}
	sig.Set("value", value)
	return root.Encode(), nil
}

// tree is the FIT without its signature.
func (p Parts) tree() *fdt.Node {
	root := &fdt.Node{}
	root.Text("description", "Platen")
	root.Cells("#address-cells", 1)
	root.Cells("timestamp", 0)
	images := root.Child("images")
	d := p.Digests()
	p.image(images, kernelName, "kernel", p.Kernel, d.Kernel)
	kernel := images.Child(kernelName)
	kernel.Text("os", "linux")
	kernel.Text("compression", "gzip")
	kernel.Cells("load", p.Memory.Kernel)
	kernel.Cells("entry", p.Memory.Kernel)
	p.image(images, ramdiskName, "ramdisk", p.Ramdisk, d.Ramdisk)
	images.Child(ramdiskName).Text("os", "linux")
	p.image(images, fdtName, "flat_dt", p.FDT, d.FDT)
	images.Child(fdtName).Cells("load", p.Memory.FDT)

	all := root.Child("configurations")
	all.Text("default", Conf)
	conf := all.Child(Conf)
	conf.Text("description", "Platen")
	for _, name := range names() {
		conf.Text(name, name)
	}
	conf.Text("bootargs", p.Cmdline)
	conf.Set("platen,bootargs", d.Cmdline[:])
	return root
}

func (p Parts) image(images *fdt.Node, name, kind string, data []byte, digest [32]byte) {
	n := images.Child(name)
	n.Text("description", name)
	n.Text("type", kind)
	n.Text("arch", p.Arch)
	n.Text("compression", "none")
	n.Set("data", data)
	h := n.Child("hash-1")
	h.Text("algo", "sha256")
	h.Set("value", digest[:])
}

// hashedNodes are the nodes that the signature covers, in the order of U-Boot's mkimage.
func hashedNodes() []string {
	list := []string{"/", "/configurations/" + Conf}
	for _, name := range names() {
		list = append(list, "/images/"+name, "/images/"+name+"/hash-1")
	}
	return list
}

// signedDigest is what a FIT's signature is over: the nodes of hashedNodes with all their
// properties but the data, the begin and end of nodes directly below, the end of the tree,
// and the first so many bytes of the names of properties (U-Boot boot/fdt_region.c).
func signedDigest(b []byte, names int) (digest [32]byte, err error) {
	tokens, err := fdt.Tokens(b)
	if err != nil {
		return digest, err
	}
	l, err := fdt.Locate(b)
	if err != nil {
		return digest, err
	}
	covered := map[string]bool{}
	for _, path := range hashedNodes() {
		covered[path] = true
	}
	h := sha256.New()
	want, above := 0, []int{}
	for _, t := range tokens {
		switch {
		case t.Begins():
			above = append(above, want)
			if covered[t.Path] {
				want = 2
			} else if want > 0 {
				want--
			}
		case t.Prop != "":
			if want < 2 || t.Prop == "data" {
				continue
			}
		}
		if want > 0 {
			h.Write(b[t.From:t.To])
		}
		if !t.Begins() && t.Prop == "" {
			want, above = above[len(above)-1], above[:len(above)-1]
		}
	}
	h.Write(b[l.Struct[1]-4 : l.Struct[1]])
	if names < 0 || names > l.Strings[1]-l.Strings[0] {
		return digest, fdt.ErrTree
	}
	h.Write(b[l.Strings[0] : l.Strings[0]+names])
	return [32]byte(h.Sum(nil)), nil
}
