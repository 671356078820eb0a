package verify

import (
	"bytes"
	"errors"
	"fmt"

	"platen/agent/evidence"
)

// Boot is what registers of the TPM hold after the start of a root file system that was
// released, by register. What it does not name stays what it was at enrolment.
type Boot map[uint8][32]byte

// on is want as it is after this boot.
func (s Boot) on(want evidence.PCRs) evidence.PCRs {
	for i, pcr := range evidence.Selection() {
		if v, ok := s[uint8(pcr)]; ok && i < len(want)-2 { // the last two are not the boot's
			want[i] = v
		}
	}
	return want
}

// expected lists what a printer's registers may hold that runs this release: what they held at
// enrolment, unless the release brings its own boot, and what was released.
func (r Release) expected(enrolled evidence.PCRs) []evidence.PCRs {
	var list []evidence.PCRs
	if !r.Bound {
		list = append(list, enrolled)
	}
	for _, s := range r.Boots {
		list = append(list, s.on(enrolled))
	}
	return list
}

// names reports whether any boot of the release says what a register holds.
func (r Release) names(pcr uint) bool {
	for _, s := range r.Boots {
		if _, ok := s[uint8(pcr)]; ok {
			return true
		}
	}
	return false
}

// runs is the release of the last agent in a log, empty if it is not known: that is another
// check's to say.
func runs(known Releases, log evidence.Log) Release {
	if len(log.Digests) == 0 {
		return Release{}
	}
	r, _ := known.Release(log.Digests[len(log.Digests)-1])
	return r
}

// state holds the values that the printer's PCRs may have against the digest that was
// quoted. If none fits, the hints of the batch name what differs from the nearest.
func (p *printer) state(r Release, b evidence.Batch, quoted []byte) error {
	enrolled := p.boot
	enrolled[len(enrolled)-2], enrolled[len(enrolled)-1] = b.Log.Settings.Value(), b.Log.Value()
	var nearest evidence.Hints
	best := -1
	for _, want := range r.expected(enrolled) {
		digest, hints := want.Digest(), want.Hints()
		if bytes.Equal(digest[:], quoted) {
			if hints != b.Quote.PCRs {
				return refuse(WrongPCRs, errors.New("the values are not those that were quoted"))
			}
			return nil
		}
		same := 0
		for i := range hints {
			if hints[i] == b.Quote.PCRs[i] {
				same++
			}
		}
		if same > best {
			best, nearest = same, hints
		}
	}
	return r.differs(nearest, b.Quote.PCRs)
}

// differs names the register in which a state differs from what is expected.
func (r Release) differs(want, got evidence.Hints) error {
	for i := len(want) - 1; i >= 0; i-- {
		switch pcr := evidence.Selection()[i]; {
		case want[i] == got[i]:
		case pcr == evidence.AgentPCR:
			return refuse(LogMismatch, nil)
		case pcr == evidence.SettingsPCR:
			return refuse(SettingsMismatch, nil)
		case r.names(pcr):
			return refuse(BootUnreleased, fmt.Errorf("PCR %d", pcr))
		default:
			return refuse(BootChanged, fmt.Errorf("PCR %d", pcr))
		}
	}
	return refuse(WrongPCRs, nil)
}

// started checks the boot of a printer that enrols: where boots were released, it is one
// of them.
func (r Release) started(values evidence.PCRs) error {
	for i, s := range r.Boots {
		want := s.on(values)
		if want == values {
			return nil
		}
		if i == len(r.Boots)-1 {
			return r.differs(want.Hints(), values.Hints())
		}
	}
	return nil
}
