package fit

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"platen/cross/image/fdt"
	"platen/cross/image/fit/fittest"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

func parts() Parts {
	return Parts{Arch: "arm64", Kernel: bytes.Repeat([]byte("kernel "), 999), Ramdisk: bytes.Repeat([]byte("ramdisk"), 500),
		FDT: (&fdt.Node{}).Encode(), Cmdline: "console=ttyAMA0 quiet", Memory: Memory{0x40400000, 0x43f00000}}
}

func build(t testing.TB, k crypto.Signer) []byte {
	t.Helper()
	b, err := Build(parts(), k)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBuildAndOpen(t *testing.T) {
	k := fittest.Key(0)
	b := build(t, k)
	if !bytes.Equal(b, build(t, k)) {
		t.Error("the same parts and key gave other bytes")
	}
	got, err := Open(append(bytes.Clone(b), "the rest of the slot"...), &k.PublicKey)
	if d := cmp.Diff(parts(), got); err != nil || d != "" {
		t.Errorf("%v: %s", err, d)
	}
	if _, err := Open(b, &fittest.Key(1).PublicKey); !errors.Is(err, ErrImage) {
		t.Errorf("another key: %v", err)
	}
	if got, err = Read(build(t, fittest.Key(1))); err != nil || got.Digests() != parts().Digests() {
		t.Errorf("without a key: %v", err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Build(parts(), p256); err == nil {
		t.Error("signed with a key that U-Boot does not take")
	}
}

// changed flips one bit and says what would start.
func changed(b []byte, bit int, public *rsa.PublicKey) (Parts, error) {
	c := bytes.Clone(b)
	c[bit/8] ^= 1 << (bit % 8)
	return Open(c, public)
}

// TestEachBit (T21): one flipped bit anywhere in an image, and nothing starts; or, for the few
// bits that U-Boot does not look at, what starts is the same.
func TestEachBit(t *testing.T) {
	k := fittest.Key(0)
	b := build(t, k)
	bits := make([]int, 0, 200+8*len(b)/397)
	for range 200 {
		bits = append(bits, mrand.IntN(8*len(b)))
	}
	for bit := 0; bit < 8*len(b); bit += 397 {
		bits = append(bits, bit)
	}
	if testing.Short() {
		bits = bits[:100]
	}
	refused := 0
	for _, bit := range bits {
		got, err := changed(b, bit, &k.PublicKey)
		switch {
		case errors.Is(err, ErrImage):
			refused++
		case err != nil:
			t.Errorf("bit %d: %v", bit, err)
		case cmp.Diff(parts(), got) != "":
			t.Errorf("bit %d of byte %d: something else starts", bit%8, bit/8)
		}
	}
	if refused < len(bits)*9/10 {
		t.Errorf("%d of %d refused: the test looks at the wrong bits", refused, len(bits))
	}
}

// TestOthersDoNotStart: an attacker's changes that are whole trees again.
func TestOthersDoNotStart(t *testing.T) {
	k := fittest.Key(0)
	sig := func(n *fdt.Node) *fdt.Node { return n.At("configurations/conf/signature-1") }
	for name, change := range map[string]func(*fdt.Node){
		"unsigned":              func(n *fdt.Node) { n.At("configurations/conf").Children = nil },
		"covers less":           func(n *fdt.Node) { sig(n).Text("hashed-nodes", "/") },
		"the kernel":            func(n *fdt.Node) { n.At("images/kernel").Set("data", []byte("mine")) },
		"with its digest":       func(n *fdt.Node) { evil := parts(); evil.Kernel = []byte("mine"); *n = *resigned(n, evil) },
		"where it is put":       func(n *fdt.Node) { n.At("images/kernel").Cells("load", 0x41000000) },
		"the command line":      func(n *fdt.Node) { n.At("configurations/conf").Text("bootargs", "init=/mine") },
		"the ramdisk as kernel": func(n *fdt.Node) { n.At("configurations/conf").Text("kernel", "ramdisk") },
		"no digest":             func(n *fdt.Node) { n.At("images/ramdisk").Children = nil },
		"no configuration":      func(n *fdt.Node) { n.At("configurations").Children = nil },
		"another node before": func(n *fdt.Node) {
			n.Children = append([]*fdt.Node{{Name: "images", Children: []*fdt.Node{{Name: "kernel"}}}}, n.Children...)
		},
	} {
		root, err := fdt.Parse(build(t, k))
		if err != nil {
			t.Fatal(err)
		}
		change(root)
		if _, err := Open(root.Encode(), &k.PublicKey); !errors.Is(err, ErrImage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	root, err := fdt.Parse(build(t, k))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(root.Encode(), &k.PublicKey); err != nil {
		t.Errorf("control: %v", err)
	}
}

// resigned is p under the signature of another image.
func resigned(signed *fdt.Node, p Parts) *fdt.Node {
	root := p.tree()
	root.At("configurations/conf").Children = signed.At("configurations/conf").Children
	return root
}

// TestStock: U-Boot's own tool signs the same image, and its key in a control tree is ours.
func TestStock(t *testing.T) {
	mkimage, err := rig.Find("mkimage")
	rigtest.Check(t, err)
	openssl, err := rig.Find("openssl")
	rigtest.Check(t, err)
	dir := t.TempDir()
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run(openssl, "req", "-batch", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", KeyName+".key", "-out", KeyName+".crt", "-subj", "/CN=test")
	// The tree without a signature; mkimage adds it.
	root := parts().tree()
	sig := root.At("configurations/conf").Child("signature-1")
	sig.Text("algo", "sha256,rsa2048")
	sig.Text("key-name-hint", KeyName)
	sig.Text("sign-images", kernelName, ramdiskName, fdtName)
	control := &fdt.Node{}
	control.Child("signature")
	for name, b := range map[string][]byte{"fit": root.Encode(), "control.dtb": control.Encode()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(mkimage, "-F", "-k", ".", "-K", "control.dtb", "-r", "fit")
	theirs, err := os.ReadFile(filepath.Join(dir, "fit"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "control.dtb"))
	if err != nil {
		t.Fatal(err)
	}
	public := publicOf(t, raw)
	if _, err := Open(theirs, public); err != nil {
		t.Errorf("what mkimage signed: %v", err)
	}
	ours := &fdt.Node{}
	if err := Require(ours, public); err != nil {
		t.Fatal(err)
	}
	tree, err := fdt.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ours.At("signature/key-" + KeyName).Props {
		if !bytes.Equal(tree.At("signature/key-"+KeyName).Prop(p.Name), p.Value) {
			t.Errorf("%s is not mkimage's", p.Name)
		}
	}
}

// publicOf reads the key of a control tree.
func publicOf(t *testing.T, control []byte) *rsa.PublicKey {
	t.Helper()
	root, err := fdt.Parse(control)
	if err != nil {
		t.Fatal(err)
	}
	n := root.At("signature/key-" + KeyName)
	if n == nil || !strings.HasPrefix(string(n.Prop("algo")), "sha256,rsa2048") {
		t.Fatal("mkimage left no key")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n.Prop("rsa,modulus")), E: 65537}
}
