package broker

import (
	"github.com/mochi-mqtt/server/v2/packets"

	"platen/agent/evidence"
)

// Drop ends the connection of a printer, if it has one. Whether it is let in again is the
// handler's to say.
func (b *Broker) Drop(id evidence.PrinterID) {
	cl, ok := b.server.Clients.Get(id.String())
	if !ok || cl.Net.Inline {
		return
	}
	cl.Stop(packets.ErrAdministrativeAction)
}
