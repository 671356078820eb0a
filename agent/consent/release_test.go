package consent

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
)

// TestRelease: the owner's word is about one statement, and every byte of it counts.
func TestRelease(t *testing.T) {
	public, owner, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	statement := ReleaseStatement([]byte("board sim\nrelease 7\n"))
	approval, err := SignRelease(statement, owner)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenRelease(approval, public); err != nil || !bytes.Equal(got, statement) {
		t.Fatalf("%q, %v", got, err) // the control
	}
	if _, err := OpenRelease(approval, other); !errors.Is(err, ErrRelease) {
		t.Errorf("another key: %v", err)
	}
	if _, err := OpenRelease(approval, nil); !errors.Is(err, ErrRelease) {
		t.Errorf("no owner: %v", err)
	}
	for i := range len(approval) - 1 { // the last line's end does not count
		bad := bytes.Clone(approval)
		bad[i] ^= 1
		if _, err := OpenRelease(bad, public); !errors.Is(err, ErrRelease) {
			t.Errorf("byte %d does not count: %v", i, err)
		}
	}
	for _, text := range []string{"", "a grant\n", releaseHead[1:], string(approval), releaseHead + "no end"} {
		if _, err := SignRelease([]byte(text), owner); err == nil {
			t.Errorf("%q was signed", text)
		}
	}
}
