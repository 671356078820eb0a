package scenario

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"platen/slicer/secure/securetest"
)

// cmdSecure makes a 3MF package whose model is encrypted: secure OUT ID KEY.pem [alter].
func cmdSecure(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("secure OUT ID KEY.pem [alter]")
	}
	block, _ := pem.Decode([]byte(ts.ReadFile(args[2])))
	if block == nil {
		ts.Fatalf("%s is no PEM", args[2])
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	ts.Check(err)
	p := securetest.Package{Deflate: true, Hash: "sha256", Consumers: []securetest.Consumer{{ID: args[1], Key: key.(*rsa.PublicKey), ShowsKey: true}}}
	if len(args) > 3 {
		p.Edit = func(files map[string][]byte) { files["3D/part.model"][200] ^= 1 }
	}
	file, err := securetest.Make(p)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), file, 0o600))
}
