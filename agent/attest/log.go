package attest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/durable"
	"platen/agent/evidence"
)

// logName is the file of the log of PCR 14, in the format of [evidence.Log.EventLog], which
// tpm2_eventlog reads.
const logName = "pcr14.eventlog"

// agentLog is the log of evidence.AgentPCR since the TPM was reset.
type agentLog struct {
	dir     string // empty: in RAM only
	digests [][32]byte
}

// loadLog reads the log and settles what it is worth against the PCR: the whole of
// it, all but a last entry whose extension never happened, or nothing since the
// TPM was reset. A log that fits in no way is kept for the verifier to refuse.
func (o *owner) loadLog() error {
	digests, err := o.log.read()
	if err != nil {
		return err
	}
	values, err := o.readPCRs()
	if err != nil {
		return err
	}
	pcr := values.Agent()
	n := len(digests)
	switch {
	case replays(digests, pcr):
	case n > 0 && replays(digests[:n-1], pcr):
		digests = digests[:n-1]
	case pcr == [32]byte{}:
		digests = nil
	default:
		o.logger.Warn("log of the agents does not replay to PCR 14; evidence will be refused until the next boot")
	}
	o.log.digests = digests
	return nil
}

func replays(digests [][32]byte, pcr [32]byte) bool {
	return evidence.Log{Digests: digests}.Value() == pcr
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
	// The log goes first: an entry too many is seen at the next start, an entry
	// missing could not be told from a foreign measurement.
	grown := append(old[:n:n], digest)
	if err := o.log.write(grown); err != nil {
		return err
	}
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(evidence.AgentPCR), Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{
			{HashAlg: tpm2.TPMAlgSHA256, Digest: digest[:]}}},
	}.Execute(o.link)
	if err != nil {
		return errors.Join(fmt.Errorf("extend PCR %d: %w", evidence.AgentPCR, err), o.log.write(old))
	}
	o.log.digests = grown
	return nil
}

// Log is the whole log of PCR 14 since the TPM was reset.
func (t *TPM) Log(ctx context.Context) (evidence.Log, error) {
	return call(ctx, t, func(o *owner) (evidence.Log, error) { return o.fullLog(), nil })
}

func (o *owner) fullLog() evidence.Log {
	return evidence.Log{Digests: append([][32]byte{}, o.log.digests...)}
}

func (l *agentLog) read() ([][32]byte, error) {
	if l.dir == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(filepath.Join(l.dir, logName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the log of PCR 14: %w", err)
	}
	log, err := evidence.ParseEventLog(raw)
	if err != nil {
		return nil, fmt.Errorf("read the log of PCR 14: %w: remove %s and restart the machine", err, filepath.Join(l.dir, logName))
	}
	return log.Digests, nil
}

// write replaces the file at once: a crash leaves the old log or the new one.
func (l *agentLog) write(digests [][32]byte) error {
	if l.dir == "" {
		return nil
	}
	b, err := evidence.Log{Digests: digests}.EventLog()
	if err != nil {
		return fmt.Errorf("write the log of PCR 14: %w", err)
	}
	if err := durable.Replace(filepath.Join(l.dir, logName), b); err != nil {
		return fmt.Errorf("write the log of PCR 14: %w", err)
	}
	return nil
}
