package config

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"platen/agent/consent"
)

func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	pub, _, _ := ed25519.GenerateKey(nil)
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "owner.pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644)
	path := filepath.Join(dir, "platen.toml")
	os.WriteFile(path, []byte(text), 0o644)
	return path
}

func TestLoad(t *testing.T) {
	path := write(t, `
board = "sim"
owner_key = "owner.pub"
operator_keys = ["owner.pub"]
vault = "16MiB"
tpm = "swtpm:tpm.sock"
job_ca = "jobs.pem"
[fleet]
offers = true
enrol = "https://fleet.example:8443"
ca = "ca.pem"
[update]
url = "https://fleet.example:8443/tuf/"
root = "root.json"
slots = "slots"
period = "10m"
`)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	for _, got := range []struct{ got, want any }{
		{c.Vault, Size(16 << 20)}, {c.MaxJob, Size(256 << 20)}, {c.TPM, "swtpm:" + filepath.Join(dir, "tpm.sock")},
		{c.Queue, "manual"}, {c.QueueJobs, 8}, {c.QueueBytes, Size(128 << 20)}, {c.JobCA, filepath.Join(dir, "jobs.pem")}, {c.Fleet.Offers, true},
		{c.Fleet.CA, filepath.Join(dir, "ca.pem")},
		{c.Update.Period, Duration(10 * time.Minute)}, {len(c.OwnerKey), ed25519.PublicKeySize}, {len(c.OperatorKeys), 1},
	} {
		if got.got != got.want {
			t.Errorf("got %v, want %v", got.got, got.want)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"board = \"sim\"\nvolt = 3":                     `unknown key "volt"`,
		"board = \"sim\"\n[fleet]\nx = 1":               `unknown key "fleet.x"`,
		"board = 5":                                     "line 1",
		"board = \"sim\"\nvault = \"64\"":               "has no unit",
		"board = \"sim\"\nvault = \"64MB\"":             "not a size",
		"":                                              "board is missing",
		"board = \"sim\"\nowner_key = \"nowhere\"":      "owner_key",
		"board = \"sim\"\napprover_key = \"owner.pub\"": "approver_key",
		"board = \"sim\"\n[fleet]\nenrol = \"http:\"":   "fleet.ca is missing",
		"board = \"sim\"\nmax_job = \"0B\"":             "max_job is below",
		"board = \"sim\"\nqueue = \"often\"":            "queue is neither",
		"board = \"sim\"\nqueue_jobs = 1000":            "queue_jobs is not",
		"board = \"sim\"\nqueue_bytes = \"1\"":          "has no unit",
		"board = \"sim\"\n[update]\nurl = \"x\"\nroot = \"r\"\nslots = \"s\"\nperiod = \"1ns\"": "update.period is below",
		"board = \"sim\"\n[update]\nurl = \"x\"\nperiod = \"1\"":                                "not a time span",
	} {
		if _, err := Load(write(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "README") {
		t.Errorf("no file: %v", err)
	}
}

// TestRecipients reads further recipients beside [fleet], and refuses tables that are not apart.
func TestRecipients(t *testing.T) {
	one := "board = \"sim\"\n[fleet]\nenrol = \"https://a\"\nca = \"a.pem\"\n"
	more := func(name, rest string) string {
		return "[[recipient]]\nname = \"" + name + "\"\nenrol = \"https://b\"\nca = \"b.pem\"\n" + rest
	}
	c, err := Load(write(t, one+more("service", "alpn = \"mqtt\"\n")+more("mine", "offers = true\n")))
	if err != nil {
		t.Fatal(err)
	}
	if all := c.Fleets(); len(all) != 3 || all[0].Name != "" || all[1].ALPN != "mqtt" || !all[2].Offers || all[2].CA != filepath.Join(c.Dir, "b.pem") {
		t.Errorf("fleets: %+v", all)
	}
	for name, text := range map[string]string{
		"same name":       one + more("x", "") + more("x", ""),
		"no name":         one + more("", ""),
		"name of a path":  one + more("../x", ""),
		"name of [fleet]": one + "name = \"x\"\n",
		"plain http":      one + strings.Replace(more("x", ""), "https", "http", 1),
		"too many":        one + more("a", "") + more("b", "") + more("c", "") + more("d", "") + more("e", "") + more("f", "") + more("g", "") + more("h", "") + more("i", ""),
	} {
		if _, err := Load(write(t, text)); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}

// TestSum: the digest is over the file and the keys that it names, as sha256sum has it.
func TestSum(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "owner")
	if _, err := consent.GenerateKey(key); err != nil {
		t.Fatal(err)
	}
	pub, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("board = \"sim\"\nowner_key = \"owner.pub\"\n")
	path := filepath.Join(dir, "platen.toml")
	sum := func() [32]byte {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		return c.Sum
	}
	if got, want := sum(), sha256.Sum256(append(bytes.Clone(text), pub...)); got != want {
		t.Errorf("%x, want %x", got, want)
	}
	before := sum()
	text = append(text, '\n')
	if sum() == before {
		t.Error("a byte of the file does not matter")
	}
	before = sum()
	if _, err := consent.GenerateKey(key + "2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(key+"2.pub", key+".pub"); err != nil {
		t.Fatal(err)
	}
	if sum() == before {
		t.Error("the owner's key does not matter")
	}
}
