// Command platen-fleet is the operator's side of Platen: broker, enrolment, verifier
// and update files in one process, and what an operator asks of its folder.
package main

import (
	"platen/agent/cli"
)

func main() {
	root := cli.Root("platen-fleet", "the operator's side of Platen",
		"Platen-fleet is the operator's side of Platen in one process: an MQTT broker that printers\n"+
			"send their attested telemetry to, the service where they enrol, the verifier that decides\n"+
			"what to believe, and the static files of the update repository and of sealed jobs.\n\n"+
			"Start with: platen-fleet up --dir DIR --ek-ca FILE --tuf REPOSITORY\n"+
			"Then let a printer in: platen-fleet claim new --dir DIR")
	root.AddCommand(upCmd(), claimCmd(), printersCmd(), revokeCmd(), receiptCmd(), ticketCmd(), offerCmd(), recreditCmd(), caCmd(), eventsCmd(), verifyCmd(), auditCmd())
	cli.Main(root)
}
