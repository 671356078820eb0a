package consent

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
)

func TestSignedCatalogue(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	stranger, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	env, err := SignCatalogue(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := OpenCatalogue(env, pub); err != nil {
		t.Errorf("control: %v", err)
	}
	if err := OpenCatalogue(env, stranger); !errors.Is(err, ErrSignature) {
		t.Errorf("under another key: %v", err)
	}
	other, err := seal(CatalogueType, []byte(`{"version":2,"items":[{"id":99,"name":"layer"}]}`), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := OpenCatalogue(other, pub); !errors.Is(err, ErrOther) {
		t.Errorf("a catalogue with layers: %v", err)
	}
	grant, err := seal(PayloadType, []byte("x"), key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"a grant": grant, "nothing": nil, "cut": env[:len(env)/2], "long": bytes.Repeat(env, 100)} {
		if err := OpenCatalogue(b, pub); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
