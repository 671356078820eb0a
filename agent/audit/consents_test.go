package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"platen/updater/updatertest"
)

// says is what a log says of grants: of each recipient the event and the serial.
func says(l *Log) string {
	var out []string
	for _, e := range l.Consents() {
		out = append(out, fmt.Sprint(e.Recipient, " ", e.Event, " ", e.Serial))
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

// However often the log makes room for itself, it says what became of each grant.
func TestRotationKeepsConsents(t *testing.T) {
	const want = "[ac revoke 2 fe grant 7]"
	s, d := newSoft(t), updatertest.NewDisk()
	l := open(t, d, s)
	l.limit = 1 << 10
	for _, e := range []Entry{{Event: Grant, Recipient: "ac", Serial: 1}, {Event: Grant, Recipient: "fe", Serial: 7, Digest: "0a"},
		{Event: Grant, Recipient: "ac", Serial: 2}, {Event: Revoke, Recipient: "ac", Serial: 2}} {
		add(t, l, e)
	}
	head(t, l)
	for turned := 0; turned < 3; { // times that the ring went round
		at := l.segs[len(l.segs)-1].at
		add(t, l, job(1))
		if at == segments-1 && l.segs[len(l.segs)-1].at == 0 {
			turned++
		}
	}
	if l.walk.first < 50 {
		t.Fatalf("control: the log begins at entry %d", l.walk.first)
	}
	head(t, l)
	again := open(t, d, s)
	if again.Damage() != nil || says(l) != want || says(again) != want {
		t.Errorf("says %s, and opened again %s (%v), want %s", says(l), says(again), again.Damage(), want)
	}
	for _, e := range again.Consents() {
		if e.N < again.walk.first || e.Recipient == "fe" && e.Digest != "0a" {
			t.Errorf("not carried along whole: %+v", e)
		}
	}
}

// Nor does a power cut while it makes room take any of that away.
func TestRotationCutOff(t *testing.T) {
	s, d := newSoft(t), updatertest.NewDisk()
	s.counted = func(n uint64) { d.Mark(fmt.Sprintf("count %d", n)) } // of which no cut takes anything away
	l := open(t, d, s)
	l.limit = 1 // a segment an entry
	add(t, l, Entry{Event: Grant, Recipient: "ac", Serial: 1})
	add(t, l, Entry{Event: Revoke, Recipient: "ac", Serial: 1})
	d.Mark("revoked")
	for i := range 2 * segments {
		add(t, l, job(1))
		if i%3 == 0 {
			head(t, l)
		}
	}
	states := 0
	for c := range d.Crashes(1) {
		if !slices.Contains(c.Acked, "revoked") {
			continue
		}
		count := uint64(41)
		for _, m := range c.Acked {
			fmt.Sscanf(m, "count %d", &count)
		}
		got, err := Open(t.Context(), c.Disk, &soft{key: s.key, public: s.public, count: count}, nil)
		if err != nil || got.Damage() != nil || says(got) != "[ac revoke 1]" {
			t.Fatalf("%s: %v, %v, says %s", c.At, err, got.Damage(), says(got))
		}
		states++
	}
	if states < 50 {
		t.Errorf("control: only %d states", states)
	}
}

// Who has the disk can write lines behind the last head. None of them undoes a revocation.
func TestForgedGrantUndoesNoRevocation(t *testing.T) {
	for name, c := range map[string]struct {
		forged []Entry
		want   string
	}{
		"control, a later grant": {[]Entry{{Event: Grant, Serial: 3}}, "[ac grant 3]"},
		"the revoked one":        {[]Entry{{Event: Grant, Serial: 2}}, "[ac revoke 2]"},
		"an earlier one":         {[]Entry{{Event: Grant, Serial: 1}}, "[ac revoke 2]"},
		"behind a revocation":    {[]Entry{{Event: Revoke, Serial: 0}, {Event: Grant, Serial: 1}}, "[ac revoke 2]"},
	} {
		s, d := newSoft(t), updatertest.NewDisk()
		l := open(t, d, s)
		add(t, l, Entry{Event: Grant, Recipient: "ac", Serial: 2})
		add(t, l, Entry{Event: Revoke, Recipient: "ac", Serial: 2})
		head(t, l)
		b, _ := d.Contents("log-0")
		end := l.End()
		for _, e := range c.forged {
			e.N, e.Prev, e.Recipient, e.At = end.N+1, end.Hash, "ac", time.Unix(1, 0).UTC()
			line, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			end = Ref{e.N, hash(line)}
			b = append(append(b, line...), '\n')
		}
		d.Damage("log-0", b)
		if l := open(t, d, s); l.Damage() != nil || says(l) != c.want {
			t.Errorf("%s: %s (%v), want %s", name, says(l), l.Damage(), c.want)
		}
	}
}
