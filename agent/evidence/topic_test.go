package evidence

import (
	"strings"
	"testing"
)

func TestTopics(t *testing.T) {
	p := PrinterID{1, 2, 3}
	for topic, want := range map[string]TopicKind{
		BatchTopic(p): TopicBatch, NonceTopic(p): TopicNonce, HelloTopic(p): TopicHello, OfferTopic(p): TopicOffer,
	} {
		if id, kind := ParseTopic(topic); id != p || kind != want {
			t.Errorf("%s is kind %d of %v", topic, kind, id)
		}
		for _, bad := range []string{topic + "/x", topic + "x", "x" + topic, strings.ToUpper(topic), strings.Replace(topic, "v1", "v2", 1)} {
			if id, kind := ParseTopic(bad); kind != TopicOther || id != (PrinterID{}) {
				t.Errorf("%s is kind %d of %v", bad, kind, id)
			}
		}
	}
	for _, bad := range []string{"", "/", "platen/v1/", "platen/v1/+/evidence", "platen/v1//evidence", "platen/v1/" + p.String()} {
		if _, kind := ParseTopic(bad); kind != TopicOther {
			t.Errorf("%q is kind %d", bad, kind)
		}
	}
}

// TestPublishIsOneKiB: what an observer counts is the packet, not the payload.
func TestPublishIsOneKiB(t *testing.T) {
	const typeAndLength, topicLength, packetID, noProperties, tlsRecord = 1 + 2, 2, 2, 1, 5 + 1 + 16
	packet := typeAndLength + topicLength + len(BatchTopic(PrinterID{})) + packetID + noProperties + WireSize
	if packet != 1024 {
		t.Errorf("a PUBLISH of %d bytes", packet)
	}
	if hour := 60 * (packet + tlsRecord); hour > 64<<10 {
		t.Errorf("%d bytes an hour", hour)
	}
}
