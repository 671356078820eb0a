package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func sampleBatch(t *testing.T, c *Chain, msgs ...[]byte) (Batch, Header) {
	t.Helper()
	h, err := c.Next(msgs, []byte("0123456789abcdef01234567"), 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := h.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return Batch{
		Header: raw, Msgs: msgs,
		Quote: Signed{Attest: bytes.Repeat([]byte{7}, attestSize), Sig: bytes.Repeat([]byte{9}, sigSize), PCRs: Hints{{1}, {2}}},
		Log:   Log{Digests: [][32]byte{{3}}, Settings: Settings{Base: []byte{}, Config: [32]byte{4}, Board: [32]byte{5}}},
	}, h
}

func TestRootVectors(t *testing.T) {
	// The test vectors that Certificate Transparency implementations share
	// (google/certificate-transparency, merkletree tests), for 0 to 8 leaves.
	leaves := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var msgs [][]byte
	for n, want := range roots {
		if n > 0 {
			m, err := hex.DecodeString(leaves[n-1])
			if err != nil {
				t.Fatal(err)
			}
			msgs = append(msgs, m)
		}
		if got := Root(msgs); hex.EncodeToString(got[:]) != want {
			t.Errorf("root of %d leaves is %x, want %s", n, got, want)
		}
	}
}

func TestIDs(t *testing.T) {
	p := PrinterID(sha256.Sum256([]byte("a printer")))
	got, err := ParsePrinterID(p.String())
	if err != nil || got != p || len(p.String()) != 52 {
		t.Fatalf("parse %q: %v, %v", p, got, err)
	}
	for _, bad := range []string{"", p.String() + "a", p.String()[1:], "B" + p.String()[1:], p.String()[:51] + "b", p.String()[:51] + "\n"} {
		if _, err := ParsePrinterID(bad); err == nil && bad != p.String() {
			t.Errorf("%q taken for a printer id", bad)
		}
	}
	r := RecipientID{1, 2, 0xff}
	if got, err := ParseRecipientID(r.String()); err != nil || got != r {
		t.Fatalf("parse %q: %v, %v", r, got, err)
	}
	if _, err := ParseRecipientID("FF" + r.String()[2:]); err == nil {
		t.Error("capitals taken for a recipient id")
	}
}

func TestChain(t *testing.T) {
	c := NewChain(PrinterID{1}, RecipientID{2}, 7, 1234)
	_, h1 := sampleBatch(t, c, []byte("one"), []byte("two"))
	if h1.Seq != 1 || h1.First != 0 || h1.Prev != [32]byte{} {
		t.Fatalf("first header %+v", h1)
	}
	if again, err := c.Next([][]byte{[]byte("one"), []byte("two")}, h1.Nonce, 0); err != nil || !cmp.Equal(again, h1) {
		t.Fatal("an uncommitted header moved the chain")
	}
	if err := c.Commit(h1); err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(h1); err == nil {
		t.Fatal("the same header committed twice")
	}
	h2, err := c.Next(nil, nil, 5)
	if err != nil {
		t.Fatal(err)
	}
	d1, err := h1.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if h2.Seq != 2 || h2.First != 7 || h2.Prev != d1 || h2.Dropped != 5 || h2.Count != 0 {
		t.Fatalf("second header %+v", h2)
	}
	if err := c.Commit(h2); err != nil {
		t.Fatal(err)
	}
	back, err := Resume(c.Last())
	if err != nil {
		t.Fatal(err)
	}
	a, errA := back.Next(nil, nil, 0)
	b, errB := c.Next(nil, nil, 0)
	if errA != nil || errB != nil || !cmp.Equal(a, b) {
		t.Fatalf("a resumed chain goes on with %+v, want %+v", a, b)
	}
}

func TestBatchRoundTrip(t *testing.T) {
	c := NewChain(PrinterID{1}, RecipientID{2}, 1, 1)
	b, h := sampleBatch(t, c, []byte("one"), []byte("two"))
	wire, err := Encode(b, WireSize)
	if err != nil || len(wire) != WireSize {
		t.Fatalf("%d bytes, %v", len(wire), err)
	}
	b.Log.Settings.Controller = [32]byte{} // so that the body ends with zeros as padding does
	if wire, err = Encode(b, WireSize); err != nil {
		t.Fatal(err)
	}
	if short := Trim(wire); len(short) >= WireSize-1 || string(Trim(short)) != string(short) || string(Trim(short[:20])) != string(short[:20]) || Trim(nil) != nil {
		t.Error("padding is not trimmed alone")
	} else if again, err := Decode(short); err != nil || !cmp.Equal(again, b) {
		t.Errorf("a trimmed frame is another: %v", err)
	}
	got, err := Decode(wire)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, got); diff != "" {
		t.Fatal(diff)
	}
	if gh, err := ParseHeader(got.Header); err != nil || !cmp.Equal(gh, h) {
		t.Fatalf("header %+v, %v", gh, err)
	}
}

func TestBatchFitsItsRoom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(600, 4096).Draw(rt, "size")
		logs := rapid.IntRange(0, MaxLog).Draw(rt, "logs")
		nonce := rapid.SliceOfN(rapid.Byte(), 0, MaxNonce).Draw(rt, "nonce")
		room := Room(size, len(nonce), logs)
		var msgs [][]byte
		for len(msgs) < MaxMsgs && room > MsgOverhead {
			n := min(rapid.IntRange(1, MaxMsg).Draw(rt, "n"), room-MsgOverhead)
			msgs = append(msgs, bytes.Repeat([]byte{0xff}, n))
			room -= n + MsgOverhead
		}
		c := NewChain(PrinterID{1}, RecipientID{2}, rapid.Uint64().Draw(rt, "boot"), rapid.Uint64().Draw(rt, "start"))
		h, err := c.Next(msgs, nonce, rapid.Uint64Max(1<<40).Draw(rt, "dropped"))
		if err != nil {
			rt.Fatal(err)
		}
		raw, err := h.Bytes()
		if err != nil {
			rt.Fatal(err)
		}
		settings := Settings{}.After([32]byte{byte(rapid.IntRange(0, 1).Draw(rt, "base"))})
		b := Batch{Header: raw, Msgs: msgs, Log: Log{Digests: make([][32]byte, logs), Settings: settings},
			Quote: Signed{Attest: make([]byte, attestSize), Sig: make([]byte, sigSize)}}
		if _, err := Encode(b, size); err != nil && Room(size, len(nonce), logs) > 0 {
			rt.Fatalf("a batch within its room: %v", err)
		}
	})
}

func TestTooLarge(t *testing.T) {
	c := NewChain(PrinterID{1}, RecipientID{2}, 1, 1)
	b, _ := sampleBatch(t, c, make([]byte, 700))
	if _, err := Encode(b, WireSize); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("700 bytes in a frame of %d: %v", WireSize, err)
	}
	if _, err := Encode(b, 2048); err != nil {
		t.Fatalf("control: %v", err)
	}
	for _, size := range []int{-1, 0, 4, frameHeader, MaxWire + 1} {
		if _, err := Encode(b, size); !errors.Is(err, ErrTooLarge) {
			t.Errorf("frame of %d: %v", size, err)
		}
	}
	if _, err := c.Next([][]byte{make([]byte, MaxMsg+1)}, nil, 0); !errors.Is(err, ErrLimit) {
		t.Errorf("a message over the limit: %v", err)
	}
}

// TestDecodeRefuses changes a good frame in every way that keeps its meaning or
// loses it; nothing but the frame itself may pass.
func TestDecodeRefuses(t *testing.T) {
	c := NewChain(PrinterID{1}, RecipientID{2}, 1, 1)
	b, _ := sampleBatch(t, c, []byte("one"))
	wire, err := Encode(b, WireSize)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(wire); err != nil {
		t.Fatalf("control: %v", err)
	}
	body, err := unframe(magicBatch, wire)
	if err != nil {
		t.Fatal(err)
	}
	reframe := func(body []byte) []byte {
		w, err := frame(magicBatch, body, WireSize)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	change := func(i int, v byte) []byte {
		w := bytes.Clone(wire)
		w[i] = v
		return w
	}
	indefinite := append([]byte{0x9f}, append(bytes.Clone(body[1:]), 0xff)...)
	longHead := append([]byte{0x98, body[0] & 0x1f}, body[1:]...)
	for name, w := range map[string][]byte{
		"empty":             nil,
		"magic":             change(0, 'X'),
		"cut":               wire[:frameHeader+len(body)-1],
		"padding not zero":  change(WireSize-1, 1),
		"length beyond":     change(4, 0xff),
		"too long":          append(bytes.Clone(wire), make([]byte, MaxWire)...),
		"indefinite length": reframe(indefinite),
		"longer head":       reframe(longHead),
		"trailing byte":     reframe(append(bytes.Clone(body), 0)),
		"more elements":     reframe(append([]byte{body[0] + 1}, append(bytes.Clone(body[1:]), 0)...)),
		"fewer elements":    reframe(append([]byte{body[0] - 1}, body[1:]...)),
		"tagged":            reframe(append([]byte{0xd9, 0xd9, 0xf7}, body...)),
		"null":              reframe([]byte{0xf6}),
		"map":               reframe([]byte{0xa0}),
		"deep":              reframe(bytes.Repeat([]byte{0x81}, 200)),
	} {
		if _, err := Decode(w); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLog(t *testing.T) {
	l := Log{Digests: [][32]byte{{1}, {2}, {3}, {4}, {5}, {6}}}
	for n := range 8 {
		tail := l.Tail(n)
		if tail.Value() != l.Value() || len(tail.Digests) != min(n, 6) {
			t.Errorf("tail of %d: %d digests, value equal: %v", n, len(tail.Digests), tail.Value() == l.Value())
		}
	}
	if l.Tail(6).Base != [32]byte{} {
		t.Error("a whole log has a base")
	}
	other := Log{Digests: [][32]byte{{2}, {1}, {3}, {4}, {5}, {6}}}
	if other.Value() == l.Value() {
		t.Error("the order does not matter to the log")
	}
}

func TestEnrolRoundTrip(t *testing.T) {
	k := Certified{Public: []byte{1}, Attest: []byte{2}, Sig: []byte{3}}
	q := Quote{Attest: []byte{1}, Sig: []byte{2}}
	req := EnrolRequest{V: Version, Claim: "c", EKs: []EK{{Public: []byte{1}}}, AK: []byte{1}, TLS: k, Job: k, CSR: []byte{4}}
	wire, err := req.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeEnrolRequest(wire); err != nil || got.Claim != "c" {
		t.Fatal(got, err)
	}
	if _, err := DecodeEnrolChallenge(wire); !errors.Is(err, ErrEncoding) {
		t.Errorf("a request taken for a challenge: %v", err)
	}
	if _, err := DecodeEnrolRequest(append(wire, 0)); !errors.Is(err, ErrEncoding) {
		t.Errorf("padded request: %v", err)
	}
	ch := EnrolChallenge{V: Version, Blob: []byte{1}, Secret: []byte{2}}
	wire, err = ch.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeEnrolChallenge(wire); err != nil || !cmp.Equal(got, ch) {
		t.Fatal(got, err)
	}
	wire, err = EnrolResponse{V: Version, Quote: q}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeEnrolResponse(wire); err != nil {
		t.Fatal(err)
	}
	wire, err = EnrolResult{V: Version, Certs: [][]byte{{1}}, CAs: [][]byte{{1}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeEnrolResult(wire); err != nil {
		t.Fatal(err)
	}
	req.Claim = string(make([]byte, MaxClaim+1))
	if _, err := req.Encode(); !errors.Is(err, ErrLimit) {
		t.Errorf("claim over its limit: %v", err)
	}
}

func TestEnrolDigestsBindEveryPart(t *testing.T) {
	q := Quote{Attest: []byte("a"), Sig: []byte("s")}
	base := EnrolMAC([]byte("k"), []byte("r"), []byte("c"), q)
	for name, m := range map[string][32]byte{
		"secret":    EnrolMAC([]byte("K"), []byte("r"), []byte("c"), q),
		"request":   EnrolMAC([]byte("k"), []byte("R"), []byte("c"), q),
		"challenge": EnrolMAC([]byte("k"), []byte("r"), []byte("C"), q),
		"moved":     EnrolMAC([]byte("k"), []byte("rc"), nil, q),
		"quote":     EnrolMAC([]byte("k"), []byte("r"), []byte("c"), Quote{Attest: []byte("A"), Sig: []byte("s")}),
	} {
		if m == base {
			t.Errorf("the MAC does not cover the %s", name)
		}
	}
	if EnrolMAC([]byte("k"), []byte("r"), []byte("c"), q) != base {
		t.Error("control: the MAC is not a function of its input")
	}
	if EnrolDigest([]byte("r"), []byte("c")) == EnrolDigest([]byte("rc"), nil) {
		t.Error("the quote's digest does not delimit its parts")
	}
}

func FuzzDecode(f *testing.F) {
	c := NewChain(PrinterID{1}, RecipientID{2}, 1, 1)
	h, err := c.Next([][]byte{[]byte("m")}, nil, 0)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := h.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	b := Batch{Header: raw, Msgs: [][]byte{[]byte("m")}, Quote: Signed{Attest: []byte{1}, Sig: []byte{2}}}
	wire, err := Encode(b, 600)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	f.Add([]byte(magicBatch + "\x00\x00\x00\x01\x9f"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		b, err := Decode(wire)
		if err != nil {
			if !errors.Is(err, ErrEncoding) {
				t.Fatalf("refused without ErrEncoding: %v", err)
			}
		} else if again, err := Encode(b, len(wire)); err != nil || !bytes.Equal(again, wire) {
			t.Fatalf("decoded what it does not encode: %v", err)
		}
		for _, decode := range []func([]byte) error{
			func(w []byte) error { _, err := DecodeEnrolRequest(w); return err },
			func(w []byte) error { _, err := DecodeEnrolChallenge(w); return err },
			func(w []byte) error { _, err := DecodeEnrolResponse(w); return err },
			func(w []byte) error { _, err := DecodeEnrolResult(w); return err },
		} {
			if err := decode(wire); err != nil && !errors.Is(err, ErrEncoding) {
				t.Fatalf("refused without ErrEncoding: %v", err)
			}
		}
	})
}
