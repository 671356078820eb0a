package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"platen/agent/catalog"
	"platen/agent/evidence"
	"platen/cross/rig"
	"platen/cross/rig/rigtest"
)

// decode is all that somebody needs to read what a printer sends: a general CBOR decoder,
// and where in a frame the CBOR stands.
const decode = `
import sys, json, cbor2
for line in sys.stdin:
    frame = bytes.fromhex(line)
    size = int.from_bytes(frame[4:8], "big")
    header, messages, quote, log = cbor2.loads(frame[8:8 + size])
    fields = cbor2.loads(header)
    print(json.dumps({"fields": len(fields), "seq": fields[5], "messages": [cbor2.loads(m) for m in messages]}))
`

// decoded is a frame as that program prints it.
type decoded struct {
	Fields   int                `json:"fields"`
	Seq      uint64             `json:"seq"`
	Messages []map[string]int64 `json:"messages"`
}

// python finds an interpreter that has the module cbor2.
func python(t *testing.T) *exec.Cmd {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		make := func(script string) *exec.Cmd {
			cmd := exec.CommandContext(t.Context(), path, "-c", script)
			cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(rig.ToolsDir(), "usr/lib/python3/dist-packages"))
			return cmd
		}
		if make("import cbor2").Run() == nil {
			return make(decode)
		}
	}
	rigtest.Check(t, &rig.ErrNoTool{Name: "python3-cbor2"})
	return nil
}

func decodeAll(t *testing.T, lines string) []decoded {
	t.Helper()
	cmd := python(t)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(lines), &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cbor2 does not decode it: %v\n%s", err, &errs)
	}
	var all []decoded
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		var d decoded
		if err := json.Unmarshal(sc.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// strangers are the keys of a message that are neither its time nor in the catalogue.
func strangers(t *testing.T, m map[string]int64) []string {
	t.Helper()
	var out []string
	for key := range m {
		n, err := strconv.ParseUint(key, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := catalog.Lookup(catalog.ID(n)); !ok && n != 0 {
			out = append(out, key)
		}
	}
	return out
}

// TestStockDecoder: what mosquitto_sub captures of a printer decodes with a stock CBOR
// library, to items of the catalogue and nothing else.
func TestStockDecoder(t *testing.T) {
	w, err := newWorld(t.Context(), false)
	rigtest.Check(t, err)
	defer w.close()
	st, err := newStand(t.Context(), w, programs(t))
	if err != nil {
		t.Fatal(err)
	}
	defer st.close()
	if err := st.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(w.broker.Addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd, err := rig.Command(ctx, "mosquitto_sub", "-h", host, "-p", port, "--cafile", w.path("ops", "ca.pem"),
		"--cert", w.path("client.pem"), "--key", w.path("client.key"), "-V", "mqttv5", "-i", "ear", "-q", "1",
		"-t", evidence.AllBatches, "-C", "2", "-F", "%x")
	rigtest.Check(t, err)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("mosquitto_sub: %v", err)
	}
	frames := decodeAll(t, string(out))
	if len(frames) != 2 {
		t.Fatalf("%d frames", len(frames))
	}
	items := 0
	for _, d := range frames {
		if d.Fields != 12 || d.Seq == 0 {
			t.Errorf("a header of %d fields, number %d", d.Fields, d.Seq)
		}
		for _, m := range d.Messages {
			items += len(m) - 1
			if odd := strangers(t, m); odd != nil {
				t.Errorf("not in the catalogue: %v", odd)
			}
		}
	}
	if items == 0 {
		t.Error("the printer said nothing")
	}
	if odd := strangers(t, decodeAll(t, strange(t))[0].Messages[0]); len(odd) != 1 {
		t.Errorf("control: an item that nobody published went unnoticed")
	}
}

// strange is the frame of a message with an item that is not in the catalogue.
func strange(t *testing.T) string {
	t.Helper()
	h, err := evidence.NewChain(evidence.PrinterID{}, evidence.RecipientID{}, 1, 1).Next([][]byte{{0xa1, 0x19, 0xea, 0x60, 0x01}}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := h.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	frame, err := evidence.Encode(evidence.Batch{Header: raw, Msgs: [][]byte{{0xa1, 0x19, 0xea, 0x60, 0x01}},
		Quote: evidence.Signed{Attest: []byte{1}, Sig: []byte{1}}}, evidence.WireSize)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(frame) + "\n"
}
