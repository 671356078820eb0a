// Package paper writes what goes along with a release for people and auditors: a bill of
// materials (CycloneDX 1.5) and a statement of provenance (in-toto Statement v1 with SLSA
// provenance v1, in a DSSE envelope).
//
// Both are made from what the Go linker wrote into the binary and nothing else that could
// differ between two builds, so two builds of one commit have the same papers: no time, no
// host name, no random serial number.
package paper

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
)

// Binary is a Go program and what it says of itself.
type Binary struct {
	Name   string // base name of the file
	SHA256 string // hex
	Info   *debug.BuildInfo
}

// Open reads a binary.
func Open(path string) (Binary, error) {
	f, err := os.Open(path)
	if err != nil {
		return Binary{}, fmt.Errorf("read binary: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return Binary{}, fmt.Errorf("read binary: %w", err)
	}
	info, err := buildinfo.Read(f)
	if err != nil {
		return Binary{}, fmt.Errorf("%s says nothing of what it was built from: %w", path, err)
	}
	return Binary{filepath.Base(path), hex.EncodeToString(sum.Sum(nil)), info}, nil
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type sbom struct {
	Schema   string `json:"$schema"`
	Format   string `json:"bomFormat"`
	Spec     string `json:"specVersion"`
	Version  int    `json:"version"`
	Metadata struct {
		Component component `json:"component"`
	} `json:"metadata"`
	Components []component `json:"components"`
}

// SBOM is the bill of materials: the modules that are linked, with the sums that go.sum
// has for them, and the toolchain, whose standard library is a part of every Go program.
func (b Binary) SBOM(version string) ([]byte, error) {
	s := sbom{Schema: "http://cyclonedx.org/schema/bom-1.5.schema.json", Format: "CycloneDX", Spec: "1.5", Version: 1}
	s.Metadata.Component = component{
		Type: "application", Ref: "pkg:generic/" + b.Name, Name: b.Name, Version: version,
		Hashes: []hash{{"SHA-256", b.SHA256}}, Properties: []property{{"go:main", b.Info.Path}},
	}
	for _, set := range b.Info.Settings {
		s.Metadata.Component.Properties = append(s.Metadata.Component.Properties, property{"go:build:" + set.Key, set.Value})
	}
	std := "pkg:golang/std@" + b.Info.GoVersion
	s.Components = []component{{Type: "library", Ref: std, Name: "std", Version: b.Info.GoVersion, PURL: std}}
	for _, m := range b.Info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		c := component{Type: "library", Name: m.Path, Version: m.Version}
		if m.Version != "" { // one of our own folders in a module's place has none
			c.PURL = "pkg:golang/" + m.Path + "@" + m.Version
		}
		if c.Ref = c.PURL; c.Ref == "" {
			c.Ref = m.Path
		}
		if m.Sum != "" {
			c.Properties = []property{{"go:sum", m.Sum}}
		}
		s.Components = append(s.Components, c)
	}
	return indented(s)
}

func indented(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return append(text, '\n'), err
}

// Source is where a binary was built from.
type Source struct {
	URI     string // of the repository, such as git+https://…
	Commit  string // hex
	Builder string // URI of who or what built it
}

type resource struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest,omitempty"`
}

type statement struct {
	Type    string `json:"_type"`
	Subject []struct {
		Name   string            `json:"name"`
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
	PredicateType string `json:"predicateType"`
	Predicate     struct {
		Definition struct {
			Type       string            `json:"buildType"`
			Parameters map[string]string `json:"externalParameters"`
			Resolved   []resource        `json:"resolvedDependencies"`
		} `json:"buildDefinition"`
		Run struct {
			Builder struct {
				ID string `json:"id"`
			} `json:"builder"`
		} `json:"runDetails"`
	} `json:"predicate"`
}

// Statement says how the binary came to be, unsigned: its digest, the settings of its
// build, the commit and the modules it was made of.
func (b Binary) Statement(src Source) ([]byte, error) {
	s := statement{Type: "https://in-toto.io/Statement/v1", PredicateType: "https://slsa.dev/provenance/v1"}
	s.Subject = append(s.Subject, struct {
		Name   string            `json:"name"`
		Digest map[string]string `json:"digest"`
	}{b.Name, map[string]string{"sha256": b.SHA256}})
	d := &s.Predicate.Definition
	d.Type = "https://go.dev/cmd/go/build"
	d.Parameters = map[string]string{"main": b.Info.Path, "go": b.Info.GoVersion}
	for _, set := range b.Info.Settings {
		d.Parameters[set.Key] = set.Value
	}
	d.Resolved = []resource{{URI: src.URI, Digest: map[string]string{"gitCommit": src.Commit}}}
	for _, m := range b.Info.Deps {
		if m.Replace == nil {
			d.Resolved = append(d.Resolved, resource{URI: "pkg:golang/" + m.Path + "@" + m.Version, Digest: map[string]string{"goModuleH1": m.Sum}})
		}
	}
	s.Predicate.Run.Builder.ID = src.Builder
	return indented(s)
}

// payloadType is of in-toto statements in envelopes.
const payloadType = "application/vnd.in-toto+json"

type signature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

// Envelope signs a statement: sign is given what is to be signed, and returns the
// signature. With Ed25519 the same statement has the same envelope each time.
func Envelope(statement []byte, keyID string, sign func([]byte) ([]byte, error)) ([]byte, error) {
	sig, err := sign(preAuth(payloadType, statement))
	if err != nil {
		return nil, fmt.Errorf("sign provenance: %w", err)
	}
	return indented(struct {
		Type       string      `json:"payloadType"`
		Payload    string      `json:"payload"`
		Signatures []signature `json:"signatures"`
	}{payloadType, base64.StdEncoding.EncodeToString(statement), []signature{{keyID, base64.StdEncoding.EncodeToString(sig)}}})
}

// preAuth is what is signed of an envelope (DSSE v1, PAE).
func preAuth(kind string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload)
}
