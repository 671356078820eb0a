package publish_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"platen/updater/publish"
)

// TestSubmitGoesOn: a submission that was cut between two files is submitted again.
func TestSubmitGoesOn(t *testing.T) {
	s, keys := ceremony(t, start, 3, 2)
	c := s.client()
	lost, err := publish.KeyID(keys[2].Public())
	if err != nil {
		t.Fatal(err)
	}
	_, public := signers(t, 1)
	d, err := s.Draft(func() error {
		_, err := s.Rotate(publish.Exchange{Role: "targets", Lost: lost, Fresh: public[0]}, nil, s.now)
		return err
	})
	if err != nil || len(d.Documents) != 2 {
		t.Fatalf("%d documents, %v", len(d.Documents), err)
	}
	for _, k := range keys[:2] {
		if _, err := d.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	first := filepath.Join(s.dir, d.Documents[0].File)
	if err := os.WriteFile(first, d.Documents[0].Metadata, 0o644); err != nil {
		t.Fatal(err)
	}
	s.submit(d)
	if _, err := publish.Submit(s.dir, "", d, s.now); !errors.Is(err, publish.ErrDraft) {
		t.Errorf("once more, though all of it is there: %v", err)
	}
	if s.Repo, err = publish.Open(s.dir, ""); err != nil {
		t.Fatal(err)
	}
	s.submit(s.drafted(1), keys[0], keys[1])
	s.sees(c, "sim", 1)
}

// TestSubmitChecksFirst: what could never be announced is refused before it is written.
func TestSubmitChecksFirst(t *testing.T) {
	s, keys := ceremony(t, start, 2, 2)
	version := regexp.MustCompile(`"version": ?2\b`)
	for name, spoil := range map[string]func(*publish.Draft){
		"version": func(d *publish.Draft) {
			doc := &d.Documents[0]
			doc.Metadata = version.ReplaceAll(doc.Metadata, []byte(`"version":7`))
		},
		"expired":   func(*publish.Draft) { s.now = start.Add(400 * 24 * time.Hour) },
		"in future": func(*publish.Draft) { s.now = start.Add(-48 * time.Hour) },
	} {
		s.now = start
		d := s.drafted(1)
		spoil(d)
		for _, k := range keys {
			if _, err := d.Sign(k); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := publish.Submit(s.dir, "", d, s.now); !errors.Is(err, publish.ErrDraft) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(s.dir, "2.targets.json")); err == nil {
			t.Fatalf("%s: it was written", name)
		}
	}
	s.now = start
	s.submit(s.drafted(1), keys...)
	s.sees(s.client(), "sim", 1)
}
