package verify

import (
	"testing"

	"platen/agent/evidence"
)

// TestBootsOfReleases: what registers hold after a boot comes from the signed release, for the
// registers that it names; the others stay what they were at enrolment (T21).
func TestBootsOfReleases(t *testing.T) {
	first, second := Boot{8: {3}, 9: {4}}, Boot{8: {30}, 9: {40}, 11: {1}}
	values := func(kernel, rest byte) evidence.PCRs { return evidence.PCRs{{1}, {2}, {kernel}, {rest}} }
	for name, c := range map[string]struct {
		release Release
		boot    evidence.PCRs
		want    Reason
		enrols  Reason // where the printer enrols with this boot
	}{
		"nothing released, as enrolled":         {Release{}, values(3, 4), "", ""},
		"nothing released, another kernel":      {Release{}, values(9, 4), BootChanged, ""},
		"of its set":                            {Release{Boots: []Boot{second}, Bound: true}, values(30, 40), "", ""},
		"of its set, the old one":               {Release{Boots: []Boot{second}, Bound: true}, values(3, 4), BootUnreleased, BootUnreleased},
		"of its set, half of it":                {Release{Boots: []Boot{second}, Bound: true}, values(30, 4), BootUnreleased, BootUnreleased},
		"any of the board's: the first":         {Release{Boots: []Boot{first, second}}, values(3, 4), "", ""},
		"any of the board's: the second":        {Release{Boots: []Boot{first, second}}, values(30, 40), "", ""},
		"any of the board's: halves":            {Release{Boots: []Boot{first, second}}, values(3, 40), BootUnreleased, BootUnreleased},
		"released after the printer was made":   {Release{Boots: []Boot{second}}, values(3, 4), "", BootUnreleased},
		"a register that the release is silent": {Release{Boots: []Boot{second}}, evidence.PCRs{{1}, {7}, {30}, {40}}, BootChanged, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newSoft(t)
			v, err := New(Config{Recipient: us, Releases: one{c.release}})
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Enrol(p.record()); err != nil { // with values(3, 4)
				t.Fatal(err)
			}
			copy(p.pcrs[:4], c.boot[:4])
			if c.want == "" {
				accept(t, v, p.id, p.batch("x"))
			} else {
				refuses(t, v, p.id, p.batch("x"), c.want)
			}
			if got := ReasonOf(c.release.started(p.pcrs)); got != c.enrols {
				t.Errorf("enrols: %q, not %q", got, c.enrols)
			}
		})
	}
}

// one knows every agent, as the same release.
type one struct{ r Release }

func (o one) Release([32]byte) (Release, bool) { return o.r, true }

// TestEachBitOfABoot: any one bit of what was released is another boot, and the register is
// named.
func TestEachBitOfABoot(t *testing.T) {
	p := newSoft(t)
	v, err := New(Config{Recipient: us, Releases: one{Release{Boots: []Boot{{8: p.pcrs[2], 9: p.pcrs[3]}}, Bound: true}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Enrol(p.record()); err != nil {
		t.Fatal(err)
	}
	accept(t, v, p.id, p.batch("x"))
	good := p.pcrs
	for bit := 0; bit < 512; bit += 13 {
		p.pcrs = good
		p.pcrs[2+bit/256][bit%256/8] ^= 1 << (bit % 8)
		// The first bytes travel as a hint that names the register; of what is behind them
		// only the digest over all values speaks.
		want := BootUnreleased
		if bit%256 >= 32 {
			want = WrongPCRs
		}
		refuses(t, v, p.id, p.batch("x"), want)
	}
	p.pcrs = good
	accept(t, v, p.id, p.batch("x"))
}
