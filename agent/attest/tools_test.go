package attest_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"platen/agent/attest"
	"platen/agent/evidence"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

// tool runs one of the programs of tpm2-tools.
func tool(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd, err := rig.Command(t.Context(), name, args...)
	rigtest.Check(t, err)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if _, ran := err.(*exec.ExitError); err != nil && !ran {
		t.Fatal(err)
	}
	return string(out) + errs.String(), err
}

// quoteFiles is a quote as tpm2_checkquote takes it: the attestation key in PEM, the
// message, its signature, and the values of the PCRs one after the other.
type quoteFiles struct{ dir string }

func (f quoteFiles) path(name string) string { return filepath.Join(f.dir, name) }

func (f quoteFiles) check(t *testing.T, q evidence.Quote, qualifying [32]byte) (string, error) {
	t.Helper()
	var values []byte
	for _, v := range q.PCRs {
		values = append(values, v[:]...)
	}
	for name, b := range map[string][]byte{"msg": q.Attest, "sig": q.Sig, "pcrs": values} {
		if err := os.WriteFile(f.path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var list []string
	for _, pcr := range evidence.Selection() {
		list = append(list, fmt.Sprint(pcr))
	}
	return tool(t, "tpm2_checkquote", "-u", f.path("ak.pem"), "-m", f.path("msg"), "-s", f.path("sig"), "-f", f.path("pcrs"),
		"-l", "sha256:"+strings.Join(list, ","), "-g", "sha256", "-q", hex.EncodeToString(qualifying[:]))
}

// TestStockToolsAgree: tpm2_checkquote accepts our quotes, and nothing else; what
// tpm2_eventlog makes of our log of agents is the PCR that is quoted.
func TestStockToolsAgree(t *testing.T) {
	dir := t.TempDir()
	tpm := open(t, rigtest.Swtpm(t), dir)
	for n := range byte(3) {
		if err := tpm.ExtendAgent(t.Context(), sha256.Sum256([]byte{n})); err != nil {
			t.Fatal(err)
		}
	}
	for n := range byte(2) {
		if err := tpm.ExtendSettings(t.Context(), evidence.Settings{Config: [32]byte{n + 1}, Board: [32]byte{9}}); err != nil {
			t.Fatal(err)
		}
	}
	qualifying := sha256.Sum256([]byte("a header"))
	q, err := tpm.Quote(t.Context(), qualifying)
	if err != nil {
		t.Fatal(err)
	}
	f := quoteFiles{dir: t.TempDir()}
	writeAK(t, f.path("ak.pem"), tpm)
	if out, err := f.check(t, q, qualifying); err != nil {
		t.Fatalf("tpm2_checkquote refuses our quote: %v\n%s", err, out)
	}
	bad := q
	bad.Attest = bytes.Clone(q.Attest)
	bad.Attest[len(bad.Attest)-1] ^= 1
	if out, err := f.check(t, bad, qualifying); err == nil {
		t.Errorf("control: a changed quote is accepted: %s", out)
	}
	if out, err := f.check(t, q, sha256.Sum256([]byte("another header"))); err == nil {
		t.Errorf("control: a quote over something else is accepted: %s", out)
	}
	bad = q
	bad.PCRs[2][0] ^= 1
	if out, err := f.check(t, bad, qualifying); err == nil {
		t.Errorf("control: other values are accepted: %s", out)
	}

	log := filepath.Join(dir, "pcr14.eventlog")
	if got := replayed(t, log, 14); got != q.PCRs.Agent() {
		t.Errorf("tpm2_eventlog replays our log to %x, the TPM has %x", got, q.PCRs.Agent())
	}
	if got := replayed(t, filepath.Join(dir, "pcr13.eventlog"), 13); got != q.PCRs.Settings() {
		t.Errorf("tpm2_eventlog replays our log of settings to %x, the TPM has %x", got, q.PCRs.Settings())
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte{1})
	b[bytes.Index(b, sum[:])] ^= 1
	if err := os.WriteFile(log, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := replayed(t, log, 14); got == q.PCRs.Agent() {
		t.Error("control: a changed log replays to the same")
	}
}

// writeAK writes the attestation key in PEM.
func writeAK(t *testing.T, path string, tpm *attest.TPM) {
	t.Helper()
	raw, err := tpm.EnrolRequest(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	req, err := evidence.DecodeEnrolRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](req.AK)
	if err != nil {
		t.Fatal(err)
	}
	key, err := tpm2.Pub(*area)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replayed is what tpm2_eventlog says that a PCR comes to.
func replayed(t *testing.T, log string, pcr int) [32]byte {
	t.Helper()
	replayedPCR := regexp.MustCompile(fmt.Sprintf(`(?m)^ *%d *: *0x([0-9A-Fa-f]{64})`, pcr))
	out, err := tool(t, "tpm2_eventlog", log)
	m := replayedPCR.FindStringSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("tpm2_eventlog: %v\n%s", err, out)
	}
	b, err := hex.DecodeString(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return [32]byte(b)
}
