package broker

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"platen/agent/evidence"
)

// ack is a PUBACK of a packet.
func ack(id []byte) []byte { return packet(0x40, id) }

// TestOffer sends offers to a printer that waits for them: one that is acknowledged, while the printer's own
// messages under the same number are too, and one that is not.
func TestOffer(t *testing.T) {
	r := start(t)
	conn := r.dial(one)
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	r.say(conn, connect(one.String(), 2))
	offer := func(ctx context.Context, to evidence.PrinterID) error { return r.b.Offer(ctx, to, []byte("ticket")) }
	if err := offer(t.Context(), one); !errors.Is(err, errAbsent) {
		t.Errorf("before it subscribed: %v", err)
	}
	if err := offer(t.Context(), two); !errors.Is(err, errAbsent) {
		t.Errorf("to one that is not there: %v", err)
	}
	r.say(conn, packet(0x82, id16(1), []byte{0}, text(evidence.OfferTopic(one)), []byte{1}))
	if got := r.d.list(); len(got) != 1 || got[0] != "1 listens" {
		t.Errorf("the handler heard %q", got)
	}
	taken := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { taken <- offer(ctx, one) }()
	kind, body := answer(conn)
	if kind != packets.Publish || !bytes.HasSuffix(body, []byte("ticket")) {
		t.Fatalf("the printer got packet %d, %q", kind, body)
	}
	id := body[2+len(evidence.OfferTopic(one)):][:2]
	if kind, _ := r.say(conn, packet(0x32, text(evidence.BatchTopic(one)), id, []byte{0}, []byte("frame"))); kind != packets.Puback {
		t.Errorf("a frame under the same number: packet %d", kind)
	}
	r.say(conn, append(ack([]byte{9, 9}), 0xc0, 0)) // of something else; and a ping, answered after it
	select {
	case err := <-taken:
		t.Fatalf("an offer counts as taken that was not acknowledged: %v", err)
	default:
	}
	r.say(conn, append(ack(id), 0xc0, 0))
	if err := <-taken; err != nil {
		t.Errorf("acknowledged: %v", err)
	}
	// Not acknowledged until its time is over; and not two at once.
	go func() { taken <- offer(ctx, one) }()
	if kind, _ := answer(conn); kind != packets.Publish {
		t.Fatalf("the printer got packet %d", kind)
	}
	if err := offer(t.Context(), one); !errors.Is(err, errAbsent) {
		t.Errorf("a second one at once: %v", err)
	}
	cancel()
	if err := <-taken; !errors.Is(err, errAbsent) {
		t.Errorf("never acknowledged: %v", err)
	}
}
