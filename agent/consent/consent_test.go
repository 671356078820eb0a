package consent

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"pgregory.net/rapid"

	"platen/agent/catalog"
	"platen/agent/evidence"
)

var (
	t0      = time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	printer = evidence.PrinterID{1, 2, 3}
	acme    = evidence.RecipientID{0xac}
)

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
}

func pub(seed byte) ed25519.PublicKey { return key(seed).Public().(ed25519.PublicKey) }

func terms(serial uint64) Terms {
	return Terms{Printer: printer, Recipient: acme, Name: "Acme Service", Profile: catalog.Vendor, From: t0, Serial: serial}
}

func grant(t *testing.T, tm Terms) Grant {
	t.Helper()
	g, err := New(tm)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func sign(t *testing.T, tm Terms) []byte {
	t.Helper()
	b, err := Sign(grant(t, tm), key(1))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// T-P6, consent: what is shown is what is signed, and it survives the way back.
func TestTextIsTheRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom([]catalog.Profile{catalog.Vendor, catalog.Owner, catalog.Service}).Draw(t, "profile")
		g, err := New(Terms{
			Printer: printer, Recipient: acme, Profile: p,
			Name:   rapid.StringMatching(`[!-~&&[^"]]([ -~&&[^"]]{0,20}[!-~&&[^"]])?`).Draw(t, "name"),
			Items:  rapid.SliceOfNDistinct(rapid.SampledFrom(catalog.Granted(p)), 1, -1, func(id catalog.ID) catalog.ID { return id }).Draw(t, "items"),
			From:   t0.Add(time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "from")) * time.Second),
			Serial: rapid.Uint64Range(1, 1<<53).Draw(t, "serial"),
		})
		if err != nil {
			t.Skip("not a grant")
		}
		back, err := Parse([]byte(g.Text()))
		if err != nil {
			t.Fatalf("%v\n%s", err, g.Text())
		}
		if d := cmp.Diff(g, back); d != "" {
			t.Fatal(d)
		}
	})
}

func TestTextSaysWhatIsSent(t *testing.T) {
	g := grant(t, terms(1))
	for _, want := range []string{`"Acme Service"`, "vendor", "every:     60 s", "temperature of the bed (in steps of 1 °C)", "2028-01-02T03:04:05Z", printer.String(), "never while a job is loaded"} {
		if !strings.Contains(g.Text(), want) {
			t.Errorf("the text does not say %q:\n%s", want, g.Text())
		}
	}
}

func TestRulesOfProfiles(t *testing.T) {
	for name, change := range map[string]func(*Terms){
		"vendor under 60 s":    func(t *Terms) { t.Period = 59 * time.Second },
		"service beyond a day": func(t *Terms) { t.Profile, t.Life = catalog.Service, 25*time.Hour },
		"owner's item":         func(t *Terms) { t.Items = []catalog.ID{catalog.LinkResends} },
		"unknown item":         func(t *Terms) { t.Items = []catalog.ID{77} },
		"two profiles":         func(t *Terms) { t.Profile = catalog.Vendor | catalog.Owner },
		"no serial":            func(t *Terms) { t.Serial = 0 },
		"line in the name":     func(t *Terms) { t.Name = "Acme\nevery: 1 s" },
		"quote in the name":    func(t *Terms) { t.Name = `Acme" x` },
		"no name":              func(t *Terms) { t.Name = "" },
		"backwards":            func(t *Terms) { t.Life = -time.Hour },
	} {
		tm := terms(1)
		change(&tm)
		if g, err := New(tm); err == nil {
			if _, err := Sign(g, key(1)); err == nil {
				t.Errorf("%s: signed", name)
			}
		}
	}
	grant(t, terms(1)) // control
}

// reseal changes the signed text and signs it with another key, as a recipient who
// wants more would.
func reseal(t *testing.T, env []byte, k ed25519.PrivateKey, change func(string) string) []byte {
	t.Helper()
	var e dsse.Envelope
	if err := json.Unmarshal(env, &e); err != nil {
		t.Fatal(err)
	}
	text, err := e.DecodeB64Payload()
	if err != nil {
		t.Fatal(err)
	}
	changed := change(string(text))
	e.Payload = base64.StdEncoding.EncodeToString([]byte(changed))
	if k != nil {
		sig := ed25519.Sign(k, dsse.PAE(e.PayloadType, []byte(changed)))
		e.Signatures[0].Sig = base64.StdEncoding.EncodeToString(sig)
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// T08: nobody but the owner forges, widens or renews a grant.
func TestOnlyTheOwnerGrants(t *testing.T) {
	env := sign(t, terms(1))
	same := func(s string) string { return s }
	until := func(s string) string { return strings.Replace(s, "2028-01-02", "2029-01-02", 1) }
	every := func(s string) string { return strings.Replace(s, "every:     60 s", "every:     1 s", 1) }
	for _, c := range []struct {
		name string
		env  []byte
		want error
	}{
		{"control", reseal(t, env, key(1), same), nil},
		{"forged", reseal(t, env, key(2), same), ErrSignature},
		{"renewed", reseal(t, env, nil, until), ErrSignature},
		{"renewed and signed by another", reseal(t, env, key(2), until), ErrSignature},
		{"renewed by the owner", reseal(t, env, key(1), until), nil},
		{"widened by the owner beyond the profile", reseal(t, env, key(1), every), ErrRecord},
		{"one more line", reseal(t, env, key(1), func(s string) string { return s + "and more\n" }), ErrRecord},
		{"purpose reworded", reseal(t, env, key(1), func(s string) string { return strings.Replace(s, "temperature of the bed", "nothing much", 1) }), ErrRecord},
		{"another catalogue", reseal(t, env, key(1), func(s string) string {
			i := strings.Index(s, "catalogue: ") + len("catalogue: ")
			return s[:i] + strings.Repeat("00", 32) + s[i+64:]
		}), ErrCatalogue},
		{"another payload type", bytes.Replace(env, []byte("platen.consent"), []byte("platen.ticketx"), 1), ErrRecord},
		{"no signature", bytes.Replace(env, []byte(`"sig":"`), []byte(`"sig":"AA`), 1), ErrSignature},
		{"two envelopes", append(bytes.Clone(env), env...), ErrRecord},
		{"empty", nil, ErrRecord},
		{"huge", bytes.Repeat([]byte(" "), maxEnvelope+1), ErrRecord},
	} {
		if _, err := Open(c.env, pub(1)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := Open(env, nil); !errors.Is(err, ErrSignature) {
		t.Errorf("no owner: %v", err)
	}
}

func TestKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "owner")
	pub, err := GenerateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	k, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := LoadPub(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if !pub.Equal(got) || !pub.Equal(k.Public()) {
		t.Error("the key read is not the key made")
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode of the private key: %v %v", fi.Mode(), err)
	}
	if _, err := GenerateKey(path); err == nil {
		t.Error("an existing key was overwritten")
	}
	if _, err := LoadPub(path); err == nil {
		t.Error("a private key was read as a public one")
	}
}

func FuzzOpen(f *testing.F) {
	g, err := New(terms(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(g.Text()))
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := Parse(text)
		if err == nil && g.Text() != string(text) {
			t.Fatal("a grant that does not write itself as it was read")
		}
	})
}
