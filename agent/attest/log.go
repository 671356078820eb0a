package attest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/durable"
	"platen/agent/evidence"
)

// The files of the logs of PCR 14 and 13, in formats that tpm2_eventlog reads:
// [evidence.Log.EventLog] and [evidence.SettingsLog.EventLog].
const (
	logName      = "pcr14.eventlog"
	settingsName = "pcr13.eventlog"
)

// agentLog is the log of evidence.AgentPCR since the TPM was reset, and that of
// evidence.SettingsPCR.
type agentLog struct {
	dir      string // empty: in RAM only
	digests  [][32]byte
	settings evidence.SettingsLog
}

// loadLog reads both logs and settles what each is worth against its PCR: the whole of
// it, all but a last entry whose extension never happened, or nothing since the
// TPM was reset. A log that fits in no way is kept for the verifier to refuse.
func (o *owner) loadLog() error {
	digests, err := readLog(&o.log, logName, evidence.ParseEventLog)
	if err != nil {
		return err
	}
	settings, err := readLog(&o.log, settingsName, evidence.ParseSettingsLog)
	if err != nil {
		return err
	}
	values, err := o.readPCRs()
	if err != nil {
		return err
	}
	agents := func(d [][32]byte) [32]byte { return evidence.Log{Digests: d}.Value() }
	var fits bool
	if o.log.digests, fits = settle(digests.Digests, values.Agent(), agents); !fits {
		o.logger.Warn("log of the agents does not replay to PCR 14; evidence will be refused until the next boot")
	}
	if o.log.settings, fits = settle(settings, values.Settings(), evidence.SettingsLog.Value); !fits {
		o.logger.Warn("log of the settings does not replay to PCR 13; evidence will be refused until the next boot")
	}
	return nil
}

// settle is as much of a log as its PCR holds, and whether any does.
func settle[L ~[]E, E any](log L, pcr [32]byte, value func(L) [32]byte) (L, bool) {
	n := len(log)
	switch {
	case value(log) == pcr:
		return log, true
	case n > 0 && value(log[:n-1]) == pcr:
		return log[:n-1], true
	case pcr == [32]byte{}:
		return nil, true
	}
	return log, false
}

// ExtendAgent measures an agent's SHA-256 digest into PCR 14 and writes it into the
// log. It does so before the agent speaks: whoever starts an agent calls it with
// the digest of the file that will run. If the log already ends with the digest,
// nothing is extended, so an agent that restarts leaves PCR and log as they were.
func (t *TPM) ExtendAgent(ctx context.Context, digest [32]byte) error {
	_, err := call(ctx, t, func(o *owner) (struct{}, error) { return struct{}{}, o.extendAgent(digest) })
	if err != nil {
		return fmt.Errorf("measure the agent: %w", err)
	}
	return nil
}

func (o *owner) extendAgent(digest [32]byte) error {
	old := o.log.digests
	n := len(old)
	if n > 0 && old[n-1] == digest {
		return nil
	}
	if n >= evidence.MaxFullLog {
		return fmt.Errorf("%d agents ran in this boot, and the log holds no more: restart the machine", n)
	}
	grown := append(old[:n:n], digest)
	write := func(d [][32]byte) error {
		return o.log.write(logName, evidence.Log{Digests: d}.EventLog)
	}
	if err := o.extend(evidence.AgentPCR, digest, func() error { return write(grown) }, func() error { return write(old) }); err != nil {
		return err
	}
	o.log.digests = grown
	return nil
}

// ExtendSettings measures what an agent runs with into PCR 13 and writes it into the log,
// before the agent acts on it. If the log ends with the same, nothing is extended. The
// Base of s does not matter.
func (t *TPM) ExtendSettings(ctx context.Context, s evidence.Settings) error {
	_, err := call(ctx, t, func(o *owner) (struct{}, error) { return struct{}{}, o.extendSettings(s) })
	if err != nil {
		return fmt.Errorf("measure what the agent runs with: %w", err)
	}
	return nil
}

func (o *owner) extendSettings(s evidence.Settings) error {
	old := o.log.settings
	if len(old) > 0 && old.Last().Same(s) {
		return nil
	}
	if len(old) >= evidence.MaxFullLog {
		return fmt.Errorf("settings changed %d times in this boot, and the log holds no more: restart the machine", len(old))
	}
	grown := old.With(s)
	write := func(l evidence.SettingsLog) error { return o.log.write(settingsName, l.EventLog) }
	digest := sha256.Sum256(s.Event())
	if err := o.extend(evidence.SettingsPCR, digest, func() error { return write(grown) }, func() error { return write(old) }); err != nil {
		return err
	}
	o.log.settings = grown
	return nil
}

// extend extends a PCR by what write enters into its log; undo takes that out again.
// The log goes first: an entry too many is seen at the next start, an entry missing could
// not be told from a foreign measurement.
func (o *owner) extend(pcr uint, digest [32]byte, write, undo func() error) error {
	if err := write(); err != nil {
		return err
	}
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{
			{HashAlg: tpm2.TPMAlgSHA256, Digest: digest[:]}}},
	}.Execute(o.link)
	if err != nil {
		return errors.Join(fmt.Errorf("extend PCR %d: %w", pcr, err), undo())
	}
	return nil
}

// Log is what was measured: the whole log of PCR 14 since the TPM was reset, and the last
// event of that of PCR 13.
func (t *TPM) Log(ctx context.Context) (evidence.Log, error) {
	return call(ctx, t, func(o *owner) (evidence.Log, error) { return o.fullLog(), nil })
}

func (o *owner) fullLog() evidence.Log {
	return evidence.Log{Digests: append([][32]byte{}, o.log.digests...), Settings: o.log.settings.Last()}
}

// readLog reads the file of a log; none is the log without an entry.
func readLog[L any](l *agentLog, name string, parse func([]byte) (L, error)) (log L, err error) {
	if l.dir == "" {
		return log, nil
	}
	path := filepath.Join(l.dir, name)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return log, nil
	}
	if err != nil {
		return log, fmt.Errorf("read a log of PCRs: %w", err)
	}
	if log, err = parse(raw); err != nil {
		return log, fmt.Errorf("read a log of PCRs: %w: remove %s and restart the machine", err, path)
	}
	return log, nil
}

// write replaces a file at once: a crash leaves the old log or the new one.
func (l *agentLog) write(name string, encode func() ([]byte, error)) error {
	if l.dir == "" {
		return nil
	}
	b, err := encode()
	if err == nil {
		err = durable.Replace(filepath.Join(l.dir, name), b)
	}
	if err != nil {
		return fmt.Errorf("write a log of PCRs: %w", err)
	}
	return nil
}
