package broker

import (
	"context"
	"errors"
	"fmt"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"platen/agent/evidence"
)

// errAbsent reports a printer that takes no offers now: it is not connected, its owner has not
// switched them on, or it went before it had this one.
var errAbsent = errors.New("the printer takes no offers now")

// offer is an offer on its way to one printer.
type offer struct {
	packet uint16        // its id, 0 before it was sent
	taken  chan struct{} // closed once the printer has acknowledged it
}

// Offer sends an offer to a printer and returns once the printer has acknowledged it. There
// is one offer to a printer at a time; nothing is kept for later.
func (b *Broker) Offer(ctx context.Context, to evidence.PrinterID, envelope []byte) error {
	id, topic := to.String(), evidence.OfferTopic(to)
	cl, ok := b.server.Clients.Get(id)
	if !ok || cl.Closed() {
		return errAbsent
	}
	if _, ok := cl.State.Subscriptions.Get(topic); !ok {
		return errAbsent
	}
	o := &offer{taken: make(chan struct{})}
	b.mu.Lock()
	if b.offers[id] != nil {
		b.mu.Unlock()
		return errAbsent // it has not acknowledged the one before
	}
	b.offers[id] = o
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.offers[id] == o {
			delete(b.offers, id)
		}
	}()
	if err := b.server.Publish(topic, envelope, false, 1); err != nil {
		return fmt.Errorf("offer a job: %w", err)
	}
	select {
	case <-o.taken:
		return nil
	case <-ctx.Done():
		return errAbsent
	}
}

// OnSubscribed tells the handler of a printer that waits for offers.
func (g *gate) OnSubscribed(cl *mqtt.Client, pk packets.Packet, codes []byte) {
	for i, f := range pk.Filters {
		if id, kind := evidence.ParseTopic(f.Filter); kind == evidence.TopicOffer && id.String() == cl.ID && i < len(codes) && codes[i] < 0x80 {
			g.b.cfg.Handler.Listens(id)
		}
	}
}

// OnQosPublish notes under which number an offer goes out.
func (g *gate) OnQosPublish(cl *mqtt.Client, pk packets.Packet, _ int64, _ int) {
	if _, kind := evidence.ParseTopic(pk.TopicName); pk.FixedHeader.Type != packets.Publish || kind != evidence.TopicOffer {
		return
	}
	g.b.mu.Lock()
	defer g.b.mu.Unlock()
	if o := g.b.offers[cl.ID]; o != nil && o.packet == 0 {
		o.packet = pk.PacketID
	}
}

// OnPacketProcessed notes that an offer was acknowledged.
func (g *gate) OnPacketProcessed(cl *mqtt.Client, pk packets.Packet, _ error) {
	if pk.FixedHeader.Type != packets.Puback {
		return
	}
	g.b.mu.Lock()
	defer g.b.mu.Unlock()
	if o := g.b.offers[cl.ID]; o != nil && o.packet != 0 && o.packet == pk.PacketID {
		delete(g.b.offers, cl.ID)
		close(o.taken)
	}
}
