package verify

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"platen/agent/evidence"
)

// parts is everything that an agent measures of itself, as the bytes that were signed.
type parts struct{ agent, config, board, controller []byte }

func goodParts() parts {
	fill := func(b byte) []byte { return bytes.Repeat([]byte{b, '\n'}, 100) }
	return parts{fill('a'), fill('c'), fill('b'), fill('f')}
}

func (p parts) measured() (agent [32]byte, s evidence.Settings) {
	return sha256.Sum256(p.agent), evidence.Settings{Config: sha256.Sum256(p.config), Board: sha256.Sum256(p.board),
		Controller: sha256.Sum256(p.controller)}
}

// signed knows one release, and is all that knows it.
type signed struct {
	release Release
	agent   [32]byte
	config  [32]byte
}

func (s signed) Release(agent [32]byte) (Release, bool) { return s.release, agent == s.agent }

func (s signed) Known(_ evidence.PrinterID, config [32]byte) bool { return config == s.config }

func signedParts(p parts) signed {
	agent, s := p.measured()
	return signed{Release{Number: 3, Boards: [][32]byte{{1}, s.Board}, Controllers: [][32]byte{{2}, s.Controller}}, agent, s.Config}
}

// run has a printer that was just reset run parts, in its next boot.
func (s *soft) run(p parts) {
	agent, settings := p.measured()
	s.log = evidence.Log{Digests: [][32]byte{agent}, Settings: evidence.Settings{}}
	s.runWith(settings)
	s.clock.ResetCount++
	s.clock.Clock += 1000
	s.boots++
	s.chain = evidence.NewChain(s.id, us, s.boots, s.clock.Clock)
}

// TestT21: a printer of which any one bit is another is refused, and what differs is named.
// After each it is put right and believed again.
func TestT21(t *testing.T) {
	known := signedParts(goodParts())
	p := newSoft(t)
	p.run(goodParts())
	v, err := New(Config{Recipient: us, Releases: known, Configurations: known})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Enrol(p.record()); err != nil {
		t.Fatal(err)
	}
	accept(t, v, p.id, p.batch("x"))
	for _, c := range []struct {
		of   func(*parts) []byte
		want Reason
	}{
		{func(p *parts) []byte { return p.agent }, UnknownRelease},
		{func(p *parts) []byte { return p.config }, UnknownConfig},
		{func(p *parts) []byte { return p.board }, UnknownBoard},
		{func(p *parts) []byte { return p.controller }, UnknownFirmware},
	} {
		for bit := 0; bit < 1600; bit += 397 {
			changed := goodParts()
			c.of(&changed)[bit/8] ^= 1 << (bit % 8)
			p.run(changed)
			refuses(t, v, p.id, p.batch("x"), c.want)
		}
		p.run(goodParts())
		accept(t, v, p.id, p.batch("x"))
	}
}

// TestSettingsAreNamed: where any configuration is taken, a change is told once, and so is
// that something ran that nothing was heard of.
func TestSettingsAreNamed(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	if got := accept(t, v, p.id, p.batch("x")); got.SettingsChanged || !got.Settings.Same(p.log.Settings) {
		t.Errorf("as at the enrolment: %+v", got.Settings)
	}
	other := p.log.Settings
	other.Config[0] ^= 1
	first := p.log.Settings
	p.runWith(other)
	if got := accept(t, v, p.id, p.batch("x")); !got.SettingsChanged || got.SettingsUnseen || !got.Settings.Same(other) {
		t.Errorf("a change is not named: %+v", got)
	}
	if got := accept(t, v, p.id, p.batch("x")); got.SettingsChanged {
		t.Error("a change is named twice")
	}
	p.runWith(first)
	p.runWith(other)
	if got := accept(t, v, p.id, p.batch("x")); got.SettingsChanged || !got.SettingsUnseen {
		t.Errorf("what ran in between was not missed: %+v", got)
	}
	strict := signed{config: other.Config}
	v.cfg.Configurations = strict
	refuses(t, v, p.id, p.batch("x"), SettingsUnseen)
}

// TestSettingsOfThisBoot: what ran in one boot, and was believed then, says nothing of the next.
func TestSettingsOfThisBoot(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	first, other := p.log.Settings, p.log.Settings
	other.Config[0] ^= 1
	next := func() { // in the next boot, the first runs unheard of before the other
		p.clock.ResetCount++
		p.clock.Clock += 1000
		p.boots++
		p.chain = evidence.NewChain(p.id, us, p.boots, p.clock.Clock)
		p.log.Settings = evidence.Settings{}
		p.runWith(first)
		p.runWith(other)
	}
	accept(t, v, p.id, p.batch("x"))
	p.runWith(other)
	if got := accept(t, v, p.id, p.batch("x")); got.SettingsUnseen {
		t.Error("what was believed in this boot is not known")
	}
	next()
	if got := accept(t, v, p.id, p.batch("x")); !got.SettingsUnseen {
		t.Error("what ran in this boot counts as heard of, since it ran in the one before")
	}
	v.cfg.Configurations = signed{config: other.Config}
	next()
	refuses(t, v, p.id, p.batch("x"), SettingsUnseen)
	if err := v.Enrol(p.record()); err != nil { // in this boot, with the other
		t.Fatal(err)
	}
	p.runWith(other)
	if got := accept(t, v, p.id, p.batch("x")); got.SettingsUnseen {
		t.Error("what it enrolled with is not known")
	}
	chain := chainOf(t, v, p.id) // as an older state has it
	chain.Values, chain.Ran = append(chain.Values, hash(p.log.Settings.Value())), nil
	b, err := v.State()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Restore(b); err != nil {
		t.Fatal(err)
	}
	p.runWith(other)
	refuses(t, v, p.id, p.batch("x"), SettingsUnseen) // that state does not say that a list was asked
	v.cfg.Configurations = nil
	if got := accept(t, v, p.id, p.batch("x")); got.SettingsUnseen {
		t.Error("what an older state has is not known")
	}
}

// TestEnrolWithAnother: where configurations are listed, one that is not cannot run before the
// one that a printer enrols with, unless it was believed of in this boot.
func TestEnrolWithAnother(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	first := p.log.Settings
	enrol := func(policy Policy) Reason {
		policy.Releases = released()
		rsp := evidence.EnrolResponse{Quote: evidence.Quote{PCRs: p.pcrs}, Log: p.log}
		_, err := enrolledState(p.id, policy, rsp, p.clock.ResetCount)
		return ReasonOf(err)
	}
	listed := signed{config: first.Config}
	if got := enrol(Policy{Configurations: listed}); got != "" {
		t.Errorf("what it ran first: %q", got)
	}
	p.runWith(first) // again: its first is what came before
	if got := enrol(Policy{Configurations: listed, Saw: v.Saw}); got != "" {
		t.Errorf("what ran before is known: %q", got)
	}
	other := first
	other.Config[0] ^= 1
	p.runWith(other)
	p.runWith(first)
	for name, saw := range map[string]func(evidence.PrinterID, [32]byte, uint32) bool{"new": nil, "enrolled": v.Saw} {
		if got := enrol(Policy{Configurations: listed, Saw: saw}); got != SettingsUnseen {
			t.Errorf("%s, with another one before: %q", name, got)
		}
	}
	if got := enrol(Policy{}); got != "" {
		t.Errorf("any configuration: %q", got)
	}
}

// TestNoSettings: an agent that measured none is believed where none are demanded.
func TestNoSettings(t *testing.T) {
	p := newSoft(t)
	p.log.Settings = evidence.Settings{}
	p.quoteLog()
	v, _ := newVerifier(t, p)
	accept(t, v, p.id, p.batch("x"))
	v.cfg.Releases = signed{release: Release{Boards: [][32]byte{{1}}}, agent: agentDigest(1)}
	refuses(t, v, p.id, p.batch("x"), UnknownBoard)
}

// TestListedLater: what was believed before configurations were listed counts for nothing once
// they are: a printer that changed since its machine started has to start again.
func TestListedLater(t *testing.T) {
	p := newSoft(t)
	v, _ := newVerifier(t, p)
	good := p.log.Settings
	bad := good
	bad.Config[0] ^= 1
	p.runWith(bad)
	if got := accept(t, v, p.id, p.batch("x")); !got.SettingsChanged {
		t.Error("control: a change without a list is not told")
	}
	p.runWith(good)
	accept(t, v, p.id, p.batch("x")) // control: no list yet
	wire := p.batch("x")
	state, err := v.State()
	if err != nil {
		t.Fatal(err)
	}
	later, err := New(Config{Recipient: us, Releases: released(), Configurations: signed{config: good.Config}, Now: v.cfg.Now})
	if err == nil {
		err = later.Restore(state)
	}
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, later, p.id, wire, SettingsUnseen)
	if err := later.Recall(p.id, wire); err != nil { // a log that has it tells no more than that
		t.Fatal(err)
	}
	refuses(t, later, p.id, p.batch("x"), SettingsUnseen)
	p.clock.ResetCount++
	p.clock.Clock += 1000
	p.boots++
	p.chain = evidence.NewChain(p.id, us, p.boots, p.clock.Clock)
	p.log.Settings = evidence.Settings{}
	p.runWith(good)
	accept(t, later, p.id, p.batch("x"))
	p.runWith(good) // measured again in this boot, behind what was listed
	accept(t, later, p.id, p.batch("x"))
	p.runWith(bad)
	refuses(t, later, p.id, p.batch("x"), UnknownConfig)
}
