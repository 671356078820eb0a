package evidence

import "strings"

// Topics of MQTT. Each printer has five: it publishes frames of batches to the
// first, gets nonces as the bare payload of the second, asks for one with an
// empty message to the third, and gets offers of jobs, each the envelope of a ticket,
// on the fourth. To the fifth its broker publishes Gone, the printer's last will, when
// the connection breaks off.
const (
	topicPrefix = "platen/v1/"
	topicBatch  = "evidence"
	topicNonce  = "nonce"
	topicHello  = "hello"
	topicOffer  = "offer"
	topicGone   = "gone"
)

// BatchTopic is where a printer publishes its batches.
func BatchTopic(p PrinterID) string { return topicPrefix + p.String() + "/" + topicBatch }

// NonceTopic is where a printer gets its verifier's nonces.
func NonceTopic(p PrinterID) string { return topicPrefix + p.String() + "/" + topicNonce }

// HelloTopic is where a printer asks for a nonce.
func HelloTopic(p PrinterID) string { return topicPrefix + p.String() + "/" + topicHello }

// OfferTopic is where a printer gets offers of jobs.
func OfferTopic(p PrinterID) string { return topicPrefix + p.String() + "/" + topicOffer }

// Gone is the payload of a printer's last will: it says nothing that its topic does not,
// but there are brokers that take no empty one.
const Gone = "gone"

// GoneTopic is the topic of a printer's last will.
func GoneTopic(p PrinterID) string { return topicPrefix + p.String() + "/" + topicGone }

// TopicKind tells the topics of a printer apart.
type TopicKind uint8

// The kinds of topic.
const (
	TopicOther TopicKind = iota // none of ours
	TopicBatch
	TopicNonce
	TopicHello
	TopicOffer
	TopicGone
)

// ParseTopic returns whose topic of which kind t is.
func ParseTopic(t string) (PrinterID, TopicKind) {
	rest, ok := strings.CutPrefix(t, topicPrefix)
	name, kind, found := strings.Cut(rest, "/")
	id, err := ParsePrinterID(name)
	if !ok || !found || err != nil {
		return PrinterID{}, TopicOther
	}
	switch kind {
	case topicBatch:
		return id, TopicBatch
	case topicNonce:
		return id, TopicNonce
	case topicHello:
		return id, TopicHello
	case topicOffer:
		return id, TopicOffer
	case topicGone:
		return id, TopicGone
	}
	return PrinterID{}, TopicOther
}

// Filters for whoever reads the batches and questions of all printers.
const (
	AllBatches = topicPrefix + "+/" + topicBatch
	AllHellos  = topicPrefix + "+/" + topicHello
)

// Paths of an enrolment service below its URL, each for a POST of one frame: of an
// EnrolRequest, answered by that of an EnrolChallenge, and of an EnrolResponse,
// answered by that of an EnrolResult. A refusal has another status than 200 and a
// line of text.
const (
	EnrolBeginPath  = "/v1/enrol/begin"
	EnrolFinishPath = "/v1/enrol/finish"
	LeavePath       = "/v1/leave"       // takes the PEM of a Receipt
	AttestationPath = "/v1/attestation" // takes an AttestationRequest, answers with PEM
)
