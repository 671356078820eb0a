package paper

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// self is this test, which is a Go program like any other.
func self(t *testing.T) Binary {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSBOM(t *testing.T) {
	b := self(t)
	text, err := b.SBOM("1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	again, err := self(t).SBOM("1.2.3")
	if err != nil || !bytes.Equal(text, again) {
		t.Error("the same program has two bills of materials", err)
	}
	var got sbom
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Format != "CycloneDX" || got.Spec != "1.5" || got.Version != 1 {
		t.Errorf("%s %s, version %d", got.Format, got.Spec, got.Version)
	}
	c := got.Metadata.Component
	if c.Version != "1.2.3" || len(c.Hashes) != 1 || c.Hashes[0] != (hash{"SHA-256", b.SHA256}) {
		t.Errorf("the program: %+v", c)
	}
	refs := map[string]bool{}
	for _, c := range got.Components {
		if refs[c.Ref] || c.Ref == "" {
			t.Errorf("the reference %q is there twice, or empty", c.Ref)
		}
		refs[c.Ref] = true
	}
	if !refs["pkg:golang/std@"+b.Info.GoVersion] || len(refs) != len(b.Info.Deps)+1 {
		t.Errorf("%d components for %d modules and the standard library", len(refs), len(b.Info.Deps))
	}
}

func TestProvenance(t *testing.T) {
	b := self(t)
	text, err := b.Statement(Source{URI: "git+https://example.com/x", Commit: "c0ffee", Builder: "https://example.com/b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{b.SHA256, `"gitCommit": "c0ffee"`, `"predicateType": "https://slsa.dev/provenance/v1"`, `"id": "https://example.com/b"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is missing", want)
		}
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := Envelope(text, "key", func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil })
	if err != nil {
		t.Fatal(err)
	}
	var env struct {
		Type       string      `json:"payloadType"`
		Payload    string      `json:"payload"`
		Signatures []signature `json:"signatures"`
	}
	if err := json.Unmarshal(out, &env); err != nil || len(env.Signatures) != 1 || env.Signatures[0].KeyID != "key" || env.Type != payloadType {
		t.Fatalf("%+v, %v", env, err)
	}
	payload, err1 := base64.StdEncoding.DecodeString(env.Payload)
	sig, err2 := base64.StdEncoding.DecodeString(env.Signatures[0].Sig)
	if err1 != nil || err2 != nil || !bytes.Equal(payload, text) {
		t.Fatal(err1, err2)
	}
	// As the specification of DSSE writes it.
	pae := fmt.Sprintf("DSSEv1 28 application/vnd.in-toto+json %d %s", len(payload), payload)
	if !ed25519.Verify(public, []byte(pae), sig) {
		t.Error("the signature does not verify")
	}
	if ed25519.Verify(public, payload, sig) {
		t.Error("the control: the statement alone was signed")
	}
}

func TestWhatIsNoProgram(t *testing.T) {
	if _, err := Open("paper_test.go"); err == nil {
		t.Error("a text has a bill of materials")
	}
}
