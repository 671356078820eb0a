package verify

import (
	"errors"
	"fmt"
	"slices"

	"platen/agent/evidence"
)

// Release is what is known of a release that printers run.
type Release struct {
	// Number is the release's.
	Number uint64
	// Boards are the SHA-256 digests of its board files; empty: any.
	Boards [][32]byte
	// Controllers are the SHA-256 digests of all images that were released for the motion
	// controllers of its board; empty: any.
	Controllers [][32]byte
	// Boots are the boots that were released for it: that of its set, or else all of its
	// board's; empty: any, and each printer's stays what it was at enrolment.
	Boots []Boot
	// Bound is true if its set brings a boot: then none but that is taken.
	Bound bool
}

// Releases knows the agents that were signed and released.
type Releases interface {
	// Release returns the release whose agent has this SHA-256 digest, and false if none
	// has or it was revoked.
	Release(agent [32]byte) (Release, bool)
}

// ReleaseMap is Releases from a map of digest to number.
type ReleaseMap map[[32]byte]uint64

// Release looks the digest up.
func (m ReleaseMap) Release(agent [32]byte) (Release, bool) {
	n, ok := m[agent]
	return Release{Number: n}, ok
}

// Configurations knows the configuration files that printers may run with.
type Configurations interface {
	// Known reports whether a printer may run with the file of this SHA-256 digest.
	Known(printer evidence.PrinterID, config [32]byte) bool
}

// measured checks what runs on the printer against what its TPM has signed: firmware and kernel as expected, the log and the settings as they replay,
// agents all released, settings as released or known.
func (v *Verifier) measured(p *printer, b evidence.Batch, att attested) (Release, error) {
	if err := p.state(runs(v.cfg.Releases, b.Log), b, att.pcrDigest); err != nil {
		return Release{}, err
	}
	runs, err := ran(v.cfg.Releases, b.Log)
	if err != nil {
		return runs, err
	}
	if !p.chain.trusts(b.Log.Base) {
		return runs, refuse(LogBaseUnknown, nil)
	}
	if v.cfg.Configurations != nil && !p.chain.saw(settingsBase(b.Log), att.clock.ResetCount, true) {
		return runs, refuse(SettingsUnseen, nil)
	}
	return runs, runs.takes(p.id, b.Log.Settings, v.cfg.Configurations)
}

// listed reports whether a printer's configuration stands on the list, and all that it ran with
// before since the TPM was reset this often stood there when it was believed.
func (v *Verifier) listed(id evidence.PrinterID, c *chain, l evidence.Log, reset uint32) bool {
	known := v.cfg.Configurations
	return known != nil && c.saw(settingsBase(l), reset, true) && known.Known(id, l.Settings.Config)
}

// enrolledState is the release that a printer runs which enrols, and whose TPM was reset this
// often.
func enrolledState(id evidence.PrinterID, policy Policy, rsp evidence.EnrolResponse, reset uint32) (Release, error) {
	if rsp.Log.Value() != rsp.Quote.PCRs.Agent() {
		return Release{}, refuse(LogMismatch, nil)
	}
	if rsp.Log.Settings.Value() != rsp.Quote.PCRs.Settings() {
		return Release{}, refuse(SettingsMismatch, nil)
	}
	runs, err := ran(policy.Releases, rsp.Log)
	if err != nil {
		return runs, err
	}
	if err := runs.started(rsp.Quote.PCRs); err != nil {
		return runs, err
	}
	base := settingsBase(rsp.Log)
	if policy.Configurations != nil && base != [32]byte{} && (policy.Saw == nil || !policy.Saw(id, base, reset)) {
		return runs, refuse(SettingsUnseen, errors.New("something else ran since the machine started: restart it"))
	}
	return runs, runs.takes(id, rsp.Log.Settings, policy.Configurations)
}

// ran checks that every agent of a log was released; it returns the release of the last,
// which runs.
func ran(known Releases, log evidence.Log) (Release, error) {
	var runs Release
	if len(log.Digests) == 0 {
		return runs, refuse(NothingMeasured, nil)
	}
	for _, d := range log.Digests {
		var ok bool
		if runs, ok = known.Release(d); !ok {
			return runs, refuse(UnknownRelease, fmt.Errorf("agent %x", d[:8]))
		}
	}
	return runs, nil
}

// takes checks what a release's agent runs with.
func (r Release) takes(id evidence.PrinterID, s evidence.Settings, known Configurations) error {
	switch {
	case len(r.Boards) > 0 && !slices.Contains(r.Boards, s.Board):
		return refuse(UnknownBoard, fmt.Errorf("board file %x", s.Board[:8]))
	case len(r.Controllers) > 0 && s.Controller != [32]byte{} && !slices.Contains(r.Controllers, s.Controller):
		return refuse(UnknownFirmware, fmt.Errorf("image %x", s.Controller[:8]))
	case known != nil && !known.Known(id, s.Config):
		return refuse(UnknownConfig, fmt.Errorf("configuration %x", s.Config[:8]))
	}
	return nil
}

// settingsBase is the value of SettingsPCR before what a log says was measured last.
func settingsBase(l evidence.Log) (base [32]byte) {
	copy(base[:], l.Settings.Base)
	return base
}
