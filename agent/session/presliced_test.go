package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"platen/agent/seam"
	"platen/hal/gcodefile"
	"platen/slicer"
	"platen/slicer/vault"
)

const goodGCode = `; two layers by hand
G28
M109 S210
M83
;LAYER_CHANGE
;Z:0.2
G1 X20 Y20 Z0.2 F3000
G1 X40 E1 F1200
G2 X20 Y20 I-10 J0 E1
;LAYER_CHANGE
;Z:0.4
G1 Z0.4 F600
G1 X40 E1 F1200
`

// binaryGCode packs text into the least that is binary G-code: one block that is
// neither packed nor encoded.
func binaryGCode(text string) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(le.AppendUint32([]byte("GCDE"), 1), 1)
	start := len(b)
	b = le.AppendUint16(le.AppendUint32(le.AppendUint16(le.AppendUint16(b, 1), 0), uint32(len(text))), 0)
	b = append(b, text...)
	return le.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
}

func TestSessionPrintsGCode(t *testing.T) {
	for name, content := range map[string][]byte{"text": []byte(goodGCode), "binary": binaryGCode(goodGCode)} {
		c := startSession(t, fast)
		c.start(seam.Start{Job: [16]byte{6}, Size: uint64(len(content))}, content)
		for _, want := range []seam.Code{seam.CodeLoaded, seam.CodeDone} {
			if r := await[*seam.Receipt](c); r.Code != want {
				t.Fatalf("%s: %s: %s\n%s", name, r.Code, r.Reason, c.stderr.String())
			}
		}
		if err := c.exited(); err != nil {
			t.Errorf("%s: exit: %v\n%s", name, err, c.stderr.String())
		}
		if st := c.printer.Stats(); st.Moves < 10 || st.Layers != 2 || st.Filament != 3000 || st.HotendSet != 0 {
			t.Errorf("%s: %d moves in %d layers with %v µm of filament, hot end set to %v", name, st.Moves, st.Layers, st.Filament, st.HotendSet)
		}
	}
}

// TestSessionRefusesGCode ends good files badly: nothing moves and nothing is heated,
// and the log has nothing of the file.
func TestSessionRefusesGCode(t *testing.T) {
	damaged := binaryGCode(goodGCode)
	damaged[40] ^= 1
	for name, try := range map[string]struct {
		content []byte
		size    int
		reason  seam.Reason
	}{
		"a protection off":    {[]byte(goodGCode + "M302 P90901\n"), 0, seam.ReasonGCode},
		"outside the volume":  {[]byte(goodGCode + "G1 X909.01\n"), 0, seam.ReasonEnvelope},
		"cold":                {[]byte(goodGCode + "M104 S0\nG1 X1 E1\n"), 0, seam.ReasonEnvelope},
		"no word of ours":     {[]byte(goodGCode + "PRINT_END_90901\n"), 0, seam.ReasonGCode},
		"shorter than said":   {[]byte(goodGCode), len(goodGCode) + 1, seam.ReasonFormat},
		"longer than said":    {[]byte(goodGCode), len(goodGCode) - 5, seam.ReasonFormat},
		"more than the vault": {[]byte(goodGCode), 5 << 20, seam.ReasonTooBig},
		"nothing to do":       {[]byte("; a header, and the file ends\n"), 0, seam.ReasonFormat},
		"beyond any machine":  {[]byte(goodGCode), math.MaxInt, seam.ReasonTooBig},
		"damaged, binary":     {damaged, 0, seam.ReasonFormat},
		"bad, binary":         {binaryGCode(goodGCode + "M500\n"), 0, seam.ReasonGCode},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startSession(t, fast)
			if try.size == 0 {
				try.size = len(try.content)
			}
			c.start(seam.Start{Job: [16]byte{8}, Size: uint64(try.size)}, try.content)
			if r := await[*seam.Receipt](c); r.Code != seam.CodeRefused || r.Reason != try.reason {
				t.Errorf("%s, %s\n%s", r.Code, r.Reason, c.stderr.String())
			}
			c.exited()
			if s := c.printer.Stats(); s.Moves != 0 || s.Homes != 0 || s.HotendSet != 0 || s.BedSet != 0 {
				t.Error("the machine moved or was heated")
			}
			if text := c.stderr.String(); strings.Contains(text, "9090") || strings.Contains(text, "909.01") {
				t.Error("the log tells of the file")
			}
		})
	}
}

func TestSniff(t *testing.T) {
	for text, want := range map[string]kind{goodGCode: kindGCode, "G28": kindGCode, "GCDE\x01\x00\x00\x00": kindGCode,
		"solid x\n": kindModel, "": kindModel, "PK\x03\x04": kindPackage, "PK": kindModel} {
		k, r, err := sniff(iotest.OneByteReader(strings.NewReader(text)))
		if err != nil || k != want {
			t.Errorf("%q: %v, %v", text, k, err)
		}
		if all, err := io.ReadAll(r); err != nil || string(all) != text {
			t.Errorf("%q reads as %q, %v", text, all, err)
		}
	}
	own := errors.New("gone")
	if _, _, err := sniff(iotest.ErrReader(own)); !errors.Is(err, own) {
		t.Errorf("got %v", err)
	}
}

// TestLoadFileEndsWithItsContext: a job that is cancelled while it is checked ends.
func TestLoadFileEndsWithItsContext(t *testing.T) {
	v, err := vault.New(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	s := &session{cfg: Config{Board: simBoard(t, "")}, vault: v}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := s.loadFile(ctx, strings.NewReader(goodGCode), uint64(len(goodGCode))); err != nil {
		t.Fatalf("control: %v", err)
	}
	cancel()
	_, err = s.loadFile(ctx, strings.NewReader(goodGCode), uint64(len(goodGCode)))
	if r, ok := errors.AsType[*gcodefile.Refusal](err); !ok || r.Reason != gcodefile.ReasonRead || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := s.loadFile(t.Context(), bytes.NewReader(nil), 2<<20); !errors.Is(err, slicer.ErrTooBig) {
		t.Errorf("got %v", err)
	}
}

// TestNoModelsWithoutAHotEnd: a machine without one takes G-code only.
func TestNoModelsWithoutAHotEnd(t *testing.T) {
	b := simBoard(t, "")
	b.Limits.Tools = 0
	s := &session{cfg: Config{Board: b}}
	if _, err := s.loadModel(t.Context(), nil, &seam.Start{}); !errors.Is(err, errNoModels) {
		t.Errorf("got %v", err)
	}
	if code, reason := judge(errNoModels); code != seam.CodeRefused || reason != seam.ReasonSlicing {
		t.Errorf("%s, %s", code, reason)
	}
}
